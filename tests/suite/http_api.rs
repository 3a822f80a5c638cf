//! A whole migration over HTTP, as the platform's backend makes it: list, fork, watch, switch, roll back; and what is said when
//! something does not go.

use std::time::Duration;

use futures::StreamExt as _;
use harness::{Api, World, until_some};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

const PROFILE: &str = "name = \"default\"\nchunker = { max_tokens = 256 }\npgvector = {}\n";

/// An API whose requests wait so many seconds for an early end of what they began.
async fn api(world: &World, answer_wait: &str) -> Api {
    let profile = world.store_root().join("default.toml");
    std::fs::write(&profile, PROFILE).expect("the profile can be written");
    world.api(&["--default-profile", &profile.to_string_lossy(), "--answer-wait-seconds", answer_wait]).await
}

fn id(value: &Value, field: &str) -> String {
    let text = value[field].as_str().unwrap_or_else(|| panic!("{field} of {value}"));
    Uuid::try_parse(text).expect("an id").to_string()
}

/// Begins a change of roles. The one before is recorded as done a moment before its workflow ends.
async fn begin(api: &Api, path: &str, body: &Value) -> Value {
    until_some("the workflow before to end", Duration::from_secs(60), || async {
        let reply = api.post(path, body).await;
        (reply.status != 409 || !reply.text.contains("is running")).then_some(reply)
    })
    .await
    .expect(202)
}

/// The events of a stream, as name and data, until it ends.
async fn events(api: &Api, key: &str, operation: &str) -> Vec<(String, Value)> {
    let request = api.request(Method::GET, &format!("/operations/{operation}/events"), &[("x-api-key", key)]);
    let answer = request.send().await.expect("the API answers");
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let mut bytes = answer.bytes_stream();
    let mut text = String::new();
    while let Some(part) = tokio::time::timeout(Duration::from_secs(60), bytes.next()).await.expect("it goes on") {
        text.push_str(std::str::from_utf8(&part.expect("it is not cut off")).expect("ASCII"));
    }
    let parse = |block: &str| {
        let field =
            |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::trim).map(str::to_owned);
        let data = serde_json::from_str(&field("data:")?).expect("JSON");
        Some((field("event:")?, data))
    };
    text.split("\n\n").filter_map(parse).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_over_http() {
    let world = World::new().await;
    let api = api(&world, "1").await;
    let sync = format!("/sync-multiplex/{}", world.ids.sync_id);
    let (v0, v1) = (world.ids.connection_v0.to_string(), world.ids.connection_v1.to_string());

    assert_eq!(api.get("/livez").await.expect(200)["status"], "alive");
    let ready = api.get("/readyz").await.expect(200);
    assert_eq!(ready["status"], "ready", "{ready}");
    assert_eq!(api.get(&format!("{sync}/destinations/")).await.expect(200), json!([]), "with a trailing slash");
    let nothing = api.get(&format!("{sync}/destinations/active")).await;
    assert!(nothing.refusal(404, "NotFound").starts_with("No active destination found for sync"));

    // Before any worker: the operation is accepted, and can be asked about.
    let fork = json!({ "destination_connection_id": v0, "replay_from_arf": true, "options": { "lanes": 2 } });
    let route = format!("{sync}/destinations/fork");
    let (first, second) = tokio::join!(api.post_once(&route, "fork-1", &fork), api.post_once(&route, "fork-1", &fork));
    let (won, lost) = if first.status == 202 { (first, second) } else { (second, first) };
    let accepted = won.expect(202);
    let operation = id(&accepted, "operation_id");
    assert!(lost.refusal(409, "Conflict").contains("Idempotency-Key"));
    assert!(lost.header("retry-after").is_some());
    assert_eq!(
        (&accepted["slot"], &accepted["replay_job_status"], id(&accepted, "replay_job_id")),
        (&Value::Null, &json!("running"), operation.clone())
    );
    assert_eq!(won.header("location"), accepted["links"]["operation"].as_str());
    let view = api.get(accepted["links"]["operation"].as_str().expect("a link")).await.expect(200);
    assert_eq!((view["kind"].as_str(), view["state"].as_str()), (Some("fork"), Some("running")), "{view}");
    let again = api.post_once(&route, "fork-1", &fork).await;
    assert_eq!((again.expect(202), again.header("idempotent-replayed")), (accepted, Some("true")));
    let other = json!({ "destination_connection_id": v1, "replay_from_arf": true });
    assert!(api.post_once(&route, "fork-1", &other).await.refusal(422, "InvalidInput").contains("choose a new one"));
    assert!(api.post(&route, &fork).await.refusal(409, "Conflict").contains("is running"));

    let worker = world.worker();
    let done = api.end(&operation).await;
    assert_eq!(
        (done["state"].as_str(), done["result"]["entities"].as_str()),
        (Some("completed"), Some("60")),
        "{done}"
    );
    let slot_v0 = id(&done["result"], "slot_id");
    let slots = api.get(&format!("/sync/{}/destinations", world.ids.sync_id)).await.expect(200);
    let slot = &slots[0];
    assert_eq!((slot["role"].as_str(), slot["state"].as_str()), (Some("shadow"), Some("ready")));
    assert_eq!((&slot["slot_id"], &slot["destination_connection_id"]), (&json!(slot_v0), &json!(v0)));
    assert_eq!((&slot["entity_count"], slot["destination_short_name"].as_str()), (&json!(60), Some("pgvector")));

    let switch = |slot: &str| format!("{sync}/destinations/{slot}/switch");
    let checked = api.post(&switch(&slot_v0), &json!({ "dry_run": true })).await.expect(200);
    assert_eq!(checked["blockers"], json!([]));
    let switched = begin(&api, &switch(&slot_v0), &json!({})).await;
    let operation = id(&switched, "operation_id");
    assert_eq!(api.end(&operation).await["state"], "completed");
    let active = api.get(&format!("{sync}/destinations/active")).await.expect(200);
    assert_eq!((id(&active, "slot_id"), &active["generation"]), (slot_v0.clone(), &json!(1)));
    assert!(api.post(&route, &fork).await.refusal(409, "Conflict").contains("it is the active one"));

    let slot_v1 = watched_fork(&world, &api, &sync).await;
    let stale = api.post(&switch(&slot_v1), &json!({ "expected_generation": 7 })).await;
    assert!(stale.refusal(409, "Conflict").contains("generation"));
    let why = json!({ "reason": "smaller chunks", "expected_active_slot_id": slot_v0 });
    let operation = id(&begin(&api, &switch(&slot_v1), &why).await, "operation_id");
    assert_eq!(api.end(&operation).await["state"], "completed");
    let back = begin(&api, &format!("{sync}/rollback"), &json!({ "reason": "worse answers" })).await;
    assert_eq!((id(&back, "new_active_slot_id"), id(&back, "previous_active_slot_id")), (slot_v0.clone(), slot_v1));
    assert_eq!(api.end(&id(&back, "operation_id")).await["kind"], "rollback");
    let active = api.get(&format!("{sync}/destinations/active")).await.expect(200);
    assert_eq!((id(&active, "slot_id"), &active["generation"]), (slot_v0.clone(), &json!(3)));

    pages(&world, &api, &sync, &slot_v0).await;
    refusals(&world, &sync, &slot_v0).await;
    drop(worker);
    assert!(api.stop(), "SIGTERM is a good end");
    world.done().await;
}

