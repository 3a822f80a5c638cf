//! Making, verifying, finishing and removing a slot's table.

use sqlx::{Acquire, AssertSqlSafe, Executor, PgConnection, Row};

use super::classify::{classify, is_already_there, is_undefined_table};
use super::request_builder::Statements;
use super::schema::{Column, Marker, SCHEMA, SearchIndex, Table};
use crate::destinations::Scope;
use crate::error::{Error, ErrorKind, Result};

/// The first version of pgvector with iterative index scans, without which a filtered search misses rows.
const OLDEST_PGVECTOR: (u32, u32) = (0, 8);

/// What building an index may use. A parallel build would put its graph into shared memory, of which a container has
/// 64 MB by default, and fail; a server that allows more `maintenance_work_mem` than this keeps its own setting.
const INDEX_BUILD: &str = "SET LOCAL statement_timeout = '1h'; SET LOCAL max_parallel_maintenance_workers = 0; \
     SELECT set_config('maintenance_work_mem', '128MB', true) \
     WHERE pg_size_bytes(current_setting('maintenance_work_mem')) < pg_size_bytes('128MB')";

/// Creates the table for `marker`, or verifies that the one that exists is exactly that.
///
/// Runs inside the caller's transaction, so a caller that rolls back leaves nothing behind.
pub(super) async fn create_or_verify(connection: &mut PgConnection, table: &Table, marker: &Marker) -> Result<()> {
    let failed = |error| classify("prepare the slot's table", error);
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))")
        .bind(SCHEMA)
        .execute(&mut *connection)
        .await
        .map_err(failed)?;
    if exists(connection, table).await.map_err(failed)? {
        return verify(connection, table, marker).await;
    }
    verify_encoding(connection).await?;
    ensure_schema(connection).await?;
    ensure_extension(connection).await?;
    connection.execute(AssertSqlSafe(table.create(marker))).await.map(drop).map_err(failed)
}

/// Builds the indexes that searches use, unless they are there and valid, and takes statistics for the planner.
///
/// Writers of the slot wait meanwhile. A build that is cut off leaves nothing, because it is one transaction.
pub(super) async fn finish(connection: &mut PgConnection, table: &Table) -> Result<()> {
    let failed = |error| classify("build the slot's indexes", error);
    let name = table.qualified();
    let mut transaction = connection.begin().await.map_err(failed)?;
    let mut complete = true;
    for index in table.search_indexes() {
        complete &= validity(&mut transaction, &index).await.map_err(failed)? == Some(true);
    }
    transaction.execute(INDEX_BUILD).await.map_err(failed)?;
    if !complete {
        let lock = format!("LOCK TABLE {name} IN SHARE ROW EXCLUSIVE MODE");
        transaction.execute(AssertSqlSafe(lock)).await.map_err(failed)?;
        for index in table.search_indexes() {
            // Read again under the lock: another build may have ended in between.
            let valid = validity(&mut transaction, &index).await.map_err(failed)?;
            if valid == Some(false) {
                let drop = format!("DROP INDEX {}", index.name);
                transaction.execute(AssertSqlSafe(drop)).await.map_err(failed)?;
            }
            if valid != Some(true) {
                transaction.execute(AssertSqlSafe(index.create)).await.map_err(failed)?;
            }
        }
    }
    transaction.execute(AssertSqlSafe(format!("ANALYZE {name}"))).await.map_err(failed)?;
    transaction.commit().await.map_err(failed)
}

