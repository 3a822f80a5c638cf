use std::time::Duration;

use uuid::Uuid;

use super::world::World;
use crate::database::fence::{self, Hold};
use crate::database::operations::{self, NewOperation, OperationKind};
use crate::database::platform;
use crate::database::resyncs::{self, Posting, ResyncScope};
use crate::database::sync_jobs::{self, ConfigurationForm, JobStatus};
use crate::error::ErrorKind;

async fn opened(world: &World) -> ResyncScope {
    let scope =
        ResyncScope { organization_id: world.organization_id, sync_id: world.sync_id, operation_id: Uuid::now_v7() };
    let new = NewOperation {
        operation_id: scope.operation_id,
        organization_id: scope.organization_id,
        sync_id: scope.sync_id,
        slot_id: None,
        kind: OperationKind::Resync,
        workflow_id: "resync".into(),
        run_id: "1".into(),
        requested_by: "a test".into(),
        options: serde_json::json!({}),
        phase: "begin".into(),
    };
    operations::begin(world.database(), &new).await.unwrap();
    resyncs::open(world.database(), &scope, false, 3, 4).await.unwrap();
    scope
}

async fn job(world: &World, status: &str, scheduled: bool) -> Uuid {
    sqlx::query_scalar(
        "INSERT INTO public.sync_job (id, created_at, modified_at, organization_id, sync_id, status, scheduled,
             entities_inserted, entities_deleted, entities_skipped, entities_encountered, error)
         VALUES (gen_random_uuid(), clock_timestamp(), now(), $1, $2, $3, $4, 1, 2, 3, '{\"A\": 4, \"B\": 5}', repeat('x', 9000))
         RETURNING id",
    )
    .bind(world.organization_id)
    .bind(world.sync_id)
    .bind(status)
    .bind(scheduled)
    .fetch_one(world.pool())
    .await
    .unwrap()
}

async fn fence(world: &World, operation_id: Uuid, lasts: Duration) {
    let hold = Hold { sync_id: world.sync_id, organization_id: world.organization_id, operation_id };
    assert_eq!(fence::raise(world.database(), &[hold], lasts).await.unwrap(), []);
}

async fn appeared(world: &World, scope: &ResyncScope) -> Vec<Uuid> {
    resyncs::appeared(world.database(), scope).await.unwrap().into_iter().map(|job| job.job_id).collect()
}

#[tokio::test]
async fn what_was_there_is_counted_once() {
    let world = World::new().await;
    let scope = opened(&world).await;
    let again = resyncs::open(world.database(), &scope, true, 9, 9).await.unwrap();
    assert_eq!((again.rebuild, again.objects_before, again.known_before), (false, 3, 4));
    assert!(again.begun_for >= 0.0 && again.posted_for.is_none() && again.job_id.is_none());
    let stranger = ResyncScope { organization_id: world.stranger_id, ..scope };
    let refused = resyncs::open(world.database(), &stranger, false, 0, 0).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_job_that_appeared_since_the_platform_was_asked_is_found() {
    let world = World::new().await;
    let scope = opened(&world).await;
    let old = job(&world, "completed", false).await;
    assert!(appeared(&world, &scope).await.is_empty(), "nobody was asked");
    assert_eq!(resyncs::mark_posted(world.database(), &scope).await.unwrap(), Posting::Go);
    let twice = resyncs::mark_posted(world.database(), &scope).await.unwrap_err();
    assert_eq!(twice.kind(), ErrorKind::Conflict);
    assert!(appeared(&world, &scope).await.is_empty());

    job(&world, "completed", true).await;
    let new = job(&world, "running", false).await;
    assert_eq!(appeared(&world, &scope).await, [new], "neither {old} nor the scheduled one");
    resyncs::record_job(world.database(), &scope, new).await.unwrap();
    resyncs::record_job(world.database(), &scope, new).await.unwrap();
    for other in [old, Uuid::now_v7()] {
        let refused = resyncs::record_job(world.database(), &scope, other).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Internal, "{refused}");
    }
    resyncs::take_back(world.database(), &scope).await.unwrap();
    let kept = resyncs::get(world.database(), &scope).await.unwrap();
    assert_eq!(kept.job_id, Some(new), "what is known is not taken back");

    let found = sync_jobs::get(world.database(), scope.organization_id, scope.sync_id, new).await.unwrap();
    assert_eq!(
        (found.status, found.entities_encountered(), found.inserted, found.deleted),
        (JobStatus::Running, 9, 1, 2)
    );
    assert_eq!(found.error.map(|it| it.len()), Some(4000), "a novel is not read");
    let theirs = sync_jobs::get(world.database(), world.stranger_id, scope.sync_id, new).await.unwrap_err();
    assert_eq!(theirs.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn the_platform_is_not_asked_while_a_job_is_active_or_a_fence_stands() {
    let world = World::new().await;
    let scope = opened(&world).await;
    for status in ["pending", "running", "cancelling"] {
        let active = job(&world, status, true).await;
        match resyncs::mark_posted(world.database(), &scope).await.unwrap() {
            Posting::Occupied(job) => assert_eq!(job.job_id, active),
            Posting::Go => panic!("a job is {status}"),
        }
        sqlx::query("UPDATE public.sync_job SET status = 'completed'").execute(world.pool()).await.unwrap();
    }
    let owner = Uuid::now_v7();
    fence(&world, owner, Duration::from_secs(3600)).await;
    let refused = resyncs::mark_posted(world.database(), &scope).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert!(refused.message().contains(&owner.to_string()), "{refused}");
    fence(&world, owner, Duration::ZERO).await;
    // What it left in the platform's table is removed by every worker.
    assert_eq!(fence::sweep(world.database()).await.unwrap(), 1);
    assert_eq!(resyncs::mark_posted(world.database(), &scope).await.unwrap(), Posting::Go);

    resyncs::take_back(world.database(), &scope).await.unwrap();
    let back = resyncs::get(world.database(), &scope).await.unwrap();
    assert_eq!((back.posted_for, back.jobs_before), (None, None));
}

#[tokio::test]
async fn how_a_rebuild_is_asked_for_shows_in_the_platforms_table() {
    let world = World::new().await;
    let old = sync_jobs::configuration_form(world.database()).await.unwrap_err();
    assert_eq!(old.kind(), ErrorKind::Conflict);
    for (column, form) in
        [("execution_config_json json", ConfigurationForm::Flat), ("sync_config jsonb", ConfigurationForm::Nested)]
    {
        let statement = format!("ALTER TABLE public.sync_job ADD COLUMN {column}");
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(world.pool()).await.unwrap();
        assert_eq!(sync_jobs::configuration_form(world.database()).await.unwrap(), form);
        let id = job(&world, "running", false).await;
        let name = column.split(' ').next().unwrap();
        let statement = format!("UPDATE public.sync_job SET {name} = '{{\"a\": 1}}' WHERE id = $1");
        sqlx::query(sqlx::AssertSqlSafe(statement)).bind(id).execute(world.pool()).await.unwrap();
        let found = sync_jobs::get(world.database(), world.organization_id, world.sync_id, id).await.unwrap();
        assert_eq!(found.configuration.map(|it| it.0), Some(serde_json::json!({ "a": 1 })));
    }
}

#[tokio::test]
async fn a_sync_without_a_source_connection_has_nothing_to_pull_from() {
    let world = World::new().await;
    let none = platform::source_connection(world.database(), world.organization_id, world.sync_id).await.unwrap_err();
    assert_eq!(none.kind(), ErrorKind::NotFound);
    assert_eq!(platform::known_entities(world.database(), world.organization_id, world.sync_id).await.unwrap(), 0);
}
