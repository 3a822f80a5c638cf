//! The syncs of a collection, and the record of an operation on all of them.

use serde_json::json;
use uuid::Uuid;

use super::world::{World, sync};
use crate::database::collection::{MAX_SYNCS, syncs};
use crate::database::operation_list::{self, Filter};
use crate::database::operations::{self, NewCollectionOperation, OperationKind, OperationState, Outcome};
use crate::error::ErrorKind;

async fn collection(world: &World, organization_id: Uuid, readable_id: &str) -> Uuid {
    sqlx::query_scalar(
        "INSERT INTO public.collection
             (id, created_at, modified_at, organization_id, name, readable_id, vector_size, embedding_model_name)
         VALUES (gen_random_uuid(), now(), now(), $1, 'Docs', $2, 256, 'small') RETURNING id",
    )
    .bind(organization_id)
    .bind(readable_id)
    .fetch_one(world.pool())
    .await
    .unwrap()
}

/// Connects a source whose age in days decides which source of a sync counts.
async fn feed(world: &World, sync_id: Uuid, readable_id: &str, age: i32) {
    sqlx::query(
        "INSERT INTO public.source_connection
             (id, created_at, modified_at, organization_id, name, short_name, sync_id, readable_collection_id)
         SELECT gen_random_uuid(), now() - $3 * interval '1 day', now(), organization_id, 's', 'jira', id, $2
         FROM public.sync WHERE id = $1",
    )
    .bind(sync_id)
    .bind(readable_id)
    .bind(age)
    .execute(world.pool())
    .await
    .unwrap();
}

fn operation(world: &World, collection_id: Uuid) -> NewCollectionOperation {
    NewCollectionOperation {
        operation_id: Uuid::now_v7(),
        organization_id: world.organization_id,
        collection_id,
        kind: OperationKind::Fork,
        workflow_id: "fork/collection/c/d".into(),
        run_id: "run-1".into(),
        requested_by: "tester".into(),
        options: json!({}),
        phase: "fork".into(),
    }
}

#[tokio::test]
async fn the_oldest_source_of_a_sync_decides_which_collection_it_feeds() {
    let world = World::new().await;
    let own = collection(&world, world.organization_id, "docs").await;
    let others = collection(&world, world.organization_id, "mail").await;
    let theirs = collection(&world, world.stranger_id, "theirs").await;
    let list = async |organization_id, collection_id| syncs(world.database(), organization_id, collection_id).await;
    let error = list(world.organization_id, own).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Conflict && error.message().contains("no sync feeds"), "{error}");

    let second = sync(world.pool(), world.organization_id).await;
    let moved = sync(world.pool(), world.organization_id).await;
    let strangers = sync(world.pool(), world.stranger_id).await;
    feed(&world, world.sync_id, "docs", 1).await;
    feed(&world, second, "docs", 2).await;
    feed(&world, second, "mail", 1).await;
    feed(&world, moved, "mail", 2).await;
    feed(&world, moved, "docs", 1).await;
    // A name is one collection's only, so this says nothing about the stranger's.
    feed(&world, strangers, "docs", 1).await;
    assert_eq!(list(world.organization_id, own).await.unwrap(), [world.sync_id, second]);
    assert_eq!(list(world.organization_id, others).await.unwrap(), [moved]);
    for (organization_id, collection_id) in [(world.stranger_id, own), (world.organization_id, theirs)] {
        assert_eq!(list(organization_id, collection_id).await.unwrap_err().kind(), ErrorKind::NotFound);
    }
}

#[tokio::test]
async fn more_syncs_than_an_operation_takes_on_are_refused_and_not_cut_off() {
    let world = World::new().await;
    let own = collection(&world, world.organization_id, "docs").await;
    feed(&world, world.sync_id, "docs", 1).await;
    for _ in 1..MAX_SYNCS {
        let sync_id = sync(world.pool(), world.organization_id).await;
        feed(&world, sync_id, "docs", 1).await;
    }
    assert_eq!(syncs(world.database(), world.organization_id, own).await.unwrap().len(), MAX_SYNCS);
    let one_more = sync(world.pool(), world.organization_id).await;
    feed(&world, one_more, "docs", 1).await;
    let error = syncs(world.database(), world.organization_id, own).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Conflict && error.message().contains("one by one"), "{error}");
}

#[tokio::test]
async fn an_operation_about_a_collection_is_recorded_once() {
    let world = World::new().await;
    let own = collection(&world, world.organization_id, "docs").await;
    let new = operation(&world, own);
    let recorded = operations::begin_for_collection(world.database(), &new).await.unwrap();
    assert_eq!((recorded.sync_id, recorded.collection_id, recorded.slot_id), (None, Some(own), None));
    let again = NewCollectionOperation { run_id: "run-2".into(), ..new.clone() };
    assert_eq!(operations::begin_for_collection(world.database(), &again).await.unwrap().run_id, "run-2");

    let other = collection(&world, world.organization_id, "mail").await;
    let elsewhere = NewCollectionOperation { collection_id: other, ..new.clone() };
    let strange = NewCollectionOperation { organization_id: world.stranger_id, ..new.clone() };
    for (taken, kind) in [(elsewhere, ErrorKind::Conflict), (strange, ErrorKind::NotFound)] {
        let error = operations::begin_for_collection(world.database(), &taken).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
    operations::end(world.database(), world.organization_id, new.operation_id, &Outcome::Cancelled).await.unwrap();
    let ended = operations::begin_for_collection(world.database(), &new).await.unwrap();
    assert_eq!((ended.state, ended.run_id.as_str()), (OperationState::Cancelled, "run-2"));
    let list = async |filter: Filter| {
        operation_list::page(world.database(), world.organization_id, &filter, None, 10).await.unwrap().operations
    };
    let listed = list(Filter::default()).await;
    assert_eq!(listed, [ended]);
    let of_sync = list(Filter { sync_id: Some(world.sync_id), ..Filter::default() }).await;
    assert_eq!(of_sync, [], "it is about no single sync");
    let of_collection = list(Filter { collection_id: Some(own), ..Filter::default() }).await;
    assert_eq!(of_collection, listed);
    let unknown = Filter { collection_id: Some(own), ..Filter::default() };
    let error = operation_list::page(world.database(), world.stranger_id, &unknown, None, 1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}
