//! Options from a file, below the command line and the environment. It works on whatever options a
//! command has: there is no second list of them.
//!
//! The keys of the file, which is TOML, are the long names of the options. What neither a flag nor the
//! environment sets is added to the command line from the file, so that clap checks all in the same way.

use clap::{error::ErrorKind, parser::ValueSource, Arg, ArgAction, ArgMatches, Command, Parser};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use toml::Value;

/// The option that names the file. A command that has it takes options from that file.
const OPTION: &str = "config";
/// How alike two names must be, from 0 to 1, for one to be suggested in place of the other.
const ALIKE: f64 = 0.7;

/// Why there are no options.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
	/// The command line is wrong, or asks for help or the version.
	#[error(transparent)]
	CommandLine(#[from] clap::Error),
	/// The file is wrong.
	#[error("{}: {what}", path.display())]
	File {
		/// The file.
		path: PathBuf,
		/// What is wrong with it.
		what: String,
	},
}

/// Options as they are in effect, and where each came from. Displayed as such a file.
#[derive(Clone, Debug)]
pub struct Effective {
	command: Command,
	matches: ArgMatches,
	file: Option<PathBuf>,
	/// The options whose values came from the file.
	from_file: Vec<String>,
}

/// Reads options from a command line, which begins with the name of the program, from the environment,
/// and from the file that one of them names.
///
/// # Errors
///
/// The command line or the file is wrong.
pub fn parse<P: Parser>(
	args: impl IntoIterator<Item = OsString>,
) -> Result<(P, Effective), ConfigError> {
	let mut args: Vec<OsString> = args.into_iter().collect();
	let command = P::command();
	// What is missing here may be in the file.
	let found = command.clone().ignore_errors(true).try_get_matches_from(&args)?;
	let (names, found) = innermost(&found);
	let chosen = subcommand(&command, &names);
	let file = found.try_get_one::<PathBuf>(OPTION).ok().flatten().cloned();
	let mut from_file = Vec::new();
	if let Some(path) = &file {
		let wrong = |what| ConfigError::File { path: path.clone(), what };
		for (arg, flags) in read(path, chosen).map_err(wrong)? {
			let source = found.value_source(arg.get_id().as_str());
			if !matches!(source, Some(ValueSource::CommandLine | ValueSource::EnvVariable)) {
				from_file.push(arg.get_id().to_string());
				args.extend(flags.into_iter().map(OsString::from));
			}
		}
	}
	let matches = command.clone().try_get_matches_from(args)?;
	let options = P::from_arg_matches(&matches)?;
	let matches = innermost(&matches).1.clone();
	Ok((options, Effective { command: chosen.clone(), matches, file, from_file }))
}

/// The names of the subcommands that were chosen, outermost first, and what the last one was given.
fn innermost(matches: &ArgMatches) -> (Vec<String>, &ArgMatches) {
	let (mut names, mut innermost) = (Vec::new(), matches);
	while let Some((name, within)) = innermost.subcommand() {
		names.push(name.to_owned());
		innermost = within;
	}
	(names, innermost)
}

fn subcommand<'a>(command: &'a Command, names: &[String]) -> &'a Command {
	names.iter().fold(command, |outer, name| {
		outer.find_subcommand(name).expect("a subcommand that was chosen is there; qed")
	})
}

/// The options that a file sets, each with the flags that say the same, found to be good by themselves.
fn read<'a>(path: &Path, command: &'a Command) -> Result<Vec<(&'a Arg, Vec<String>)>, String> {
	let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
	let table: BTreeMap<String, Value> = toml::from_str(&text).map_err(|error| {
		let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
		format!("line {line}: {}", error.message().replace('\n', ", "))
	})?;
	let option = |(name, value): (String, Value)| {
		let arg = settable(command)
			.find(|arg| arg.get_long() == Some(&name))
			.ok_or_else(|| unknown(command, &name))?;
		let flags = flags(arg, &name, value).map_err(|what| format!("{name}: {what}"))?;
		check(command, &flags).map_err(|what| format!("{name}: {what}"))?;
		Ok((arg, flags))
	};
	table.into_iter().map(option).collect()
}

/// The options that a file may set.
fn settable(command: &Command) -> impl Iterator<Item = &Arg> {
	command.get_arguments().filter(|arg| {
		let shows = matches!(
			arg.get_action(),
			ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong | ArgAction::Version
		);
		!shows && arg.get_long().is_some_and(|long| long != OPTION)
	})
}

fn unknown(command: &Command, name: &str) -> String {
	let names = settable(command).filter_map(Arg::get_long);
	let nearest = names
		.map(|known| (strsim::jaro_winkler(name, known), known))
		.filter(|(alike, _)| *alike >= ALIKE)
		.max_by(|(one, _), (other, _)| one.total_cmp(other));
	match nearest {
		Some((_, known)) => format!("{name:?} is no option; did you mean {known:?}?"),
		None => format!("{name:?} is no option; --help lists them"),
	}
}

