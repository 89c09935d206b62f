//! What the main workspace's tests do with the targets: they replay the seeds and what was found.

use std::fs;
use std::path::Path;

/// What takes input as it comes.
type Target = fn(&[u8]);

/// Calls each target with every file that there is for it.
pub fn replay(targets: &[(&str, Target)]) {
	let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|dir| dir.join("fuzz"));
	let fuzz =
		fuzz.into_iter().find(|dir| dir.join("seeds").exists()).expect("it is in the checkout");
	for (name, target) in targets {
		let mut seen = 0;
		for inputs in ["seeds", "regressions"] {
			let Ok(files) = fs::read_dir(fuzz.join(inputs).join(name)) else { continue };
			for file in files {
				let file = file.expect("the directory can be read").path();
				println!("{}", file.display());
				target(&fs::read(file).expect("the file can be read"));
				seen += 1;
			}
		}
		assert!(seen > 0, "{name} has no seeds, so that scripts/fuzz does not run it");
	}
}
