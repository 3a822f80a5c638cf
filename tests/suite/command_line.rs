//! The program as people and scripts use it: what it says, what it prints, how it exits.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use harness::{World, syncmux};
use proto::v1::{ForkResult, ListResult, Role, SwitchResult};
use rstest::rstest;
use serde_json::Value;
use tempfile::TempDir;

/// The sync of the fixture.
const SYNC: &str = "f22456a1-6b4e-53cf-bc8d-48619c1615b8";

/// The program with nothing in its environment.
fn bare() -> Command {
    let mut command = Command::new(syncmux());
    command.env_clear();
    command
}

#[track_caller]
fn run(command: &mut Command, code: i32) -> Output {
    let output = command.output().expect("the program runs");
    let said = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{command:?}\n{}\n{}", said.0, said.1);
    output
}

#[track_caller]
fn json<T: serde::de::DeserializeOwned>(output: &Output) -> T {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[rstest]
#[case::program(&[], &["fork", "switch", "rollback", "retire", "resync", "search", "list", "status", "doctor", "arf", "Exit codes: 0 done"])]
#[case::demo(&["demo"], &["--keep", "--entities", "--seed", "--destination", "QDRANT_URL", "QDRANT_API_KEY", "VESPA_URL"])]
#[case::worker(&["worker"], &["--database-url", "DATABASE_URL", "--store", "ARF_STORE_URL", "--encryption-key", "--model-dir", "--activity-slots", "--grace-seconds", "QDRANT_FULL_URL", "QDRANT_HOST", "QDRANT_PORT", "QDRANT_GRPC_PORT", "VESPA_URL", "VESPA_PORT", "VESPA_CLI_DATA_PLANE_TOKEN", "PLATFORM_API_URL", "PLATFORM_API_KEY", "PLATFORM_API_KEY_FILE", "PLATFORM_ADMIN_API_KEY"])]
#[case::migrate(&["migrate"], &["--database-url", "Running it twice changes nothing"])]
#[case::setup(&["setup"], &["--task-queue", "--temporal-address", "--temporal-profile", "search attributes"])]
#[case::fork(&["fork"], &["--sync", "--destination", "--profile", "--without-replay", "--allow-incomplete", "--lanes", "--batch", "--dead-letter-budget", "--operation-id", "--detach", "--json", "--organization", "pgvector = {"])]
#[case::switch(&["switch"], &["--sync", "--to", "--expect-active", "--expect-generation", "--reverse-window-seconds", "--reason", "--operation-id", "--json"])]
#[case::rollback(&["rollback"], &["--sync", "--to", "--reason", "--reverse-window-seconds", "--operation-id", "--json"])]
#[case::retire(&["retire"], &["--sync", "--slot", "--force", "--reason", "--dry-run", "--operation-id", "--json", "no way back"])]
#[case::resync(&["resync"], &["--sync", "--rebuild", "--wait-seconds", "--job-limit-seconds", "--away-limit-seconds", "--confirm-drop", "--operation-id", "--detach", "--json", "PLATFORM_API_URL"])]
#[case::search(&["search"], &["QUESTION", "--sync", "--slot", "--limit", "--json", "--model-dir", "--encryption-key"])]
#[case::list(&["list"], &["--sync", "--organization", "--json"])]
#[case::status(&["status"], &["--sync", "--operation", "--limit", "--json"])]
#[case::doctor(&["doctor"], &["--json", "--store", "--database-url", "--connection", "--organization"])]
#[case::probe(&["probe"], &["--address", "--live", "SYNCMUX_PROBE_ADDRESS", "health checks of containers"])]
#[case::arf(&["arf"], &["stat", "check", "show"])]
#[case::arf_stat(&["arf", "stat"], &["--store", "--sync", "--json"])]
#[case::arf_check(&["arf", "check"], &["--store", "--sync", "--json", "exits with 6"])]
#[case::arf_show(&["arf", "show"], &["--jsonl", "--entity", "--class", "--max-tokens"])]
#[case::stack(&["stack"], &["up", "env", "down", "discard", "status"])]
fn help_teaches(#[case] command: &[&str], #[case] mentioned: &[&str]) {
    let output = run(bare().args(command).arg("--help"), 0);
    let text = String::from_utf8(output.stdout).expect("help is text");
    let squeezed = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for word in mentioned {
        assert!(squeezed.contains(word), "{word:?} is not in the help of {command:?}:\n{text}");
    }
}

#[rstest]
#[case::no_command(&[], "Usage")]
#[case::unknown_command(&["migarte"], "migarte")]
#[case::unknown_flag(&["list", "--snyc", "x"], "--snyc")]
#[case::missing_flag(&["arf", "stat"], "--sync")]
fn a_usage_error_exits_with_2(#[case] arguments: &[&str], #[case] words: &str) {
    let output = run(bare().args(arguments), 2);
    assert!(errors(&output).contains(words), "{}", errors(&output));
}

#[test]
fn nobody_there_exits_with_10_and_says_who() {
    let away = "postgres://nobody@127.0.0.1:1/none";
    let list = ["list", "--organization", SYNC, "--sync", SYNC, "--database-url", away];
    let said = errors(&run(bare().args(list), 10));
    assert!(said.contains("database"), "{said}");
    let setup = ["setup", "--temporal-address", "127.0.0.1:1"];
    let said = errors(&run(bare().args(setup), 10));
    assert!(said.contains("no Temporal server answers at") && said.contains("127.0.0.1:1"), "{said}");
}

/// Unpacks the fixture; returns the folder that holds `raw/`.
fn fixture(folder: &TempDir) -> PathBuf {
    let packed = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/arf/dev-mixed.tar.zst");
    let packed = fs::File::open(packed).expect("the fixture is there");
    let unpacked = zstd::Decoder::new(packed).expect("the fixture is zstd");
    tar::Archive::new(unpacked).unpack(folder.path()).expect("the fixture unpacks");
    folder.path().join("dev-mixed")
}

fn arf(store: &Path, command: &str, more: &[&str]) -> Command {
    let mut arf = bare();
    arf.args(["arf", command, "--sync", SYNC, "--store"]).arg(store).args(more);
    arf
}

#[test]
fn a_raw_store_is_read_with_nothing_else_running() {
    let folder = TempDir::new().expect("a folder can be made");
    let store = fixture(&folder);
    let statistics: Value = json(&run(&mut arf(&store, "stat", &["--json"]), 0));
    assert_eq!((&statistics["entities"], &statistics["stored_files"]), (&1391.into(), &419.into()));
    assert_eq!(
        (&statistics["broken"], &statistics["manifest_problems"]),
        (&Value::Array(vec![]), &Value::Array(vec![]))
    );
    let classes: BTreeMap<String, u64> = serde_json::from_value(statistics["classes"].clone()).expect("counts");
    assert_eq!(classes.values().sum::<u64>(), 1391);
    assert_eq!(classes.len(), 13, "{classes:?}");
    assert!(classes.contains_key("SlackMessageEntity") && classes.contains_key("GitHubCodeFileEntity"), "{classes:?}");
    assert_eq!(statistics["unknown_classes"], Value::Object(serde_json::Map::new()));

    let table = String::from_utf8(run(&mut arf(&store, "check", &[]), 0).stdout).expect("text");
    assert!(table.contains("1391 entities") && table.contains("419 stored files"), "{table}");
    assert!(table.contains("0 unknown classes, 0 objects that cannot be carried over"), "{table}");

    let shown = run(&mut arf(&store, "show", &["--jsonl", "--max-tokens", "128"]), 0);
    let mut shown_classes = BTreeMap::<String, u64>::new();
    for line in String::from_utf8(shown.stdout).expect("text").lines() {
        let entity: Value = serde_json::from_str(line).expect("a line is JSON");
        let fields: Vec<_> = entity.as_object().expect("an object").keys().map(String::as_str).collect();
        let mut expected = ["path", "entity_id", "class", "hash", "metadata_section", "text", "no_text", "chunks"];
        expected.sort_unstable();
        let mut sorted = fields.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, expected);
        let path = entity["path"].as_str().expect("a path");
        assert!(store.join(path).is_file(), "{path}");
        assert_eq!(entity["hash"].as_str().map(str::len), Some(64));
        assert_eq!(entity["text"].is_null(), entity["no_text"].is_string(), "{entity}");
        assert_eq!(entity["text"].is_null(), entity["chunks"] == Value::Array(vec![]), "{entity}");
        *shown_classes.entry(entity["class"].as_str().expect("a class").to_owned()).or_default() += 1;
    }
    assert_eq!(shown_classes, classes);

    let one = run(&mut arf(&store, "show", &["--jsonl", "--entity", "106d4507-1e64-4a4f-b209-9b91a230d95a"]), 0);
    let one: Value = json(&one);
    assert_eq!(one["class"], "NotionPageEntity");
    run(&mut arf(&store, "show", &["--entity", "no such entity"]), 4);
}

