//! The operators' guide, `deploy/OPERATORS.md`, run as it stands: every block of commands of it, in a shell, with Temporal's own
//! program and Python SDK. A recipe that no test runs is an error.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::platform_api::{PlatformServer, PlatformServerOptions};
use harness::{Ended, World, ended, required_env, syncmux, until};
use proto::v1::{ForkCollectionResult, ForkResult, ResyncResult, RetireResult, SwitchResult};
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;
use workflows::{follow_workflow_id, fork_workflow_id};

use crate::operators::{SHORTLY, assert_undone, at, hold, let_go};

const GUIDE: &str = include_str!("../../deploy/OPERATORS.md");

/// What each test runs.
const OF_A_FORK: [&str; 13] = [
    "Start",
    "Look",
    "Wait for the result",
    "Pause",
    "Resume",
    "Throttle",
    "Cancel",
    "Terminate",
    "Go on after a failure or a termination",
    "Reset",
    "Find them",
    "Pause an activity",
    "Let an activity go on",
];
const OF_THE_OTHERS: [&str; 9] = [
    "Reset an activity",
    "Run an operation",
    "Switch",
    "Roll back",
    "Have a follow look at once",
    "Stop following",
    "Follow again",
    "Resync",
    "Retire",
];

/// The commands under each heading of the third level.
fn recipes() -> BTreeMap<&'static str, String> {
    let mut recipes: BTreeMap<&str, String> = BTreeMap::new();
    let (mut heading, mut inside) = ("", false);
    for line in GUIDE.lines() {
        match line {
            "```sh" => inside = true,
            "```" => inside = false,
            _ if inside => {
                let commands = recipes.entry(heading).or_default();
                commands.push_str(line);
                commands.push('\n');
            }
            _ => heading = line.strip_prefix("### ").unwrap_or(heading),
        }
    }
    recipes
}

#[test]
fn every_recipe_of_the_guide_is_run() {
    let written: BTreeSet<&str> = recipes().into_keys().collect();
    let run: BTreeSet<&str> = OF_A_FORK.into_iter().chain(OF_THE_OTHERS).collect();
    assert_eq!(written, run);
}

/// A shell in which the guide's variables are set.
struct Shell<'a> {
    world: &'a World,
    /// Holds the programs by the names that the guide uses.
    programs: TempDir,
    variables: BTreeMap<&'static str, String>,
    ran: RefCell<BTreeSet<&'static str>>,
}

impl<'a> Shell<'a> {
    fn new(world: &'a World) -> Self {
        let programs = TempDir::new().expect("a folder can be made");
        for (name, program) in [("syncmux", syncmux()), ("temporal", required_env("SYNCMUX_TEMPORAL_BIN").into())] {
            std::os::unix::fs::symlink(program, programs.path().join(name)).expect("a link can be made");
        }
        let variables = BTreeMap::from([
            ("ORGANIZATION", world.ids.organization_id.to_string()),
            ("SYNC", world.ids.sync_id.to_string()),
            ("CONNECTION", world.ids.connection_v0.to_string()),
            // Twelve segments of five entities, two at a time.
            ("OPTIONS", json!({"lanes": 2, "batch_entities": 5, "segment_entities": 5}).to_string()),
            ("TASK_QUEUE", world.task_queue.clone()),
        ]);
        Self { world, programs, variables, ran: RefCell::default() }
    }

    fn set(&mut self, name: &'static str, value: impl ToString) {
        self.variables.insert(name, value.to_string());
    }

    /// Runs one recipe as it stands; answers what it printed.
    #[track_caller]
    fn run(&self, heading: &str) -> String {
        let recipes = recipes();
        let (heading, commands) = recipes.get_key_value(heading).unwrap_or_else(|| panic!("there is no {heading:?}"));
        self.ran.borrow_mut().insert(heading);
        self.script(commands)
    }

