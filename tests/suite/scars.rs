//! Where others were hurt: one test for each failure that is on public record of a project like this one and could happen
//! here. Each is named after what it proves; its comment names the project and the issue. Most of these are proved in more
//! depth elsewhere; here is the list.
//!
//! | scar | proved further in |
//! |---|---|
//! | undo under a cancelled context, ignored pause | `operators`, drills `unwind` |
//! | position read before the lock, backlog that never drains | `catching_up`, `replay::histories` in `activities` |
//! | a switch that reads its position too early, or locks once (Vitess #16563, #9481) | `fenced_switch`, `fence` in `activities` |
//! | a switch that does not wait for what is behind (Vitess #6951), a lease that is not renewed (#16240) | `fenced_switch` |
//! | workflows that touch each other's rows, double active | `switching`, `database::tests` in `activities` |
//! | count as position, re-sampled ranges | drills `worker_killed`, `continuing` |
//! | reads that do not follow | `reading` |
//! | partial listing, deletion by absence | `catching_up`, `imperfect_store` |
//! | state lost in continue-as-new | drills `continue_as_new` |

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use activities::database::plans::{self, PlanOptions};
use activities::database::roles::{self, FlipCommand};
use activities::database::{SlotScope, slots};
use activities::raw_store::ListedObject;
use futures::future::join_all;
use futures::{StreamExt, stream};
use harness::{AnyWorkflow, Ended, Reader, World, WorldOptions, ended, payload, progress, signal, until, until_some};
use proto::v1::{ForkCollectionRequest, ForkOptions, ForkRequest, ForkResult, Progress, SlotState};
use sqlx::{Postgres, Transaction};
use sync_multiplexer::temporal;
use temporalio_client::{WorkflowCancelOptions, WorkflowFetchHistoryOptions, WorkflowTerminateOptions};
use temporalio_common::protos::temporal::api::history::v1::history_event::Attributes;
use tokio::sync::oneshot;
use uuid::Uuid;
use workflows::domain::ErrorKind;
use workflows::{fork_collection_workflow_id, fork_workflow_id};

const SHORTLY: Duration = Duration::from_secs(60);

/// Keeps every replay of the world from passing its next checkpoint, until it is rolled back.
async fn hold(world: &World) -> Transaction<'static, Postgres> {
    let mut transaction = world.database.pool().begin().await.expect("a transaction begins");
    sqlx::query("LOCK TABLE sync_multiplexer.ledger_page IN EXCLUSIVE MODE")
        .execute(&mut *transaction)
        .await
        .expect("the ledger can be locked");
    transaction
}

async fn let_go(held: Transaction<'static, Postgres>) {
    held.rollback().await.expect("the lock can be given back");
}

/// One lane, five entities at a time, and no catching up that would mend what the replay missed.
fn one_pass(world: &World) -> ForkRequest {
    let options = ForkOptions {
        lanes: 1,
        batch_entities: 5,
        segment_entities: 10,
        catch_up_rounds: Some(0),
        ..ForkOptions::default()
    };
    ForkRequest { options: Some(options), ..world.fork_request(world.ids.connection_v0) }
}

async fn start(world: &World, request: &ForkRequest) -> AnyWorkflow {
    world.start_fork(request).await.expect("the fork starts");
    world.any_workflow(&fork_workflow_id(&request.sync_id, &request.destination_connection_id))
}

async fn at(handle: &AnyWorkflow, what: &str, state: impl Fn(&Progress) -> bool) -> Progress {
    until_some(what, SHORTLY, || async { progress(handle).await.filter(&state) }).await
}

async fn completed(handle: &AnyWorkflow) -> ForkResult {
    match ended(handle).await {
        Ended::Completed(payload) => serde_json::from_slice(&payload.data).expect("a result is JSON"),
        other => panic!("the fork did not complete: {other:?}"),
    }
}

fn flip_to(world: &World, slot: &str) -> FlipCommand {
    world.flip_command(slot.parse().expect("a slot id is a UUID"), false)
}