/// Removes the scope's points, and the table when it is the scope's; returns how many points went.
pub(super) async fn clear(
    connection: &mut PgConnection,
    table: &Table,
    statements: &Statements,
    scope: &Scope,
) -> Result<u64> {
    let failed = |error| classify("clear the slot", error);
    let name = table.qualified();
    let mut transaction = connection.begin().await.map_err(failed)?;
    if !exists(&mut transaction, table).await.map_err(failed)? {
        return Ok(0);
    }
    let lock = format!("LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE");
    match transaction.execute(AssertSqlSafe(lock)).await {
        Err(error) if is_undefined_table(&error) => return Ok(0),
        other => other.map_err(failed)?,
    };
    let total = AssertSqlSafe(format!("SELECT count(*) FROM {name}"));
    let total: i64 = sqlx::query_scalar(total).fetch_one(&mut *transaction).await.map_err(failed)?;
    let ours: i64 = sqlx::query_scalar(statements.count())
        .bind(scope.organization_id)
        .bind(scope.sync_id)
        .fetch_one(&mut *transaction)
        .await
        .map_err(failed)?;
    let owned = read_marker(&mut transaction, table).await?.is_some_and(|marker| marker.belongs_to(scope));
    if owned && total == ours {
        transaction.execute(AssertSqlSafe(format!("DROP TABLE {name}"))).await.map_err(failed)?;
    } else {
        sqlx::query(statements.delete_all())
            .bind(scope.organization_id)
            .bind(scope.sync_id)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
    }
    transaction.commit().await.map_err(failed)?;
    Ok(ours.unsigned_abs())
}

async fn exists(connection: &mut PgConnection, table: &Table) -> sqlx::Result<bool> {
    sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL").bind(table.qualified()).fetch_one(connection).await
}

async fn verify(connection: &mut PgConnection, table: &Table, marker: &Marker) -> Result<()> {
    let incompatible = |problem: String| {
        let name = table.qualified();
        Error::new(ErrorKind::IncompatibleDestination, format!("the table {name} is not this slot's: {problem}"))
    };
    let Some(found) = read_marker(connection, table).await? else {
        return Err(incompatible("its comment does not say how it was built".into()));
    };
    if let Some(difference) = found.difference(marker) {
        return Err(incompatible(difference));
    }
    let columns: Vec<Column> = sqlx::query_as(
        "SELECT a.attname::text AS name, format_type(a.atttypid, a.atttypmod) AS sql_type, a.attnotnull AS not_null, \
         c.collname::text AS collation \
         FROM pg_attribute a LEFT JOIN pg_collation c ON c.oid = a.attcollation AND c.collname <> 'default' \
         WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
    )
    .bind(table.qualified())
    .fetch_all(connection)
    .await
    .map_err(|error| classify("read the columns of the slot's table", error))?;
    let wanted = table.columns();
    if let Some(missing) = wanted.iter().find(|column| !columns.contains(column)) {
        let (name, sql_type) = (&missing.name, &missing.sql_type);
        return Err(incompatible(format!("it has no column {name} of type {sql_type} NOT NULL")));
    }
    if let Some(extra) = columns.iter().find(|column| !wanted.contains(column)) {
        return Err(incompatible(format!("it has a column {} that does not belong", extra.name)));
    }
    Ok(())
}

/// The marker of the table, if its comment is one.
async fn read_marker(connection: &mut PgConnection, table: &Table) -> Result<Option<Marker>> {
    let comment: Option<String> = sqlx::query_scalar("SELECT obj_description(to_regclass($1), 'pg_class')")
        .bind(table.qualified())
        .fetch_one(connection)
        .await
        .map_err(|error| classify("read how the slot's table was built", error))?;
    Ok(comment.and_then(|comment| serde_json::from_str(&comment).ok()))
}

/// Whether an index exists (`Some`) and is valid.
async fn validity(connection: &mut PgConnection, index: &SearchIndex) -> sqlx::Result<Option<bool>> {
    sqlx::query_scalar("SELECT indisvalid AND indisready FROM pg_index WHERE indexrelid = to_regclass($1)")
        .bind(&index.name)
        .fetch_optional(connection)
        .await
}

async fn verify_encoding(connection: &mut PgConnection) -> Result<()> {
    let encoding: String = sqlx::query_scalar("SELECT current_setting('server_encoding')")
        .fetch_one(connection)
        .await
        .map_err(|error| classify("read the encoding of the database", error))?;
    if encoding == "UTF8" {
        return Ok(());
    }
    let problem = format!("the database has the encoding {encoding}; create one with UTF8");
    Err(Error::new(ErrorKind::IncompatibleDestination, problem))
}

