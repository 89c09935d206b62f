//! Messages to apps in the database: there from the change of which they tell until they are received.

use super::tables::{decode, encode, Tables};
use super::StoreError;
use crate::scheduler::Change;
use crate::webhooks::{Delivery, Due};
use redb::{ReadTransaction, ReadableTable, TableDefinition};

/// Messages, by number.
pub(super) const OUTBOX: TableDefinition<u64, &[u8]> = TableDefinition::new("outbox");
/// In the table of numbers: the number of the next message.
const NEXT_DELIVERY: &str = "next delivery";

impl Tables<'_> {
	/// Adds the message that a change makes, if it makes one.
	pub(super) fn tell(&mut self, change: &Change) -> Result<(), StoreError> {
		let Some(delivery) = Delivery::about(change) else { return Ok(()) };
		let number = self.meta.get(NEXT_DELIVERY)?.map(|next| next.value()).unwrap_or_default();
		self.meta.insert(NEXT_DELIVERY, number + 1)?;
		self.outbox.insert(number, &*encode(&delivery)?)?;
		self.written.deliveries.push(Due { at: delivery.due_at, number });
		Ok(())
	}

	/// Notes that a message was sent in vain, and when it is sent again.
	pub(super) fn postpone(&mut self, due: Due, tries: u32) -> Result<(), StoreError> {
		let found = self.outbox.get(due.number)?.map(|found| decode::<Delivery>(found.value()));
		let Some(delivery) = found.transpose()? else { return Ok(()) };
		let delivery = Delivery { tries, due_at: due.at, ..delivery };
		self.outbox.insert(due.number, &*encode(&delivery)?)?;
		Ok(())
	}

	/// Removes a message.
	pub(super) fn delivered(&mut self, number: u64) -> Result<(), StoreError> {
		self.outbox.remove(number)?;
		Ok(())
	}
}

/// When each message that has not been received is to be sent.
pub(super) fn deliveries(read: &ReadTransaction) -> Result<Vec<Due>, StoreError> {
	let outbox = read.open_table(OUTBOX)?;
	let due = outbox.iter()?.map(|entry| {
		let (number, delivery) = entry?;
		let delivery: Delivery = decode(delivery.value())?;
		Ok(Due { at: delivery.due_at, number: number.value() })
	});
	due.collect()
}

/// A message.
pub(super) fn delivery(
	read: &ReadTransaction,
	number: u64,
) -> Result<Option<Delivery>, StoreError> {
	let found = read.open_table(OUTBOX)?.get(number)?;
	found.map(|found| decode(found.value())).transpose()
}
