//! Sessions and eras going by.

use frame_support::traits::Hooks;
use pallet_session::historical::StoredRange;

use crate::{begin_block, chain};
use cuckoo_runtime::{
	configs::{BONDING_ERAS, SLASH_DEFER_ERAS},
	genesis_config_presets::QUICK_LOCAL_PRESET,
	timing, Babe, BlockNumber, Runtime, Session, Staking,
};

/// Makes a block that begins the session `index`.
fn begin_session(index: u32) {
	let slots = timing::SessionLength::<Runtime>::get();
	// The genesis helper has begun the first block.
	let number: BlockNumber = index + 2;
	begin_block(number, 1 + u64::from(index) * slots);
	Babe::on_initialize(number);
	Session::on_initialize(number);
	assert_eq!(Session::current_index(), index);
	Babe::on_finalize(number);
}

#[test]
fn eras_go_by_and_validators_stay_elected() {
	chain(QUICK_LOCAL_PRESET).execute_with(|| {
		for session in 0..=9 {
			begin_session(session);
			let era = Staking::view_era();
			assert_eq!(era.index, session / 2, "session {session}");
			assert_eq!(era.first_session, session / 2 * 2, "session {session}");
			assert_eq!(Session::validators().len(), 4);
		}
	});
}

#[test]
fn history_is_kept_as_long_as_offences_can_be_slashed_and_no_longer() {
	chain(QUICK_LOCAL_PRESET).execute_with(|| {
		let kept = (BONDING_ERAS - SLASH_DEFER_ERAS) * timing::SessionsPerEra::<Runtime>::get();
		for session in 0..=kept + 5 {
			begin_session(session);
		}
		// The root of the next session is stored when this one begins.
		assert_eq!(StoredRange::<Runtime>::get(), Some((5, kept + 7)));
	});
}
