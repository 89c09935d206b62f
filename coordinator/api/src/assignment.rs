//! How miners were drawn for tasks, so that everybody can check it: see `docs/decisions/`, 0012.

use crate::task::TaskId;
use base64::{prelude::BASE64_STANDARD, Engine};
use serde::{de::Error as _, ser::Error as _, Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// Path on the app listener from which `GET` returns the [`AssignmentProof`] of a task.
pub fn assignment_path(task_id: &TaskId) -> String {
	format!("/v1/tasks/{task_id}/assignment")
}

/// Path on the app listener from which `GET` returns the log of all draws.
pub const DRAWS_PATH: &str = "/v1/draws";

/// All that is needed, besides the chain, to check how miners were drawn for a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AssignmentProof {
	/// Name of the task.
	pub task_id: TaskId,
	/// Genesis hash of the coordinator's chain.
	pub genesis: Hex<32>,
	/// Public key of the coordinator's operator, with which it draws.
	pub coordinator: Hex<32>,
	/// The draws.
	#[serde(flatten)]
	pub record: AssignmentRecord,
}

/// The first line of a log of draws, which is JSON Lines; each further one is an [`AssignmentRecord`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DrawLogHeader {
	/// Genesis hash of the coordinator's chain.
	pub genesis: Hex<32>,
	/// Public key of the coordinator's operator, with which it draws.
	pub coordinator: Hex<32>,
	/// Sequence number of the first record that follows.
	pub first: u64,
	/// One more than the sequence number of the last one.
	pub end: u64,
}

/// The draws for one task. It names neither the task nor what it shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AssignmentRecord {
	/// Place of the task in the order of all offers to this coordinator, from 0, without gaps.
	pub sequence: u64,
	/// [`TaskSpec::digest`](crate::task::TaskSpec::digest) of the task.
	pub task_hash: Hex<32>,
	/// Every draw for it, in the order of the attempts, which count from 1.
	pub draws: Vec<Draw>,
}

/// One draw of a miner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Draw {
	/// For which attempt, from 1.
	pub attempt: u32,
	/// The era that ran at the block.
	pub era: u32,
	/// Number of the finalized block at which the registry was read.
	pub block: u64,
	/// Its hash.
	pub block_hash: Hex<32>,
	/// Among whom was drawn, of all miners that were active at that block.
	pub eligible: MinerSet,
	/// Sum of their weights, in plancks.
	#[serde(with = "decimal")]
	pub total: u128,
	/// Pre-output of the verifiable random function.
	pub pre_output: Hex<32>,
	/// The proof that it is right.
	pub proof: Hex<64>,
	/// The random number, from 0 and below `total`.
	#[serde(with = "decimal")]
	pub point: u128,
	/// Operator of the miner that was drawn.
	pub miner: Hex<32>,
}

/// Bytes that are written in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hex<const N: usize>(pub [u8; N]);

impl<const N: usize> fmt::Display for Hex<N> {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		f.write_str(&hex::encode(self.0))
	}
}

impl<const N: usize> fmt::Debug for Hex<N> {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		fmt::Display::fmt(self, f)
	}
}

impl<const N: usize> Serialize for Hex<N> {
	fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
		// Not by way of `Display`, which goes digit by digit: every draw that is kept has four of these.
		let mut digits = [[0; 2]; N];
		hex::encode_to_slice(self.0, digits.as_flattened_mut()).map_err(S::Error::custom)?;
		serializer.serialize_str(str::from_utf8(digits.as_flattened()).map_err(S::Error::custom)?)
	}
}

impl<'de, const N: usize> Deserialize<'de> for Hex<N> {
	fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
		let mut bytes = [0; N];
		hex::decode_to_slice(String::deserialize(deserializer)?, &mut bytes)
			.map_err(|_| D::Error::custom(format!("expected {} hexadecimal digits", 2 * N)))?;
		Ok(Self(bytes))
	}
}

/// Some of the miners that are active at a block, as bits in Base64: bit `i % 8` of byte `i / 8`, from
/// the least significant one, stands for the miner at place `i` when all are in the order of their
/// operators' public keys. There are no zero bytes at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MinerSet(Vec<u8>);

impl FromIterator<usize> for MinerSet {
	fn from_iter<I: IntoIterator<Item = usize>>(places: I) -> Self {
		let mut set = Self::default();
		for place in places {
			set.set(place, true);
		}
		set
	}
}

