//! What may happen, as chance has it.

use super::{APPS, MINERS, MODELS};
use crate::scheduler::Millis;
use cuckoo_coordinator_api::miner::FailureReason;
use proptest::prelude::*;

/// Something that happens.
#[derive(Clone, Debug)]
pub(super) enum Event {
	Offer {
		model: Option<usize>,
		/// An app with an account, or one without.
		app: u64,
		price: u128,
		images: u32,
	},
	/// Money goes into an account, or out of it.
	Deposit {
		app: u64,
		amount: u128,
		out: bool,
	},
	Cancel {
		task: usize,
	},
	Connect {
		miner: u8,
		slots: u32,
		models: u8,
	},
	Disconnect {
		miner: u8,
	},
	LogOut {
		miner: u8,
	},
	Heard {
		miner: u8,
	},
	/// The assignment may be lost on its way.
	PickUp {
		miner: u8,
		arrives: bool,
	},
	/// Of a picture, by whoever knows the lease.
	Upload {
		held: usize,
	},
	/// By the holder of an assignment, current or not.
	Heartbeat {
		held: usize,
	},
	Submit {
		held: usize,
		good: bool,
	},
	Fail {
		held: usize,
		reason: FailureReason,
	},
	/// An assignment is used by another miner than it was given to.
	Steal {
		held: usize,
		miner: u8,
	},
	/// The holder of an assignment says something about one that it was never given.
	Lie {
		held: usize,
		lie: Lie,
	},
	Register {
		miners: u8,
		weight: u128,
	},
	Pass {
		ms: Millis,
	},
	/// Another scheduler goes on with what was published, after an orderly end or a crash. The system's
	/// clock may have been set.
	Restart {
		orderly: bool,
		clock: i64,
	},
}

/// What of an assignment is made up.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lie {
	Task,
	LaterAttempt,
	EarlierAttempt,
	Lease,
}

/// Any of them, the usual ones more often.
pub(super) fn event() -> impl Strategy<Value = Event> {
	let index = any::<prop::sample::Index>().prop_map(|index| index.index(1 << 16));
	let reason = prop::sample::select(vec![
		FailureReason::Capacity,
		FailureReason::ShuttingDown,
		FailureReason::OutOfMemory,
		FailureReason::BadTask,
		FailureReason::Internal,
	]);
	prop_oneof![
		8 => (prop::option::of(0..MODELS.len()), 0..=APPS, 0_u128..400, 1_u32..9)
			.prop_map(|(model, app, price, images)| Event::Offer { model, app, price, images }),
		1 => (0..APPS, 0_u128..500, prop::bool::ANY)
			.prop_map(|(app, amount, out)| Event::Deposit { app, amount, out }),
		1 => index.clone().prop_map(|task| Event::Cancel { task }),
		4 => (0..MINERS, 1_u32..4, 1_u8..8).prop_map(|(miner, slots, models)| Event::Connect {
			miner, slots, models
		}),
		1 => (0..MINERS).prop_map(|miner| Event::Disconnect { miner }),
		1 => (0..MINERS).prop_map(|miner| Event::LogOut { miner }),
		4 => (0..MINERS).prop_map(|miner| Event::Heard { miner }),
		12 => (0..MINERS, prop::bool::weighted(0.9))
			.prop_map(|(miner, arrives)| Event::PickUp { miner, arrives }),
		2 => index.clone().prop_map(|held| Event::Upload { held }),
		4 => index.clone().prop_map(|held| Event::Heartbeat { held }),
		8 => (index.clone(), prop::bool::weighted(0.8))
			.prop_map(|(held, good)| Event::Submit { held, good }),
		3 => (index.clone(), reason).prop_map(|(held, reason)| Event::Fail { held, reason }),
		1 => (index.clone(), 0..MINERS).prop_map(|(held, miner)| Event::Steal { held, miner }),
		1 => (index, prop::sample::select(vec![
			Lie::Task, Lie::LaterAttempt, Lie::EarlierAttempt, Lie::Lease,
		])).prop_map(|(held, lie)| Event::Lie { held, lie }),
		1 => (0_u8..64, 0_u128..1000)
			.prop_map(|(miners, weight)| Event::Register { miners, weight }),
		4 => prop::sample::select(vec![1, 200, 3_000, 6_000, 16_000, 31_000, 90_000])
			.prop_map(|ms| Event::Pass { ms }),
		1 => (any::<bool>(), prop::sample::select(vec![-3_600_000, -6_000, 0, 6_000, 3_600_000]))
			.prop_map(|(orderly, clock)| Event::Restart { orderly, clock }),
	]
}
