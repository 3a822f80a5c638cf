//! A switch behind its fence: nothing of the platform runs through it, one slot is active at every instant, and whatever ends
//! it leaves no fence behind.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use harness::{
    AnyWorkflow, Ended, Reader, RoleWatch, World, WorldOptions, ended, payload, progress, signal, until, until_some,
};
use proto::v1::{SwitchRequest, SwitchResult};
use sqlx::AssertSqlSafe;
use sync_multiplexer::temporal;
use temporalio_client::{WorkflowCancelOptions, WorkflowFetchHistoryOptions};
use temporalio_common::protos::temporal::api::history::v1::history_event::Attributes;
use uuid::Uuid;
use workflows::domain::ErrorKind;
use workflows::switch_workflow_id;

/// For a state that is a few round trips away.
const SHORTLY: Duration = Duration::from_secs(60);

/// A world with an active slot and a ready shadow.
async fn world_to_switch(options: WorldOptions) -> (World, harness::Worker, [String; 2]) {
    let world = World::with(options).await;
    let worker = world.worker();
    let (v0, v1) = (world.fork_request(world.ids.connection_v0), world.fork_request(world.ids.connection_v1));
    let (v0, v1) = tokio::join!(world.fork(&v0), world.fork(&v1));
    let slots = [v0.expect("the first fork completes").slot_id, v1.expect("the second fork completes").slot_id];
    world.switch(&world.switch_request(&slots[0])).await.expect("the first slot becomes active");
    (world, worker, slots)
}

async fn active(world: &World) -> String {
    sqlx::query_scalar("SELECT slot_id::text FROM sync_multiplexer.active_destination")
        .fetch_one(world.database.pool())
        .await
        .expect("one slot is active")
}

async fn start(world: &World, request: &SwitchRequest) -> AnyWorkflow {
    temporal::start_switch(&world.client, &world.task_queue, request).await.expect("the switch starts");
    world.any_workflow(&switch_workflow_id(&request.sync_id))
}

/// Starts a switch under an id of its own, as nobody should.
async fn start_beside(world: &World, name: &str, request: &SwitchRequest) -> AnyWorkflow {
    let argument = payload("json/plain", serde_json::to_string(request).expect("JSON"));
    world.start_any("SwitchWorkflow", &format!("{}/{name}", world.task_queue), vec![argument]).await
}

fn failed_with(ended: &Ended, kind: ErrorKind, words: &str) {
    let (name, message) = ended.failure();
    assert!(name == kind.name() && message.contains(words), "{words:?} is not in {name}: {message}");
}

/// Changes a few entities in the raw store, as of some seconds ago.
async fn fall_behind(world: &mut World, round: u32, seconds: u64) {
    let changes = world.platform_job(round, 12).await;
    let then = SystemTime::now() - Duration::from_secs(seconds);
    for id in changes.updated.iter().chain(&changes.added) {
        let file = fs::File::options().write(true).open(world.entity_file(id)).expect("the entity is there");
        file.set_modified(then).expect("its time can be set");
    }
}

