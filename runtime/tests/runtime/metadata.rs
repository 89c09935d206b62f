//! What people see of the runtime in wallets.

use codec::Decode;
use cuckoo_runtime::Runtime;
use frame_metadata::{v15::RuntimeMetadataV15, RuntimeMetadata, RuntimeMetadataPrefixed};
use scale_info::TypeDef;

/// What the runtime shows, in version 15.
fn metadata() -> RuntimeMetadataV15 {
	let opaque = Runtime::metadata_at_version(15).expect("version 15 is given");
	let decoded = RuntimeMetadataPrefixed::decode(&mut &opaque[..]).expect("it is metadata");
	let RuntimeMetadata::V15(metadata) = decoded.1 else { panic!("it is version 15") };
	metadata
}

#[test]
fn all_that_our_pallets_show_is_documented() {
	sp_io::TestExternalities::default().execute_with(|| {
		let metadata = metadata();
		let mut seen = 0;
		let mut undocumented = Vec::new();
		let mut check = |pallet: &str, item: &str, docs: &[String]| {
			seen += 1;
			if docs.is_empty() {
				undocumented.push(format!("{pallet}.{item}"));
			}
		};
		for pallet in &metadata.pallets {
			let name = pallet.name.as_str();
			if !["Staking", "Timing"].contains(&name) {
				continue;
			}
			let enums = [
				pallet.calls.as_ref().map(|calls| calls.ty),
				pallet.event.as_ref().map(|event| event.ty),
				pallet.error.as_ref().map(|error| error.ty),
			];
			for ty in enums.into_iter().flatten() {
				let ty = metadata.types.resolve(ty.id).expect("the type is there");
				let TypeDef::Variant(variants) = &ty.type_def else {
					panic!("calls, events and errors of {name} are enums");
				};
				for variant in &variants.variants {
					check(name, &variant.name, &variant.docs);
				}
			}
			for entry in pallet.storage.iter().flat_map(|storage| &storage.entries) {
				// The storage version is added by the framework.
				if entry.name != ":__STORAGE_VERSION__:" {
					check(name, &entry.name, &entry.docs);
				}
			}
			for constant in &pallet.constants {
				check(name, &constant.name, &constant.docs);
			}
		}
		assert!(seen > 50, "both pallets are there");
		assert_eq!(undocumented, Vec::<String>::new());
	});
}

#[test]
fn metadata_is_given_in_the_versions_that_clients_ask_for() {
	sp_io::TestExternalities::default().execute_with(|| {
		let versions = Runtime::metadata_versions();
		for version in [14, 15, 16] {
			assert!(versions.contains(&version), "{version}");
			assert!(Runtime::metadata_at_version(version).is_some(), "{version}");
		}
	});
}
