//! Resyncs: the platform pulls everything again, and what is kept fresh follows.
//!
//! The platform is a server that runs jobs against the world's own database and raw store. Jobs can be held while they
//! run, so these tests know where a resync is.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use activities::database::fence::{self, Hold};
use harness::platform_api::{Ending, Fault, PlatformServer, PlatformServerOptions, Version};
use harness::{AnyWorkflow, Ended, Worker, World, ended, payload, progress, scheduled, signal, until};
use proto::v1::{ResyncOptions, ResyncRequest, ResyncResult};
use serde_json::{Value, json};
use temporalio_client::WorkflowCancelOptions;
use uuid::Uuid;
use workflows::domain::ErrorKind;

/// For a state that is a few round trips away.
const SHORTLY: Duration = Duration::from_secs(30);

/// An answer that takes longer is no answer for somebody who waits.
const SOON: Duration = Duration::from_secs(15);

async fn world_with(options: PlatformServerOptions) -> (World, PlatformServer, Worker) {
    let world = World::new().await;
    let platform = PlatformServer::start(&world, options).await;
    let worker = world.worker_at(&platform);
    (world, platform, worker)
}

async fn world_of(version: Version) -> (World, PlatformServer, Worker) {
    world_with(PlatformServerOptions { version, ..PlatformServerOptions::default() }).await
}

fn with(request: &ResyncRequest, change: impl FnOnce(&mut ResyncOptions)) -> ResyncRequest {
    let mut options = request.options.unwrap_or_default();
    change(&mut options);
    ResyncRequest { options: Some(options), ..request.clone() }
}

async fn start(world: &World, request: &ResyncRequest) -> AnyWorkflow {
    world.start_resync(request).await.expect("the resync starts");
    world.resync_workflow()
}

async fn cancel(handle: &AnyWorkflow) {
    handle.cancel(WorkflowCancelOptions::builder().reason("a test").build()).await.expect("it can be cancelled");
}

/// State, kind and words of the newest resync, as they are recorded.
async fn record(world: &World) -> (String, Option<String>, Option<String>) {
    sqlx::query_as(
        "SELECT state, error_kind, error_message FROM sync_multiplexer.operation WHERE kind = 'resync'
         ORDER BY started_at DESC LIMIT 1",
    )
    .fetch_one(world.database.pool())
    .await
    .expect("there is a resync")
}

/// Ids of the entities that the platform knows, sorted.
async fn known(world: &World) -> Vec<String> {
    sqlx::query_scalar("SELECT entity_id::text FROM public.entity ORDER BY entity_id COLLATE \"C\"")
        .fetch_all(world.database.pool())
        .await
        .expect("entities are readable")
}

