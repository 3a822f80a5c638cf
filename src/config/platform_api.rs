//! The platform's API, by variables of the worker's environment. Keys may be in files instead, as secrets are mounted.

use std::path::{Path, PathBuf};

use activities::error::{Error, ErrorKind, Result};
use activities::platform_api::{PlatformApiSettings, PlatformApiTiming};
use clap::Args;
use secrecy::{ExposeSecret as _, SecretString};

/// Largest file that is taken for a key, in bytes.
const MAX_KEY_BYTES: u64 = 4096;

/// How a worker asks the platform for jobs. Only resyncs need it.
#[derive(Debug, Clone, Default, Args)]
pub struct PlatformApiArgs {
    /// URL of the platform's API, such as http://backend:8001; without a prefix like /api/v1
    #[arg(long, env = "PLATFORM_API_URL", value_name = "URL")]
    pub platform_api_url: Option<String>,
    /// Key of the organisation whose syncs are resynced; better set by the environment than here
    #[arg(long, env = "PLATFORM_API_KEY", hide_env_values = true, value_name = "KEY")]
    pub platform_api_key: Option<SecretString>,
    /// File with that key
    #[arg(long, env = "PLATFORM_API_KEY_FILE", value_name = "FILE")]
    pub platform_api_key_file: Option<PathBuf>,
    /// Key that may rebuild raw stores, when the other one may not; better set by the environment than here
    #[arg(long, env = "PLATFORM_ADMIN_API_KEY", hide_env_values = true, value_name = "KEY")]
    pub platform_admin_api_key: Option<SecretString>,
    /// File with that key
    #[arg(long, env = "PLATFORM_ADMIN_API_KEY_FILE", value_name = "FILE")]
    pub platform_admin_api_key_file: Option<PathBuf>,
}

impl PlatformApiArgs {
    /// The settings as the activities take them. A variable that is set to nothing is not set.
    ///
    /// # Errors
    ///
    /// `InvalidInput` when a key is given twice, or its file holds none.
    pub fn settings(&self) -> Result<PlatformApiSettings> {
        let url = self.platform_api_url.clone().filter(|url| !url.trim().is_empty());
        Ok(PlatformApiSettings {
            url,
            api_key: key("PLATFORM_API_KEY", self.platform_api_key.as_ref(), self.platform_api_key_file.as_deref())?,
            admin_api_key: key(
                "PLATFORM_ADMIN_API_KEY",
                self.platform_admin_api_key.as_ref(),
                self.platform_admin_api_key_file.as_deref(),
            )?,
            timing: PlatformApiTiming::default(),
        })
    }
}

fn key(name: &str, given: Option<&SecretString>, file: Option<&Path>) -> Result<Option<SecretString>> {
    let given = given.filter(|key| !key.expose_secret().trim().is_empty());
    let Some(file) = file.filter(|file| !file.as_os_str().is_empty()) else { return Ok(given.cloned()) };
    let invalid = |what: String| Error::new(ErrorKind::InvalidInput, what);
    if given.is_some() {
        return Err(invalid(format!("both {name} and {name}_FILE are set; set one")));
    }
    let unreadable = |error| invalid(format!("{name}_FILE {} is not readable", file.display())).with_source(error);
    if std::fs::metadata(file).map_err(unreadable)?.len() > MAX_KEY_BYTES {
        return Err(invalid(format!("{name}_FILE {} is too large to be a key", file.display())));
    }
    match std::fs::read_to_string(file).map_err(unreadable)?.trim() {
        "" => Err(invalid(format!("{name}_FILE {} is empty", file.display()))),
        key => Ok(Some(key.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(args: &PlatformApiArgs) -> Result<Option<String>> {
        Ok(args.settings()?.api_key.map(|key| key.expose_secret().to_owned()))
    }

    #[test]
    fn a_key_comes_from_the_environment_or_from_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        std::fs::write(&file, " from-file\n").unwrap();
        let by_file = PlatformApiArgs { platform_api_key_file: Some(file.clone()), ..PlatformApiArgs::default() };
        assert_eq!(read(&by_file).unwrap().as_deref(), Some("from-file"));
        let by_value = PlatformApiArgs { platform_api_key: Some("given".into()), ..PlatformApiArgs::default() };
        assert_eq!(read(&by_value).unwrap().as_deref(), Some("given"));
        let blank = PlatformApiArgs { platform_api_key: Some("".into()), ..by_file.clone() };
        assert_eq!(read(&blank).unwrap().as_deref(), Some("from-file"));
        assert_eq!(read(&PlatformApiArgs::default()).unwrap(), None);

        let both = PlatformApiArgs { platform_api_key: Some("given".into()), ..by_file.clone() };
        assert!(read(&both).unwrap_err().message().contains("set one"));
        for (content, words) in [("", "is empty"), (&"x".repeat(5000), "too large")] {
            std::fs::write(&file, content).unwrap();
            assert!(read(&by_file).unwrap_err().message().contains(words));
        }
        std::fs::remove_file(&file).unwrap();
        assert!(read(&by_file).unwrap_err().message().contains("is not readable"));
    }

    #[test]
    fn keys_are_not_shown() {
        let args = PlatformApiArgs { platform_admin_api_key: Some("hunter2".into()), ..PlatformApiArgs::default() };
        assert!(!format!("{args:?} {:?}", args.settings().unwrap()).contains("hunter2"));
    }
}
