//! Our schema: applying `migrations/`, and saying how far a database is.
//!
//! The bookkeeping is in our own schema, so that neither the platform's migrations nor anybody else's use of `sqlx` in the
//! same database meets it.

use std::collections::BTreeSet;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{Connection, PgConnection};

use super::Database;
use super::classify::{During, classify};
use crate::error::{Error, ErrorKind, Result};

/// Where it is recorded what was applied. Never change it: the migrations would be applied again.
const BOOKKEEPING: &str = "sync_multiplexer.applied_migration";

/// A migration that this program brings and the database lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingMigration {
    /// The number its file begins with.
    pub version: i64,
    /// The words of its file name.
    pub description: String,
}

/// How a database stands to the migrations of this program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationStatus {
    /// How many of ours it has.
    pub applied: usize,
    /// Those it lacks, in order.
    pub pending: Vec<PendingMigration>,
    /// Versions it has and we do not know: a newer release was here.
    pub unknown: Vec<i64>,
}

impl MigrationStatus {
    /// Whether this program can work with the database.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.pending.is_empty() && self.unknown.is_empty()
    }
}

impl Database {
    /// Applies what is pending. Safe to call again, and from several processes at once: they wait for each other.
    ///
    /// # Errors
    /// `Conflict`, with the words of the migration, when the platform's data does not allow it and somebody has to decide;
    /// `Conflict` when a newer release migrated the database or an applied migration was changed; `Unavailable` when the
    /// platform's tables stayed locked. What was applied before stays; the failed migration left nothing behind.
    pub async fn migrate(&self) -> Result<()> {
        // A connection of its own: after a failure it would keep the migrators' advisory lock until it is closed.
        let mut connection =
            PgConnection::connect_with(&self.pool().connect_options()).await.during("connecting to migrate")?;
        let outcome = migrator().run_direct(None, &mut connection, false).await.map_err(explain);
        let closed = connection.close().await.during("closing the connection of the migration");
        outcome.and(closed)
    }

    /// Compares the database with the migrations of this program. Changes nothing.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn migration_status(&self) -> Result<MigrationStatus> {
        let exists: bool = sqlx::query_scalar("SELECT to_regclass('sync_multiplexer.applied_migration') IS NOT NULL")
            .fetch_one(self.pool())
            .await
            .during("looking for the record of migrations")?;
        let applied: BTreeSet<i64> = if exists {
            sqlx::query_scalar("SELECT version FROM sync_multiplexer.applied_migration WHERE success")
                .fetch_all(self.pool())
                .await
                .during("reading the record of migrations")?
                .into_iter()
                .collect()
        } else {
            BTreeSet::new()
        };
        let migrator = migrator();
        let known: BTreeSet<i64> = migrator.iter().map(|migration| migration.version).collect();
        Ok(MigrationStatus {
            applied: applied.intersection(&known).count(),
            pending: migrator
                .iter()
                .filter(|migration| !applied.contains(&migration.version))
                .map(|migration| PendingMigration {
                    version: migration.version,
                    description: migration.description.to_string(),
                })
                .collect(),
            unknown: applied.difference(&known).copied().collect(),
        })
    }
}

/// The embedded migrations, told where to keep their record.
fn migrator() -> Migrator {
    let mut migrator = sqlx::migrate!("../migrations");
    migrator.create_schema("sync_multiplexer");
    migrator.dangerous_set_table_name(BOOKKEEPING);
    migrator
}

/// Words for a migration that failed. A `RAISE` in a migration is written for the operator, so it passes through.
fn explain(error: MigrateError) -> Error {
    match error {
        MigrateError::ExecuteMigration(sqlx::Error::Database(answer), version)
            if answer.code().as_deref() == Some("P0001") =>
        {
            let hint = answer
                .try_downcast_ref::<sqlx::postgres::PgDatabaseError>()
                .and_then(sqlx::postgres::PgDatabaseError::hint)
                .unwrap_or_default();
            Error::new(ErrorKind::Conflict, format!("migration {version} stopped: {}. {hint}", answer.message()))
        }
        MigrateError::ExecuteMigration(cause, version) => classify(&format!("applying migration {version}"), cause),
        MigrateError::Execute(cause) => classify("preparing the migrations", cause),
        MigrateError::VersionMissing(version) => Error::new(
            ErrorKind::Conflict,
            format!("the database has migration {version}, which this release does not know: use the newer release"),
        ),
        MigrateError::VersionMismatch(version) => Error::new(
            ErrorKind::Conflict,
            format!("migration {version} was applied in another form: this build does not belong to this database"),
        ),
        other => Error::new(ErrorKind::Internal, "the migrations could not be run").with_source(other),
    }
}
