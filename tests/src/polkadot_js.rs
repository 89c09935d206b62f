//! Runs the scripts that use polkadot.js, as people's wallets do.

use crate::process::Process;
use std::{ffi::OsStr, path::PathBuf, process::Command, time::Duration};

/// Longer than the scripts' own patience.
const PATIENCE: Duration = Duration::from_mins(11);

/// Runs a script of `tests/polkadot-js` to its end, and answers with what it printed. Installs the
/// packages that the scripts need where they are not there.
///
/// # Panics
///
/// When the script fails.
pub async fn run<A: AsRef<OsStr>>(script: &str, arguments: impl IntoIterator<Item = A>) -> String {
	let scripts = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("polkadot-js");
	if !scripts.join("node_modules").is_dir() {
		install(&scripts);
	}
	let mut command = vec![scripts.join(script).into_os_string()];
	command.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
	let mut process = Process::start_program("node", command).expect("Node.js is installed");
	let status = process.wait_for_end(PATIENCE).await.expect("the script ends");
	assert!(status.success(), "{status}:\n{}", process.log());
	process.log()
}

/// Installs the packages that the lock file names. Tried twice: networks fail.
fn install(scripts: &PathBuf) {
	let mut attempts = (0..2).map(|_| {
		Command::new("npm").arg("ci").current_dir(scripts).status().expect("npm is installed")
	});
	assert!(attempts.any(|status| status.success()), "npm ci fails: see above");
}
