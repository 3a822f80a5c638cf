//! Databases on the stack's PostgreSQL.

use anyhow::{Context, Result, ensure};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use super::lifecycle::Stack;
use super::postgres::connect_options;

impl Stack {
    /// Makes an empty database and returns its URL.
    ///
    /// # Errors
    /// When the name is taken or not made of `a-z`, `0-9` and `_`, or the server cannot be reached.
    pub async fn create_database(&self, name: &str) -> Result<String> {
        self.administer(name, |name| format!("CREATE DATABASE {name}")).await?;
        Ok(self.database_url(name))
    }

    /// Removes a database, ending whatever is connected to it; fine when there is none.
    ///
    /// # Errors
    /// When the name is not made of `a-z`, `0-9` and `_`, or the server cannot be reached.
    pub async fn drop_database(&self, name: &str) -> Result<()> {
        self.administer(name, |name| format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await
    }

    /// Replaces a database with an empty one and returns its URL.
    ///
    /// # Errors
    /// As for [`Stack::create_database`] and [`Stack::drop_database`].
    pub async fn recreate_database(&self, name: &str) -> Result<String> {
        self.drop_database(name).await?;
        self.create_database(name).await
    }

    async fn administer(&self, name: &str, statement: impl Fn(&str) -> String) -> Result<()> {
        // DDL takes no parameters, so the name becomes part of the statement: only harmless ones get that far.
        let harmless = name.len() <= 63 && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'));
        ensure!(harmless && !name.is_empty(), "a database name is made of a-z, 0-9 and _, at most 63 of them");
        let statement = statement(&format!("\"{name}\""));
        let mut connection = PgConnection::connect_with(&connect_options(self.postgres_port(), "postgres"))
            .await
            .context("cannot connect to the stack's PostgreSQL")?;
        connection.execute(AssertSqlSafe(statement.clone())).await.with_context(|| format!("{statement} failed"))?;
        connection.close().await.context("cannot close the connection")
    }
}