/// Role of every row of the sync, the source's too, and the generation.
async fn roles_and_generation(world: &World) -> (BTreeMap<Uuid, Option<String>>, u64) {
    let roles: Vec<(Uuid, Option<String>)> =
        sqlx::query_as("SELECT id, role FROM public.sync_connection WHERE sync_id = $1")
            .bind(world.ids.sync_id)
            .fetch_all(world.database.pool())
            .await
            .expect("the roles are readable");
    let generation = roles::generation(&world.database, world.ids.organization_id, world.ids.sync_id).await;
    (roles.into_iter().collect(), generation.expect("the sync is there"))
}

async fn two_ready() -> (World, harness::Worker, [String; 2]) {
    let world = World::with(WorldOptions { entities: 12, ..WorldOptions::default() }).await;
    let worker = world.worker();
    let (v0, v1) = (world.fork_request(world.ids.connection_v0), world.fork_request(world.ids.connection_v1));
    let (v0, v1) = tokio::join!(world.fork(&v0), world.fork(&v1));
    let slots = [v0.expect("the first fork").slot_id, v1.expect("the second fork").slot_id];
    (world, worker, slots)
}

/// Vitess #17620: after a switch that failed, the automatic cancel used a context that was dead, and always failed.
#[tokio::test(flavor = "multi_thread")]
async fn an_undo_runs_although_its_workflow_is_cancelled() {
    let world = World::with(WorldOptions { entities: 30, ..WorldOptions::default() }).await;
    let held = hold(&world).await;
    let handle = start(&world, &one_pass(&world)).await;
    let worker = world.worker();
    at(&handle, "a replay", |it| it.segments_in_flight == 1).await;
    handle.cancel(WorkflowCancelOptions::builder().reason("a test").build()).await.expect("it can be cancelled");
    let_go(held).await;
    assert_eq!(ended(&handle).await, Ended::Cancelled);
    for (what, count) in world.residue().await {
        assert_eq!(count, 0, "{what} is left");
    }
    drop(worker);
    world.done().await;
}

/// Vitess #16563: the position was read before the lock, and what was written in between was lost. Here the position is the
/// listing: one that another plan has overtaken is not used, whatever it says.
#[tokio::test(flavor = "multi_thread")]
async fn a_listing_from_before_the_lock_is_not_believed() {
    let mut world = World::with(WorldOptions { entities: 10, ..WorldOptions::default() }).await;
    let worker = world.worker();
    let made = world.fork(&one_pass(&world)).await.expect("the fork completes");
    let slot_id = made.slot_id.parse().expect("a slot id is a UUID");
    let scope = SlotScope { organization_id: world.ids.organization_id, sync_id: world.ids.sync_id, slot_id };
    // What the store had when the slow planner began to list, which waits with the end of its listing.
    let keys: Vec<String> = world.entity_files().iter().map(|file| name(file)).collect();
    let listed = keys.iter().map(|key| {
        Ok(ListedObject { key: key.clone(), size: 1, token: "of another version".to_owned(), modified_ms: 0 })
    });
    let ((begun, began), (go_on, waiting)) = (oneshot::channel::<()>(), oneshot::channel::<()>());
    let begin = stream::once(async { begun.send(()) }).filter_map(|_| async { None });
    let end = stream::once(waiting).filter_map(|_| async { None });
    let listing = begin.chain(stream::iter(listed.collect::<Vec<_>>())).chain(end).boxed();
    let database = world.database.clone();
    let slow = tokio::spawn(async move {
        plans::create(&database, &scope, Uuid::new_v4(), listing, &PlanOptions::default()).await
    });
    began.await.expect("the slow planner lists");

    let changes = world.platform_job(1, 4).await;
    world.fork(&one_pass(&world)).await.expect("the other planner was faster");
    let before = world.content(&made.slot_id).await;
    go_on.send(()).expect("the slow planner waits");
    let overtaken = slow.await.expect("it does not panic").expect_err("its listing is out of date");
    assert_eq!(overtaken.kind(), ErrorKind::Unavailable, "{overtaken}");
    assert_eq!(world.content(&made.slot_id).await, before);
    let again = world.fork(&one_pass(&world)).await.expect("there is nothing to do");
    assert_eq!((again.entities, again.deleted), (0, 0), "nothing of {changes:?} was lost or undone");
    drop(worker);
    world.done().await;
}

fn name(file: &Path) -> String {
    file.file_name().and_then(|name| name.to_str()).expect("a name is text").to_owned()
}

