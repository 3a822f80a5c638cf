//! Plays the platform: one organisation with a collection, a sync and two destination connections, and the entity rows
//! that a finished sync job leaves behind.

use activities::credentials::CredentialReader;
use activities::error::{Error, ErrorKind, Result};
use serde_json::{Value, json};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

/// The ids of what was seeded. Always the same, so that commands can be repeated from the shell's history.
#[derive(Debug, Clone, Copy)]
pub struct Seeded {
    /// The tenant.
    pub organization_id: Uuid,
    /// The collection.
    pub collection_id: Uuid,
    /// The sync.
    pub sync_id: Uuid,
    /// Destination of profile v0.
    pub connection_v0: Uuid,
    /// Destination of profile v1.
    pub connection_v1: Uuid,
}

/// The ids that belong to a name: the demo's, or those of one test.
#[must_use]
pub fn ids(name: &str) -> Seeded {
    let id = |what: &str| Uuid::new_v5(&Uuid::NAMESPACE_DNS, format!("{what}.{name}.sync-multiplexer").as_bytes());
    Seeded {
        organization_id: id("organization"),
        collection_id: id("collection"),
        sync_id: id("sync"),
        connection_v0: id("v0.connection"),
        connection_v1: id("v1.connection"),
    }
}

/// Fills the platform's tables. `entities` are the ids that the platform knows; `vector_url` is where both destinations
/// live, kept encrypted as the platform keeps it.
///
/// # Errors
///
/// `Internal` when a row is refused; the database is meant to be fresh.
pub async fn seed(
    pool: &PgPool,
    credentials: &CredentialReader,
    vector_url: &str,
    source: &str,
    entities: &[String],
    ids: &Seeded,
) -> Result<()> {
    let id = |name: &str| Uuid::new_v5(&ids.sync_id, name.as_bytes());
    let (source_connection, sync_job) = (id("source"), id("job"));

    let mut transaction = pool.begin().await.map_err(refused)?;
    for (statement, values) in [
        (
            "INSERT INTO public.organization (id, created_at, modified_at, name) VALUES ($1, now(), now(), 'Northwind Instruments')",
            vec![ids.organization_id],
        ),
        (
            "INSERT INTO public.collection (id, created_at, modified_at, organization_id, name, readable_id, vector_size, embedding_model_name)
             VALUES ($1, now(), now(), $2, 'Company knowledge', 'company-knowledge', 256, 'wordllama-l2-supercat-256')",
            vec![ids.collection_id, ids.organization_id],
        ),
        (
            "INSERT INTO public.sync (id, created_at, modified_at, organization_id, name, status) VALUES ($1, now(), now(), $2, 'Everything', 'ACTIVE')",
            vec![ids.sync_id, ids.organization_id],
        ),
    ] {
        let mut query = sqlx::query(statement);
        for value in values {
            query = query.bind(value);
        }
        query.execute(&mut *transaction).await.map_err(refused)?;
    }
    sqlx::query(
        "INSERT INTO public.connection (id, created_at, modified_at, organization_id, name, readable_id,
             integration_type, status, short_name)
         VALUES ($1, now(), now(), $2, 'Company tools', 'company-tools', 'SOURCE', 'ACTIVE', $3)",
    )
    .bind(source_connection)
    .bind(ids.organization_id)
    .bind(source)
    .execute(&mut *transaction)
    .await
    .map_err(refused)?;
    let own = json!({ "url": vector_url });
    for (connection, name) in [(ids.connection_v0, "Vectors v0"), (ids.connection_v1, "Vectors v1")] {
        let destination = NewDestination { connection, name, short_name: "pgvector", credentials: &own };
        connect(&mut transaction, credentials, ids.organization_id, &destination).await?;
    }
    sqlx::query(
        "INSERT INTO public.source_connection (id, created_at, modified_at, organization_id, name, short_name, sync_id,
             connection_id, readable_collection_id, is_authenticated)
         VALUES ($1, now(), now(), $2, 'Company tools', $3, $4, $5, 'company-knowledge', true)",
    )
    .bind(id("source connection"))
    .bind(ids.organization_id)
    .bind(source)
    .bind(ids.sync_id)
    .bind(source_connection)
    .execute(&mut *transaction)
    .await
    .map_err(refused)?;
    sqlx::query(
        "INSERT INTO public.sync_connection (id, created_at, modified_at, sync_id, connection_id)
         VALUES ($1, now(), now(), $2, $3)",
    )
    .bind(id("source slot"))
    .bind(ids.sync_id)
    .bind(source_connection)
    .execute(&mut *transaction)
    .await
    .map_err(refused)?;
    sqlx::query(
        "INSERT INTO public.sync_job (id, created_at, modified_at, organization_id, sync_id, status, started_at,
             completed_at, entities_inserted, entities_deleted, entities_skipped)
         VALUES ($1, now(), now(), $2, $3, 'completed', now(), now(), $4, 0, 0)",
    )
    .bind(sync_job)
    .bind(ids.organization_id)
    .bind(ids.sync_id)
    .bind(i32::try_from(entities.len()).unwrap_or(i32::MAX))
    .execute(&mut *transaction)
    .await
    .map_err(refused)?;
    sqlx::query(
        "INSERT INTO public.entity (id, created_at, modified_at, organization_id, sync_id, sync_job_id, entity_id, hash)
         SELECT gen_random_uuid(), now(), now(), $1, $2, $3, entity_id, '' FROM unnest($4::text[]) AS entity_id",
    )
    .bind(ids.organization_id)
    .bind(ids.sync_id)
    .bind(sync_job)
    .bind(entities)
    .execute(&mut *transaction)
    .await
    .map_err(refused)?;
    transaction.commit().await.map_err(refused)
}

