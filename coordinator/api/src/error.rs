//! Refusals: a stable code, and a sentence for people.

use jsonrpsee::types::ErrorObjectOwned;
use serde::{Deserialize, Serialize};

/// Why something was refused or failed. The names are stable: programs may match on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Code {
	/// A field is missing, malformed or out of range.
	InvalidRequest,
	/// There is no such task (any more).
	UnknownTask,
	/// No live miner serves the model.
	UnknownModel,
	/// No registered miner is connected.
	NoMiners,
	/// As many tasks wait as may, or a task would wait longer than it may.
	Busy,
	/// The task has ended and cannot be changed.
	TaskEnded,
	/// The key is not an active miner's operator at the last finalized block.
	NotRegistered,
	/// The signature, nonce or time of a signed message does not hold.
	BadSignature,
	/// The session is unknown or has ended: log in again.
	NoSession,
	/// The lease is unknown, has ended or belongs to another attempt.
	NoLease,
	/// Another result was accepted under the same lease.
	ConflictingResult,
	/// The uploaded picture is not what was asked for.
	BadPicture,
	/// The body is larger than the limit.
	TooLarge,
	/// The task failed on as many different miners as it is tried on.
	FailedEverywhere,
	/// No miner finished the task in the time that a task may take.
	DeadlinePassed,
	/// The coordinator is going down.
	ShuttingDown,
	/// The request means something that this network does not do.
	Unsupported,
	/// The task was taken back.
	Cancelled,
	/// A key is needed, or the key is unknown or revoked.
	Unauthorized,
	/// The account of the key has less than the task costs.
	InsufficientBalance,
	/// The task costs more than the app offers at most.
	PriceTooHigh,
	/// Requests come faster than they may.
	RateLimited,
	/// The app has as many tasks under way as it may.
	TooManyTasks,
	/// A fault of the coordinator itself.
	Internal,
}

impl Code {
	/// The JSON-RPC error code.
	pub fn number(self) -> i32 {
		match self {
			// JSON-RPC 2.0, "Invalid params" and "Internal error".
			Self::InvalidRequest => -32602,
			Self::Internal => -32603,
			Self::UnknownTask => 1001,
			Self::UnknownModel => 1002,
			Self::NoMiners => 1003,
			Self::Busy => 1004,
			Self::TaskEnded => 1005,
			Self::NotRegistered => 1006,
			Self::BadSignature => 1007,
			Self::NoSession => 1008,
			Self::NoLease => 1009,
			Self::BadPicture => 1010,
			Self::TooLarge => 1011,
			Self::FailedEverywhere => 1012,
			Self::DeadlinePassed => 1013,
			Self::ShuttingDown => 1014,
			Self::ConflictingResult => 1020,
			Self::Unsupported => 1030,
			Self::Cancelled => 1031,
			Self::Unauthorized => 1040,
			Self::InsufficientBalance => 1041,
			Self::PriceTooHigh => 1042,
			Self::RateLimited => 1043,
			Self::TooManyTasks => 1044,
		}
	}

	/// The status of an HTTP answer.
	pub fn http_status(self) -> u16 {
		match self {
			Self::InvalidRequest | Self::BadPicture | Self::Unsupported => 400,
			Self::BadSignature | Self::NoSession | Self::Unauthorized => 401,
			Self::InsufficientBalance | Self::PriceTooHigh => 402,
			Self::NotRegistered | Self::NoLease => 403,
			Self::UnknownTask | Self::UnknownModel => 404,
			Self::TaskEnded | Self::Cancelled | Self::ConflictingResult => 409,
			Self::TooLarge => 413,
			Self::Busy | Self::RateLimited | Self::TooManyTasks => 429,
			Self::Internal => 500,
			Self::NoMiners | Self::FailedEverywhere | Self::DeadlinePassed | Self::ShuttingDown => {
				503
			},
		}
	}
}

/// A refusal or failure: the code for programs, the message for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase")]
#[error("{message}")]
pub struct Refusal {
	/// What kind of refusal.
	pub code: Code,
	/// What is wrong and what to do, in a sentence.
	pub message: String,
	/// After how many seconds the same may be granted, where that is known.
	#[serde(default, skip_serializing_if = "Option::is_none")]
	pub retry_after: Option<u32>,
}

impl Refusal {
	/// A refusal.
	pub fn new(code: Code, message: impl Into<String>) -> Self {
		Self { code, message: message.into(), retry_after: None }
	}

	/// Likewise, and says after how many seconds to try again.
	#[must_use]
	pub fn retry_after(self, seconds: u32) -> Self {
		Self { retry_after: Some(seconds), ..self }
	}
}

/// As a JSON-RPC error, the code's name in `data`, as in `{"code": 1001, "message": "…", "data":
/// "UNKNOWN_TASK"}`.
impl From<Refusal> for ErrorObjectOwned {
	fn from(refusal: Refusal) -> Self {
		ErrorObjectOwned::owned(refusal.code.number(), refusal.message, Some(refusal.code))
	}
}

/// The refusal inside a JSON-RPC error, if it came from a coordinator.
pub fn refusal(error: &ErrorObjectOwned) -> Option<Refusal> {
	let code = serde_json::from_str(error.data()?.get()).ok()?;
	Some(Refusal::new(code, error.message()))
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn a_refusal_survives_json_rpc() {
		let sent = Refusal::new(Code::UnknownTask, "no such task");
		let object: ErrorObjectOwned = sent.clone().into();
		assert_eq!(object.code(), 1001);
		assert_eq!(object.data().unwrap().get(), "\"UNKNOWN_TASK\"");
		assert_eq!(refusal(&object), Some(sent));
	}
}
