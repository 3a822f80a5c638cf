//! A real Postgres database per test.

use secrecy::SecretString;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection};
use uuid::Uuid;

use super::Database;
use crate::error::Result;

/// Where the server is; the role in it is a superuser.
const VARIABLE: &str = "SYNCMUX_TEST_DATABASE_URL";

/// A fresh database, dropped at the end of the test, or kept and named when the test fails.
pub(crate) struct TestDatabase {
    /// Connected to the fresh database.
    pub database: Database,
    name: String,
    admin: PgConnectOptions,
}

impl TestDatabase {
    /// A database without any table of ours or the platform's.
    pub async fn empty() -> Self {
        let url = std::env::var(VARIABLE)
            .unwrap_or_else(|_| panic!("{VARIABLE} is not set: run `make test`, which starts a Postgres and sets it"));
        let admin: PgConnectOptions = url.parse().expect("the test database URL is one");
        let name = format!("syncmux_test_{}", Uuid::now_v7().simple());
        let mut connection = admin.connect().await.expect("the test Postgres answers");
        connection.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
        connection.close().await.unwrap();
        let database = connect(&admin, &name).await.unwrap();
        Self { database, name, admin }
    }

    /// Connects to a database of the same server.
    pub async fn connect_to(&self, name: &str) -> Result<Database> {
        connect(&self.admin, name).await
    }

    /// An empty database with all migrations applied.
    pub async fn migrated() -> Self {
        let test = Self::empty().await;
        test.database.migrate().await.unwrap();
        test
    }

    /// A connection beside the pool, for scripts that change its settings.
    pub async fn connection(&self) -> PgConnection {
        PgConnection::connect_with(&self.admin.clone().database(&self.name)).await.unwrap()
    }

    /// Runs a script of several statements on a connection of its own.
    pub async fn run(&self, script: &'static str) {
        let mut connection = self.connection().await;
        connection.execute(sqlx::raw_sql(script)).await.unwrap();
        connection.close().await.unwrap();
    }
}

async fn connect(admin: &PgConnectOptions, name: &str) -> Result<Database> {
    let url = admin.clone().database(name).to_url_lossy();
    Database::connect(&SecretString::from(url.to_string()), 8).await
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "the database of this test is kept: {} on {}:{}",
                self.name,
                self.admin.get_host(),
                self.admin.get_port()
            );
            return;
        }
        let admin = self.admin.clone();
        let statement = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        // Drop cannot await, and the runtime of the test is busy with it: another thread has another runtime.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut connection = admin.connect().await?;
                connection.execute(AssertSqlSafe(statement)).await?;
                connection.close().await
            })
        });
        dropped.join().expect("the thread does not panic").expect("the database of a finished test can be dropped");
    }
}
