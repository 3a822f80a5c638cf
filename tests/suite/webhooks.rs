//! Webhooks: every phase and the flip arrive, signed and in order, also when the receiver or the worker was away.

use std::collections::BTreeSet;
use std::time::Duration;

use activities::database::operations::{self, NewOperation, OperationKind};
use harness::{Received, Receiver, World, WorldOptions, until};
use serde_json::json;
use uuid::Uuid;

const SOON: Duration = Duration::from_secs(60);

/// The newest secret, and the one before it.
const SECRETS: [&str; 2] =
    ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=", "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="];

fn settings(receiver: &Receiver) -> [(&'static str, String); 2] {
    [("SYNCMUX_WEBHOOK_URL", receiver.url()), ("SYNCMUX_WEBHOOK_SECRET", SECRETS.join(" "))]
}

fn of(received: &[Received], operation_id: &str) -> Vec<Received> {
    received.iter().filter(|it| it.body["data"]["operation_id"] == operation_id).cloned().collect()
}

async fn on_their_way(world: &World) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM sync_multiplexer.webhook_event")
        .fetch_one(world.database.pool())
        .await
        .expect("the outbox is readable")
}

async fn are_wanted(world: &World) -> bool {
    sqlx::query_scalar("SELECT EXISTS (SELECT FROM sync_multiplexer.webhook_wanted)")
        .fetch_one(world.database.pool())
        .await
        .expect("the outbox is readable")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_phase_and_the_flip_arrive_in_order_also_after_the_receiver_was_away() {
    let world = World::with(WorldOptions { entities: 12, ..WorldOptions::default() }).await;
    let receiver = Receiver::start(&SECRETS).await;
    receiver.answer_next(&[500, 302]);
    let worker = world.worker_among(&settings(&receiver));
    until("events are wanted", SOON, async || are_wanted(&world).await).await;
    let fork_id = Uuid::new_v4().to_string();
    let request =
        proto::v1::ForkRequest { operation_id: fork_id.clone(), ..world.fork_request(world.ids.connection_v0) };
    let fork = world.fork(&request).await.expect("the fork completes");
    let ended = |received: &[Received]| received.iter().any(|it| it.body["type"] == "operation.ended");
    until("the end of the fork arrives", SOON, async || ended(&receiver.acknowledged())).await;
    // The second of them may be an event of the follow, which the fork begins.
    let refused: Vec<Received> = receiver.received().into_iter().filter(|it| it.status != 204).collect();
    assert_eq!(refused.iter().map(|it| it.status).collect::<Vec<_>>(), [500, 302]);
    until("what was not acknowledged arrives again, under the same id", SOON, async || {
        let acknowledged: BTreeSet<String> = receiver.acknowledged().into_iter().map(|it| it.id).collect();
        refused.iter().all(|it| acknowledged.contains(&it.id))
    })
    .await;

    let received = of(&receiver.received(), &fork_id);
    assert!(received.iter().all(|it| it.valid_signatures == 2), "each request is signed with both secrets");
    let events = of(&receiver.acknowledged(), &fork_id);
    assert_eq!(events.iter().map(|it| &it.id).collect::<BTreeSet<_>>().len(), events.len(), "none came twice");
    let phases = [
        "begin",
        "validate",
        "create",
        "prepare",
        "plan",
        "replay",
        "close",
        "catch-up",
        "close",
        "finish",
        "verify",
        "mark-ready",
        "done",
    ];
    let expected: Vec<String> = phases.iter().map(|phase| format!("operation.phase {phase}")).collect();
    let what: Vec<String> = events.iter().map(Received::what).collect();
    assert_eq!(
        what.split_last(),
        Some((&"operation.ended completed".to_owned(), expected.as_slice())),
        "in this order"
    );
    for event in &events {
        let data = &event.body["data"];
        assert_eq!((&data["operation"], &data["sync_id"]), (&json!("fork"), &json!(world.ids.sync_id)));
        assert!(data["error_kind"].is_null() && event.body["timestamp"].is_string());
    }

    receiver.go_away();
    let switch_id = Uuid::new_v4().to_string();
    let request = proto::v1::SwitchRequest { operation_id: switch_id.clone(), ..world.switch_request(&fork.slot_id) };
    let switched = world.switch(&request).await.expect("a switch waits for no receiver");
    assert!(on_their_way(&world).await > 0 && of(&receiver.received(), &switch_id).is_empty());
    receiver.come_back();
    until("everything was delivered", SOON, async || on_their_way(&world).await == 0).await;
    let events = of(&receiver.acknowledged(), &switch_id);
    let what: Vec<String> = events.iter().map(Received::what).collect();
    let at = |event: &str| what.iter().position(|it| it == event).unwrap_or_else(|| panic!("{event} in {what:?}"));
    assert!(at("operation.phase flip") < at("roles.flipped flip"), "{what:?}");
    assert!(at("roles.flipped flip") < at("operation.phase announce"), "{what:?}");
    assert_eq!(at("operation.ended completed"), what.len() - 1);
    let flip = &events[at("roles.flipped flip")].body["data"];
    assert_eq!(
        (&flip["new_active"], &flip["generation"], &flip["roles"]),
        (&json!(fork.slot_id), &json!(switched.generation), &json!([{ "slot_id": fork.slot_id, "role": "active" }]))
    );
    for id in [&fork_id, &switch_id] {
        let sequence: Vec<_> =
            of(&receiver.acknowledged(), id).iter().filter_map(|it| it.body["sequence"].as_i64()).collect();
        assert!(!sequence.is_empty() && sequence.is_sorted_by(|before, after| before < after), "{sequence:?}");
    }
    let secret = SECRETS[0].trim_start_matches("whsec_");
    assert!(!worker.log().contains(secret) && !format!("{:?}", receiver.received()).contains(secret));
    assert!(worker.stop(), "the worker ends well");
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_whose_sender_died_before_the_answer_is_sent_again_under_the_same_id() {
    let world = World::with(WorldOptions { entities: 1, ..WorldOptions::default() }).await;
    let begin = async |name: &str| {
        let new = NewOperation {
            operation_id: Uuid::now_v7(),
            organization_id: world.ids.organization_id,
            sync_id: world.ids.sync_id,
            slot_id: None,
            kind: OperationKind::Fork,
            workflow_id: name.to_owned(),
            run_id: "run".to_owned(),
            requested_by: "a test".to_owned(),
            options: json!({}),
            phase: "begin".to_owned(),
        };
        operations::begin(&world.database, &new).await.expect("an operation can be recorded");
    };
    begin("before anybody wants events").await;
    assert_eq!(on_their_way(&world).await, 0, "what nobody wants is not written");

    let receiver = Receiver::start(&SECRETS).await;
    receiver.answer_next(&[0]);
    let first = world.worker_among(&settings(&receiver));
    until("events are wanted", SOON, async || are_wanted(&world).await).await;
    begin("sent by a worker that dies").await;
    until("the event arrives", SOON, async || receiver.received().len() == 1).await;
    first.kill9();
    assert_eq!(on_their_way(&world).await, 1);

    let second = world.worker_among(&settings(&receiver));
    // Somebody may still be at it for as long as the first attempt was given; that time is over now.
    sqlx::query("UPDATE sync_multiplexer.webhook_event SET next_attempt_at = clock_timestamp()")
        .execute(world.database.pool())
        .await
        .expect("the outbox is writable");
    until("it was delivered", SOON, async || on_their_way(&world).await == 0).await;
    let received = receiver.received();
    let [lost, again] = received.as_slice() else { panic!("{} requests", received.len()) };
    assert_eq!((&lost.id, &lost.body), (&again.id, &again.body), "the same event, to the byte");
    assert!(second.stop(), "the worker ends well");
    world.done().await;
}
