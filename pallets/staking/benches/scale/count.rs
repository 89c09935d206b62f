//! What an operation costs: its time, and the storage keys that it reads and writes.

use std::{
	collections::HashSet,
	fmt::Debug,
	sync::{Arc, Mutex},
	time::{Duration, Instant},
};

use frame::{
	deps::{
		frame_support::storage::{unhashed, with_transaction_unchecked},
		sp_runtime::TransactionOutcome,
	},
	hashing::twox_128,
	testing_prelude::TestState,
};
use rustix::time::{clock_gettime, ClockId};
use tracing::{
	field::{Field, Visit},
	span,
	subscriber::Interest,
	Event, Metadata, Subscriber,
};

/// How often an operation is timed, unless that takes longer than [`PATIENCE`].
pub const REPEATS: u32 = 20;
const PATIENCE: Duration = Duration::from_secs(1);

/// The cost of one operation.
#[derive(Clone, Copy)]
pub struct Cost {
	/// Processor time, the median.
	pub time: Duration,
	/// Different keys that were read before the operation had written them.
	pub reads: usize,
	/// Different keys that were written.
	pub writes: usize,
}

/// Measures an operation, which is given the number of its run: first its time, in runs that are
/// rolled back, then the keys, in a last run, numbered [`REPEATS`], that takes effect.
pub fn measure(operation: impl Fn(u32)) -> Cost {
	let begun = Instant::now();
	let mut times = Vec::new();
	for run in 0..REPEATS {
		times.push(with_transaction_unchecked(|| {
			let started = processor_time();
			operation(run);
			TransactionOutcome::Rollback(processor_time().saturating_sub(started))
		}));
		if begun.elapsed() > PATIENCE {
			break;
		}
	}
	times.sort_unstable();
	let (reads, writes) = count(|| operation(REPEATS));
	Cost { time: times[times.len() / 2], reads, writes }
}

/// How long this thread has had a processor: unlike the time on the wall, it does not grow when
/// other programs want one.
fn processor_time() -> Duration {
	clock_gettime(ClockId::ThreadCPUTime).try_into().expect("it is not negative")
}

/// Counts the different keys that `operation` reads and writes. The state machine tells of every
/// access by an event.
fn count(operation: impl FnOnce()) -> (usize, usize) {
	let counter = Arc::new(Counter::default());
	tracing::subscriber::with_default(counter.clone(), operation);
	let keys = counter.0.lock().expect("no thread panicked");
	(keys.read.len(), keys.written.len())
}

/// Counts what is known.
///
/// # Panics
///
/// When the count is wrong, as it would be if the events were not compiled in.
pub fn check_count() {
	TestState::default().execute_with(|| {
		unhashed::put(b"old", &1u8);
		let counted = count(|| {
			unhashed::put(b"new", &1u8);
			// No read: it was written a moment ago.
			unhashed::get::<u8>(b"new");
			// One read, although there are two.
			unhashed::get::<u8>(b"old");
			unhashed::get::<u8>(b"old");
			// Another, and what is not there counts, too.
			unhashed::exists(b"none");
			// With the first, two writes.
			unhashed::kill(b"old");
		});
		assert_eq!(counted, (2, 2), "keys are not counted as they should be");
		assert_eq!(count(|| ()), (0, 0), "what nobody did is counted");
	});
}

/// A hash of a key, since an operation may touch millions.
type Key = [u8; 16];

#[derive(Default)]
struct Keys {
	read: HashSet<Key>,
	written: HashSet<Key>,
}

/// Listens to the state machine.
#[derive(Default)]
struct Counter(Mutex<Keys>);

impl Subscriber for Counter {
	/// Asks each time, so that no event is made once nobody listens any more.
	fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
		if self.enabled(metadata) {
			Interest::sometimes()
		} else {
			Interest::never()
		}
	}

	fn enabled(&self, metadata: &Metadata<'_>) -> bool {
		metadata.target() == "state"
	}

	fn event(&self, event: &Event<'_>) {
		let mut access = Access::default();
		event.record(&mut access);
		let Access { method, key } = access;
		let mut keys = self.0.lock().expect("no thread panicked");
		match method.as_str() {
			"Get" | "Exists" | "Hash" => {
				if !keys.written.contains(&key) {
					keys.read.insert(key);
				}
			},
			"Put" | "Append" => {
				keys.written.insert(key);
			},
			other => panic!("the storage method {other} is not counted"),
		}
	}

	// There are no spans of the state machine.
	fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
		span::Id::from_u64(1)
	}

	fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

	fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

	fn enter(&self, _: &span::Id) {}

	fn exit(&self, _: &span::Id) {}
}

/// One access to the storage, as its event tells.
#[derive(Default)]
struct Access {
	method: String,
	key: Key,
}

impl Visit for Access {
	fn record_str(&mut self, field: &Field, value: &str) {
		if field.name() == "method" {
			value.clone_into(&mut self.method);
		}
	}

	fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
		if field.name() == "key" {
			self.key = twox_128(format!("{value:?}").as_bytes());
		}
	}
}
