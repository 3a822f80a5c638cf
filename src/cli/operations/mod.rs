//! `syncmux operations`

mod control;
mod list;
mod show;

use activities::database::Database;
use clap::{Args, Subcommand};
use uuid::Uuid;

use super::list::parse_uuid;
use crate::config::{DatabaseArgs, TemporalArgs, TenantArgs};
use crate::operations::Operations;
use crate::output::Failure;
use crate::temporal;

pub(super) use list::rows;
pub(super) use show::{as_json, line, print_end};

/// List, look at, pause, resume, cancel and retry operations.
///
/// An operation is a fork, switch, rollback, retire, resync, verification or follow that somebody asked for. It is a workflow in
/// Temporal and a record in the database; these commands address it by the id of the record, which every command that
/// starts one takes as --operation-id and `syncmux operations list` shows.
#[derive(Debug, Subcommand)]
pub(super) enum OperationsCommand {
    List(list::List),
    Show(show::Show),
    Pause(control::Pause),
    Resume(control::Resume),
    Cancel(control::Cancel),
    Retry(control::Retry),
}

impl OperationsCommand {
    pub(super) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::List(command) => command.run().await,
            Self::Show(command) => command.run().await,
            Self::Pause(command) => command.run().await,
            Self::Resume(command) => command.run().await,
            Self::Cancel(command) => command.run().await,
            Self::Retry(command) => command.run().await,
        }
    }
}

/// Where operations are recorded and run.
#[derive(Debug, Args)]
pub(super) struct Place {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    temporal: TemporalArgs,
    #[command(flatten)]
    tenant: TenantArgs,
}

impl Place {
    /// The operations of that place, and the organisation that asks.
    pub(super) async fn open(&self) -> Result<(Operations, Uuid), Failure> {
        let organization = parse_uuid("--organization", &self.tenant.organization)?;
        let database = Database::connect(&self.database.database_url, 2).await?;
        let client = temporal::connect(&self.temporal).await?;
        Ok((Operations::new(database, client, &self.temporal.task_queue), organization))
    }
}

/// One operation of a place.
#[derive(Debug, Args)]
pub(super) struct Which {
    #[command(flatten)]
    place: Place,
    /// The operation; see `syncmux operations list`
    #[arg(value_name = "OPERATION")]
    operation: String,
}

impl Which {
    async fn open(&self) -> Result<(Operations, Uuid, Uuid), Failure> {
        let operation = parse_uuid("OPERATION", &self.operation)?;
        let (operations, organization) = self.place.open().await?;
        Ok((operations, organization, operation))
    }
}
