//! All syncs of a collection change in one transaction, or none does.

use harness::World;
use proto::v1::{ForkRequest, RollbackRequest, SwitchRequest, SwitchResult};
use sync_multiplexer::output::Failure;
use sync_multiplexer::temporal;
use uuid::Uuid;
use workflows::domain::ErrorKind;

/// A world with three syncs in its collection, oldest first.
async fn three_syncs() -> (World, harness::Worker, Vec<Uuid>) {
    let world = World::new().await;
    let worker = world.worker();
    let syncs = vec![world.ids.sync_id, world.add_sync(20).await, world.add_sync(20).await];
    (world, worker, syncs)
}

async fn fork(world: &World, sync: Uuid, connection: Uuid) -> String {
    let request = ForkRequest { sync_id: sync.to_string(), ..world.fork_request(connection) };
    world.fork(&request).await.expect("the fork completes").slot_id
}

fn all(world: &World) -> SwitchRequest {
    SwitchRequest {
        sync_id: String::new(),
        collection_id: world.ids.collection_id.to_string(),
        ..world.switch_request("")
    }
}

async fn roll_all_back(world: &World, request: &RollbackRequest) -> Result<SwitchResult, Failure> {
    let request = RollbackRequest {
        sync_id: String::new(),
        collection_id: world.ids.collection_id.to_string(),
        ..request.clone()
    };
    world.rollback(&request).await
}

/// Transactions in which roles changed, each with how many syncs and to which generation.
async fn flips(world: &World) -> Vec<(i64, i64)> {
    sqlx::query_as(
        "SELECT count(DISTINCT sync_id), max(generation) FROM sync_multiplexer.audit GROUP BY at ORDER BY at",
    )
    .fetch_all(world.database.pool())
    .await
    .expect("the audit trail can be read")
}

#[tokio::test(flavor = "multi_thread")]
async fn three_syncs_change_at_once_and_go_back_at_once() {
    let (world, worker, syncs) = three_syncs().await;
    for connection in [world.ids.connection_v0, world.ids.connection_v1] {
        for sync in &syncs {
            fork(&world, *sync, connection).await;
        }
    }
    let ambiguous = world.switch(&all(&world)).await.expect_err("two shadows each");
    assert_eq!(ambiguous.kind(), Some(ErrorKind::Conflict), "{ambiguous}");
    assert!(
        ambiguous.to_string().matches("more than one ready shadow").count() == 3,
        "every sync is named: {ambiguous}"
    );
    assert_eq!(flips(&world).await, []);

    let to_v0 = SwitchRequest {
        destination_connection_id: world.ids.connection_v0.to_string(),
        operation_id: Uuid::new_v4().to_string(),
        ..all(&world)
    };
    let first = world.switch(&to_v0).await.expect("all of them");
    let changed: Vec<_> = first.syncs.iter().map(|it| (it.sync_id.clone(), it.generation)).collect();
    assert_eq!(changed, syncs.iter().map(|sync| (sync.to_string(), 1)).collect::<Vec<_>>());
    assert_eq!((first.sync_id.as_str(), first.new_active_slot_id.as_str()), ("", ""), "no one of them stands for all");
    assert_eq!(flips(&world).await, [(3, 1)]);
    assert_eq!(world.switch(&to_v0).await.expect("the same operation again"), first);

    let second = world.switch(&all(&world)).await.expect("one shadow is left to each");
    assert!(second.syncs.iter().all(|it| it.generation == 2 && !it.kept_until.is_empty()), "{second:?}");
    let back = roll_all_back(&world, &world.rollback_request()).await.expect("all go back");
    assert_eq!(flips(&world).await, [(3, 1), (3, 2), (3, 3)]);
    for (back, first) in back.syncs.iter().zip(&first.syncs) {
        assert_eq!((&back.new_active_slot_id, back.generation), (&first.new_active_slot_id, 3));
    }
    assert_eq!(world.fences().await, 0);
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_one_sync_is_not_ready_none_changes() {
    let (world, worker, syncs) = three_syncs().await;
    let mut slots = Vec::new();
    for sync in &syncs[..2] {
        slots.push(fork(&world, *sync, world.ids.connection_v0).await);
    }
    let dry = world.switch(&SwitchRequest { dry_run: true, ..all(&world) }).await.expect("a dry run");
    assert!(dry.blockers[0].message.contains(&format!("sync {} has no ready shadow", syncs[2])), "{:?}", dry.blockers);
    let refused = world.switch(&all(&world)).await.expect_err("one sync has nothing");
    assert_eq!(refused.kind(), Some(ErrorKind::Conflict), "{refused}");

    // Ready, but a job of one sync runs; and then, behind the fence, one slot turns out to be wrong.
    slots.push(fork(&world, syncs[2], world.ids.connection_v0).await);
    let job = world.insert_job("running").await;
    let impatient = SwitchRequest { job_wait_seconds: Some(1), ..all(&world) };
    let refused = world.switch(&impatient).await.expect_err("a job runs");
    assert!(refused.to_string().contains(&format!("job {job} of sync {}", world.ids.sync_id)), "{refused}");
    world.end_job(job).await;
    let lost = format!("DELETE FROM {} WHERE chunk_index = 0", world.points_table(&slots[1]));
    sqlx::query(sqlx::AssertSqlSafe(lost)).execute(world.database.pool()).await.expect("points can be removed");
    let refused = world.switch(&all(&world)).await.expect_err("one slot lost points");
    assert_eq!(refused.kind(), Some(ErrorKind::VerificationFailed), "{refused}");
    assert_eq!((flips(&world).await, world.fences().await), (vec![], 0));

    // One that is switched alone is not in the way of the others, when they are switched alone too.
    let alone = SwitchRequest { sync_id: syncs[0].to_string(), ..world.switch_request(&slots[0]) };
    world.switch(&alone).await.expect("a single sync");
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_about_a_collection_is_about_nothing_else() {
    let (world, worker, _) = three_syncs().await;
    let named = |request: SwitchRequest| SwitchRequest { sync_id: world.ids.sync_id.to_string(), ..request };
    let theirs = SwitchRequest { organization_id: Uuid::new_v4().to_string(), ..all(&world) };
    let unknown = SwitchRequest { collection_id: Uuid::new_v4().to_string(), ..all(&world) };
    for (request, kind) in [
        (named(all(&world)), ErrorKind::InvalidInput),
        (SwitchRequest { target_slot_id: Uuid::new_v4().to_string(), ..all(&world) }, ErrorKind::InvalidInput),
        (SwitchRequest { expected_generation: Some(0), ..all(&world) }, ErrorKind::InvalidInput),
        (SwitchRequest { collection_id: "nope".to_owned(), ..all(&world) }, ErrorKind::InvalidInput),
        (theirs, ErrorKind::NotFound),
        (unknown, ErrorKind::NotFound),
    ] {
        let handle = temporal::start_switch(&world.client, &world.task_queue, &request).await.expect("it starts");
        let refused = temporal::wait_switch(&handle).await.expect_err("it is refused");
        assert_eq!(refused.kind(), Some(kind), "{refused}");
    }
    drop(worker);
    world.done().await;
}
