//! `syncmux demo`

use clap::Args;

use crate::demo::{self, DemoOptions};
use crate::output::Failure;

/// Watch a real migration finish.
///
/// Starts Postgres, Temporal and a worker from the tools that `make prepare` fetched, generates a raw store, and migrates
/// its sync from profile v0 to v1. Run it again at any time; it starts over.
#[derive(Debug, Args)]
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
}

impl Demo {
    pub(super) async fn run(self) -> Result<(), Failure> {
        demo::run(DemoOptions { keep: self.keep, entities: self.entities, seed: self.seed }).await
    }
}
