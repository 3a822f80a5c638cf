//! Profiles in files: JSON or TOML.

use std::path::Path;

use proto::v1::Profile;
use workflows::domain::ErrorKind;

use crate::output::Failure;

/// Reads a profile; a name that ends in `.toml` is TOML, everything else JSON.
///
/// # Errors
///
/// `InvalidInput` with what is wrong with the file.
pub fn read(path: &Path) -> Result<Profile, Failure> {
    let wrong = |reason: String| Failure::new(ErrorKind::InvalidInput, format!("{}: {reason}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let value = if path.extension().is_some_and(|it| it == "toml") {
        toml::from_str::<serde_json::Value>(&text).map_err(|error| wrong(error.to_string()))?
    } else {
        serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?
    };
    serde_json::from_value(value).map_err(|error| wrong(error.to_string()))
}