/// The flags that say what a key and its value in a file say.
fn flags(arg: &Arg, name: &str, value: Value) -> Result<Vec<String>, &'static str> {
	let flag = |value| Ok(format!("--{name}={}", scalar(value)?));
	match (arg.get_action(), value) {
		(ArgAction::SetTrue, Value::Boolean(true)) => Ok(vec![format!("--{name}")]),
		(ArgAction::SetTrue, Value::Boolean(false)) => Ok(Vec::new()),
		(ArgAction::SetTrue, _) => Err("it must be true or false"),
		(ArgAction::Append, Value::Array(values)) => values.into_iter().map(flag).collect(),
		(_, value) => Ok(vec![flag(value)?]),
	}
}

fn scalar(value: Value) -> Result<String, &'static str> {
	match value {
		Value::String(text) => Ok(text),
		Value::Integer(number) => Ok(number.to_string()),
		Value::Float(number) => Ok(number.to_string()),
		Value::Boolean(truth) => Ok(truth.to_string()),
		Value::Datetime(_) | Value::Array(_) | Value::Table(_) => {
			Err("it must be a text, a number, or true or false")
		},
	}
}

/// Tries flags on the command by themselves.
fn check(command: &Command, flags: &[String]) -> Result<(), String> {
	let line = std::iter::once(command.get_name()).chain(flags.iter().map(String::as_str));
	match command.clone().try_get_matches_from(line) {
		Ok(_) => Ok(()),
		// What they need may come from elsewhere.
		Err(error) if error.kind() == ErrorKind::MissingRequiredArgument => Ok(()),
		Err(error) => {
			let text = error.to_string();
			let first = text.lines().next().unwrap_or_default();
			Err(first.trim_start_matches("error: ").to_owned())
		},
	}
}

impl fmt::Display for Effective {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		writeln!(
			f,
			"# Flags win over the environment, that over the file, and that over defaults."
		)?;
		for arg in settable(&self.command) {
			let long = arg.get_long().unwrap_or_default();
			let source = self.matches.value_source(arg.get_id().as_str());
			let values: Vec<String> = self
				.matches
				.get_raw(arg.get_id().as_str())
				.into_iter()
				.flatten()
				.map(|value| value.to_string_lossy().into_owned())
				.collect();
			if arg.is_hide_set() && source != Some(ValueSource::CommandLine) {
				continue;
			}
			let from = self.source(arg, source);
			match &values[..] {
				[] => writeln!(f, "# {long} is not set")?,
				[value] if !matches!(arg.get_action(), ArgAction::Append) => {
					writeln!(f, "{long} = {} # {from}", toml_value(value))?;
				},
				values => {
					let values: Vec<String> =
						values.iter().map(|value| toml_value(value)).collect();
					writeln!(f, "{long} = [{}] # {from}", values.join(", "))?;
				},
			}
		}
		Ok(())
	}
}

impl Effective {
	/// Where the value of an option came from.
	fn source(&self, arg: &Arg, source: Option<ValueSource>) -> String {
		match (source, &self.file) {
			(_, Some(path)) if self.from_file.iter().any(|id| arg.get_id() == id.as_str()) => {
				path.display().to_string()
			},
			(Some(ValueSource::CommandLine), _) => "flag".into(),
			(Some(ValueSource::EnvVariable), _) => {
				let name = arg.get_env().map(|name| name.to_string_lossy().into_owned());
				format!("environment, {}", name.unwrap_or_default())
			},
			_ => "default".into(),
		}
	}
}

