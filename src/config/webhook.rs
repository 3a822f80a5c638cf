//! The receiver of webhooks, by variables of the worker's environment.

use activities::error::{Error, ErrorKind, Result};
use activities::webhooks::WebhookSettings;
use clap::Args;
use secrecy::SecretString;

use super::unless_blank;

/// Where events go. Without an address none are written.
#[derive(Debug, Clone, Default, Args)]
pub struct WebhookArgs {
    /// Address that events are sent to: https, or http on this machine
    #[arg(long, env = "SYNCMUX_WEBHOOK_URL", hide_env_values = true, value_name = "URL")]
    pub webhook_url: Option<SecretString>,
    /// Signing secret, whsec_ and base64; several with spaces between them sign each request. Better set by the
    /// environment than here
    #[arg(long, env = "SYNCMUX_WEBHOOK_SECRET", hide_env_values = true, value_name = "SECRET")]
    pub webhook_secret: Option<SecretString>,
}

impl WebhookArgs {
    /// The settings as the sender takes them; none without an address. A variable that is set to nothing is not set.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for an address without a secret.
    pub fn settings(&self) -> Result<Option<WebhookSettings>> {
        let Some(url) = unless_blank(self.webhook_url.as_ref()) else { return Ok(None) };
        let secrets = unless_blank(self.webhook_secret.as_ref()).ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidInput,
                "SYNCMUX_WEBHOOK_URL is set, but not the secret to sign with: set SYNCMUX_WEBHOOK_SECRET or \
                 SYNCMUX_WEBHOOK_SECRET_FILE",
            )
        })?;
        Ok(Some(WebhookSettings { url, secrets }))
    }
}
