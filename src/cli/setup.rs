//! `syncmux setup`

use clap::Args;

use crate::config::TemporalArgs;
use crate::output::Failure;
use crate::temporal;

/// Register the search attributes with Temporal.
///
/// Workflows carry SyncId, OrganizationId, Operation, Phase and DestinationKind, so that operators can filter by them.
/// A workflow whose namespace lacks one waits until it is registered.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:

  syncmux setup")]
pub(super) struct Setup {
    #[command(flatten)]
    temporal: TemporalArgs,
}

impl Setup {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let client = temporal::connect(&self.temporal).await?;
        let registered = temporal::register_search_attributes(&client).await?;
        if registered.is_empty() {
            println!("all search attributes are registered");
        } else {
            println!("registered {}", registered.join(", "));
        }
        Ok(())
    }
}
