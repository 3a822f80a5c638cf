//! The receiver of webhooks, by variables of the worker's environment. The secrets may be in a file, as secrets are mounted.

use std::path::PathBuf;

use activities::error::{Error, ErrorKind, Result};
use activities::webhooks::WebhookSettings;
use clap::Args;
use secrecy::SecretString;

use super::secret;

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
    /// File with that secret
    #[arg(long, env = "SYNCMUX_WEBHOOK_SECRET_FILE", value_name = "FILE")]
    pub webhook_secret_file: Option<PathBuf>,
}

impl WebhookArgs {
    /// The settings as the sender takes them; none without an address. A variable that is set to nothing is not set.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for an address without a secret, or when the secret is given twice or its file holds none.
    pub fn settings(&self) -> Result<Option<WebhookSettings>> {
        let Some(url) = secret("SYNCMUX_WEBHOOK_URL", self.webhook_url.as_ref(), None)? else { return Ok(None) };
        let file = self.webhook_secret_file.as_deref();
        let secrets = secret("SYNCMUX_WEBHOOK_SECRET", self.webhook_secret.as_ref(), file)?.ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidInput,
                "SYNCMUX_WEBHOOK_URL is set, but not the secret to sign with: set SYNCMUX_WEBHOOK_SECRET or \
                 SYNCMUX_WEBHOOK_SECRET_FILE",
            )
        })?;
        Ok(Some(WebhookSettings { url, secrets }))
    }
}
