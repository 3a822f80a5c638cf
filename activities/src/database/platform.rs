//! The platform's side of a sync, read only: the sync itself, a destination connection, and what must be in the raw store.
//!
//! Reads only columns that every known generation of the platform has.

use secrecy::SecretString;
use sqlx::PgConnection;
use uuid::Uuid;

use super::classify::During;
pub use super::completeness::{StoreComparison, compare_with_listing};
use super::{Database, sync_lock};
use crate::error::{Error, ErrorKind, Result};

/// A sync of the platform.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct SyncInfo {
    /// Its id, and the folder of its raw store.
    pub sync_id: Uuid,
    /// The tenant that owns it.
    pub organization_id: Uuid,
    /// Its name.
    pub name: String,
    /// The collection it feeds; absent when no source connection says so.
    pub collection_id: Option<Uuid>,
    /// The name of that collection in URLs.
    pub collection_readable_id: Option<String>,
    /// The kind of its source, such as `slack`.
    pub source_short_name: Option<String>,
}

/// A connection of type DESTINATION that an organisation may use.
#[derive(Debug, Clone)]
pub struct ConnectionInfo {
    /// Its id.
    pub connection_id: Uuid,
    /// Its name.
    pub name: String,
    /// The kind of destination, such as `qdrant_native`.
    pub short_name: String,
    /// Whether the platform itself brings it, for every organisation.
    pub native: bool,
    /// Its encrypted credentials as the platform stores them: a Fernet token. Native connections have none.
    pub credential: Option<SecretString>,
}

/// Reads a sync.
///
/// # Errors
/// `NotFound` when there is none, or it is another organisation's.
pub async fn sync(database: &Database, organization_id: Uuid, sync_id: Uuid) -> Result<SyncInfo> {
    sqlx::query_as(
        "SELECT sync.id AS sync_id, sync.organization_id, sync.name,
                collection.id AS collection_id, collection.readable_id AS collection_readable_id,
                coalesce(source.short_name, joined.short_name) AS source_short_name
         FROM public.sync
         LEFT JOIN LATERAL (
             SELECT short_name, readable_collection_id
             FROM public.source_connection
             WHERE sync_id = sync.id AND organization_id = sync.organization_id
             ORDER BY created_at, id
             LIMIT 1
         ) AS source ON true
         LEFT JOIN LATERAL (
             SELECT connection.short_name
             FROM public.sync_connection
             JOIN public.connection ON connection.id = sync_connection.connection_id
             WHERE sync_connection.sync_id = sync.id AND connection.integration_type::text = 'SOURCE'
             ORDER BY sync_connection.created_at, sync_connection.id
             LIMIT 1
         ) AS joined ON true
         LEFT JOIN public.collection ON collection.readable_id = source.readable_collection_id
                                    AND collection.organization_id = sync.organization_id
         WHERE sync.id = $1 AND sync.organization_id = $2",
    )
    .bind(sync_id)
    .bind(organization_id)
    .fetch_optional(database.pool())
    .await
    .during("reading the sync")?
    .ok_or_else(|| sync_lock::not_found(sync_id))
}

/// The source connection that feeds a sync: what the platform's API calls it by. The oldest when there are several.
///
/// # Errors
/// `NotFound` when there is none, or the sync is another organisation's.
pub async fn source_connection(database: &Database, organization_id: Uuid, sync_id: Uuid) -> Result<Uuid> {
    sqlx::query_scalar(
        "SELECT id FROM public.source_connection
         WHERE sync_id = $1 AND organization_id = $2 ORDER BY created_at, id LIMIT 1",
    )
    .bind(sync_id)
    .bind(organization_id)
    .fetch_optional(database.pool())
    .await
    .during("looking for the source connection")?
    .ok_or_else(|| {
        Error::new(
            ErrorKind::NotFound,
            format!("no source connection feeds sync {sync_id}, so there is nothing to pull from; see the platform"),
        )
    })
}

/// How many entities the platform knows of a sync.
///
/// # Errors
/// Those of the database.
pub async fn known_entities(database: &Database, organization_id: Uuid, sync_id: Uuid) -> Result<u64> {
    let count: i64 = sqlx::query_scalar(
        "SELECT count(DISTINCT entity_id) FROM public.entity WHERE sync_id = $1 AND organization_id = $2",
    )
    .bind(sync_id)
    .bind(organization_id)
    .fetch_one(database.pool())
    .await
    .during("counting what the platform knows")?;
    Ok(count.unsigned_abs())
}

/// Reads a connection as the target of a fork.
///
/// # Errors
/// `NotFound` when there is none, it is another organisation's, or the credentials it names are gone; `InvalidInput` when
/// it is not a destination.
pub async fn destination_connection(
    database: &Database,
    organization_id: Uuid,
    connection_id: Uuid,
) -> Result<ConnectionInfo> {
    let mut connection = database.pool().acquire().await.during("reading the connection")?;
    destination(&mut connection, organization_id, connection_id).await
}

/// [`destination_connection`] as part of a transaction.
pub(super) async fn destination(
    connection: &mut PgConnection,
    organization_id: Uuid,
    connection_id: Uuid,
) -> Result<ConnectionInfo> {
    #[derive(sqlx::FromRow)]
    struct Row {
        name: String,
        short_name: String,
        native: bool,
        integration_type: String,
        has_credential: bool,
        encrypted_credentials: Option<String>,
    }
    let row: Option<Row> = sqlx::query_as(
        "SELECT connection.name, connection.short_name, connection.organization_id IS NULL AS native,
                connection.integration_type::text AS integration_type,
                connection.integration_credential_id IS NOT NULL AS has_credential,
                credential.encrypted_credentials
         FROM public.connection
         LEFT JOIN public.integration_credential AS credential
                ON credential.id = connection.integration_credential_id
               AND credential.organization_id = connection.organization_id
         WHERE connection.id = $1
           AND (connection.organization_id = $2 OR connection.organization_id IS NULL)",
    )
    .bind(connection_id)
    .bind(organization_id)
    .fetch_optional(connection)
    .await
    .during("reading the connection")?;
    let row = row.ok_or_else(|| {
        Error::new(ErrorKind::NotFound, format!("connection {connection_id} does not exist for this organisation"))
    })?;
    if row.integration_type != "DESTINATION" {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            format!(
                "connection {connection_id} ({}) is of type {}: name a destination",
                row.short_name, row.integration_type
            ),
        ));
    }
    if row.has_credential && row.encrypted_credentials.is_none() {
        return Err(Error::new(
            ErrorKind::NotFound,
            format!("the credentials of connection {connection_id} are not there: enter them again at the platform"),
        ));
    }
    Ok(ConnectionInfo {
        connection_id,
        name: row.name,
        short_name: row.short_name,
        native: row.native,
        credential: row.encrypted_credentials.map(SecretString::from),
    })
}