    #[track_caller]
    fn script(&self, commands: &str) -> String {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut shell = Command::new("bash");
        for (name, value) in self.world.command().get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        shell
            .args(["-euo", "pipefail", "-c", commands])
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are in a workspace"))
            .env("PATH", format!("{}:{path}", self.programs.path().display()))
            .env("PYTHONPATH", PathBuf::from(required_env("SYNCMUX_TEMPORALIO_DIR")))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .envs(&self.variables);
        let output = shell.output().expect("bash runs");
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{commands}\n{out}\n{err}");
        out.into_owned()
    }

    /// Runs the guide's Python script; answers the result of the workflow.
    #[track_caller]
    fn python(&self, workflow: &str, id: &str, request: &Value) -> Value {
        let commands = format!("python3 deploy/examples/operation.py {workflow} '{id}' '{request}'");
        serde_json::from_str(&self.script(&commands)).expect("the script prints JSON")
    }

    fn assert_ran(&self, all: &[&str]) {
        assert_eq!(*self.ran.borrow(), all.iter().copied().collect::<BTreeSet<_>>());
    }
}

/// Id, state and whether it was terminated, of the newest fork.
async fn newest_fork(world: &World) -> (Uuid, String, bool) {
    sqlx::query_as(
        "SELECT operation_id, state, terminated FROM sync_multiplexer.operation WHERE kind = 'fork'
         ORDER BY started_at DESC LIMIT 1",
    )
    .fetch_one(world.database.pool())
    .await
    .expect("there is a fork")
}