/// Vitess #17326: a switch that failed half-way left some of it switched.
#[tokio::test(flavor = "multi_thread")]
async fn a_switch_that_fails_half_way_has_switched_nothing() {
    let (world, worker, [v0, v1]) = two_ready().await;
    world.flip(&flip_to(&world, &v0)).await.expect("the first switch");
    let before = roles_and_generation(&world).await;
    for (table, moment) in [
        ("sync_multiplexer.audit", "INSERT"),
        ("public.sync_connection", "UPDATE"),
        ("sync_multiplexer.slot", "UPDATE"),
    ] {
        // After the statement, so that what came before it in the transaction was done.
        let script = format!(
            "CREATE OR REPLACE FUNCTION public.fail() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN RAISE EXCEPTION 'a test'; END $$;
             CREATE CONSTRAINT TRIGGER scar AFTER {moment} ON {table} FOR EACH ROW EXECUTE FUNCTION public.fail()"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(script)).execute(world.database.pool()).await.expect("a trigger");
        world.flip(&flip_to(&world, &v1)).await.expect_err("it fails half-way");
        assert_eq!(roles_and_generation(&world).await, before, "{moment} on {table}");
        let script = format!("DROP TRIGGER scar ON {table}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(script)).execute(world.database.pool()).await.expect("no trigger");
    }
    world.flip(&flip_to(&world, &v1)).await.expect("now it goes");
    drop(worker);
    world.done().await;
}

/// Vitess #14795: workflows that ran at the same time updated each other's rows.
#[tokio::test(flavor = "multi_thread")]
async fn operations_at_the_same_time_leave_each_others_slots_alone() {
    let [world, neighbour] = World::with_syncs(WorldOptions { entities: 30, ..WorldOptions::default() }).await;
    let held = hold(&world).await;
    let worker = world.worker();
    // Two of one sync, and one of another sync to the same connection as the one that is cancelled.
    let other = ForkRequest { destination_connection_id: world.ids.connection_v1.to_string(), ..one_pass(&world) };
    let handles = [
        start(&world, &one_pass(&world)).await,
        start(&world, &other).await,
        start(&neighbour, &one_pass(&neighbour)).await,
    ];
    for handle in &handles {
        at(handle, "a replay", |it| it.segments_in_flight == 1).await;
    }
    handles[0].cancel(WorkflowCancelOptions::builder().reason("a test").build()).await.expect("it can be cancelled");
    let_go(held).await;
    assert_eq!(ended(&handles[0]).await, Ended::Cancelled);
    for (handle, world) in [(&handles[1], &world), (&handles[2], &neighbour)] {
        let result = completed(handle).await;
        let mut expected = world.entity_ids.clone();
        expected.sort();
        assert_eq!(world.stored_entities(&result.slot_id).await, expected);
        assert_eq!(world.list().slots.len(), 1);
        assert_eq!(world.list().slots[0].entities, 30);
    }
    drop(worker);
    world.done().await;
}

/// OpenSearch migrations #3330: how many were done was used as the position to go on from, so what was left out in between
/// shifted the rest.
#[tokio::test(flavor = "multi_thread")]
async fn what_vanishes_behind_the_cursor_shifts_nothing() {
    let mut world = World::with(WorldOptions { entities: 40, ..WorldOptions::default() }).await;
    let held = hold(&world).await;
    let handle = start(&world, &one_pass(&world)).await;
    let worker = world.worker();
    let slot = at(&handle, "the first batch", |it| it.segments_in_flight == 1).await.slot_id;
    until("the first batch to be written", SHORTLY, async || world.stored_entities(&slot).await.len() == 5).await;
    // Some of the batch in hand, and some that come right after it.
    let files: Vec<PathBuf> = world.entity_files().into_iter().take(9).collect();
    let gone: Vec<String> =
        world.entity_ids.iter().filter(|id| files.contains(&world.entity_file(id))).cloned().collect();
    assert_eq!(gone.len(), 9);
    world.delete(&gone).await;
    let_go(held).await;
    let result = completed(&handle).await;
    let stored = world.stored_entities(&result.slot_id).await;
    let missed: Vec<_> = world.entity_ids.iter().filter(|id| !stored.contains(id)).collect();
    assert!(missed.is_empty(), "{missed:?} were passed over");
    assert_eq!(result.catch_up_rounds, 0, "and nothing came later to mend it");
    drop(worker);
    world.done().await;
}

/// Qdrant migration: a resumed run drew its ranges anew and applied the old offsets to them, so points were skipped.
#[tokio::test(flavor = "multi_thread")]
async fn a_resumed_replay_cut_into_other_ranges_skips_nothing() {
    let world = World::with(WorldOptions { entities: 60, ..WorldOptions::default() }).await;
    let worker = world.worker();
    let request = one_pass(&world);
    let held = hold(&world).await;
    let handle = start(&world, &request).await;
    at(&handle, "a replay", |it| it.segments_in_flight == 1).await;
    signal(&handle, "pause", vec![]).await;
    at(&handle, "the pause", |it| it.paused).await;
    let_go(held).await;
    at(&handle, "one segment of six", |it| it.segments_in_flight == 0 && it.segments_done == 1).await;
    handle.terminate(WorkflowTerminateOptions::builder().reason("a test").build()).await.expect("it can be terminated");
    for segment_entities in [7, 13] {
        let options = ForkOptions { segment_entities, ..request.options.unwrap_or_default() };
        let result = world.fork(&ForkRequest { options: Some(options), ..request.clone() }).await.expect("it goes on");
        assert!(result.continued && result.unchanged + result.entities == 60, "{result:?}");
        let mut expected = world.entity_ids.clone();
        expected.sort();
        assert_eq!(world.stored_entities(&result.slot_id).await, expected);
    }
    drop(worker);
    world.done().await;
}

/// Airweave's multiplexer: a switch moved no reads, because searches named a destination of their own.
#[tokio::test(flavor = "multi_thread")]
async fn reads_follow_the_switch_and_the_rollback() {
    let (world, worker, [v0, v1]) = two_ready().await;
    world.switch(&world.switch_request(&v0)).await.expect("the first switch");
    let reader = Reader::start(&world).await;
    let asked = async || reader.ask("why").await.expect("an answer").destination.slot_id.to_string();
    assert_eq!(asked().await, v0);
    world.switch(&world.switch_request(&v1)).await.expect("the second switch");
    assert_eq!(asked().await, v1);
    world.rollback(&world.rollback_request()).await.expect("the rollback");
    assert_eq!(asked().await, v0);
    drop(worker);
    world.done().await;
}

/// Airweave's multiplexer: a replay compared hashes with the platform's rows, found everything unchanged, and wrote nothing.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_platform_calls_unchanged_is_written_to_a_new_slot_all_the_same() {
    let world = World::with(WorldOptions { entities: 20, ..WorldOptions::default() }).await;
    let worker = world.worker();
    let first = world.fork(&one_pass(&world)).await.expect("the first fork").slot_id;
    let hashes: BTreeMap<String, String> =
        world.content(&first).await.into_iter().map(|(entity, hash, ..)| (entity, hash)).collect();
    for (entity, hash) in &hashes {
        sqlx::query("UPDATE public.entity SET hash = $2 WHERE entity_id = $1")
            .bind(entity)
            .bind(hash)
            .execute(world.database.pool())
            .await
            .expect("the platform knows the hash");
    }
    let request = ForkRequest { destination_connection_id: world.ids.connection_v1.to_string(), ..one_pass(&world) };
    let second = world.fork(&request).await.expect("the second fork");
    assert_eq!((second.entities, second.unchanged), (20, 0), "{second:?}");
    assert_eq!(world.content(&second.slot_id).await, world.content(&first).await);
    drop(worker);
    world.done().await;
}

/// Airweave: a listing that broke off was returned as if it were whole, and what it lacked was deleted as an orphan.
#[tokio::test(flavor = "multi_thread")]
async fn a_listing_that_breaks_off_is_a_failure_and_deletes_nothing() {
    let world = World::with(WorldOptions { entities: 20, ..WorldOptions::default() }).await;
    let worker = world.worker();
    // The platform knows nothing, so that nothing but the listing itself speaks against it.
    sqlx::query("DELETE FROM public.entity").execute(world.database.pool()).await.expect("the table can be emptied");
    let everything = ForkOptions { max_drop_percent: Some(100), ..one_pass(&world).options.unwrap_or_default() };
    let request = ForkRequest { options: Some(everything), ..one_pass(&world) };
    let slot = world.fork(&request).await.expect("the fork completes").slot_id;
    let before = world.content(&slot).await;
    let unlistable = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"\xff.json");
    fs::write(world.store().join("entities").join(unlistable), "{}").expect("any bytes are a name");
    fs::remove_file(world.entity_file(&world.entity_ids[0])).expect("an entity can be removed");
    let failure = world.fork(&request).await.expect_err("the listing is not whole");
    assert_eq!(failure.kind(), Some(ErrorKind::RawStoreInvalid), "{failure}");
    assert_eq!(world.content(&slot).await, before);
    drop(worker);
    world.done().await;
}