#[test]
fn a_broken_entity_is_named_and_check_exits_with_6() {
    let folder = TempDir::new().expect("a folder can be made");
    let store = fixture(&folder);
    let torn = store.join("raw").join(SYNC).join("entities/106d4507-1e64-4a4f-b209-9b91a230d95a.json");
    let whole = fs::read(&torn).expect("the entity is there");
    fs::write(&torn, &whole[..whole.len() / 3]).expect("the entity can be torn");

    let output = run(&mut arf(&store, "check", &["--json"]), 6);
    let statistics: Value = json(&output);
    let broken = statistics["broken"].as_array().expect("a list");
    assert_eq!(broken.len(), 1, "{broken:?}");
    assert_eq!(broken[0]["object_key"], "106d4507-1e64-4a4f-b209-9b91a230d95a.json");
    assert_eq!(broken[0]["stage"], "decode");
    assert_eq!(statistics["entities"], 1391, "a broken entity is one all the same");
    assert!(errors(&output).contains("1 entities cannot be carried over"), "{}", errors(&output));
    run(&mut arf(&store, "stat", &[]), 0);
}

#[test]
fn a_raw_store_that_is_not_there_has_an_exit_code_of_its_own() {
    let folder = TempDir::new().expect("a folder can be made");
    run(&mut arf(folder.path(), "stat", &[]), 4);
    run(bare().args(["arf", "stat", "--sync", "nope", "--store"]).arg(folder.path()), 2);
    run(bare().args(["arf", "stat", "--sync", SYNC, "--store", "ftp://somewhere"]), 2);
    fs::create_dir_all(folder.path().join("raw").join(SYNC).join("entities")).expect("a folder can be made");
    fs::write(folder.path().join("raw").join(SYNC).join("entities/a.json"), "{}").expect("a file can be written");
    let said = errors(&run(&mut arf(folder.path(), "stat", &[]), 6));
    assert!(said.contains("manifest"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_from_the_command_line() {
    let world = World::new().await;
    let sync = world.ids.sync_id.to_string();
    let v0 = world.ids.connection_v0.to_string();
    let profile = world.store_root().join("v0.toml");
    fs::write(&profile, "name = \"v0\"\nchunker = { max_tokens = 256 }\npgvector = {}\n").expect("writable");
    let profile = profile.to_string_lossy().into_owned();
    let fork = ["fork", "--sync", &sync, "--destination", &v0, "--profile", &profile, "--json"];

    // A doctor without a worker finds exactly that.
    let findings: Vec<Value> = json(&run(world.command().args(["doctor", "--json"]), 10));
    let wrong: Vec<_> = findings.iter().filter(|it| it["ok"] == false).map(|it| it["what"].clone()).collect();
    assert_eq!(wrong, ["workers"], "{findings:?}");
    let next: Vec<_> = findings.iter().filter_map(|it| it["next_step"].as_str()).collect();
    assert!(matches!(next.as_slice(), [one] if one.contains("syncmux worker")), "{next:?}");
    let _worker = world.worker();

    let forked: ForkResult = json(&run(world.command().args(fork), 0));
    assert_eq!((forked.state.as_str(), forked.entities), ("ready", 60));
    let listed: ListResult = json(&run(world.command().args(["list", "--sync", &sync, "--json"]), 0));
    assert_eq!((listed.generation, listed.slots.len()), (0, 1));
    assert_eq!((listed.slots[0].role(), listed.slots[0].profile_name.as_str()), (Role::Shadow, "v0"));

    let switch = ["switch", "--sync", &sync, "--to", &forked.slot_id, "--reason", "a test", "--json"];
    let switched: SwitchResult = json(&run(world.command().args(switch), 0));
    assert_eq!((switched.generation, &switched.new_active_slot_id), (1, &forked.slot_id));
    let table = run(world.command().args(["list", "--sync", &sync]), 0);
    let table = String::from_utf8(table.stdout).expect("text");
    for word in ["SLOT", "ROLE", &forked.slot_id, "active", "ready", "Vectors v0", "KEPT UNTIL", "generation 1"] {
        assert!(table.contains(word), "{word:?} is not in\n{table}");
    }

    let mut status: Vec<Value> = json(&run(world.command().args(["status", "--sync", &sync, "--json"]), 0));
    // The fork started it.
    status.retain(|it| it["kind"] != "follow");
    let seen: Vec<_> = status.iter().map(|it| (it["kind"].as_str(), it["state"].as_str())).collect();
    assert_eq!(seen, [(Some("switch"), Some("completed")), (Some("fork"), Some("completed"))]);
    assert_eq!(status[0]["result"]["new_active_slot_id"], forked.slot_id.as_str());
    let one = run(world.command().args(["status", "--operation", &forked.operation_id]), 0);
    assert!(String::from_utf8_lossy(&one.stdout).contains("\"entities\": \"60\""));
    let findings: Vec<Value> = json(&run(world.command().args(["doctor", "--json"]), 0));
    assert!(findings.iter().all(|it| it["ok"] == true), "{findings:?}");
    for command in ["migrate", "setup"] {
        run(world.command().arg(command), 0);
    }

    let nobody = uuid::Uuid::new_v4().to_string();
    let nowhere = ["fork", "--sync", &nobody, "--destination", &v0, "--profile", &profile];
    for (arguments, code, words) in [
        (&["list", "--sync", "nope"][..], 2, "--sync is not a UUID"),
        (&["list", "--sync", &nobody], 4, "NotFound"),
        (&["status", "--operation", &nobody], 4, "does not exist"),
        (&["switch", "--sync", &sync, "--to", "nope"], 2, "target_slot_id is not a UUID"),
        (&["switch", "--sync", &sync, "--to", &nobody], 4, "is not a destination of sync"),
        (&["switch", "--sync", &sync, "--to", &forked.slot_id, "--expect-generation", "7"], 5, "generation"),
        (&fork, 5, "is the active destination"),
        (&nowhere, 4, "sync"),
        (&["fork", "--sync", &sync, "--destination", &v0, "--profile", "missing.toml"], 2, "missing.toml"),
    ] {
        let said = errors(&run(world.command().args(arguments), code));
        assert!(said.contains(words), "{arguments:?} said {said}");
    }
    fs::write(world.store_root().join("bad.toml"), "colour = 1\npgvector = {}\n").expect("writable");
    let bad = world.store_root().join("bad.toml").to_string_lossy().into_owned();
    let said =
        errors(&run(world.command().args(["fork", "--sync", &sync, "--destination", &v0, "--profile", &bad]), 2));
    assert!(said.contains("colour"), "{said}");
    world.done().await;
}
