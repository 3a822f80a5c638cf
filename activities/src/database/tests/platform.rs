use secrecy::ExposeSecret;
use uuid::Uuid;

use super::world::{World, connection};
use crate::database::platform;
use crate::error::ErrorKind;

#[tokio::test]
async fn a_sync_with_its_collection_and_source() {
    let world = World::new().await;
    let bare = platform::sync(world.database(), world.organization_id, world.sync_id).await.unwrap();
    assert_eq!(bare.name, "sync");
    assert_eq!(bare.collection_id, None);
    assert_eq!(bare.source_short_name.as_deref(), Some("slack"), "from the row of the source");

    sqlx::query(
        "WITH collection AS (
             INSERT INTO public.collection
                 (id, created_at, modified_at, organization_id, name, readable_id, vector_size, embedding_model_name)
             VALUES (gen_random_uuid(), now(), now(), $1, 'Docs', 'docs-1', 3072, 'large') RETURNING readable_id
         )
         INSERT INTO public.source_connection
             (id, created_at, modified_at, organization_id, name, short_name, sync_id, readable_collection_id)
         SELECT gen_random_uuid(), now(), now(), $1, 'Our tickets', 'jira', $2, readable_id FROM collection",
    )
    .bind(world.organization_id)
    .bind(world.sync_id)
    .execute(world.pool())
    .await
    .unwrap();
    let whole = platform::sync(world.database(), world.organization_id, world.sync_id).await.unwrap();
    assert!(whole.collection_id.is_some());
    assert_eq!(whole.collection_readable_id.as_deref(), Some("docs-1"));
    assert_eq!(whole.source_short_name.as_deref(), Some("jira"));
}

#[tokio::test]
async fn which_connections_can_be_forked_to() {
    let world = World::new().await;
    let find = |id| platform::destination_connection(world.database(), world.organization_id, id);

    let native = find(world.active_connection_id).await.unwrap();
    assert!(native.native && native.credential.is_none());
    assert_eq!(native.short_name, "qdrant_native");

    let own = world.destination().await;
    assert!(!find(own).await.unwrap().native);

    assert_eq!(find(Uuid::now_v7()).await.unwrap_err().kind(), ErrorKind::NotFound);
    let strangers = connection(world.pool(), Some(world.stranger_id), "DESTINATION", "qdrant").await;
    assert_eq!(find(strangers).await.unwrap_err().kind(), ErrorKind::NotFound);
    let source = find(world.source_connection_id).await.unwrap_err();
    assert_eq!(source.kind(), ErrorKind::InvalidInput);
    assert!(source.message().contains("SOURCE"), "{source}");
}

#[tokio::test]
async fn credentials_are_the_organisations_own_and_are_not_printed() {
    let world = World::new().await;
    let own = world.destination().await;
    let attach = |organization_id: Uuid| {
        sqlx::query(
            "WITH credential AS (
                 INSERT INTO public.integration_credential
                     (id, created_at, modified_at, organization_id, name, integration_short_name, integration_type,
                      authentication_method, encrypted_credentials)
                 VALUES (gen_random_uuid(), now(), now(), $2, 'key', 'qdrant', 'DESTINATION', 'direct', 'gAAAA-token')
                 RETURNING id
             )
             UPDATE public.connection SET integration_credential_id = credential.id FROM credential
             WHERE connection.id = $1",
        )
        .bind(own)
        .bind(organization_id)
        .execute(world.pool())
    };
    attach(world.organization_id).await.unwrap();
    let found = platform::destination_connection(world.database(), world.organization_id, own).await.unwrap();
    assert_eq!(found.credential.as_ref().unwrap().expose_secret(), "gAAAA-token");
    assert!(!format!("{found:?}").contains("gAAAA-token"));

    attach(world.stranger_id).await.unwrap();
    let error = platform::destination_connection(world.database(), world.organization_id, own).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}
