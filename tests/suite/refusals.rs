//! What cannot be done is refused by kind and in words, soon, for good, and without a trace.

use std::fs;
use std::time::{Duration, Instant};

use harness::{World, ended, payload, scheduled};
use proto::v1::{ForkOptions, ForkRequest};
use serde_json::{Value, json};
use sqlx::Row as _;
use temporalio_common::protos::temporal::api::common::v1::Payload;
use uuid::Uuid;
use workflows::domain::ErrorKind;

/// An answer that takes longer is no answer for somebody who waits.
const SOON: Duration = Duration::from_secs(10);

/// Ids in the platform's tables that a request must not get through with.
struct Strangers {
    source_connection: Uuid,
    their_organization: Uuid,
    their_connection: Uuid,
    other_kind: Uuid,
}

/// Adds another organisation with a destination, and a destination of a kind that no profile of ours lays out.
async fn strangers(world: &World) -> Strangers {
    let pool = world.database.pool();
    let source_connection = sqlx::query_scalar("SELECT id FROM public.connection WHERE integration_type = 'SOURCE'")
        .fetch_one(pool)
        .await
        .expect("the seed has a source");
    let [their_organization, their_connection, other_kind] = [Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4()];
    sqlx::query(
        "INSERT INTO public.organization (id, created_at, modified_at, name) VALUES ($1, now(), now(), 'Others')",
    )
    .bind(their_organization)
    .execute(pool)
    .await
    .expect("another organisation can be added");
    for (id, organization, short_name) in
        [(their_connection, their_organization, "pgvector"), (other_kind, world.ids.organization_id, "qdrant")]
    {
        sqlx::query(
            "INSERT INTO public.connection (id, created_at, modified_at, organization_id, name, readable_id,
                 integration_type, status, short_name)
             VALUES ($1, now(), now(), $2, 'c', $3, 'DESTINATION', 'ACTIVE', $4)",
        )
        .bind(id)
        .bind(organization)
        .bind(id.to_string())
        .bind(short_name)
        .execute(pool)
        .await
        .expect("a connection can be added");
    }
    Strangers { source_connection, their_organization, their_connection, other_kind }
}

/// Starts a workflow with one JSON argument and expects it to fail soon; returns kind and words.
async fn refused(world: &World, workflow: &str, payloads: Vec<Payload>) -> (String, String) {
    let started = Instant::now();
    let id = format!("{}/{}", world.task_queue, Uuid::new_v4());
    let handle = world.start_any(workflow, &id, payloads).await;
    let end = ended(&handle).await;
    assert!(started.elapsed() < SOON, "{end:?} took {:?}", started.elapsed());
    let (kind, message) = end.failure();
    (kind.to_owned(), message.to_owned())
}

/// Nothing of a slot is left, and every operation that was recorded is closed.
async fn assert_nothing_changed(world: &World, after: &str) {
    for (what, count) in world.residue().await {
        assert_eq!(count, 0, "{what} after {after}");
    }
    let open: i64 = sqlx::query_scalar("SELECT count(*) FROM sync_multiplexer.operation WHERE state = 'running'")
        .fetch_one(world.database.pool())
        .await
        .expect("the operations can be counted");
    assert_eq!(open, 0, "operations are open after {after}");
    let roles: i64 = sqlx::query_scalar("SELECT count(*) FROM public.sync_connection WHERE role IS NOT NULL")
        .fetch_one(world.database.pool())
        .await
        .expect("the roles can be counted");
    assert_eq!(roles, 0, "rows with a role after {after}");
}

/// Sets the value at a path of object keys.
fn set(request: &Value, path: &[&str], value: Value) -> Value {
    let mut changed = request.clone();
    let mut place = &mut changed;
    for key in path {
        place = &mut place[*key];
    }
    *place = value;
    changed
}

