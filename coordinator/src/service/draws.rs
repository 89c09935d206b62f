//! How miners were drawn, for whoever checks it.

use super::{unknown_task, unreadable, Service};
use cuckoo_coordinator_api::{
	assignment::{AssignmentProof, AssignmentRecord, DrawLogHeader, Hex},
	error::Refusal,
	task::TaskId,
};

impl Service {
	/// All that is needed, besides the chain, to check how miners were drawn for a task.
	///
	/// # Errors
	///
	/// `UNKNOWN_TASK` if there is none of this name (any more).
	pub fn assignment_proof(&self, id: &TaskId) -> Result<AssignmentProof, Refusal> {
		let record = self.journal.assignment(id).map_err(unreadable)?;
		Ok(AssignmentProof {
			task_id: id.clone(),
			genesis: Hex(self.identity.genesis),
			coordinator: Hex(self.identity.operator),
			record: record.ok_or_else(|| unknown_task(id))?,
		})
	}

	/// Of the draws for the tasks with these sequence numbers, those that are kept.
	///
	/// # Errors
	///
	/// `INTERNAL` if the store cannot be read.
	pub fn draw_log(&self, from: u64, end: u64) -> Result<DrawLogHeader, Refusal> {
		let kept = self.journal.assigned().map_err(unreadable)?;
		let first = from.clamp(kept.start, kept.end);
		Ok(DrawLogHeader {
			genesis: Hex(self.identity.genesis),
			coordinator: Hex(self.identity.operator),
			first,
			end: end.clamp(first, kept.end),
		})
	}

	/// The draws for the tasks from a sequence number on, at most `most` of them.
	///
	/// # Errors
	///
	/// `INTERNAL` if the store cannot be read.
	pub fn draws(&self, from: u64, most: usize) -> Result<Vec<AssignmentRecord>, Refusal> {
		self.journal.assignments(from, most).map_err(unreadable)
	}
}
