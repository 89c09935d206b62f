//! What people see of the runtime in wallets.

use scale_info::{MetaType, TypeDef};

use cuckoo_runtime::Runtime;

/// Names whatever of `ty` (an enum of calls, events or errors) has no documentation.
fn undocumented_variants(pallet: &str, ty: MetaType) -> Vec<String> {
	let TypeDef::Variant(variants) = ty.type_info().type_def else {
		panic!("calls, events and errors of {pallet} are enums");
	};
	variants
		.variants
		.iter()
		.filter(|variant| variant.docs.is_empty())
		.map(|variant| format!("{pallet}.{}", variant.name))
		.collect()
}

#[test]
fn all_that_our_pallets_show_is_documented() {
	sp_io::TestExternalities::default().execute_with(|| {
		let metadata = Runtime::metadata_ir();
		let mut seen = 0;
		let mut undocumented = Vec::new();
		for pallet in
			metadata.pallets.into_iter().filter(|p| ["Staking", "Timing"].contains(&p.name))
		{
			let name = pallet.name;
			let types = [
				pallet.calls.map(|calls| calls.ty),
				pallet.event.map(|event| event.ty),
				pallet.error.map(|error| error.ty),
			];
			for ty in types.into_iter().flatten() {
				seen += 1;
				undocumented.extend(undocumented_variants(name, ty));
			}
			for entry in pallet.storage.into_iter().flat_map(|storage| storage.entries) {
				seen += 1;
				// The storage version is added by the framework.
				if entry.docs.is_empty() && entry.name != ":__STORAGE_VERSION__:" {
					undocumented.push(format!("{name}.{}", entry.name));
				}
			}
			for constant in pallet.constants {
				seen += 1;
				if constant.docs.is_empty() {
					undocumented.push(format!("{name}.{}", constant.name));
				}
			}
		}
		assert!(seen > 20, "both pallets are there");
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