/// A destination that an organisation connects.
#[derive(Debug, Clone, Copy)]
pub struct NewDestination<'a> {
    /// Id of the connection.
    pub connection: Uuid,
    /// Its name, for people.
    pub name: &'a str,
    /// The kind of destination.
    pub short_name: &'a str,
    /// How to get in, as a JSON object; kept encrypted, as the platform keeps it.
    pub credentials: &'a Value,
}

/// Adds a connection to a destination, with its credentials.
///
/// # Errors
///
/// `Internal` when a row is refused.
pub async fn connect(
    database: &mut PgConnection,
    credentials: &CredentialReader,
    organization_id: Uuid,
    destination: &NewDestination<'_>,
) -> Result<()> {
    let NewDestination { connection, name, short_name, credentials: object } = destination;
    let credential = Uuid::new_v5(connection, b"credential");
    sqlx::query(
        "INSERT INTO public.integration_credential (id, created_at, modified_at, organization_id, name,
             integration_short_name, integration_type, authentication_method, encrypted_credentials)
         VALUES ($1, now(), now(), $2, $3, $4, 'destination', 'direct', $5)",
    )
    .bind(credential)
    .bind(organization_id)
    .bind(name)
    .bind(short_name)
    .bind(credentials.encrypt(object)?)
    .execute(&mut *database)
    .await
    .map_err(refused)?;
    sqlx::query(
        "INSERT INTO public.connection (id, created_at, modified_at, organization_id, name, readable_id,
             integration_type, status, short_name, integration_credential_id)
         VALUES ($1, now(), now(), $2, $3, $4, 'DESTINATION', 'ACTIVE', $5, $6)",
    )
    .bind(connection)
    .bind(organization_id)
    .bind(name)
    .bind(connection.to_string())
    .bind(short_name)
    .bind(credential)
    .execute(database)
    .await
    .map_err(refused)?;
    Ok(())
}

fn refused(error: sqlx::Error) -> Error {
    Error::new(ErrorKind::Internal, "the demo's rows were refused by the database").with_source(error)
}