/// Airweave's multiplexer: at the end of a replay everything that it had not come across was deleted, from the raw store
/// and from the platform's tables.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_replay_could_not_read_is_deleted_nowhere() {
    let world = World::with(WorldOptions { entities: 20, ..WorldOptions::default() }).await;
    let worker = world.worker();
    let slot = world.fork(&one_pass(&world)).await.expect("the fork completes").slot_id;
    let (torn, lost) = (&world.entity_ids[0], &world.entity_ids[1]);
    world.put_entity_text(torn, "{ torn");
    fs::remove_file(world.entity_file(lost)).expect("an entity can be removed");
    let known = async || -> Vec<String> {
        sqlx::query_scalar("SELECT entity::text FROM public.entity ORDER BY id")
            .fetch_all(world.database.pool())
            .await
            .expect("the platform's rows are readable")
    };
    let (rows, files) = (known().await, raw_store(&world.store()));
    let request = one_pass(&world);
    let failure = world.fork(&request).await.expect_err("the platform knows one that is not there");
    assert_eq!(failure.kind(), Some(ErrorKind::RawStoreInvalid), "{failure}");
    world.put_entity(lost, "back");
    let files = BTreeMap::from_iter(files.into_iter().chain([file(&world.entity_file(lost))]));
    let result = world.fork(&request).await.expect("one dead letter is within the budget");
    assert_eq!((result.dead_letter_count, result.deleted), (1, 0), "{result:?}");
    assert!(world.stored_entities(&slot).await.contains(torn), "what was there of it stays");
    assert_eq!((known().await, raw_store(&world.store())), (rows, files));
    drop(worker);
    world.done().await;
}

