//! `syncmux api`

use clap::Args;

use crate::api::{self, ApiSettings};
use crate::output::Failure;
use crate::worker;

/// Serve the HTTP API until SIGTERM or ctrl-C.
///
/// It starts operations and shows how they stand; workers do them. Callers show an API key of the platform, or, as its backend,
/// the internal token, and their organisation needs the feature `sync_multiplexer`. The page at / shows every route;
/// /openapi.json describes them, /livez and /readyz are for probes.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:

  syncmux api
  syncmux api --address 127.0.0.1:8086 --default-profile v1.toml")]
pub(super) struct Api {
    #[command(flatten)]
    settings: ApiSettings,
}

impl Api {
    pub(super) async fn run(self) -> Result<(), Failure> {
        api::serve(&self.settings, worker::shutdown_signal()).await
    }
}