/// A value of the command line in TOML: as a number or a truth if it reads like one.
fn toml_value(value: &str) -> String {
	if let Ok(number) = value.parse::<i64>() {
		return number.to_string();
	}
	if let Ok(truth) = value.parse::<bool>() {
		return truth.to_string();
	}
	Value::String(value.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
	use super::*;
	use std::net::SocketAddr;

	/// Options of all kinds.
	#[derive(Debug, Parser)]
	#[command(name = "program", args_conflicts_with_subcommands = true)]
	struct Options {
		#[command(subcommand)]
		command: Option<Sub>,
		#[command(flatten)]
		args: Args,
	}

	#[derive(Debug, clap::Subcommand)]
	enum Sub {
		Same(Box<Args>),
		Other {
			#[arg(long, default_value_t = 1)]
			lease: u64,
		},
	}

	#[derive(Clone, Debug, PartialEq, clap::Args)]
	struct Args {
		#[arg(long, env = "CUCKOO_TEST_CONFIG_FILE_CONFIG")]
		config: Option<PathBuf>,
		#[arg(long, env = "CUCKOO_TEST_CONFIG_FILE_LEASE", default_value_t = 30, value_parser = clap::value_parser!(u64).range(10..=600))]
		lease: u64,
		#[arg(long, default_value = "127.0.0.1:9980")]
		app_listen: SocketAddr,
		#[arg(long)]
		key: Option<PathBuf>,
		#[arg(long)]
		allow: bool,
		#[arg(long, requires = "key_file")]
		certificate: Option<PathBuf>,
		#[arg(long, requires = "certificate")]
		key_file: Option<PathBuf>,
		#[arg(long)]
		name: Vec<String>,
		// The environment of a test is that of all tests: one variable that is set in each of them.
		#[arg(long, env = "PATH", default_value = "nowhere")]
		path: String,
	}

	fn options(file: &str, flags: &[&str]) -> Result<(Options, Effective), ConfigError> {
		let dir = tempfile::tempdir().unwrap();
		let path = dir.path().join("config.toml");
		std::fs::write(&path, file).unwrap();
		let mut args: Vec<OsString> = vec!["program".into()];
		args.extend(flags.iter().map(OsString::from));
		args.extend(["--config".into(), path.into()]);
		parse(args)
	}

	fn complaint(file: &str) -> String {
		match options(file, &[]).unwrap_err() {
			ConfigError::File { what, .. } => what,
			ConfigError::CommandLine(error) => panic!("{error}"),
		}
	}

	#[test]
	fn flags_win_over_the_environment_and_that_over_the_file() {
		let file =
			"lease = 60\nkey = 'operator.key'\nallow = true\nname = ['a', 'b']\npath = '/file'";
		let (options, effective) = options(file, &["--app-listen", "0.0.0.0:1"]).unwrap();
		let args = options.args;
		assert_eq!((args.lease, args.allow), (60, true));
		assert_eq!(args.key, Some("operator.key".into()));
		assert_eq!(args.name, ["a", "b"]);
		assert_eq!(args.path, std::env::var("PATH").unwrap());
		assert_eq!(args.app_listen, "0.0.0.0:1".parse().unwrap());
		let shown = effective.to_string();
		assert!(shown.contains("app-listen = \"0.0.0.0:1\" # flag\n"), "{shown}");
		assert!(shown.contains(" # environment, PATH\n"), "{shown}");
		assert!(shown.contains("config.toml\n"), "{shown}");
		let (options, effective) = self::options(file, &["--lease", "70"]).unwrap();
		assert_eq!(options.args.lease, 70);
		assert!(effective.to_string().contains("lease = 70 # flag\n"), "{effective}");
	}

	#[test]
	fn what_is_shown_can_be_read_again() {
		let file = "lease = 60\nallow = true\nname = ['a \"quoted\" one', '7']";
		let (first, effective) = options(file, &["--key", "C:\\x"]).unwrap();
		let (second, _) = options(&effective.to_string(), &[]).unwrap();
		let args = |options: Options| Args { config: None, ..options.args };
		assert_eq!(args(first), args(second));
	}

	#[test]
	fn without_a_file_everything_is_a_default() {
		let (_, effective) = parse::<Options>(["program".into()]).unwrap();
		let shown = effective.to_string();
		assert!(shown.contains("lease = 30 # default\n"), "{shown}");
		assert!(shown.contains("# key is not set\n"), "{shown}");
	}

	#[test]
	fn options_that_need_each_other_may_come_from_different_places() {
		let (options, _) = options("key-file = 'k'", &["--certificate", "c"]).unwrap();
		assert_eq!(options.args.key_file, Some("k".into()));
		let alone = self::options("key-file = 'k'", &[]).unwrap_err().to_string();
		assert!(alone.contains("--certificate"), "{alone}");
		let broken = self::options("lease = ", &["--help"]).unwrap_err();
		assert!(matches!(broken, ConfigError::CommandLine(_)), "{broken}");
	}

	#[test]
	fn a_subcommand_that_has_the_option_reads_the_file_and_another_one_does_not() {
		let (options, _) = options("lease = 60", &["same"]).unwrap();
		let Some(Sub::Same(args)) = options.command else { panic!("not the subcommand") };
		assert_eq!(args.lease, 60);
		let (options, _) = parse::<Options>(["program".into(), "other".into()]).unwrap();
		assert!(matches!(options.command, Some(Sub::Other { lease: 1 })));
	}

	#[test]
	fn what_is_wrong_with_a_file_is_said_in_one_line() {
		for (file, wanted) in [
			("app_listen = '0.0.0.0:1'", "did you mean \"app-listen\"?"),
			("leese = 60", "did you mean \"lease\"?"),
			("quite-different = 1", "--help lists them"),
			("config = 'another'", "is no option"),
			("help = true", "is no option"),
			("lease = 1", "lease: invalid value '1'"),
			("lease = 'soon'", "lease: invalid value 'soon'"),
			("lease = [60]", "lease: it must be a text"),
			("lease = {a = 1}", "lease: it must be a text"),
			("allow = 1", "allow: it must be true or false"),
			("app-listen = 'somewhere'", "app-listen: invalid value 'somewhere'"),
			("key = 'a'\nlease = ", "line 2: "),
			("lease = 60\nlease = 61", "line 2: "),
		] {
			let what = complaint(file);
			assert!(what.contains(wanted), "{file}: {what}");
			assert_eq!(what.lines().count(), 1, "{what}");
		}
		let missing = parse::<Options>(["program", "--config", "/nonexistent"].map(Into::into));
		assert!(missing.unwrap_err().to_string().starts_with("/nonexistent: "));
	}
}