fn statuses(jobs: &[(Uuid, String)]) -> Vec<&str> {
    jobs.iter().map(|(_, status)| status.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_at_the_source_arrives_in_the_raw_store_and_in_every_slot() {
    let (world, platform, worker) = world_of(Version::Original).await;
    let slot = world.fork(&world.fork_request(world.ids.connection_v0)).await.expect("the fork completes").slot_id;
    let changes = platform.change_source(1, 20).await;
    assert_eq!((changes.updated.len(), changes.added.len(), changes.deleted.len()), (20, 10, 5));

    let request = ResyncRequest { operation_id: Uuid::new_v4().to_string(), ..world.resync_request() };
    let result = world.resync(&request).await.expect("the resync completes");
    let job = result.job.clone().expect("a job");
    assert_eq!((job.status.as_str(), job.sync_job_id.as_str()), ("completed", result.sync_job_id.as_str()));
    assert_eq!((job.encountered, job.inserted, job.updated, job.deleted, job.kept), (65, 10, 20, 5, 35));
    assert_eq!((result.entities_before, result.entities_after), (60, 65));
    assert_eq!((result.known_before, result.known_after, result.missing), (60, 65, 0));
    let [caught_up] = result.slots.as_slice() else { panic!("one slot: {result:?}") };
    assert_eq!((&caught_up.slot_id, caught_up.problem.as_str()), (&slot, ""));
    assert_eq!((caught_up.lag.map(|it| it.entities), caught_up.written, caught_up.deleted), (Some(35), 30, 5));
    assert_eq!(world.stored_entities(&slot).await.len(), known(&world).await.len());
    let clean = world.fork(&world.fork_request(world.ids.connection_v1)).await.expect("a clean build completes");
    assert!(world.content(&slot).await == world.content(&clean.slot_id).await, "the slot is a clean build");

    // This version refuses to be told to ignore a cursor that is not there.
    let routes: Vec<_> = platform.take_asked().into_iter().map(|it| it.route).collect();
    let run = format!("POST /source-connections/{}/run", platform.source_connection());
    assert_eq!(routes[..2], [format!("{run}?force_full_sync=true"), run.clone()]);
    assert!(routes[2..].iter().all(|route| route.starts_with("GET ")), "{routes:?}");
    assert_eq!(statuses(&platform.jobs().await), ["completed", "completed"], "the seeded one, and one more");
    assert_eq!(record(&world).await.0, "completed");

    // Asked again it is the same operation, and no job is started.
    assert_eq!(world.resync(&request).await.expect("the same answer"), result);
    assert_eq!(platform.jobs().await.len(), 2);
    let shown = progress(&world.resync_workflow()).await.expect("it answers");
    assert_eq!((shown.operation.as_str(), shown.phase.as_str()), ("resync", "done"));
    drop((worker, platform));
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_captures_what_the_raw_store_lost_and_an_ordinary_job_does_not() {
    for version in [Version::Flat, Version::Nested] {
        let (world, platform, worker) = world_of(version).await;
        let slot = world.fork(&world.fork_request(world.ids.connection_v0)).await.expect("the fork completes").slot_id;
        let mut lost = world.entity_ids[..3].to_vec();
        for id in &lost {
            std::fs::remove_file(world.entity_file(id)).expect("an entity can be lost");
        }
        lost.sort();

        let ordinary = world.resync(&world.resync_request()).await.expect("the resync completes");
        assert_eq!((ordinary.missing, &ordinary.missing_sample), (3, &lost), "they are named");
        assert_eq!((ordinary.entities_before, ordinary.entities_after, ordinary.known_after), (57, 57, 60));
        assert_eq!(ordinary.slots[0].deleted, 0, "what the platform still knows stays in the slot");
        assert_eq!(ordinary.job.as_ref().map(|job| job.kept), Some(60));

        let request = ResyncRequest { rebuild_raw_store: true, ..world.resync_request() };
        let rebuilt = world.resync(&request).await.expect("the rebuild completes");
        assert_eq!((rebuilt.missing, rebuilt.entities_before, rebuilt.entities_after), (0, 57, 60), "{version:?}");
        assert_eq!(rebuilt.job.as_ref().map(|job| (job.inserted, job.kept)), Some((60, 0)));
        assert_eq!(world.stored_entities(&slot).await.len(), 60);

        // A raw store that is gone altogether.
        std::fs::remove_dir_all(world.store()).expect("a store can be lost");
        let rebuilt = world.resync(&request).await.expect("the rebuild completes");
        assert_eq!((rebuilt.entities_before, rebuilt.entities_after, rebuilt.known_before), (0, 60, 60));
        let asked = platform.take_asked();
        assert!(asked.iter().any(|it| it.route == format!("POST /admin/resync/{}", world.ids.sync_id)), "{asked:?}");
        drop((worker, platform));
        world.done().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_the_way_is_told_soon_and_starts_no_job() {
    let (world, platform, worker) = world_of(Version::Original).await;
    let good = serde_json::to_value(world.resync_request()).expect("a request has a JSON form");
    let with = |key: &str, value: Value| {
        let mut request = good.clone();
        request[key] = value;
        payload("json/plain", request.to_string())
    };
    for (argument, kind, words) in [
        (with("sync_id", json!("nope")), "InvalidInput", "sync_id is not a UUID"),
        (with("sync_id", json!(Uuid::new_v4())), "NotFound", "does not exist"),
        (with("organization_id", json!(Uuid::new_v4())), "NotFound", "does not exist"),
        (with("operation_id", json!("nope")), "InvalidInput", "operation_id is not a UUID"),
        (with("rebuild", json!(true)), "InvalidInput", "unknown field"),
        (with("rebuild_raw_store", json!(true)), "Conflict", "cannot rebuild its raw store"),
        (with("options", json!({ "wait_seconds": 604_801 })), "InvalidInput", "at most 604800"),
        (with("options", json!({ "max_drop_percent": 101 })), "InvalidInput", "at most 100"),
        (payload("json/plain", "garbage"), "InvalidInput", "does not decode"),
    ] {
        let started = Instant::now();
        let id = format!("{}/{}", world.task_queue, Uuid::new_v4());
        let end = ended(&world.start_any("ResyncWorkflow", &id, vec![argument]).await).await;
        assert!(started.elapsed() < SOON, "{end:?} took {:?}", started.elapsed());
        let (seen, said) = end.failure();
        assert!(seen == kind && said.contains(words), "{seen}: {said}");
    }

    platform.hold_jobs();
    let theirs = platform.start_job(true).await;
    let refused = world.resync(&world.resync_request()).await.expect_err("a job runs");
    assert_eq!(refused.kind(), Some(ErrorKind::Conflict));
    assert!(refused.to_string().contains(&theirs.to_string()), "{refused}");
    assert_eq!(platform.take_asked(), [], "the platform was not even asked");

    // Who waits gets a turn.
    let patient = self::with(&world.resync_request(), |options| options.wait_seconds = 60);
    let handle = start(&world, &patient).await;
    until("it waits", SHORTLY, async || progress(&handle).await.is_some_and(|it| it.phase == "trigger")).await;
    platform.let_jobs_go();
    assert!(matches!(ended(&handle).await, Ended::Completed(_)));
    assert_eq!(statuses(&platform.jobs().await), ["completed"; 3]);

    // And not for ever.
    platform.hold_jobs();
    let theirs = platform.start_job(true).await;
    let hasty = self::with(&world.resync_request(), |options| options.wait_seconds = 1);
    let refused = world.resync(&hasty).await.expect_err("the job goes on");
    assert!(refused.to_string().contains(&theirs.to_string()), "{refused}");
    platform.let_jobs_go();
    until("their job has ended", SHORTLY, async || statuses(&platform.jobs().await) == ["completed"; 4]).await;
    drop((worker, platform));
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fence_keeps_resyncs_away() {
    let (world, platform, worker) = world_of(Version::Original).await;
    let owner = Uuid::new_v4();
    let hold = Hold { sync_id: world.ids.sync_id, organization_id: world.ids.organization_id, operation_id: owner };
    for (lasts, refused) in [(Duration::from_secs(3600), true), (Duration::ZERO, false)] {
        assert_eq!(fence::raise(&world.database, &[hold], lasts).await.expect("a fence can be raised"), []);
        if !refused {
            // What it left in the platform's table is removed by every worker, sooner or later.
            fence::sweep(&world.database).await.expect("an expired fence is removed");
        }
        match world.resync(&world.resync_request()).await {
            Err(failure) if refused => {
                assert_eq!(failure.kind(), Some(ErrorKind::Conflict));
                assert!(failure.to_string().contains(&owner.to_string()), "{failure}");
                assert_eq!(platform.take_asked(), []);
            }
            outcome => assert!(outcome.is_ok() && !refused, "{lasts:?}: {outcome:?}"),
        }
    }
    drop((worker, platform));
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_platform_refuses_is_told_and_changes_nothing() {
    let (world, platform, worker) = world_of(Version::Original).await;
    let before = std::fs::read_dir(world.store().join("entities")).expect("a folder").count();
    for (fault, kind, words) in [
        (Fault::Unauthorized, ErrorKind::Unauthorized, "set PLATFORM_API_KEY"),
        (Fault::Forbidden, ErrorKind::Forbidden, "Invalid or expired API key"),
        (Fault::NotFound, ErrorKind::NotFound, "Source connection not found"),
        (Fault::Refused("Usage limit reached".to_owned()), ErrorKind::Conflict, "Usage limit reached"),
        (Fault::Misunderstood, ErrorKind::InvalidInput, "Input should be a valid dictionary"),
        (Fault::Redirect("http://127.0.0.1:9/".to_owned()), ErrorKind::InvalidInput, "redirects"),
    ] {
        platform.fail_next([fault.clone()]);
        let refused = world.resync(&world.resync_request()).await.expect_err("refused");
        assert_eq!(refused.kind(), Some(kind), "{refused}");
        assert!(refused.to_string().contains(words), "{refused}");
        let (state, recorded, said) = record(&world).await;
        assert_eq!((state.as_str(), recorded.as_deref()), ("failed", Some(kind.name())));
        assert!(!said.unwrap_or_default().contains(platform.own_key()));
    }
    assert_eq!(platform.jobs().await.len(), 1, "only the seeded one");
    assert_eq!(std::fs::read_dir(world.store().join("entities")).expect("a folder").count(), before);
    // None of this is in the way of the next one; a platform that asks to wait is waited for.
    platform.fail_next([Fault::SlowDown(1), Fault::Failed]);
    world.resync(&world.resync_request()).await.expect("then it goes well");
    assert_eq!(platform.jobs().await.len(), 2);
    drop((worker, platform));
    world.done().await;
}

/// Airbyte's #70984: a sync that pulls nothing and reports success.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_fails_or_sees_nothing_is_no_success() {
    let (world, platform, worker) = world_of(Version::Nested).await;
    let slot = world.fork(&world.fork_request(world.ids.connection_v0)).await.expect("the fork completes").slot_id;
    let before = world.fingerprint(&slot).await;
    let long = format!("cannot reach https://someone:secret@source/path?token=1 {}", "and so on ".repeat(500));
    for (ending, kind, words) in [
        (Ending::Empty, ErrorKind::VerificationFailed, "without having seen a single entity"),
        (Ending::Failed("token expired".to_owned()), ErrorKind::RawStoreInvalid, "token expired"),
        (Ending::Failed(long), ErrorKind::RawStoreInvalid, "cannot reach https://source/…"),
        (Ending::Cancelled, ErrorKind::Conflict, "was cancelled at the platform"),
    ] {
        for rebuild_raw_store in [false, true] {
            platform.end_next(ending.clone());
            let request = ResyncRequest { rebuild_raw_store, ..world.resync_request() };
            let failed = world.resync(&request).await.expect_err("it is no success");
            assert_eq!(failed.kind(), Some(kind), "{failed}");
            let said = failed.to_string();
            assert!(said.contains(words) && said.len() < 1000 && !said.contains("secret"), "{said}");
            let job = platform.jobs().await.pop().expect("a job").0;
            assert!(said.contains(&job.to_string()), "the job is named: {said}");
        }
    }
    assert_eq!(world.fingerprint(&slot).await, before, "nothing of ours changed");
    // An empty source is allowed to stay empty.
    sqlx::query("DELETE FROM public.entity").execute(world.database.pool()).await.expect("a table");
    for file in world.entity_files() {
        std::fs::remove_file(file).expect("an entity can be removed");
    }
    platform.end_next(Ending::Empty);
    let failed = world.resync(&world.resync_request()).await.expect_err("an empty raw store is not usable");
    assert_eq!(failed.kind(), Some(ErrorKind::RawStoreInvalid), "{failed}");
    assert!(failed.to_string().contains("has no entities"), "{failed}");
    drop((worker, platform));
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_lost_starts_one_job() {
    for rebuild_raw_store in [false, true] {
        let (world, platform, worker) = world_of(Version::Nested).await;
        for (round, fault) in (1..).zip([Fault::LoseAnswer, Fault::FailedAfterStart, Fault::Garbage, Fault::Endless]) {
            let (before, starts) = (platform.jobs().await.len(), fault != Fault::Endless);
            platform.fail_next([fault.clone()]);
            let request = ResyncRequest { rebuild_raw_store, ..world.resync_request() };
            let result = world.resync(&request).await.unwrap_or_else(|failure| panic!("{fault:?}: {failure}"));
            let jobs = platform.jobs().await;
            assert_eq!(jobs.len(), before + 1, "{fault:?}: exactly one job");
            assert_eq!(jobs.last().map(|job| job.0.to_string()), Some(result.sync_job_id), "{fault:?}");
            let posts = platform.take_asked().iter().filter(|it| it.route.starts_with("POST ")).count();
            assert_eq!(posts, if starts { 1 } else { 2 }, "{fault:?} in round {round}");
        }
        drop((worker, platform));
        world.done().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_not_what_was_asked_for_is_cancelled() {
    let (world, platform, worker) = world_of(Version::Nested).await;
    platform.hold_jobs();
    platform.fail_next([Fault::IgnoreConfiguration]);
    let request = ResyncRequest { rebuild_raw_store: true, ..world.resync_request() };
    let failed = world.resync(&request).await.expect_err("that is no rebuild");
    assert_eq!(failed.kind(), Some(ErrorKind::Conflict));
    assert!(failed.to_string().contains("did not take the configuration"), "{failed}");
    assert_eq!(statuses(&platform.jobs().await), ["completed", "cancelled"]);
    drop((worker, platform));
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_that_is_away_is_waited_for_and_not_for_ever() {
    let world = World::new().await;
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let somewhere =
        |key: &str| [("PLATFORM_API_URL", format!("http://{address}")), ("PLATFORM_API_KEY", key.to_owned())];
    let worker = world.worker_among(&somewhere("k"));
    let hasty = with(&world.resync_request(), |options| options.away_limit_seconds = 2);
    let failed = world.resync(&hasty).await.expect_err("nobody is there");
    assert_eq!(failed.kind(), Some(ErrorKind::Unavailable), "{failed}");
    assert!(failed.to_string().contains("cannot be reached"), "{failed}");
    drop(worker);

    // It comes while it is waited for.
    let worker = world.worker_among(&somewhere("another"));
    let handle = start(&world, &with(&world.resync_request(), |options| options.away_limit_seconds = 60)).await;
    until("it is tried", SHORTLY, async || worker.log().contains("cannot be reached")).await;
    let platform = PlatformServer::start_at(&world, PlatformServerOptions::default(), address).await;
    let end = ended(&handle).await;
    assert_eq!(end.failure().0, "Forbidden", "it came back with other keys: {end:?}");
    assert_eq!(platform.jobs().await.len(), 1);

    // Of an answer from somewhere in between nobody knows what became of the question.
    drop(worker);
    platform.fail_next([Fault::Unavailable]);
    let worker = world.worker_at(&platform);
    let hasty =
        with(&world.resync_request(), |options| (options.away_limit_seconds, options.cancel_limit_seconds) = (3, 2));
    let failed = world.resync(&hasty).await.expect_err("it is not known");
    assert_eq!(failed.kind(), Some(ErrorKind::Timeout), "{failed}");
    let said = failed.to_string();
    assert!(said.contains("within 3 s") && said.contains("the platform's job may go on"), "{said}");
    assert_eq!(platform.jobs().await.len(), 1);

    // A worker that knows no platform says so.
    drop(worker);
    let worker = world.worker();
    let failed = world.resync(&world.resync_request()).await.expect_err("there is no address");
    assert_eq!(failed.kind(), Some(ErrorKind::InvalidInput), "{failed}");
    assert!(failed.to_string().contains("PLATFORM_API_URL"), "{failed}");
    drop((worker, platform));
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_it_takes_its_job_along() {
    let (world, platform, worker) = world_of(Version::Nested).await;
    platform.hold_jobs();
    for rebuild_raw_store in [false, true] {
        let handle = start(&world, &ResyncRequest { rebuild_raw_store, ..world.resync_request() }).await;
        world.until_job_is("running").await;
        cancel(&handle).await;
        assert_eq!(ended(&handle).await, Ended::Cancelled);
        assert_eq!(platform.jobs().await.pop().map(|job| job.1).as_deref(), Some("cancelled"));
        assert_eq!(record(&world).await.0, "cancelled");
        let shown = progress(&handle).await.and_then(|it| it.platform_job).expect("a job is shown");
        assert_eq!(shown.status, "cancelled");
    }

    // One that does not react is named.
    platform.end_next(Ending::Deaf);
    let handle = start(&world, &with(&world.resync_request(), |options| options.cancel_limit_seconds = 2)).await;
    world.until_job_is("running").await;
    cancel(&handle).await;
    let end = ended(&handle).await;
    assert!(end.failure().1.contains("cancelled, but the platform's job may go on"), "{end:?}");
    let left = platform.jobs().await.pop().expect("a job");
    assert_eq!(left.1, "cancelling");
    drop((worker, platform));
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_stops_the_resync_and_not_the_job() {
    let (world, platform, worker) = world_of(Version::Nested).await;
    platform.hold_jobs();
    let handle = start(&world, &world.resync_request()).await;
    world.until_job_is("running").await;
    let shown = progress(&handle).await.expect("it answers");
    assert_eq!((shown.operation.as_str(), shown.phase.as_str()), ("resync", "watch"));
    signal(&handle, "pause", vec![payload("json/plain", "null")]).await;
    platform.let_jobs_go();
    until("the job ends", SHORTLY, async || statuses(&platform.jobs().await) == ["completed"; 2]).await;
    until("it is paused", SHORTLY, async || progress(&handle).await.is_some_and(|it| it.paused)).await;
    signal(&handle, "resume", vec![payload("json/plain", "null")]).await;
    let Ended::Completed(result) = ended(&handle).await else { panic!("it completes") };
    let result: ResyncResult = serde_json::from_slice(&result.data).expect("a result");
    assert_eq!((result.entities_after, result.slots.len()), (60, 0));

    // A job that takes too long is left alone.
    platform.hold_jobs();
    let hasty = with(&world.resync_request(), |options| options.job_limit_seconds = 1);
    let failed = world.resync(&hasty).await.expect_err("the job is slow");
    assert_eq!(failed.kind(), Some(ErrorKind::Timeout), "{failed}");
    let (job, status) = platform.jobs().await.pop().expect("a job");
    assert!(failed.to_string().contains(&job.to_string()) && status == "running", "{failed}: {status}");
    drop((worker, platform));
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_that_cannot_catch_up_are_named_and_the_others_do() {
    let (world, platform, worker) = world_of(Version::Nested).await;
    let mut slots = Vec::new();
    for connection in [world.ids.connection_v0, world.ids.connection_v1] {
        slots.push(world.fork(&world.fork_request(connection)).await.expect("the fork completes").slot_id);
    }
    let changes = platform.change_source(1, 12).await;
    // The first slot's points cannot be written to.
    let table = world.points_table(&slots[0]);
    let closed = format!("ALTER TABLE {table} ADD CONSTRAINT closed CHECK (false) NOT VALID");
    sqlx::query(sqlx::AssertSqlSafe(closed)).execute(world.database.pool()).await.expect("a table can be closed");
    let result = world.resync(&world.resync_request()).await.expect("the raw store is fresh");
    let problems: Vec<_> = result.slots.iter().map(|it| (it.slot_id.clone(), it.problem.is_empty())).collect();
    assert_eq!(problems.len(), 2);
    assert!(
        problems.contains(&(slots[0].clone(), false)) && problems.contains(&(slots[1].clone(), true)),
        "{result:?}"
    );
    assert_eq!(world.stored_entities(&slots[1]).await.len(), 60 + changes.added.len() - changes.deleted.len());
    drop((worker, platform));
    world.done().await;
}

/// Somebody else keeps the same slots fresh, and plans meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_is_replaced_is_made_again() {
    let (world, platform, worker) = world_of(Version::Nested).await;
    let slot = world.fork(&world.fork_request(world.ids.connection_v0)).await.expect("the fork completes").slot_id;
    platform.change_source(1, 20).await;
    let mut held = world.database.pool().begin().await.expect("a transaction begins");
    sqlx::query("LOCK TABLE sync_multiplexer.ledger_page IN EXCLUSIVE MODE")
        .execute(&mut *held)
        .await
        .expect("the ledger can be locked");
    let handle = start(&world, &world.resync_request()).await;
    until("a segment waits", SHORTLY, async || progress(&handle).await.is_some_and(|it| it.segments_in_flight > 0))
        .await;
    let replaced = sqlx::query("DELETE FROM sync_multiplexer.plan WHERE slot_id = $1::uuid")
        .bind(&slot)
        .execute(world.database.pool());
    let (replaced, let_go) = tokio::join!(replaced, held.rollback());
    let_go.expect("the lock can be given back");
    assert_eq!(replaced.expect("a plan can go").rows_affected(), 1);
    let Ended::Completed(result) = ended(&handle).await else { panic!("it completes") };
    let result: ResyncResult = serde_json::from_slice(&result.data).expect("a result");
    assert_eq!((result.slots.len(), result.slots[0].problem.as_str()), (1, ""), "{result:?}");
    assert!(scheduled(&handle, "plan_replay").await >= 3, "two rounds, and one again");
    let clean = world.fork(&world.fork_request(world.ids.connection_v1)).await.expect("a clean build completes");
    assert!(world.content(&slot).await == world.content(&clean.slot_id).await, "the slot is a clean build");
    drop((worker, platform));
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_says_what_happened() {
    let (world, platform, worker) = world_of(Version::Nested).await;
    let run = |arguments: Vec<String>| {
        let mut command = world.command();
        command.args(["resync", "--sync", &world.ids.sync_id.to_string()]).args(arguments);
        tokio::task::spawn_blocking(move || command.output().expect("the program runs"))
    };
    let findings =
        world.command().args(["doctor", "--json"]).envs(platform.variables()).output().expect("the program runs");
    let findings: Vec<Value> = serde_json::from_slice(&findings.stdout).expect("JSON");
    let platforms: Vec<_> = findings.iter().filter(|it| it["what"] == "platform").collect();
    assert!(platforms.len() == 1 && platforms[0]["ok"] == true, "{findings:?}");
    assert!(platforms[0]["says"].as_str().is_some_and(|says| says.contains("administrators")), "{findings:?}");

    let output = run(vec!["--rebuild".to_owned(), "--json".to_owned()]).await.expect("it ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let result: ResyncResult = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(result.job.map(|job| job.inserted), Some(60));

    platform.hold_jobs();
    let theirs = platform.start_job(true).await;
    let output = run(vec![]).await.expect("it ends");
    assert_eq!(output.status.code(), Some(5), "a conflict");
    assert!(String::from_utf8_lossy(&output.stderr).contains(&theirs.to_string()));
    platform.let_jobs_go();
    let output = run(vec!["--wait-seconds=30".to_owned()]).await.expect("it ends");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("completed: 60 encountered") && said.contains("60 entities before, 60 now"), "{said}");
    drop((worker, platform));
    world.done().await;
}
