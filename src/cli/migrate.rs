//! `syncmux migrate`

use activities::database::Database;
use clap::Args;

use crate::config::DatabaseArgs;
use crate::output::Failure;

/// Bring the database schema up to date.
///
/// Adds the schema sync_multiplexer, and on the platform's sync_connection the column role with its constraints. On an
/// empty database it also makes the platform tables the worker reads. Running it twice changes nothing.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:

  syncmux migrate")]
pub(super) struct Migrate {
    #[command(flatten)]
    database: DatabaseArgs,
}

impl Migrate {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let database = Database::connect(&self.database.database_url, 2).await?;
        database.migrate().await?;
        println!("the schema is up to date");
        Ok(())
    }
}