fn fork_result(end: Ended) -> ForkResult {
    let Ended::Completed(payload) = end else { panic!("{end:?}") };
    serde_json::from_slice(&payload.data).expect("the result of a fork")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_is_steered_and_ended_as_the_guide_says() {
    let world = World::new().await;
    let worker = world.worker();
    let mut shell = Shell::new(&world);
    let (sync, connection) = (world.ids.sync_id.to_string(), world.ids.connection_v0.to_string());
    let fork = world.any_workflow(&fork_workflow_id(&sync, &connection));

    let held = hold(&world).await;
    shell.run("Start");
    at(&fork, "two lanes", |it| it.segments_in_flight == 2).await;
    until("the list of Temporal", SHORTLY, async || {
        let shown = shell.run("Look");
        assert!(shown.contains("\"replay\""), "{shown}");
        // Once in the description, once in the list.
        shown.matches("ForkWorkflow").count() == 2
    })
    .await;
    shell.run("Pause");
    at(&fork, "the pause", |it| it.paused).await;
    let_go(held).await;
    at(&fork, "the lanes to run dry", |it| it.segments_in_flight == 0 && it.segments_done == 2).await;
    let held = hold(&world).await;
    shell.run("Resume");
    at(&fork, "two lanes again", |it| !it.paused && it.segments_in_flight == 2).await;
    let answer = shell.run("Throttle");
    assert!(answer.contains("\"lanes\": 2") || answer.contains("\"lanes\":2"), "{answer}");
    at(&fork, "a third lane", |it| it.segments_in_flight == 3).await;
    shell.run("Cancel");
    let_go(held).await;
    assert_eq!(ended(&fork).await, Ended::Cancelled);
    assert_undone(&world).await;

    let held = hold(&world).await;
    shell.run("Start");
    let before = at(&fork, "two lanes", |it| it.segments_in_flight == 2).await;
    shell.run("Pause");
    at(&fork, "the pause", |it| it.paused).await;
    let_go(held).await;
    at(&fork, "the lanes to run dry", |it| it.segments_in_flight == 0 && it.segments_done == 2).await;
    shell.run("Terminate");
    assert_eq!(ended(&fork).await, Ended::Terminated);
    let (operation, state, _) = newest_fork(&world).await;
    assert_eq!(state, "running", "nobody has looked");
    shell.set("OPERATION", operation);
    let told = shell.run("Go on after a failure or a termination");
    assert!(told.contains("terminated") && told.contains(&operation.to_string()), "{told}");
    let told = shell.run("Wait for the result");
    assert!(told.contains(&before.slot_id), "{told}");
    let result = fork_result(ended(&fork).await);
    assert_eq!((&result.slot_id, result.continued), (&before.slot_id, true));
    assert_eq!((result.unchanged, result.entities), (10, 50), "from its checkpoints");

    terminated_and_reset(&world, &mut shell).await;
    shell.assert_ran(&OF_A_FORK);
    drop(worker);
    drop(shell);
    world.done().await;
}

/// A terminated fork is brought back where it was; one of its activities is paused and let go on.
async fn terminated_and_reset(world: &World, shell: &mut Shell<'_>) {
    let connection = world.ids.connection_v1;
    shell.set("CONNECTION", connection);
    let fork = world.any_workflow(&fork_workflow_id(&world.ids.sync_id.to_string(), &connection.to_string()));
    let held = hold(world).await;
    shell.run("Start");
    at(&fork, "two lanes", |it| it.segments_in_flight == 2).await;
    shell.run("Terminate");
    assert_eq!(ended(&fork).await, Ended::Terminated);
    let (operation, ..) = newest_fork(world).await;
    let told = shell.script(&format!("syncmux operations show {operation}"));
    assert!(told.contains("is terminated, in phase"), "{told}");
    assert_eq!(newest_fork(world).await, (operation, "failed".to_owned(), true));

    shell.run("Reset");
    at(&fork, "two lanes again", |it| it.segments_in_flight == 2).await;
    let pending = || -> Vec<Value> {
        let described: Value = serde_json::from_str(&shell.run("Find them")).expect("the terminal prints JSON");
        described["pendingActivities"].as_array().cloned().unwrap_or_default()
    };
    let activity = pending()[0]["activityId"].as_str().expect("an activity has an id").to_owned();
    let is_paused = || {
        let pending = pending();
        let found = pending.iter().find(|it| it["activityId"] == activity.as_str()).expect("it is still there");
        found["paused"] == true
    };
    let mut with_activity = Shell::new(world);
    with_activity.variables = shell.variables.clone();
    with_activity.set("ACTIVITY", &activity);
    with_activity.run("Pause an activity");
    assert!(is_paused());
    with_activity.run("Let an activity go on");
    assert!(!is_paused());
    shell.ran.borrow_mut().extend(with_activity.ran.into_inner());
    let_go(held).await;
    let result = fork_result(ended(&fork).await);
    assert_eq!(world.stored_entities(&result.slot_id).await.len(), 60);
    assert_eq!(newest_fork(world).await, (operation, "completed".to_owned(), false), "it was heard of again");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_other_operations_are_started_from_the_terminal_and_from_python() {
    let world = World::new().await;
    let platform = PlatformServer::start(&world, PlatformServerOptions::default()).await;
    let worker = world.worker_at(&platform);
    let mut shell = Shell::new(&world);
    let (organization, sync) = (world.ids.organization_id.to_string(), world.ids.sync_id.to_string());
    let common = json!({"organization_id": organization, "sync_id": sync, "requested_by": "a script"});
    let with = |more: Value| {
        let mut request = common.clone();
        request.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        request
    };
    let follow = world.any_workflow(&follow_workflow_id(&sync));

    // Nothing is there to be followed.
    let followed = shell.python("FollowWorkflow", &follow_workflow_id(&sync), &common);
    assert_eq!(followed["sync_id"], sync.as_str(), "{followed}");

    let first: ForkResult = serde_json::from_str(&shell.run("Run an operation")).expect("a result");
    assert_eq!((first.state.as_str(), first.entities), ("ready", 60));
    let (collection, connection) = (world.ids.collection_id.to_string(), world.ids.connection_v1.to_string());
    let request = json!({
        "organization_id": organization, "collection_id": collection, "destination_connection_id": connection,
        "profile": {"chunker": {"max_tokens": 64}, "pgvector": {}},
    });
    let id = format!("fork/collection/{collection}/{connection}");
    let forked: ForkCollectionResult = read(shell.python("ForkCollectionWorkflow", &id, &request));
    assert_eq!((forked.ready, forked.failed), (1, 0), "{forked:?}");
    let second = forked.syncs[0].slot_id.clone();

    shell.set("SLOT", &first.slot_id);
    shell.run("Switch");
    let request = with(json!({"target_slot_id": second, "reason": "a script wants it"}));
    let switched: SwitchResult = read(shell.python("SwitchWorkflow", &format!("switch/{sync}"), &request));
    assert_eq!(switched.generation, 2);
    shell.run("Roll back");
    let active: Option<String> =
        sqlx::query_scalar("SELECT slot_id::text FROM sync_multiplexer.active_destination WHERE sync_id = $1")
            .bind(world.ids.sync_id)
            .fetch_optional(world.database.pool())
            .await
            .expect("readers can look");
    assert_eq!(active, Some(first.slot_id.clone()));

    shell.run("Have a follow look at once");
    shell.run("Stop following");
    assert_eq!(ended(&follow).await, Ended::Cancelled);
    shell.run("Follow again");

    shell.run("Resync");
    let resynced: ResyncResult = read(shell.python("ResyncWorkflow", &format!("resync/{sync}"), &common));
    assert_eq!((resynced.entities_after, resynced.missing), (60, 0));

    let request = with(json!({"slot_id": second, "dry_run": true}));
    let retired: RetireResult = read(shell.python("RetireWorkflow", &format!("retire/{second}"), &request));
    assert!(retired.retired_at.is_empty() && !retired.blockers.is_empty(), "its window is open: {retired:?}");
    shell.set("SLOT", &second);
    shell.run("Retire");
    assert_eq!(world.list().slots.len(), 1);

    // An activity that waits for its next attempt: the destination is away.
    reset_an_activity(&world, &mut shell).await;
    shell.assert_ran(&OF_THE_OTHERS);
    drop((worker, platform));
    drop(shell);
    world.done().await;
}

fn read<T: serde::de::DeserializeOwned>(result: Value) -> T {
    serde_json::from_value(result).expect("the result reads")
}

/// A fork whose destination is away tries again and again; after a reset its attempts are counted anew.
async fn reset_an_activity(world: &World, shell: &mut Shell<'_>) {
    let away = json!({"url": "postgres://nobody@127.0.0.1:1/none"});
    let connection = world.connect_destination("pgvector", away).await;
    shell.set("CONNECTION", connection);
    let request = json!({
        "organization_id": world.ids.organization_id, "sync_id": world.ids.sync_id,
        "destination_connection_id": connection, "profile": {"pgvector": {}}, "options": {"undo_limit_seconds": 1},
    });
    let id = fork_workflow_id(&world.ids.sync_id.to_string(), &connection.to_string());
    let fork = world.start_any("ForkWorkflow", &id, vec![harness::payload("json/plain", request.to_string())]).await;
    let waiting = || -> Option<(String, u64)> {
        let described = shell.script(&format!("temporal workflow describe --workflow-id '{id}' --output json"));
        let described: Value = serde_json::from_str(&described).expect("the terminal prints JSON");
        let pending = described["pendingActivities"].as_array()?.first()?;
        Some((pending["activityId"].as_str()?.to_owned(), pending["attempt"].as_u64().unwrap_or(1)))
    };
    let (activity, attempts) =
        harness::until_some("a third attempt", SHORTLY, async || waiting().filter(|(_, attempt)| *attempt > 2)).await;
    let mut again = Shell::new(world);
    again.variables = shell.variables.clone();
    again.set("ACTIVITY", &activity);
    again.run("Reset an activity");
    let (_, now) = waiting().expect("it is still there");
    assert!(now < attempts, "{now} of {attempts} attempts");
    shell.ran.borrow_mut().extend(again.ran.into_inner());
    shell.run("Cancel");
    let end = ended(&fork).await;
    assert!(matches!(end, Ended::Cancelled | Ended::Failed { .. }), "{end:?}");
    shell.ran.borrow_mut().remove("Cancel");
}