/// Every file below a folder with its bytes.
fn raw_store(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(folder).expect("the store is readable").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { raw_store(&path) } else { BTreeMap::from([file(&path)]) }).collect()
}

fn file(path: &Path) -> (PathBuf, Vec<u8>) {
    (path.to_owned(), fs::read(path).expect("a file is readable"))
}

/// Airweave's multiplexer: every row got a role, the source's too, and a switch could demote it.
#[tokio::test(flavor = "multi_thread")]
async fn the_row_of_the_source_has_no_role_and_gets_none() {
    let (world, worker, [v0, v1]) = two_ready().await;
    let source: Uuid = sqlx::query_scalar(
        "SELECT joined.id FROM public.sync_connection AS joined
         JOIN public.connection ON connection.id = joined.connection_id
         WHERE sync_id = $1 AND integration_type = 'SOURCE'",
    )
    .bind(world.ids.sync_id)
    .fetch_one(world.database.pool())
    .await
    .expect("the sync has a source");
    world.switch(&world.switch_request(&v0)).await.expect("the first switch");
    world.switch(&world.switch_request(&v1)).await.expect("the second switch");
    world.rollback(&world.rollback_request()).await.expect("the rollback");
    assert_eq!(roles_and_generation(&world).await.0[&source], None);
    let refused = world.switch(&world.switch_request(&source.to_string())).await.expect_err("it is no destination");
    assert_eq!(refused.kind(), Some(ErrorKind::NotFound), "{refused}");
    sqlx::query("UPDATE public.sync_connection SET role = 'deprecated' WHERE id = $1")
        .bind(source)
        .execute(world.database.pool())
        .await
        .expect_err("nor by hand");
    drop(worker);
    world.done().await;
}

