//! Encryption of what Temporal keeps, on the wire: what is in a history, and how keys rotate under a fork that runs.

use std::path::PathBuf;

use harness::{AnyWorkflow, World, payload, progress, signal, until_some};
use proto::v1::{FollowRequest, ForkOptions, ForkRequest, Profile, Progress};
use sync_multiplexer::config::TemporalArgs;
use sync_multiplexer::temporal;
use temporalio_client::{Client, WorkflowFetchHistoryOptions, WorkflowGetResultOptions};
use workflows::fork_workflow_id;

use crate::operators::{SHORTLY, hold, let_go};

/// A key by its id, as a line of the file.
fn key(id: &str) -> String {
    format!("{id} {}\n", format!("{:02x}", id.as_bytes()[0]).repeat(32))
}

fn keys(world: &World, ids: &[&str]) -> PathBuf {
    let file = world.store_root().join(format!("{}.keys", ids.join("-")));
    std::fs::write(&file, ids.iter().map(|id| key(id)).collect::<String>()).expect("a file can be written");
    file
}

async fn client(world: &World, keys: PathBuf) -> Client {
    let args = TemporalArgs {
        task_queue: world.task_queue.clone(),
        temporal_address: Some(world.temporal_address.clone()),
        temporal_profile: None,
        payload_keys_file: Some(keys),
    };
    temporal::connect(&args).await.expect("Temporal answers")
}

fn workers_keys(file: PathBuf) -> [(&'static str, String); 1] {
    [("SYNCMUX_PAYLOAD_KEYS_FILE", file.to_string_lossy().into_owned())]
}

async fn at(handle: &AnyWorkflow, what: &str, state: impl Fn(&Progress) -> bool) {
    until_some(what, SHORTLY, || async { progress(handle).await.filter(&state) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_fork_was_asked_and_answered_is_not_to_be_read_in_temporal_and_keys_rotate_meanwhile() {
    let world = World::new().await;
    let (old, both, new) = (keys(&world, &["old"]), keys(&world, &["new", "old"]), keys(&world, &["new"]));
    let request = ForkRequest {
        requested_by: "marker of the requester".to_owned(),
        profile: Some(Profile { name: "marker of the profile".to_owned(), ..world.profile(512) }),
        options: Some(ForkOptions { lanes: 2, batch_entities: 5, segment_entities: 5, ..ForkOptions::default() }),
        ..world.fork_request(world.ids.connection_v0)
    };
    let id = fork_workflow_id(&request.sync_id, &request.destination_connection_id);

    let first = world.worker_among(&workers_keys(old.clone()));
    let sealing = client(&world, old).await;
    // Nothing is there to be followed, so this ends at once; who has another key alone is told which one is missing.
    let follow = FollowRequest {
        organization_id: request.organization_id.clone(),
        sync_id: request.sync_id.clone(),
        ..FollowRequest::default()
    };
    let follow = temporal::start_follow(&sealing, &world.task_queue, &follow).await.expect("the follow starts");
    follow.get_result(WorkflowGetResultOptions::default()).await.expect("the follow ends");
    let other: AnyWorkflow = client(&world, new).await.get_workflow_handle(follow.info().workflow_id.clone());
    let said = other.get_result(WorkflowGetResultOptions::default()).await.expect_err("it cannot be read").to_string();
    assert!(said.contains("\"old\"") && said.contains("lacks"), "{said}");

    let held = hold(&world).await;
    temporal::start_fork(&sealing, &world.task_queue, &request).await.expect("the fork starts");
    let fork: AnyWorkflow = sealing.get_workflow_handle(id.clone());
    at(&fork, "two lanes", |it| it.segments_in_flight == 2).await;
    // A terminal has no keys: what it sends is plain, and is taken.
    let plain = world.any_workflow(&id);
    signal(&plain, "pause", vec![payload("json/plain", "{}")]).await;
    at(&fork, "the pause", |it| it.paused).await;
    assert_eq!(progress(&plain).await, None, "without the key there is nothing to read");

    drop(first);
    let_go(held).await;
    let second = world.worker_among(&workers_keys(both.clone()));
    signal(&plain, "resume", vec![]).await;
    let opening = client(&world, both).await;
    let result = temporal::watch_fork(&opening.get_workflow_handle(id.clone()), |_| {}).await.expect("it completes");
    assert_eq!(world.stored_entities(&result.slot_id).await.len(), 60);

    let options = WorkflowFetchHistoryOptions::builder().build();
    let events = plain.fetch_history(options).into_events().await.expect("a history");
    let raw = format!("{events:?}").into_bytes();
    let in_clear: Vec<u8> = events.iter().flat_map(prost::Message::encode_to_vec).collect();
    for secret in ["marker of the requester", "marker of the profile", &result.slot_id, "max_tokens"] {
        let shown = |bytes: &[u8]| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!shown(&raw) && !shown(&in_clear), "{secret:?} is in the history");
    }
    for id in ["old", "new"] {
        // An entry of a payload's metadata in the wire form: the name, then the value with its length.
        let named = [b"encryption-key-id\x12\x03".as_slice(), id.as_bytes()].concat();
        assert!(in_clear.windows(named.len()).any(|window| window == named), "nothing was sealed with {id}");
    }
    drop(second);
    world.done().await;
}