async fn ensure_schema(connection: &mut PgConnection) -> Result<()> {
    let failed = |error| classify("create the schema sync_multiplexer_vectors", error);
    // Asked first, because IF NOT EXISTS wants the privilege to create even when nothing is to be created.
    let there: bool = sqlx::query_scalar("SELECT to_regnamespace($1) IS NOT NULL")
        .bind(SCHEMA)
        .fetch_one(&mut *connection)
        .await
        .map_err(failed)?;
    if there {
        return Ok(());
    }
    tolerating_a_race(connection, format!("CREATE SCHEMA IF NOT EXISTS {SCHEMA}")).await.map_err(failed)
}

async fn ensure_extension(connection: &mut PgConnection) -> Result<()> {
    let incompatible = |problem: String| Error::new(ErrorKind::IncompatibleDestination, problem);
    let failed = |error| classify("look for the extension \"vector\"", error);
    let row = sqlx::query(
        "SELECT (SELECT count(*) > 0 FROM pg_available_extensions WHERE name = 'vector') AS available, \
         (SELECT count(*) > 0 FROM pg_extension WHERE extname = 'vector') AS installed",
    )
    .fetch_one(&mut *connection)
    .await
    .map_err(failed)?;
    let (available, installed): (bool, bool) =
        (row.try_get("available").map_err(failed)?, row.try_get("installed").map_err(failed)?);
    if !available && !installed {
        return Err(incompatible("the server has no pgvector; install it there".into()));
    }
    if !installed {
        tolerating_a_race(connection, "CREATE EXTENSION IF NOT EXISTS vector".into()).await.map_err(|error| {
            let error = classify("create the extension \"vector\"", error);
            if error.kind() != ErrorKind::DestinationDenied {
                return error;
            }
            let problem = "the role may not create the extension \"vector\"; let an owner of the database run \
                           CREATE EXTENSION vector";
            Error::new(ErrorKind::DestinationDenied, problem).with_source(error)
        })?;
    }
    let row = sqlx::query(
        "SELECT e.extversion::text AS version, n.nspname::text AS schema, \
         to_regtype('halfvec') IS NOT NULL AS visible \
         FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'vector'",
    )
    .fetch_one(connection)
    .await
    .map_err(failed)?;
    let (version, schema): (String, String) =
        (row.try_get("version").map_err(failed)?, row.try_get("schema").map_err(failed)?);
    if major_and_minor(&version).is_none_or(|version| version < OLDEST_PGVECTOR) {
        let (major, minor) = OLDEST_PGVECTOR;
        return Err(incompatible(format!(
            "the database has pgvector {version}, and {major}.{minor} or newer is needed; run ALTER EXTENSION vector \
             UPDATE"
        )));
    }
    if !row.try_get::<bool, _>("visible").map_err(failed)? {
        return Err(incompatible(format!(
            "pgvector is in the schema {schema}, which the role does not search; add it with ALTER ROLE … SET \
             search_path"
        )));
    }
    Ok(())
}

/// Runs a `CREATE … IF NOT EXISTS`, which fails when two sessions pass the question at the same moment.
async fn tolerating_a_race(connection: &mut PgConnection, create: String) -> sqlx::Result<()> {
    let mut savepoint = connection.begin().await?;
    match savepoint.execute(AssertSqlSafe(create)).await {
        Ok(_) => savepoint.commit().await,
        Err(error) if is_already_there(&error) => savepoint.rollback().await,
        Err(error) => Err(error),
    }
}

fn major_and_minor(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        assert_eq!(major_and_minor("0.8.6"), Some((0, 8)));
        assert!(major_and_minor("0.10.0") > Some(OLDEST_PGVECTOR));
        assert!(major_and_minor("0.7.4") < Some(OLDEST_PGVECTOR));
        assert_eq!(major_and_minor("next"), None);
    }
}