/// Airweave's multiplexer: two switches at a time, without a lock or an index, could leave two active slots.
#[tokio::test(flavor = "multi_thread")]
async fn at_no_moment_are_two_slots_active() {
    let (world, worker, [v0, v1]) = two_ready().await;
    world.flip(&flip_to(&world, &v0)).await.expect("the first switch");
    let over = Arc::new(AtomicBool::new(false));
    let (watched, pool, sync_id) = (Arc::clone(&over), world.database.pool().clone(), world.ids.sync_id);
    let watcher = tokio::spawn(async move {
        let (mut looks, mut wrong) = (0_u32, Vec::new());
        while !watched.load(Ordering::Relaxed) || looks == 0 {
            let active: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM public.sync_connection WHERE sync_id = $1 AND role = 'active'",
            )
            .bind(sync_id)
            .fetch_one(&pool)
            .await
            .expect("the roles are readable");
            looks += 1;
            if active != 1 {
                wrong.push(active);
            }
        }
        wrong
    });
    for _ in 0..10 {
        let (_, generation) = roles_and_generation(&world).await;
        // To either slot, from what each believes is so.
        let commands: Vec<_> = [&v0, &v1, &v0, &v1]
            .map(|slot| FlipCommand {
                rollback: generation > 1,
                expected_generation: Some(generation),
                ..flip_to(&world, slot)
            })
            .into();
        join_all(commands.iter().map(|command| world.flip(command))).await;
        assert_eq!(roles_and_generation(&world).await.1, generation + 1, "one of them won");
    }
    over.store(true, Ordering::Relaxed);
    assert_eq!(watcher.await.expect("the watcher does not panic"), Vec::<i64>::new());
    let (roles, _) = roles_and_generation(&world).await;
    let deprecated = roles.iter().find(|(_, role)| role.as_deref() == Some("deprecated")).expect("one was left").0;
    sqlx::query("UPDATE public.sync_connection SET role = 'active' WHERE id = $1")
        .bind(deprecated)
        .execute(world.database.pool())
        .await
        .expect_err("not even by hand");
    drop(worker);
    world.done().await;
}

/// Stripe's sync engine #245: a counter that a wait depended on was lost when the workflow continued as new.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_counted_and_told_survives_a_continue_as_new() {
    let worlds = World::with_syncs::<21>(WorldOptions { entities: 1, ..WorldOptions::default() }).await;
    let first = &worlds[0];
    let worker = first.worker();
    let options = ForkOptions { without_replay: true, ..ForkOptions::default() };
    let request = ForkCollectionRequest {
        options: Some(options),
        concurrency: 2,
        ..first.fork_collection_request(first.ids.connection_v0)
    };
    let fork = first.start_fork_collection(&request).await.expect("it starts");
    let id = fork_collection_workflow_id(&request.collection_id, &request.destination_connection_id);
    let handle = first.any_workflow(&id);
    signal(&handle, "throttle", vec![payload("json/plain", "{\"lanes\": 9}")]).await;
    let result = temporal::watch_fork_collection(&first.client, &request, &fork, |_| {}).await.expect("all are forked");
    assert_eq!((result.ready, result.syncs.len()), (21, 21), "{result:?}");
    assert!(result.syncs.iter().all(|fork| fork.state == "empty" && !fork.slot_id.is_empty()), "{result:?}");

    let history = handle.fetch_history(WorkflowFetchHistoryOptions::builder().build());
    let events = history.into_events().await.expect("the history can be read");
    let started = events.iter().find_map(|event| match &event.attributes {
        Some(Attributes::WorkflowExecutionStartedEventAttributes(it)) => Some(it),
        _ => None,
    });
    let started = started.expect("a history begins with its start");
    assert_eq!(started.continued_execution_run_id, result.operation_id, "two executions, one after the other");
    let carried = &started.input.as_ref().expect("it carries something over").payloads[1].data;
    let carried: serde_json::Value = serde_json::from_slice(carried).expect("it is JSON");
    assert_eq!([&carried["concurrency"], &carried["begun"], &carried["next"]], [9, 20, 20], "{carried}");
    assert!(events.len() < 100, "{} events for one sync", events.len());
    drop(worker);
    let [first, ..] = worlds;
    first.done().await;
}

