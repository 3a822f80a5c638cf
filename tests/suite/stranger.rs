//! Somebody who has read nothing but the help gets a sync to another destination and back.

use std::collections::BTreeMap;
use std::process::{Command, Output};

use harness::{World, syncmux};
use tempfile::TempDir;
use uuid::Uuid;

/// What `syncmux … --help` prints.
fn help(command: &[&str]) -> String {
    let output = Command::new(syncmux()).args(command).arg("--help").env_clear().output().expect("the program runs");
    String::from_utf8(output.stdout).expect("help is text")
}

/// The commands under "Examples:".
fn examples(help: &str) -> Vec<String> {
    let (_, examples) = help.split_once("Examples:").expect("there are examples");
    let examples = examples.replace("\\\n", " ");
    examples.lines().filter(|line| line.starts_with("  syncmux ")).map(|line| line.trim().to_owned()).collect()
}

/// The profile that the help of `fork` shows.
fn profile(help: &str) -> String {
    let (_, after) = help.split_once("The profile is a JSON or TOML file").expect("the help shows a profile");
    let lines = after.lines().map(str::trim).skip_while(|line| !line.contains(" = "));
    lines.take_while(|line| line.contains(" = ")).collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_of_the_help_lead_from_one_slot_to_another_and_back() {
    let world = World::new().await;
    let worker = world.worker();
    // What is there from before: readers are served from somewhere.
    let before = world.fork(&world.fork_request(world.ids.connection_v0)).await.expect("the fork completes").slot_id;
    world.switch(&world.switch_request(&before)).await.expect("the switch completes");

    let folder = TempDir::new().expect("a folder can be made");
    std::os::unix::fs::symlink(syncmux(), folder.path().join("syncmux")).expect("a link can be made");
    std::fs::write(folder.path().join("v1.toml"), profile(&help(&["fork"]))).expect("a file can be written");
    let mut variables = BTreeMap::from([
        ("SYNC", world.ids.sync_id.to_string()),
        ("CONNECTION", world.ids.connection_v1.to_string()),
        ("OPERATION", Uuid::now_v7().to_string()),
    ]);
    let run = |example: &str, variables: &BTreeMap<&str, String>| -> Output {
        let mut shell = Command::new("bash");
        for (name, value) in world.command().get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap_or_default());
        shell.args(["-euc", example]).current_dir(folder.path()).env("PATH", path).envs(variables);
        shell.output().expect("bash runs")
    };
    let expected = [
        ("doctor", "ok"),
        ("list", "active"),
        ("fork", "started fork/"),
        ("status", "completed"),
        ("list", "shadow"),
        ("switch", "can be promoted"),
        ("switch", "generation 2"),
        ("search", "SCORE"),
        ("rollback", "generation 3"),
    ];
    let examples = examples(&help(&[]));
    assert_eq!(examples.len(), expected.len(), "{examples:?}");
    for (example, (command, words)) in examples.iter().zip(expected) {
        assert!(example.starts_with(&format!("syncmux {command}")), "{example}");
        let output = run(example, &variables);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && out.contains(words), "{example}\n{out}\n{err}");
        if let Some(row) = out.lines().find(|line| line.contains(" shadow ")) {
            variables.insert("SLOT", row.split_whitespace().next().expect("a row has columns").to_owned());
        }
    }
    let slots = world.list().slots;
    let active = slots.iter().find(|slot| slot.role() == proto::v1::Role::Active).expect("one is active");
    assert_eq!(active.slot_id, before, "back where it was");
    drop(worker);
    world.done().await;
}
