//! Stores as they are found: with broken objects, hostile names and values that no schema foresaw. Nothing is lost, nothing
//! is skipped in silence, and one bad object stops nobody else.

use std::fs;

use harness::{World, WorldOptions, entity};
use proto::v1::{ForkOptions, ForkRequest, ForkResult};
use serde_json::{Value, json};
use workflows::domain::ErrorKind;

/// A world of 20 entities with a worker's request; three of the entities are broken in different ways.
async fn world_with_three_broken() -> (World, Vec<String>) {
    let world = World::with(WorldOptions { entities: 20, ..WorldOptions::default() }).await;
    let broken: Vec<String> = world.entity_ids.iter().step_by(8).cloned().collect();
    let [torn, listed, classless] = broken.as_slice() else { panic!("three of twenty were expected") };
    let whole = fs::read_to_string(world.entity_file(torn)).expect("an entity can be read");
    world.put_entity_text(torn, &whole[..whole.len() / 2]);
    world.put_entity_text(listed, "[\"an entity is an object\"]");
    let mut fields = entity(classless, "an entity without its class");
    fields.remove("__entity_class__");
    world.put_entity_text(classless, &Value::Object(fields).to_string());
    (world, broken)
}

fn keys(world: &World, ids: &[String]) -> Vec<String> {
    let mut keys: Vec<_> = ids
        .iter()
        .map(|id| world.entity_file(id).file_name().expect("a file has a name").to_string_lossy().into_owned())
        .collect();
    keys.sort();
    keys
}

fn dead_keys(result: &ForkResult) -> Vec<String> {
    let mut keys: Vec<_> = result.dead_letters.iter().map(|letter| letter.object_key.clone()).collect();
    keys.sort();
    keys
}