/// Airbyte #70984: a sync that read nothing from a source that has something was a success.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_read_is_no_success() {
    let world = World::with(WorldOptions { entities: 10, ..WorldOptions::default() }).await;
    let worker = world.worker();
    let slot = world.fork(&one_pass(&world)).await.expect("the fork completes").slot_id;
    let before = world.content(&slot).await;
    world.empty_store().await;
    let everything =
        ForkOptions { max_drop_percent: Some(100), confirm_drop: 10, ..one_pass(&world).options.unwrap_or_default() };
    let request = ForkRequest { options: Some(everything), ..one_pass(&world) };
    let new = ForkRequest { destination_connection_id: world.ids.connection_v1.to_string(), ..request.clone() };
    for request in [request, new] {
        let failure = world.fork(&request).await.expect_err("there is nothing to read");
        assert_eq!(failure.kind(), Some(ErrorKind::RawStoreInvalid), "{failure}");
    }
    assert_eq!((world.content(&slot).await, world.list().slots.len()), (before, 1));
    assert_eq!(world.list().slots[0].state(), SlotState::Ready);
    drop(worker);
    world.done().await;
}

/// PeerDB: a mirror that was paused went on with what it was at.
#[tokio::test(flavor = "multi_thread")]
async fn a_paused_replay_stands_still_and_goes_on_where_it_was() {
    let world = World::with(WorldOptions { entities: 40, ..WorldOptions::default() }).await;
    let held = hold(&world).await;
    let handle = start(&world, &one_pass(&world)).await;
    let worker = world.worker();
    at(&handle, "a replay", |it| it.segments_in_flight == 1).await;
    signal(&handle, "pause", vec![]).await;
    at(&handle, "the pause", |it| it.paused).await;
    let_go(held).await;
    let paused = at(&handle, "the lane to run dry", |it| it.segments_in_flight == 0).await;
    assert_eq!((paused.segments_done, paused.phase.as_str()), (1, "replay"));
    let slot = paused.slot_id;
    let scope = SlotScope {
        organization_id: world.ids.organization_id,
        sync_id: world.ids.sync_id,
        slot_id: slot.parse().expect("a slot id is a UUID"),
    };
    assert_eq!(slots::get(&world.database, &scope).await.expect("the slot").entities, 10, "one segment of four");
    signal(&handle, "resume", vec![]).await;
    assert_eq!(completed(&handle).await.entities, 40);
    drop(worker);
    world.done().await;
}

/// gh-ost #784: writes came as fast as they were carried over, and the cut-over was tried for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_that_never_drains_ends_with_a_lag_that_is_told() {
    const BUSY: usize = 6;
    let world = Arc::new(World::with(WorldOptions { entities: 30, ..WorldOptions::default() }).await);
    let worker = world.worker();
    let options = ForkOptions {
        catch_up_entities: Some(0),
        catch_up_rounds: Some(3),
        ..one_pass(&world).options.unwrap_or_default()
    };
    let request = ForkRequest { options: Some(options), ..one_pass(&world) };
    let fork = world.start_fork(&request).await.expect("the fork starts");
    let over = Arc::new(AtomicBool::new(false));
    let (writing, writer) = (Arc::clone(&over), Arc::clone(&world));
    let writes = tokio::spawn(async move {
        let mut pace = tokio::time::interval(Duration::from_millis(5));
        for round in 0_u64.. {
            if writing.load(Ordering::Relaxed) {
                break;
            }
            for id in writer.entity_ids.iter().take(BUSY) {
                writer.put_entity_at_once(id, &format!("round {round}"));
            }
            pace.tick().await;
        }
    });
    let end = temporal::watch_fork(&fork, |_| {}).await;
    over.store(true, Ordering::Relaxed);
    writes.await.expect("the writer does not panic");
    let result = end.expect("the fork completes although it never catches up");
    let lag = result.lag.expect("the lag is told");
    assert!((1..=3).contains(&result.catch_up_rounds), "{result:?}");
    assert!((1..=BUSY as u64).contains(&lag.entities) && result.state == "ready", "{result:?}");
    drop(worker);
    Arc::into_inner(world).expect("nobody else has it").done().await;
}
