//! The platform's API, by variables of the worker's environment. Keys may be in files instead ([`with_secret_files`](super::with_secret_files)).

use activities::platform_api::{PlatformApiSettings, PlatformApiTiming};
use clap::Args;
use secrecy::SecretString;

use super::unless_blank;

/// How a worker asks the platform for jobs. Only resyncs need it.
#[derive(Debug, Clone, Default, Args)]
pub struct PlatformApiArgs {
    /// URL of the platform's API, such as http://backend:8001; without a prefix like /api/v1
    #[arg(long, env = "PLATFORM_API_URL", value_name = "URL")]
    pub platform_api_url: Option<String>,
    /// Key of the organisation whose syncs are resynced; better set by the environment than here
    #[arg(long, env = "PLATFORM_API_KEY", hide_env_values = true, value_name = "KEY")]
    pub platform_api_key: Option<SecretString>,
    /// Key that may rebuild raw stores, when the other one may not; better set by the environment than here
    #[arg(long, env = "PLATFORM_ADMIN_API_KEY", hide_env_values = true, value_name = "KEY")]
    pub platform_admin_api_key: Option<SecretString>,
}

impl PlatformApiArgs {
    /// The settings as the activities take them. A variable that is set to nothing is not set.
    #[must_use]
    pub fn settings(&self) -> PlatformApiSettings {
        PlatformApiSettings {
            url: self.platform_api_url.clone().filter(|url| !url.trim().is_empty()),
            api_key: unless_blank(self.platform_api_key.as_ref()),
            admin_api_key: unless_blank(self.platform_admin_api_key.as_ref()),
            timing: PlatformApiTiming::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn a_variable_that_is_set_to_nothing_is_not_set() {
        let blank = PlatformApiArgs {
            platform_api_url: Some(" ".to_owned()),
            platform_api_key: Some("".into()),
            platform_admin_api_key: Some("given".into()),
        };
        let settings = blank.settings();
        assert!(settings.url.is_none() && settings.api_key.is_none());
        assert_eq!(settings.admin_api_key.unwrap().expose_secret(), "given");
    }

    #[test]
    fn keys_are_not_shown() {
        let args = PlatformApiArgs { platform_admin_api_key: Some("hunter2".into()), ..PlatformApiArgs::default() };
        assert!(!format!("{args:?} {:?}", args.settings()).contains("hunter2"));
    }
}