fn sorted(ids: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut ids: Vec<_> = ids.into_iter().collect();
    ids.sort();
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn three_undecodable_entities_and_a_cut_off_manifest_field_are_named_and_not_fatal() {
    let (world, broken) = world_with_three_broken().await;
    let manifest = world.store().join("manifest.json");
    let mut fields: Value = serde_json::from_slice(&fs::read(&manifest).expect("readable")).expect("JSON");
    fields["created_at"] = json!("2026-01-05T09:0");
    fs::write(&manifest, fields.to_string()).expect("the manifest can be written");

    let worker = world.worker();
    let result =
        world.fork(&world.fork_request(world.ids.connection_v0)).await.expect("three broken are in the budget");
    assert_eq!((result.state.as_str(), result.listed, result.entities, result.dead_letter_count), ("ready", 20, 17, 3));
    assert_eq!(dead_keys(&result), keys(&world, &broken));
    for letter in &result.dead_letters {
        assert_eq!((letter.stage.as_str(), letter.kind.as_str()), ("decode", "RawStoreInvalid"), "{letter:?}");
        assert!(!letter.message.is_empty());
    }
    let cut = result.gaps.iter().find(|gap| gap.what == "manifest: created_at is not a time");
    assert_eq!(cut.map(|gap| gap.count), Some(1), "{:?}", result.gaps);

    let expected = sorted(world.entity_ids.iter().filter(|id| !broken.contains(id)).cloned());
    assert_eq!(world.stored_entities(&result.slot_id).await, expected);
    let slot = &world.list().slots[0];
    assert_eq!((slot.entities, slot.dead_letters), (17, 3));

    // Mended at the source, they are carried over by the next fork, and the letters are gone.
    for id in &broken {
        world.put_entity(id, "mended");
    }
    let mended = world.fork(&world.fork_request(world.ids.connection_v0)).await.expect("the second fork completes");
    assert_eq!((mended.unchanged, mended.entities, mended.dead_letter_count), (17, 3, 0));
    assert_eq!(world.stored_entities(&result.slot_id).await, sorted(world.entity_ids.clone()));
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_broken_entities_than_the_budget_end_the_fork_and_undo_it() {
    let (world, broken) = world_with_three_broken().await;
    let worker = world.worker();
    let request = world.fork_request(world.ids.connection_v0);
    let options = ForkOptions { dead_letter_budget: Some(2), ..request.options.unwrap_or_default() };
    let failed = world.fork(&ForkRequest { options: Some(options), ..request }).await.expect_err("it is over budget");
    assert_eq!(failed.kind(), Some(ErrorKind::RejectedDocuments), "{failed}");
    let words = failed.to_string();
    assert!(words.contains("3 entities could not be carried over, more than the budget of 2"), "{words}");
    for key in keys(&world, &broken) {
        assert!(words.contains(&key), "{key} is not named: {words}");
    }
    for (what, count) in world.residue().await {
        assert_eq!(count, 0, "{what} is left");
    }
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_names_arrive_as_they_are() {
    let world = World::with(WorldOptions { entities: 1, ..WorldOptions::default() }).await;
    world.empty_store().await;
    let ids: Vec<String> = [
        ".",
        "..",
        ".hidden",
        ".tmp-looking.json",
        "a.b.c.",
        "ends with dots...",
        "line\nbreak\r\nand tab\t",
        "bell\u{7} and escape\u{1b}[31m",
        " leading and trailing ",
        "Ünïcödé 漢字 😀",
        "e\u{301} beside é",
        "\u{202e}right to left",
        "a/b:c*?\"<>|\\",
        "../../../../etc/passwd",
        "%2e%2e%2f%00",
        "-rf",
        "~root",
        "' OR 1=1; --",
        "$(reboot) `reboot`",
        "{\"id\": 1}",
        "NULL",
        "\u{feff}marked",
        "zero\u{200b}width",
    ]
    .into_iter()
    .map(str::to_owned)
    .chain(["x".repeat(200), "y".repeat(5_000), "漢".repeat(60), "漢/".repeat(300)])
    .collect();
    for id in &ids {
        world.put_entity(id, "something to say");
    }
    let worker = world.worker();
    let result = world.fork(&world.fork_request(world.ids.connection_v0)).await.expect("names stop nothing");
    assert_eq!((result.listed, result.entities, result.dead_letter_count), (27, 27, 0), "{result:?}");
    assert_eq!(result.gaps, [], "every object has the name of its entity");
    assert_eq!(world.stored_entities(&result.slot_id).await, sorted(ids));
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strange_values_are_data_and_impossible_ones_are_named() {
    let world = World::with(WorldOptions { entities: 1, ..WorldOptions::default() }).await;
    world.empty_store().await;
    let with = |id: &str, content: &str| {
        let text = Value::Object(entity(id, "CONTENT")).to_string();
        world.put_entity_text(id, &text.replacen("\"content\":\"CONTENT\"", &format!("\"content\":{content}"), 1));
    };
    let strange = [
        ("not a number", "NaN"),
        ("infinite", "[Infinity, -Infinity, {\"deep\": NaN}]"),
        ("lone surrogates", r#""before \ud83d between \udc00 after""#),
        ("huge integer", &"9".repeat(400)),
        ("huge exponent", "1e999"),
        ("nul", r#""before \u0000 after""#),
        ("control characters", r#""\u0001\u001f\u007f""#),
        ("nothing", "null"),
        ("many words", &format!("\"{}\"", "word ".repeat(20_000))),
        ("one long word", &format!("\"{}\"", "x".repeat(100_000))),
        ("twice", r#""first", "content": "second""#),
    ];
    for (id, content) in &strange {
        with(id, content);
    }
    for id in ["unheard of 1", "unheard of 2"] {
        let mut fields = entity(id, "a class of tomorrow");
        fields.insert("__entity_class__".to_owned(), json!("HologramEntity"));
        world.put_entity_text(id, &Value::Object(fields).to_string());
    }
    with("too deep", &format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)));
    let nul_in_id = Value::Object(entity("nul\0id", "an id that no text column takes")).to_string();
    world.put_entity_text("nul id", &nul_in_id);
    let lone_surrogate_id = Value::Object(entity("LONE", "an id that is no text")).to_string();
    world.put_entity_text(
        "surrogate id",
        &lone_surrogate_id.replace("\"entity_id\":\"LONE\"", r#""entity_id":"\ud83d""#),
    );

    let worker = world.worker();
    let result = world.fork(&world.fork_request(world.ids.connection_v0)).await.expect("values stop nothing");
    assert_eq!(dead_keys(&result), ["nul id.json", "surrogate id.json", "too deep.json"], "{result:?}");
    assert_eq!((result.state.as_str(), result.listed, result.entities), ("ready", 16, 13));
    let unheard = result.gaps.iter().find(|gap| gap.what == "unknown class HologramEntity");
    assert_eq!(unheard.map(|gap| gap.count), Some(2), "{:?}", result.gaps);
    let expected =
        strange.iter().map(|(id, _)| (*id).to_owned()).chain(["unheard of 1", "unheard of 2"].map(str::to_owned));
    assert_eq!(world.stored_entities(&result.slot_id).await, sorted(expected));
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_beside_the_entities_is_no_entity() {
    let world = World::with(WorldOptions { entities: 5, ..WorldOptions::default() }).await;
    let entities = world.store().join("entities");
    for name in ["x.json.tmp", ".DS_Store", "notes.txt", "json"] {
        fs::write(entities.join(name), "not an entity").expect("the store is writable");
    }
    fs::create_dir(entities.join("folder.json")).expect("a folder can be made");
    let worker = world.worker();
    let result = world.fork(&world.fork_request(world.ids.connection_v0)).await.expect("the fork completes");
    assert_eq!((result.listed, result.entities, result.dead_letter_count), (5, 5, 0));
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_objects_with_one_entity_id_the_one_under_its_own_name_is_carried() {
    let world = World::with(WorldOptions { entities: 10, ..WorldOptions::default() }).await;
    world.put_entity("twin", "what the object under its own name says");
    let twin = fs::read_to_string(world.entity_file("twin")).expect("an entity can be read");
    world.put_entity_text("another name", &twin.replace("under its own name", "under another name"));
    let worker = world.worker();
    let result = world.fork(&world.fork_request(world.ids.connection_v0)).await.expect("a copy stops nobody");
    assert_eq!((result.state.as_str(), result.listed, result.entities), ("ready", 12, 11), "{result:?}");
    assert_eq!(dead_keys(&result), ["another name.json"]);
    assert_eq!(result.dead_letters[0].message, "its entity id is that of twin.json, which is carried over instead");
    let query = format!("SELECT text FROM {} WHERE entity_id = 'twin'", world.points_table(&result.slot_id));
    let texts: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(query))
        .fetch_all(world.database.pool())
        .await
        .expect("the slot can be read");
    assert!(texts.iter().all(|text| text.contains("under its own name")) && texts.len() == 1, "{texts:?}");
    let mut expected = world.entity_ids.clone();
    expected.push("twin".to_owned());
    assert_eq!(world.stored_entities(&result.slot_id).await, sorted(expected));
    drop(worker);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_under_another_name_is_carried_and_counted() {
    let world = World::with(WorldOptions { entities: 10, ..WorldOptions::default() }).await;
    world.put_entity("moved", "renamed by hand");
    fs::rename(world.entity_file("moved"), world.entity_file("another name")).expect("a file can be renamed");
    let worker = world.worker();
    let result = world.fork(&world.fork_request(world.ids.connection_v0)).await.expect("a name stops nobody");
    assert_eq!((result.listed, result.entities, result.dead_letter_count), (11, 11, 0), "{result:?}");
    let named = result.gaps.iter().find(|gap| gap.what == "object whose name is not that of its entity id");
    assert_eq!(named.map(|gap| gap.count), Some(1), "{:?}", result.gaps);
    assert!(world.stored_entities(&result.slot_id).await.contains(&"moved".to_owned()));
    drop(worker);
    world.done().await;
}