impl MinerSet {
	/// Puts a miner in or takes it out.
	pub fn set(&mut self, place: usize, is_in: bool) {
		let (byte, bit) = (place / 8, 1 << (place % 8));
		if is_in {
			self.0.resize(self.0.len().max(byte + 1), 0);
			self.0[byte] |= bit;
		} else if let Some(byte) = self.0.get_mut(byte) {
			*byte &= !bit;
			let used = self.0.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
			self.0.truncate(used);
		}
	}

	/// Whether a miner is in it.
	pub fn contains(&self, place: usize) -> bool {
		self.0.get(place / 8).is_some_and(|byte| byte & (1 << (place % 8)) != 0)
	}

	/// Whether nobody is in it.
	pub fn is_empty(&self) -> bool {
		self.0.is_empty()
	}

	/// The places of those in it, in order.
	pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
		(0..8 * self.0.len()).filter(|place| self.contains(*place))
	}
}

impl Serialize for MinerSet {
	fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
		serializer.serialize_str(&BASE64_STANDARD.encode(&self.0))
	}
}

impl<'de> Deserialize<'de> for MinerSet {
	fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
		let bytes = BASE64_STANDARD
			.decode(String::deserialize(deserializer)?)
			.map_err(|error| D::Error::custom(format!("a set of miners is not Base64: {error}")))?;
		if bytes.last() == Some(&0) {
			return Err(D::Error::custom("a set of miners ends with a zero byte"));
		}
		Ok(Self(bytes))
	}
}

/// Numbers beyond what every JSON reader keeps exactly, as decimal digits in a string.
mod decimal {
	use super::{Deserialize, Deserializer, Serializer};
	use serde::de::Error as _;

	pub fn serialize<S: Serializer>(value: &u128, serializer: S) -> Result<S::Ok, S::Error> {
		serializer.collect_str(value)
	}

	pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
		let text = String::deserialize(deserializer)?;
		text.parse().map_err(|_| D::Error::custom("expected a decimal number in a string"))
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	fn set(places: &[usize]) -> MinerSet {
		places.iter().copied().collect()
	}

	#[test]
	fn a_set_keeps_whom_it_was_given() {
		let mut miners = set(&[0, 9, 30]);
		assert_eq!(miners.iter().collect::<Vec<_>>(), [0, 9, 30]);
		assert!(miners.contains(9) && !miners.contains(8) && !miners.contains(1000));
		miners.set(30, false);
		miners.set(500, false);
		assert_eq!(miners, set(&[9, 0]), "its form does not depend on its past");
		miners.set(0, false);
		miners.set(9, false);
		assert!(miners.is_empty() && miners == MinerSet::default());
	}

	#[test]
	fn a_record_survives_its_journey_and_is_small() {
		let draw = Draw {
			attempt: 1,
			era: 7,
			block: 4_000_000,
			block_hash: Hex([0xab; 32]),
			eligible: set(&(0..10_000).collect::<Vec<_>>()),
			total: u128::MAX,
			pre_output: Hex([1; 32]),
			proof: Hex([2; 64]),
			point: 1 << 90,
			miner: Hex([3; 32]),
		};
		let record = AssignmentRecord { sequence: 1, task_hash: Hex([4; 32]), draws: vec![draw] };
		let json = serde_json::to_string(&record).unwrap();
		assert_eq!(serde_json::from_str::<AssignmentRecord>(&json).unwrap(), record);
		assert!(json.len() < 2_500, "10,000 miners take {} bytes", json.len());
		let proof = AssignmentProof {
			task_id: TaskId::from_bytes([5; 16]),
			genesis: Hex([6; 32]),
			coordinator: Hex([7; 32]),
			record,
		};
		let json = serde_json::to_string(&proof).unwrap();
		assert_eq!(serde_json::from_str::<AssignmentProof>(&json).unwrap(), proof);
	}

	#[test]
	fn what_is_malformed_is_refused() {
		for bad in [r#""""#, r#""zz""#, r#""abab""#, "7"] {
			assert!(serde_json::from_str::<Hex<1>>(bad).is_err(), "{bad}");
		}
		for bad in [r#""?""#, r#""AA==""#, "[]"] {
			assert!(serde_json::from_str::<MinerSet>(bad).is_err(), "{bad}");
		}
	}
}
