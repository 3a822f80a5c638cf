//! `syncmux worker`

use clap::Args;

use crate::output::Failure;
use crate::worker::{self, WorkerSettings};

/// Run a worker until SIGTERM or ctrl-C.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:

  syncmux worker")]
pub(super) struct Worker {
    #[command(flatten)]
    settings: WorkerSettings,
}

impl Worker {
    pub(super) async fn run(self) -> Result<(), Failure> {
        worker::run(&self.settings, worker::shutdown_signal()).await
    }
}
