//! Secrets from files, as orchestrators mount them: where a variable `NAME` takes a secret, `NAME_FILE` may name a file with
//! it instead. A secret is an argument whose variable's value is hidden in the help; so a new one needs nothing more.

use std::path::Path;

use clap::{Arg, Command};
use secrecy::{ExposeSecret as _, SecretString};
use workflows::domain::ErrorKind;

use crate::output::Failure;

/// Largest file that is taken for a secret, in bytes.
const MAX_BYTES: u64 = 4096;

/// The command line with every secret that a file holds filled in, as if its variable had been set. `variable` reads the
/// environment. An argument still wins over the file.
///
/// # Errors
///
/// `InvalidInput` when a secret is given twice, or its file holds none.
pub(crate) fn with_secret_files(
    command: Command,
    variable: &impl Fn(&str) -> Option<String>,
) -> Result<Command, Failure> {
    let mut failure = None;
    let command = fill(command, variable, &mut failure);
    failure.map_or(Ok(command), Err)
}

/// The secret, if it is one: a variable that is set to nothing is not set.
#[must_use]
pub fn unless_blank(given: Option<&SecretString>) -> Option<SecretString> {
    given.filter(|secret| !secret.expose_secret().trim().is_empty()).cloned()
}

fn fill(command: Command, variable: &impl Fn(&str) -> Option<String>, failure: &mut Option<Failure>) -> Command {
    let command = command.mut_args(|arg| match secret_of(&arg) {
        Some(name) => filled(documented(arg, &name), &name, variable, failure),
        None => arg,
    });
    command.mut_subcommands(|subcommand| fill(subcommand, variable, failure))
}

/// The variable of an argument that takes a secret.
fn secret_of(arg: &Arg) -> Option<String> {
    let name = arg.get_env().filter(|_| arg.is_hide_env_values_set())?;
    name.to_str().map(str::to_owned)
}

fn documented(arg: Arg, name: &str) -> Arg {
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    arg.help(format!("{help}; {name}_FILE names a file with it"))
}

fn filled(arg: Arg, name: &str, variable: &impl Fn(&str) -> Option<String>, failure: &mut Option<Failure>) -> Arg {
    let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
    let Some(file) = set(&format!("{name}_FILE")) else { return arg };
    let secret = match set(name) {
        Some(_) => Err(format!("both {name} and {name}_FILE are set; set one")),
        None => read(Path::new(&file)).map_err(|what| format!("{name}_FILE {file} {what}")),
    };
    match secret {
        // The command line keeps its defaults for as long as the program runs.
        Ok(secret) => {
            let secret: &'static str = secret.leak();
            arg.env(None::<&str>).required(false).default_value(secret).hide_default_value(true)
        }
        Err(what) => {
            *failure = Some(Failure::new(ErrorKind::InvalidInput, what));
            arg
        }
    }
}

fn read(file: &Path) -> Result<String, String> {
    let unreadable = |error: std::io::Error| format!("is not readable: {}", error.kind());
    if std::fs::metadata(file).map_err(unreadable)?.len() > MAX_BYTES {
        return Err("is too large to be a secret".to_owned());
    }
    match std::fs::read_to_string(file).map_err(unreadable)?.trim() {
        "" => Err("is empty".to_owned()),
        secret => Ok(secret.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn command() -> Command {
        let key = || Arg::new("key").long("key").env("SYNCMUX_TEST_KEY").hide_env_values(true).help("A key");
        let place = Arg::new("place").long("place").env("SYNCMUX_TEST_PLACE");
        Command::new("program").subcommand(Command::new("one").arg(key().required(true)).arg(place))
    }

    /// What the argument is with these variables.
    fn key(variables: &[(&str, &str)], arguments: &[&str]) -> Result<Option<String>, String> {
        let variables: BTreeMap<_, _> = variables.iter().copied().collect();
        let variable = |name: &str| variables.get(name).map(|value| (*value).to_owned());
        let command = with_secret_files(command(), &variable).map_err(|failure| failure.to_string())?;
        let words = ["program", "one"].iter().chain(arguments);
        let matches = command.try_get_matches_from(words).map_err(|error| error.to_string())?;
        let one = matches.subcommand_matches("one").expect("it was asked for");
        Ok(one.get_one::<String>("key").cloned())
    }

    #[test]
    fn a_secret_comes_from_a_file_that_a_variable_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, " from-file\n").unwrap();
        let file = path.to_str().unwrap();
        assert_eq!(key(&[("SYNCMUX_TEST_KEY_FILE", file)], &[]), Ok(Some("from-file".to_owned())));
        let blank = [("SYNCMUX_TEST_KEY_FILE", file), ("SYNCMUX_TEST_KEY", "")];
        assert_eq!(key(&blank, &[]), Ok(Some("from-file".to_owned())), "set to nothing is not set");
        let given = key(&[("SYNCMUX_TEST_KEY_FILE", file)], &["--key", "given"]);
        assert_eq!(given, Ok(Some("given".to_owned())));
        assert!(key(&[("SYNCMUX_TEST_PLACE_FILE", file)], &[]).unwrap_err().contains("--key"), "a place is no secret");

        let both = [("SYNCMUX_TEST_KEY_FILE", file), ("SYNCMUX_TEST_KEY", "given")];
        assert!(key(&both, &[]).unwrap_err().contains("set one"));
        for (content, words) in [("", "is empty"), (&"x".repeat(5000), "too large")] {
            std::fs::write(&path, content).unwrap();
            assert!(key(&[("SYNCMUX_TEST_KEY_FILE", file)], &[]).unwrap_err().contains(words));
        }
        std::fs::remove_file(&path).unwrap();
        assert!(key(&[("SYNCMUX_TEST_KEY_FILE", file)], &[]).unwrap_err().contains("is not readable"));
    }

    #[test]
    fn the_help_tells_of_the_file_and_never_of_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "hunter2").unwrap();
        let variable = |name: &str| (name == "SYNCMUX_TEST_KEY_FILE").then(|| path.display().to_string());
        let mut command = with_secret_files(command(), &variable).unwrap();
        let one = command.find_subcommand_mut("one").unwrap();
        let help = one.render_long_help().to_string();
        assert!(help.contains("SYNCMUX_TEST_KEY_FILE") && !help.contains("hunter2"), "{help}");
    }
}
