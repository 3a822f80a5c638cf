//! Secrets by variable, or by file as they are mounted.

use std::path::Path;

use activities::error::{Error, ErrorKind, Result};
use secrecy::{ExposeSecret as _, SecretString};

/// Largest file that is taken for a secret, in bytes.
const MAX_SECRET_BYTES: u64 = 4096;

/// The secret of the variable `name`, or of the file that `{name}_FILE` says. A variable that is set to nothing is not set.
///
/// # Errors
///
/// `InvalidInput` when it is given twice, or its file holds none.
pub fn secret(name: &str, given: Option<&SecretString>, file: Option<&Path>) -> Result<Option<SecretString>> {
    let given = given.filter(|key| !key.expose_secret().trim().is_empty());
    let Some(file) = file.filter(|file| !file.as_os_str().is_empty()) else { return Ok(given.cloned()) };
    let invalid = |what: String| Error::new(ErrorKind::InvalidInput, what);
    if given.is_some() {
        return Err(invalid(format!("both {name} and {name}_FILE are set; set one")));
    }
    let unreadable = |error| invalid(format!("{name}_FILE {} is not readable", file.display())).with_source(error);
    if std::fs::metadata(file).map_err(unreadable)?.len() > MAX_SECRET_BYTES {
        return Err(invalid(format!("{name}_FILE {} is too large to be a key", file.display())));
    }
    match std::fs::read_to_string(file).map_err(unreadable)?.trim() {
        "" => Err(invalid(format!("{name}_FILE {} is empty", file.display()))),
        key => Ok(Some(key.into())),
    }
}
