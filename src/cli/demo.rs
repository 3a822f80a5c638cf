//! `syncmux demo`

use clap::{Args, ValueEnum};
use secrecy::{ExposeSecret as _, SecretString};
use workflows::domain::ErrorKind;

use crate::demo::{self, DemoOptions, Target};
use crate::output::Failure;

/// Watch a real migration finish.
///
/// Starts Postgres, Temporal and a worker from the tools that `make prepare` fetched, generates a raw store, and migrates
/// its sync from profile v0 to v1. Run it again at any time; it starts over.
///
/// The second slot can go to a Qdrant or Vespa server of yours, into a collection or namespace `syncmux_demo`. It stays
/// there until the next demo.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:

  syncmux demo --keep")]
pub(super) struct Demo {
    /// Leave the servers and the worker running
    #[arg(long)]
    keep: bool,
    /// Entities in the generated raw store
    #[arg(long, default_value_t = 3_000, value_name = "N")]
    entities: usize,
    /// What the raw store is generated from
    #[arg(long, default_value_t = 7, value_name = "N")]
    seed: u64,
    /// Where the second slot goes
    #[arg(long, value_enum, default_value_t = Destination::Pgvector)]
    destination: Destination,
    /// Qdrant server for `--destination qdrant`
    #[arg(long, env = "QDRANT_URL", hide_env_values = true, value_name = "URL")]
    qdrant_url: Option<SecretString>,
    /// Its key, when it wants one
    #[arg(long, env = "QDRANT_API_KEY", hide_env_values = true, value_name = "KEY")]
    qdrant_api_key: Option<SecretString>,
    /// Vespa container for `--destination vespa`; its application must be that of deploy/vespa with 256 dimensions
    #[arg(long, env = "VESPA_URL", hide_env_values = true, value_name = "URL")]
    vespa_url: Option<SecretString>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Destination {
    Pgvector,
    Qdrant,
    Vespa,
}

impl Demo {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let target = match self.destination {
            Destination::Pgvector => Target::Pgvector,
            Destination::Qdrant => {
                Target::Qdrant { url: needed(self.qdrant_url, "qdrant")?, api_key: self.qdrant_api_key }
            }
            Destination::Vespa => Target::Vespa { url: needed(self.vespa_url, "vespa")? },
        };
        demo::run(DemoOptions { keep: self.keep, entities: self.entities, seed: self.seed, target }).await
    }
}

/// The URL of a server that the demo does not start itself.
fn needed(url: Option<SecretString>, kind: &str) -> Result<SecretString, Failure> {
    url.filter(|url| !url.expose_secret().is_empty()).ok_or_else(|| {
        let variable = kind.to_uppercase();
        let problem = format!(
            "--destination {kind} needs a server of yours: say where it is with --{kind}-url or {variable}_URL"
        );
        Failure::new(ErrorKind::InvalidInput, problem)
    })
}
