//! Offences of validators that other pallets prove: equivocation in BABE and GRANDPA.

use frame::prelude::*;
use pallet_session::historical::{self, IdentificationTuple};
use sp_staking::{
	offence::{OffenceDetails, OffenceSeverity, OnOffenceHandler},
	SessionIndex,
};

use crate::{Config, CurrentEra, Pallet, Perbill, WeightInfo};

impl<T> OnOffenceHandler<T::AccountId, IdentificationTuple<T>, Weight> for Pallet<T>
where
	T: Config
		+ pallet_session::Config<ValidatorId = <T as frame_system::Config>::AccountId>
		+ historical::Config,
{
	/// Slashes the offenders and, if they offended in the running era, disables them for the rest of
	/// it. Who is slashed as hard already, or offended too long ago, is left alone.
	fn on_offence(
		offenders: &[OffenceDetails<T::AccountId, IdentificationTuple<T>>],
		slash_fraction: &[Perbill],
		session: SessionIndex,
	) -> Weight {
		let offence_era = Self::era_of(session);
		let now = offence_era == CurrentEra::<T>::get().index;
		let mut weight = Weight::zero();
		for (details, fraction) in offenders.iter().zip(slash_fraction) {
			let (stash, _) = &details.offender;
			if now {
				let severity = OffenceSeverity(*fraction);
				pallet_session::Pallet::<T>::report_offence(stash.clone(), severity);
			}
			if let Err(error) = Self::report_slash(stash, *fraction, offence_era) {
				frame::log::info!(
					target: "runtime::staking",
					"offence of {stash:?} in era {offence_era} is not slashed: {error:?}",
				);
			}
			weight = weight.saturating_add(<T as Config>::WeightInfo::slash());
		}
		weight
	}
}