/// Everything a switch can change, as text.
async fn everything(world: &World) -> String {
    sqlx::query_scalar(
        "SELECT jsonb_build_array(
             (SELECT jsonb_agg(to_jsonb(it) ORDER BY id) FROM public.sync_connection AS it),
             (SELECT jsonb_agg(to_jsonb(it) ORDER BY id) FROM public.sync_job AS it),
             (SELECT jsonb_agg(to_jsonb(it) ORDER BY sync_id) FROM sync_multiplexer.sync_state AS it),
             (SELECT jsonb_agg(to_jsonb(it) ORDER BY slot_id) FROM sync_multiplexer.slot AS it),
             (SELECT jsonb_agg(to_jsonb(it) ORDER BY plan_id) FROM sync_multiplexer.plan AS it),
             (SELECT jsonb_agg(to_jsonb(it) ORDER BY operation_id) FROM sync_multiplexer.operation AS it),
             (SELECT jsonb_agg(to_jsonb(it) ORDER BY operation_id) FROM sync_multiplexer.audit AS it))::text",
    )
    .fetch_one(world.database.pool())
    .await
    .expect("the tables can be read")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_before_a_switch_or_a_rollback_is_in_the_slot() {
    let (mut world, worker, [v0, v1]) =
        world_to_switch(WorldOptions { entities: 800, ..WorldOptions::default() }).await;
    fall_behind(&mut world, 1, 5).await;
    let switched = world.switch(&world.switch_request(&v1)).await.expect("the switch");
    assert_eq!((switched.generation, switched.syncs.len(), switched.forced), (2, 1, false));

    // A thousand writes that only the new active slot's platform knows of.
    let changes = world.platform_job(2, 600).await;
    let writes = changes.updated.len() + changes.added.len() + changes.deleted.len();
    assert!(writes >= 1000, "{writes} writes");
    let back = world.rollback(&world.rollback_request()).await.expect("the rollback");
    assert_eq!((&back.new_active_slot_id, back.generation), (&v0, 3));
    let ids = world.stored_entities(&v0).await;
    let holds = |id: &String| ids.binary_search(id).is_ok();
    assert!(changes.updated.iter().chain(&changes.added).all(holds), "what was written is there");
    assert!(!changes.deleted.iter().any(holds), "what was deleted is gone");
    // The other slot, caught up in its turn, is built from the same raw store by other rounds.
    world.rollback(&world.rollback_request()).await.expect("and forth");
    assert_eq!(world.content(&v0).await, world.content(&v1).await);
    assert_eq!(world.fences().await, 0);
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_switches_and_rollbacks_at_the_same_time_one_slot_is_active_at_every_instant() {
    let (world, worker, [v0, v1]) = world_to_switch(WorldOptions::default()).await;
    let watch = RoleWatch::start(&world);
    let generation = |generation| Some(generation);
    let to_v1 = SwitchRequest { expected_generation: generation(1), ..world.switch_request(&v1) };
    let one = start_beside(&world, "one", &to_v1).await;
    let two = start_beside(&world, "two", &to_v1).await;
    let (one, two) = tokio::join!(ended(&one), ended(&two));
    for end in [one, two] {
        // The same thing twice: one does it, the other finds it done.
        let Ended::Completed(answer) = &end else { panic!("{end:?}") };
        let answer: SwitchResult = serde_json::from_slice(&answer.data).expect("a result is JSON");
        assert_eq!((answer.new_active_slot_id.as_str(), answer.generation), (v1.as_str(), 2));
    }

    // A switch that still believes in the generation before, and a rollback.
    let back = SwitchRequest {
        rollback: true,
        reason: "back".to_owned(),
        expected_generation: generation(2),
        ..world.switch_request(&v0)
    };
    let forth = SwitchRequest { expected_active_slot_id: v0.clone(), ..back.clone() };
    let forth = SwitchRequest { target_slot_id: v1.clone(), expected_generation: generation(3), ..forth };
    let (back, forth) = (start_beside(&world, "back", &back).await, start_beside(&world, "forth", &forth).await);
    let (back, forth) = tokio::join!(ended(&back), ended(&forth));
    assert!(matches!(back, Ended::Completed(_)), "{back:?}");
    let last = match forth {
        Ended::Completed(_) => &v1,
        other => {
            assert_eq!(other.failure().0, "Conflict", "{other:?}");
            &v0
        }
    };
    assert_eq!(&active(&world).await, last);
    watch.saw_one_active_slot_always().await;
    assert_eq!(world.fences().await, 0);
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_start_at_any_moment_never_run_through_a_switch() {
    const SWITCHES: u64 = 4;
    let (world, worker, _) = world_to_switch(WorldOptions::default()).await;
    world.switch(&world.switch_request(&world.list().slots[1].slot_id)).await.expect("there is a way back");
    let (world, over, jobs) = (Arc::new(world), Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let platform = {
        let (world, over, jobs) = (Arc::clone(&world), Arc::clone(&over), Arc::clone(&jobs));
        tokio::spawn(async move {
            let mut kept_out = 0_u32;
            while !over.load(Ordering::Relaxed) {
                match world.start_job().await {
                    Some(job) => {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                        world.end_job(job).await;
                        jobs.fetch_add(1, Ordering::Relaxed);
                        tokio::time::sleep(Duration::from_millis(150)).await;
                    }
                    None => kept_out += 1,
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            kept_out
        })
    };
    let watch = RoleWatch::start(&world);
    for _ in 0..SWITCHES {
        world.rollback(&world.rollback_request()).await.expect("it comes about in the end");
        let before = jobs.load(Ordering::Relaxed);
        until("jobs run again", SHORTLY, async || jobs.load(Ordering::Relaxed) > before).await;
    }
    over.store(true, Ordering::Relaxed);
    let kept_out = platform.await.expect("the platform goes on to the end");
    eprintln!("{} jobs, {kept_out} attempts met a fence or another job", jobs.load(Ordering::Relaxed));
    watch.saw_one_active_slot_always().await;
    assert_eq!(world.list().generation, SWITCHES + 2);
    assert_eq!(world.switches_during_jobs().await, 0);
    assert!(kept_out > 0, "no job ever met a fence");
    assert_eq!(world.fences().await, 0);
    drop(worker);
    Arc::into_inner(world).expect("nobody else has the world").done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_slips_in_while_the_fence_goes_up_is_waited_for() {
    let (world, worker, [v0, v1]) = world_to_switch(WorldOptions::default()).await;
    let held = world.hold_verifications().await;
    let handle = start(&world, &world.switch_request(&v1)).await;
    until("the fence is up", SHORTLY, async || world.waiting_for_verifications().await > 0).await;
    assert_eq!(world.start_job().await, None, "the platform sees a running job");
    // One that looked before the fence was there.
    let job = world.insert_job("running").await;
    held.rollback().await.expect("the lock can be given back");
    let waiting = until_some("it waits for the job", SHORTLY, async || {
        progress(&handle).await.filter(|it| !it.waits_for.is_empty())
    })
    .await;
    assert!(waiting.waits_for.contains(&job.to_string()) && waiting.phase == "wait", "{waiting:?}");
    assert_eq!(active(&world).await, v0);
    world.end_job(job).await;
    assert!(matches!(ended(&handle).await, Ended::Completed(_)));
    assert_eq!((active(&world).await, world.switches_during_jobs().await, world.fences().await), (v1, 0, 0));
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_such_a_job_writes_is_not_taken_for_a_wrong_slot() {
    let (world, worker, [v0, v1]) = world_to_switch(WorldOptions::default()).await;
    let points = world.points_table(&v1);
    let mut held = world.hide_points(&v1).await;
    let handle = start(&world, &world.switch_request(&v1)).await;
    until("the slot is verified", SHORTLY, async || world.waiting_for_points(&v1).await > 0).await;
    assert_eq!(world.fences().await, 2, "the fence is up, and its job is there");
    // It looked before the fence was there, and is just writing an entity: the old points are gone, the new not there yet.
    let job = world.insert_job("running").await;
    let change = format!(
        "CREATE TABLE public.written AS SELECT * FROM {points} WHERE entity_id = (SELECT min(entity_id) FROM {points});
         DELETE FROM {points} WHERE entity_id IN (SELECT entity_id FROM public.written)"
    );
    sqlx::raw_sql(AssertSqlSafe(change)).execute(&mut *held).await.expect("the points can be deleted");
    held.commit().await.expect("the job goes on");
    let waiting = until_some("it waits for the job", SHORTLY, async || {
        progress(&handle).await.filter(|it| !it.waits_for.is_empty())
    })
    .await;
    assert!(waiting.waits_for.contains(&job.to_string()) && waiting.phase == "wait", "{waiting:?}");
    assert_eq!(active(&world).await, v0);
    let change = format!("INSERT INTO {points} SELECT * FROM public.written; DROP TABLE public.written");
    sqlx::raw_sql(AssertSqlSafe(change)).execute(world.database.pool()).await.expect("the points can be written");
    world.end_job(job).await;
    assert!(matches!(ended(&handle).await, Ended::Completed(_)));
    assert_eq!((active(&world).await, world.switches_during_jobs().await, world.fences().await), (v1, 0, 0));
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_job_is_waited_for_as_long_as_was_said() {
    let (world, worker, [v0, v1]) = world_to_switch(WorldOptions::default()).await;
    let job = world.insert_job("running").await;
    let impatient = SwitchRequest { job_wait_seconds: Some(1), ..world.switch_request(&v1) };
    let refused = world.switch(&impatient).await.expect_err("the job goes on");
    assert_eq!(refused.kind(), Some(ErrorKind::Conflict), "{refused}");
    assert!(refused.to_string().contains(&format!("job {job}")), "{refused}");
    assert_eq!((active(&world).await, world.fences().await), (v0, 1), "the job is all there is");

    let handle = start(&world, &world.switch_request(&v1)).await;
    until("it waits", SHORTLY, async || progress(&handle).await.is_some_and(|it| it.phase == "wait")).await;
    world.end_job(job).await;
    assert!(matches!(ended(&handle).await, Ended::Completed(_)));
    assert_eq!((active(&world).await, world.fences().await), (v1, 0));
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn past_its_time_limit_or_cancelled_a_switch_is_taken_back() {
    let (world, worker, [v0, v1]) = world_to_switch(WorldOptions::default()).await;
    let watch = RoleWatch::start(&world);
    let held = world.hold_verifications().await;
    let short = SwitchRequest { time_limit_seconds: 1, ..world.switch_request(&v1) };
    let handle = start(&world, &short).await;
    failed_with(&ended(&handle).await, ErrorKind::Timeout, "within 1 s behind its fence");
    assert_eq!(world.fences().await, 0);

    // Paused behind the fence, the limit goes on.
    let handle = start(&world, &SwitchRequest { time_limit_seconds: 3, ..short.clone() }).await;
    until("it is behind the fence", SHORTLY, async || world.fences().await == 2).await;
    signal(&handle, "pause", vec![]).await;
    failed_with(&ended(&handle).await, ErrorKind::Timeout, "within 3 s behind its fence");
    assert_eq!(world.fences().await, 0);

    let handle = start(&world, &world.switch_request(&v1)).await;
    until("it is behind the fence", SHORTLY, async || world.fences().await == 2).await;
    handle.cancel(WorkflowCancelOptions::builder().reason("a test").build()).await.expect("it can be cancelled");
    assert_eq!(ended(&handle).await, Ended::Cancelled);
    assert_eq!((active(&world).await, world.fences().await), (v0, 0));

    held.rollback().await.expect("the lock can be given back");
    world.switch(&world.switch_request(&v1)).await.expect("nothing is in the way of the next one");
    watch.saw_one_active_slot_always().await;
    assert_eq!(active(&world).await, v1);
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_everything_and_changes_nothing() {
    let (mut world, worker, [_, v1]) = world_to_switch(WorldOptions::default()).await;
    fall_behind(&mut world, 1, 5).await;
    let job = world.insert_job("running").await;
    let before = everything(&world).await;
    let dry = SwitchRequest { dry_run: true, ..world.switch_request(&v1) };
    let told = world.switch(&dry).await.expect("a dry run");
    assert_eq!(told.blockers, []);
    assert!(told.waits_for[0].contains(&format!("job {job}")), "{:?}", told.waits_for);
    let lag = told.syncs[0].lag.expect("it was measured");
    assert!(lag.entities == 21 && lag.oldest_change_ms >= 5_000, "{lag:?}");
    let blocked = world.switch(&SwitchRequest { expected_generation: Some(7), ..dry }).await.expect("a dry run");
    assert!(blocked.blockers[0].message.contains("is at generation 1, not 7"), "{:?}", blocked.blockers);
    assert_eq!(everything(&world).await, before);

    let sync = world.ids.sync_id.to_string();
    let run = |more: &[&str], code: i32| {
        let dry = ["switch", "--dry-run", "--sync", &sync, "--to", &v1];
        let output = world.command().args(dry).args(more).output().expect("the program runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}{}", String::from_utf8_lossy(&output.stderr));
        said
    };
    let said = run(&[], 0);
    assert!(said.contains("would wait for job") && said.contains("it is 21 entities behind"), "{said}");
    assert!(run(&["--expect-generation", "7"], 5).contains("is at generation 1, not 7"));
    assert_eq!(everything(&world).await, before);
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn force_goes_on_without_the_raw_store_and_says_so_for_good() {
    let (world, worker, [v0, v1]) = world_to_switch(WorldOptions::default()).await;
    let away = world.store().with_extension("away");
    fs::rename(world.store(), &away).expect("the store can be moved");
    let plain = SwitchRequest { time_limit_seconds: 3, ..world.switch_request(&v1) };
    let refused = world.switch(&plain).await.expect_err("there is nothing to compare with");
    assert_eq!((refused.kind(), active(&world).await), (Some(ErrorKind::NotFound), v0), "{refused}");

    let unreasoned = SwitchRequest { force: true, ..plain.clone() };
    let refused = world.switch(&unreasoned).await.expect_err("force needs a reason");
    assert_eq!(refused.kind(), Some(ErrorKind::InvalidInput), "{refused}");
    let expecting = SwitchRequest { expected_generation: Some(7), reason: "r".to_owned(), ..unreasoned.clone() };
    let refused = world.switch(&expecting).await.expect_err("force is not past an expectation");
    assert_eq!(refused.kind(), Some(ErrorKind::Conflict), "{refused}");

    let forced = SwitchRequest { reason: "the bucket is gone".to_owned(), ..unreasoned };
    let switched = world.switch(&forced).await.expect("by force");
    assert_eq!((switched.generation, switched.forced, active(&world).await), (2, true, v1));
    assert!(switched.syncs[0].skipped[0].contains("NotFound: cannot list"), "{:?}", switched.syncs);
    let (forced, skipped, reason): (bool, Vec<String>, String) =
        sqlx::query_as("SELECT forced, skipped, reason FROM sync_multiplexer.audit WHERE generation = 2")
            .fetch_one(world.database.pool())
            .await
            .expect("it is on record");
    assert_eq!((forced, &skipped, reason.as_str()), (true, &switched.syncs[0].skipped, "the bucket is gone"));
    assert_eq!(world.fences().await, 0);
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn force_gives_up_what_takes_too_long_and_switches_within_its_limit() {
    let (world, worker, [_, v1]) = world_to_switch(WorldOptions::default()).await;
    let held = world.hold_verifications().await;
    // Two thirds of it are for the proof; a worker hears within 5 s that it is to stop.
    let forced = SwitchRequest {
        force: true,
        time_limit_seconds: 24,
        reason: "the verification hangs".to_owned(),
        ..world.switch_request(&v1)
    };
    let switched = world.switch(&forced).await.expect("by force");
    assert_eq!((switched.generation, active(&world).await), (2, v1));
    let skipped = &switched.syncs[0].skipped;
    assert_eq!(skipped, &["last catch-up and verification: not done within 16 s"]);
    held.rollback().await.expect("the lock can be given back");
    assert_eq!(world.fences().await, 0);
    drop(worker);
    world.done().await;
}

/// When steps of a switch began and ended, by its history: from raising the fence to the flip, and all in all.
async fn durations(handle: &AnyWorkflow) -> (Duration, Duration) {
    let history = handle.fetch_history(WorkflowFetchHistoryOptions::builder().build());
    let events = history.into_events().await.expect("the history can be read");
    let at = |position: usize| {
        let time = events[position].event_time.expect("an event has a time");
        Duration::new(time.seconds.unsigned_abs(), time.nanos.unsigned_abs())
    };
    let scheduled = |step: &str| {
        events.iter().position(|event| {
            matches!(&event.attributes, Some(Attributes::ActivityTaskScheduledEventAttributes(it))
                if it.activity_type.as_ref().is_some_and(|kind| kind.name == step))
        })
    };
    let raised = scheduled("raise_fence").expect("the fence was raised");
    let lowered = scheduled("lower_fence").expect("the fence was lowered");
    (at(lowered) - at(raised), at(events.len() - 1) - at(0))
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_go_on_while_slots_that_are_seconds_behind_are_switched_to() {
    let (mut world, worker, [_, v1]) = world_to_switch(WorldOptions::default()).await;
    world.switch(&world.switch_request(&v1)).await.expect("there is a way back");
    let reader = Arc::new(Reader::start(&world).await);
    let over = Arc::new(AtomicBool::new(false));
    let reading = {
        let (reader, over) = (Arc::clone(&reader), Arc::clone(&over));
        tokio::spawn(async move {
            let mut answers = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let answer = reader.ask("why were customers billed twice").await.expect("no read fails");
                assert!(!answer.hits.is_empty());
                answers.push((answer.destination.generation, answer.destination.slot_id));
            }
            answers
        })
    };
    let mut measured = Vec::new();
    for round in 1..=5 {
        fall_behind(&mut world, round, 5).await;
        let started = Instant::now();
        world.rollback(&world.rollback_request()).await.expect("the switch");
        let outside = started.elapsed();
        let handle = world.any_workflow(&switch_workflow_id(&world.ids.sync_id.to_string()));
        let (fenced, all) = durations(&handle).await;
        measured.push((fenced, all, outside));
    }
    over.store(true, Ordering::Relaxed);
    let answers = reading.await.expect("the reader goes on to the end");
    let made: Vec<(i64, Uuid)> = sqlx::query_as("SELECT generation, new_active FROM sync_multiplexer.audit")
        .fetch_all(world.database.pool())
        .await
        .expect("the audit trail can be read");
    assert!(answers.iter().all(|answer| made.contains(answer)), "an answer of another slot than its generation's");
    let median = |of: fn(&(Duration, Duration, Duration)) -> Duration| {
        let mut all: Vec<_> = measured.iter().map(of).collect();
        all.sort_unstable();
        all[all.len() / 2]
    };
    eprintln!(
        "switch of a slot 5 s and 21 entities behind, median of {}: {:?} behind the fence, {:?} of workflow, {:?} seen from \
         outside; {} reads meanwhile",
        measured.len(),
        median(|it| it.0),
        median(|it| it.1),
        median(|it| it.2),
        answers.len()
    );
    drop((reader, worker));
    world.done().await;
}
