//! How many connections there may be, from everywhere and from one address, and how long their requests
//! may take to arrive.

use crate::origin::origin;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Limits for the connections of a listener.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
	/// Most at once.
	pub total: usize,
	/// Most at once from one address.
	pub per_address: usize,
	/// Longest time until the head of the next request is there, so also for which a connection may be
	/// idle.
	pub head: Duration,
	/// Longest time until the body of a request is there.
	pub body: Duration,
}

/// So many, no matter from where.
impl From<usize> for ConnectionLimits {
	fn from(total: usize) -> Self {
		Self {
			total,
			per_address: total,
			head: Duration::from_secs(30),
			body: Duration::from_mins(1),
		}
	}
}

/// The connections that there are.
#[derive(Debug)]
pub(crate) struct Places {
	total: usize,
	per_address: usize,
	taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
	all: usize,
	by_origin: HashMap<IpAddr, usize>,
}

/// A connection among those that there may be, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
	taken: Arc<Mutex<Taken>>,
	origin: IpAddr,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoPlace {
	#[error("too many connections")]
	Total,
	#[error("too many connections from this address")]
	Address,
}

impl Places {
	pub(crate) fn new(limits: &ConnectionLimits) -> Self {
		let ConnectionLimits { total, per_address, .. } = *limits;
		Self { total, per_address, taken: Arc::default() }
	}

	/// A place for a connection from this address.
	pub(crate) fn take(&self, address: IpAddr) -> Result<Place, NoPlace> {
		let origin = origin(address);
		let mut taken = self.taken.lock();
		if taken.all >= self.total {
			return Err(NoPlace::Total);
		}
		let from_there = taken.by_origin.entry(origin).or_default();
		if *from_there >= self.per_address {
			return Err(NoPlace::Address);
		}
		*from_there += 1;
		taken.all += 1;
		Ok(Place { taken: self.taken.clone(), origin })
	}
}

impl Drop for Place {
	fn drop(&mut self) {
		let mut taken = self.taken.lock();
		taken.all -= 1;
		if let Some(from_there) = taken.by_origin.get_mut(&self.origin) {
			*from_there -= 1;
			if *from_there == 0 {
				taken.by_origin.remove(&self.origin);
			}
		}
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn places_are_limited_in_all_and_for_an_address() {
		let places = Places::new(&ConnectionLimits { per_address: 2, ..3.into() });
		let take = |address: &str| places.take(address.parse().unwrap());
		let first = take("10.0.0.1").unwrap();
		let _second = take("10.0.0.1").unwrap();
		assert_eq!(take("10.0.0.1").unwrap_err(), NoPlace::Address);
		let other = take("10.0.0.2").unwrap();
		assert_eq!(take("10.0.0.2").unwrap_err(), NoPlace::Total);
		drop(first);
		assert_eq!(take("10.0.0.3").map(drop), Ok(()));
		drop(other);
		assert_eq!(places.taken.lock().by_origin.len(), 1, "nothing is kept of those who left");
	}
}