fn as_payload(request: &Value) -> Payload {
    payload("json/plain", request.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_fork_request_fails_by_kind_and_changes_nothing() {
    let world = World::new().await;
    let worker = world.worker();
    let others = strangers(&world).await;
    let good = serde_json::to_value(world.fork_request(world.ids.connection_v0)).expect("a request has a JSON form");
    let unknown = Uuid::new_v4();

    let cases: [(&str, &[&str], Value, &str, &str); 26] = [
        ("sync id", &["sync_id"], json!("nope"), "InvalidInput", "sync_id is not a UUID: \"nope\""),
        ("organisation id", &["organization_id"], json!("nope"), "InvalidInput", "organization_id is not a UUID"),
        (
            "no connection",
            &["destination_connection_id"],
            json!(""),
            "InvalidInput",
            "destination_connection_id is missing",
        ),
        ("operation id", &["operation_id"], json!("nope"), "InvalidInput", "operation_id is not a UUID"),
        ("unknown sync", &["sync_id"], json!(unknown), "NotFound", "sync"),
        ("other organisation's sync", &["organization_id"], json!(others.their_organization), "NotFound", "sync"),
        ("unknown connection", &["destination_connection_id"], json!(unknown), "NotFound", "connection"),
        (
            "other organisation's connection",
            &["destination_connection_id"],
            json!(others.their_connection),
            "NotFound",
            "connection",
        ),
        (
            "source connection",
            &["destination_connection_id"],
            json!(others.source_connection),
            "InvalidInput",
            "of type SOURCE: name a destination",
        ),
        (
            "other kind",
            &["destination_connection_id"],
            json!(others.other_kind),
            "InvalidInput",
            "name a pgvector connection",
        ),
        ("no profile", &["profile"], json!(null), "InvalidInput", "profile is missing"),
        ("no layout", &["profile", "pgvector"], json!(null), "InvalidInput", "the profile has no layout"),
        (
            "a chunker where the destination cuts",
            &["profile"],
            json!({ "chunker": {}, "vespa": { "documents": "DOCUMENTS_RAW_ENTITY" } }),
            "InvalidInput",
            "profile.chunker must be left out",
        ),
        ("unknown profile key", &["profile", "colour"], json!(1), "InvalidInput", "unknown field `colour`"),
        (
            "unknown layout key",
            &["profile", "pgvector", "ivfflat"],
            json!({}),
            "InvalidInput",
            "unknown field `ivfflat`",
        ),
        ("unknown request key", &["sync"], json!("x"), "InvalidInput", "unknown field `sync`"),
        ("small chunks", &["profile", "chunker", "max_tokens"], json!(8), "InvalidInput", "chunker.max_tokens"),
        ("large chunks", &["profile", "chunker", "max_tokens"], json!(8193), "InvalidInput", "chunker.max_tokens"),
        ("all overlap", &["profile", "chunker", "overlap_tokens"], json!(256), "InvalidInput", "overlap"),
        ("few links", &["profile", "pgvector", "hnsw"], json!({ "m": 1 }), "InvalidInput", "m"),
        (
            "unknown vector type",
            &["profile", "pgvector", "vector_type"],
            json!("VECTOR_TYPE_BIT"),
            "InvalidInput",
            "VECTOR_TYPE_BIT",
        ),
        (
            "unknown model",
            &["profile", "embedder"],
            json!({ "static_table": { "model": "m" } }),
            "InvalidInput",
            "model",
        ),
        (
            "no dimensions",
            &["profile", "embedder"],
            json!({ "open_ai": { "base_url": "http://x", "model": "m" } }),
            "InvalidInput",
            "dimensions is missing",
        ),
        (
            "too many lanes",
            &["options", "lanes"],
            json!(65),
            "InvalidInput",
            "options.lanes must be at most 64, got 65",
        ),
        (
            "large batches",
            &["options", "batch_entities"],
            json!(1001),
            "InvalidInput",
            "options.batch_entities must be at most 1000",
        ),
        ("a number of the wrong type", &["options", "lanes"], json!("many"), "InvalidInput", "does not decode"),
    ];
    for (name, path, value, kind, words) in cases {
        let answer = refused(&world, "ForkWorkflow", vec![as_payload(&set(&good, path, value))]).await;
        assert_eq!(answer.0, kind, "{name}: {}", answer.1);
        assert!(answer.1.contains(words), "{name}: {}", answer.1);
        assert_nothing_changed(&world, name).await;
    }
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_argument_that_cannot_be_read_is_an_answer_and_no_wedge() {
    let world = World::new().await;
    let worker = world.worker();
    let good = as_payload(&serde_json::to_value(world.fork_request(world.ids.connection_v0)).expect("JSON"));
    let cases: [(&str, Vec<Payload>, &str); 11] = [
        ("no argument", vec![], "expected one argument"),
        ("two arguments", vec![good.clone(), payload("json/plain", "\"x\"")], "does not decode"),
        ("three arguments", vec![good.clone(), good.clone(), good], "expected one argument, a JSON object, but got 3"),
        ("torn JSON", vec![payload("json/plain", "{\"sync_id\": ")], "does not decode"),
        ("a list", vec![payload("json/plain", "[1]")], "does not decode"),
        ("null", vec![payload("binary/null", "")], "binary/null"),
        ("bytes that are no text", vec![payload("json/plain", [0xff, 0xfe])], "does not decode"),
        ("torn protobuf", vec![payload("binary/protobuf", [0x0a, 0xff])], "does not decode"),
        ("encrypted", vec![payload("binary/encrypted", "secret")], "binary/encrypted"),
        ("no encoding", vec![Payload::default()], "no encoding"),
        ("a novel", vec![payload("json/plain", vec![b' '; 70_000])], "at most 65536 are read"),
    ];
    for workflow in ["ForkWorkflow", "SwitchWorkflow"] {
        for (name, payloads, words) in &cases {
            // A switch takes one argument, whatever the second is.
            let words = if workflow == "SwitchWorkflow" && *name == "two arguments" { "expected one" } else { words };
            let (kind, message) = refused(&world, workflow, payloads.clone()).await;
            assert_eq!(kind, "InvalidInput", "{workflow} with {name}: {message}");
            assert!(message.contains(words), "{workflow} with {name}: {message}");
        }
    }
    assert_nothing_changed(&world, "all of them").await;
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_switch_request_fails_by_kind_and_changes_nothing() {
    let world = World::new().await;
    let worker = world.worker();
    let others = strangers(&world).await;
    let slot = Uuid::new_v4();
    let good = serde_json::to_value(world.switch_request(&slot.to_string())).expect("a request has a JSON form");
    let cases: [(&str, &str, Value, &str, &str); 11] = [
        ("slot id", "target_slot_id", json!("nope"), "InvalidInput", "target_slot_id is not a UUID"),
        ("no sync", "sync_id", json!(""), "InvalidInput", "sync_id is missing"),
        ("expected slot", "expected_active_slot_id", json!("nope"), "InvalidInput", "expected_active_slot_id"),
        ("unknown key", "forced", json!(true), "InvalidInput", "unknown field `forced`"),
        ("force alone", "force", json!(true), "InvalidInput", "force needs a reason"),
        ("time limit", "time_limit_seconds", json!(601), "InvalidInput", "time_limit_seconds must be at most 600"),
        ("waiting", "job_wait_seconds", json!(7201), "InvalidInput", "job_wait_seconds must be at most 7200"),
        ("sync and collection", "collection_id", json!(slot), "InvalidInput", "a request about a collection"),
        ("unknown sync", "sync_id", json!(slot), "NotFound", "sync"),
        ("other organisation's sync", "organization_id", json!(others.their_organization), "NotFound", "sync"),
        ("unknown slot", "reason", json!("because"), "NotFound", "is not a destination of sync"),
    ];
    for (name, key, value, kind, words) in cases {
        let answer = refused(&world, "SwitchWorkflow", vec![as_payload(&set(&good, &[key], value))]).await;
        assert_eq!(answer.0, kind, "{name}: {}", answer.1);
        assert!(answer.1.contains(words), "{name}: {}", answer.1);
        assert_nothing_changed(&world, name).await;
    }
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_raw_store_that_cannot_be_used_is_named_and_no_slot_is_left() {
    let world = World::new().await;
    let worker = world.worker();
    let manifest = world.store().join("manifest.json");
    let whole = fs::read_to_string(&manifest).expect("the manifest can be read");
    let request = world.fork_request(world.ids.connection_v0);
    let argument = as_payload(&serde_json::to_value(&request).expect("JSON"));
    let other = Uuid::new_v4().to_string();

    let sync = world.ids.sync_id.to_string();
    let organization = world.ids.organization_id.to_string();
    for (name, text, words) in [
        ("a torn manifest", whole[..whole.len() / 2].to_owned(), "manifest"),
        ("another sync's manifest", whole.replace(&sync, &other), "names sync"),
        ("another organisation's manifest", whole.replace(&organization, &other), "names another organisation"),
    ] {
        fs::write(&manifest, text).expect("the manifest can be written");
        let (kind, message) = refused(&world, "ForkWorkflow", vec![argument.clone()]).await;
        assert_eq!(kind, "RawStoreInvalid", "{name}: {message}");
        assert!(message.contains(words), "{name}: {message}");
        assert_nothing_changed(&world, name).await;
    }

    fs::remove_file(&manifest).expect("the manifest can be removed");
    let (kind, message) = refused(&world, "ForkWorkflow", vec![argument.clone()]).await;
    assert_eq!(kind, "RawStoreInvalid", "entities without a manifest: {message}");
    assert_nothing_changed(&world, "a missing manifest").await;

    fs::write(&manifest, &whole).expect("the manifest can be written");
    world.empty_store().await;
    let (kind, message) = refused(&world, "ForkWorkflow", vec![argument.clone()]).await;
    assert_eq!(kind, "RawStoreInvalid", "an empty store: {message}");
    assert!(message.contains("has no entities; resync it with a rebuild"), "{message}");
    assert_nothing_changed(&world, "an empty store").await;

    fs::remove_dir_all(world.store()).expect("the store can be removed");
    let started = Instant::now();
    let id = format!("{}/missing", world.task_queue);
    let handle = world.start_any("ForkWorkflow", &id, vec![argument]).await;
    let end = ended(&handle).await;
    assert!(started.elapsed() < SOON, "a missing store took {:?}", started.elapsed());
    assert_eq!(end.failure().0, "NotFound", "{end:?}");
    assert_eq!(scheduled(&handle, "validate_raw_store").await, 1);
    assert_eq!(scheduled(&handle, "create_shadow").await, 0, "no slot was made for a store that is not there");
    assert_nothing_changed(&world, "a missing store").await;

    let recorded: Vec<(String, String)> = sqlx::query_as(
        "SELECT state, coalesce(error_kind, '') FROM sync_multiplexer.operation ORDER BY started_at DESC LIMIT 2",
    )
    .fetch_all(world.database.pool())
    .await
    .expect("the operations can be read");
    let failed = |kind: &str| ("failed".to_owned(), kind.to_owned());
    assert_eq!(recorded, [failed("NotFound"), failed("RawStoreInvalid")]);
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_platform_knows_and_the_raw_store_lacks_blocks_a_fork_unless_it_is_allowed() {
    let world = World::new().await;
    let worker = world.worker();
    let mut missing: Vec<_> = world.entity_ids.iter().step_by(20).cloned().collect();
    missing.sort();
    for id in &missing {
        fs::remove_file(world.entity_file(id)).expect("an entity can be removed");
    }
    let request = world.fork_request(world.ids.connection_v0);
    let refused = world.fork(&request).await.expect_err("an incomplete store is refused");
    assert_eq!(refused.kind(), Some(ErrorKind::RawStoreInvalid), "{refused}");
    let words = refused.to_string();
    assert!(words.contains("lacks 3 of the 60 entities"), "{words}");
    assert!(words.contains("resync with a rebuild") && words.contains("allow_incomplete"), "{words}");
    for id in &missing {
        assert!(words.contains(&format!("{id:?}")), "{id} is not named: {words}");
    }
    assert_nothing_changed(&world, "an incomplete store").await;

    let options = request.options.unwrap_or_default();
    let allowed = ForkRequest { options: Some(ForkOptions { allow_incomplete: true, ..options }), ..request };
    let result = world.fork(&allowed).await.expect("it is allowed");
    assert_eq!((result.state.as_str(), result.listed, result.entities), ("ready", 57, 57));
    let gap = result.gaps.iter().find(|gap| gap.what == "known to the platform, missing in the raw store");
    assert_eq!(gap.map(|gap| gap.count), Some(3), "{:?}", result.gaps);
    drop(worker);
    world.done().await;
}

/// Every row of the platform with the transaction that wrote it, but for the table of slots.
async fn platform_rows(world: &World) -> Vec<(String, Vec<String>)> {
    let pool = world.database.pool();
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'sync_connection' ORDER BY 1",
    )
    .fetch_all(pool)
    .await
    .expect("the tables can be listed");
    let mut all = Vec::new();
    for table in tables {
        let query = format!("SELECT concat(row.xmin, ' ', row) FROM public.{table} AS row ORDER BY row.id");
        let rows = sqlx::query(sqlx::AssertSqlSafe(query)).fetch_all(pool).await.expect("the rows can be read");
        all.push((table, rows.iter().map(|row| row.get(0)).collect()));
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn fork_and_switch_write_no_row_of_the_platform_but_their_slot() {
    let world = World::new().await;
    // Older platforms do not have it in what we create; theirs does, with a row per sync and class.
    sqlx::raw_sql(
        "CREATE TABLE public.entity_count (id uuid PRIMARY KEY, sync_id uuid NOT NULL, count integer NOT NULL);
         INSERT INTO public.entity_count SELECT gen_random_uuid(), id, 60 FROM public.sync;",
    )
    .execute(world.database.pool())
    .await
    .expect("the table can be made");
    let before = platform_rows(&world).await;
    for (table, rows) in [("entity", 60), ("entity_count", 1), ("sync_job", 1)] {
        let found = before.iter().find(|(name, _)| name == table).map(|(_, rows)| rows.len());
        assert_eq!(found, Some(rows), "{table}");
    }

    let worker = world.worker();
    let result = world.fork(&world.fork_request(world.ids.connection_v0)).await.expect("the fork completes");
    world.switch(&world.switch_request(&result.slot_id)).await.expect("the switch completes");
    let after = platform_rows(&world).await;
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before, after, "a replay wrote to {}", before.0);
    }
    assert_eq!(before.len(), after.len());
    drop(worker);
    world.done().await;
}