/// The second fork, with a profile of its own and over the compatible route, is watched as a stream of events. Returns the slot.
async fn watched_fork(world: &World, api: &Api, sync: &str) -> String {
    let key = world.api_key(world.ids.organization_id, "1 hour").await;
    let profile = json!({ "name": "v1", "chunker": { "max_tokens": 64 }, "pgvector": {} });
    let fork =
        json!({ "destination_connection_id": world.ids.connection_v1, "replay_from_arf": true, "profile": profile });
    let accepted = api.post(&format!("/sync/{}/destinations/fork/", world.ids.sync_id), &fork).await.expect(202);
    let watched = events(api, &key, &id(&accepted, "operation_id")).await;
    let (name, ended) = watched.last().expect("there are events");
    assert_eq!((name.as_str(), ended["state"].as_str()), ("ended", Some("completed")), "{ended}");
    assert!(watched.iter().rev().skip(1).all(|(name, _)| name == "progress"), "{watched:?}");
    let slots = api.get(&format!("{sync}/destinations")).await.expect(200);
    assert_eq!((slots[1]["profile_name"].as_str(), slots[1]["state"].as_str()), (Some("v1"), Some("ready")));
    id(&slots[1], "slot_id")
}

/// Lists come in pages that leave nothing out.
async fn pages(world: &World, api: &Api, sync: &str, slot: &str) {
    sqlx::query(
        "INSERT INTO sync_multiplexer.dead_letter
             (slot_id, sync_id, organization_id, object_key, entity_id, stage, kind, message, token)
         SELECT $1, $2, $3, 'letter ' || n, 'e' || n, 'decode', 'InvalidInput', 'no JSON', 't'
         FROM generate_series(1, 7) AS n",
    )
    .bind(Uuid::parse_str(slot).expect("an id"))
    .bind(world.ids.sync_id)
    .bind(world.ids.organization_id)
    .execute(world.database.pool())
    .await
    .expect("dead letters can be written");
    let known: Vec<Uuid> =
        sqlx::query_scalar("SELECT operation_id FROM sync_multiplexer.operation WHERE kind <> 'follow'")
            .fetch_all(world.database.pool())
            .await
            .expect("operations can be read");
    let mut seen = Vec::new();
    for kind in ["fork", "switch", "rollback"] {
        let path = format!("/operations?kind={kind}&sync_id={}&limit=1", world.ids.sync_id);
        let operations = all(api, &path).await;
        assert!(operations.iter().all(|it| it["kind"] == kind));
        seen.extend(operations.iter().map(|it| id(it, "operation_id")));
    }
    let mut known: Vec<String> = known.iter().map(Uuid::to_string).collect();
    known.sort();
    seen.sort();
    assert_eq!(seen, known, "two forks, two switches, a rollback, and no other");
    let letters = all(api, &format!("{sync}/destinations/{slot}/dead-letters?limit=3")).await;
    let keys: Vec<_> = letters.iter().map(|it| it["object_key"].as_str().expect("a key").to_owned()).collect();
    assert_eq!(keys, (1..=7).map(|n| format!("letter {n}")).collect::<Vec<_>>());
    let verified = all(api, &format!("{sync}/destinations/{slot}/verifications?limit=1")).await;
    assert!(!verified.is_empty() && verified.iter().all(|it| it["passed"] == true), "{verified:?}");
}

