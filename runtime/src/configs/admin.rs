//! What keeps the chain itself in order: its timing, migrations, and the admin of test networks.

use frame_support::weights::Weight;
use frame_support::{migrations::FreezeChainOnFailedMigration, parameter_types, traits::ConstU32};

use super::system::{MAXIMUM_BLOCK_WEIGHT, NORMAL_DISPATCH_RATIO};
use crate::{timing, Runtime, RuntimeCall, RuntimeEvent};

parameter_types! {
	/// What a block may spend on a migration while one runs.
	pub MigrationServiceWeight: Weight = NORMAL_DISPATCH_RATIO * MAXIMUM_BLOCK_WEIGHT;
}

impl timing::Config for Runtime {}

impl pallet_migrations::Config for Runtime {
	type RuntimeEvent = RuntimeEvent;
	type Migrations = ();
	type CursorMaxLen = ConstU32<65_536>;
	type IdentifierMaxLen = ConstU32<256>;
	type MigrationStatusHandler = ();
	// Running on with half-migrated storage would corrupt it.
	type FailedMigrationHandler = FreezeChainOnFailedMigration;
	type MaxServiceWeight = MigrationServiceWeight;
	type WeightInfo = pallet_migrations::weights::SubstrateWeight<Runtime>;
}

// Test networks alone name an admin key in their genesis; without one the pallet does nothing.
impl pallet_sudo::Config for Runtime {
	type RuntimeEvent = RuntimeEvent;
	type RuntimeCall = RuntimeCall;
	type WeightInfo = pallet_sudo::weights::SubstrateWeight<Runtime>;
}