/// Every item of a list, page by page.
async fn all(api: &Api, path: &str) -> Vec<Value> {
    let (mut items, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = api.get(&format!("{path}{cursor}")).await.expect(200);
        items.extend(page["items"].as_array().expect("a list").iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return items,
        }
    }
}

/// What does not go is answered with the status that belongs to it, and the field that is wrong.
async fn refusals(world: &World, sync: &str, active: &str) {
    let api = api(world, "20").await;
    let (nobody, v1) = (Uuid::new_v4(), world.ids.connection_v1);
    let route = format!("{sync}/destinations/fork");
    for (path, body, status, kind, words) in [
        (route.clone(), json!({}), 422, "InvalidInput", "destination_connection_id: is missing"),
        (route.clone(), json!({ "destination_connection_id": "x" }), 422, "InvalidInput", "destination_connection_id"),
        (
            route.clone(),
            json!({ "destination_connection_id": v1, "lane": 1 }),
            422,
            "InvalidInput",
            "lane: is not known",
        ),
        (
            route.clone(),
            json!({ "destination_connection_id": v1, "options": { "lanes": 65 } }),
            422,
            "InvalidInput",
            "64",
        ),
        (route.clone(), json!({ "destination_connection_id": v1, "profile": {} }), 422, "InvalidInput", "no layout"),
        (route.clone(), json!({ "destination_connection_id": nobody }), 404, "NotFound", "connection"),
        (
            format!("/sync/{nobody}/destinations/fork"),
            json!({ "destination_connection_id": v1 }),
            404,
            "NotFound",
            "sync",
        ),
        (format!("{sync}/destinations/{nobody}/switch"), json!({}), 404, "NotFound", "slot"),
        (format!("{sync}/destinations/nope/switch"), json!({}), 422, "InvalidInput", "path"),
        (format!("{sync}/destinations/{active}/switch"), json!({ "force": true }), 422, "InvalidInput", "reason"),
        (format!("{sync}/destinations/{active}/retire"), json!({}), 409, "Conflict", "active"),
        (format!("{sync}/rollback"), json!({}), 422, "InvalidInput", "reason: is missing"),
        (format!("{sync}/resync"), json!({}), 400, "InvalidInput", "PLATFORM_API_URL"),
        (format!("/operations/{nobody}/cancel"), json!({}), 404, "NotFound", "does not exist"),
        (format!("/collections/{nobody}/switch"), json!({}), 404, "NotFound", "collection"),
    ] {
        let said = api.post(&path, &body).await.refusal(status, kind);
        assert!(said.contains(words), "{path} {body} said {said:?}");
    }
    let ended = api.get("/operations?limit=1&state=completed&kind=fork").await.expect(200);
    let ended = id(&ended["items"][0], "operation_id");
    for ask in ["pause", "resume", "cancel", "retry"] {
        let said = api.post(&format!("/operations/{ended}/{ask}"), &json!({})).await.refusal(409, "Conflict");
        assert!(said.contains("completed"), "{ask} said {said}");
    }

    // A profile that names somebody's server would get the key of the workers.
    let server = json!({ "base_url": "http://127.0.0.1:1/v1", "model": "m", "dimensions": 8 });
    let profile = json!({ "embedder": { "open_ai": server }, "pgvector": {} });
    let body = json!({ "destination_connection_id": v1, "profile": profile });
    assert!(api.post(&route, &body).await.refusal(403, "Forbidden").contains("base_url"));

    // A raw store that is gone is found by the workers, and is the answer of the request all the same.
    let url = json!({ "url": world.database_url });
    let third = world.connect_destination("pgvector", url).await;
    std::fs::remove_dir_all(world.store()).expect("the raw store can be removed");
    let gone = api.post(&route, &json!({ "destination_connection_id": third, "replay_from_arf": true })).await;
    let _ = gone.refusal(404, "NotFound");
    let failed = api.get(&format!("/operations/{}", id(&gone.json(), "operation_id"))).await.expect(200);
    assert_eq!((failed["state"].as_str(), failed["error"]["kind"].as_str()), (Some("failed"), Some("NotFound")));
}
