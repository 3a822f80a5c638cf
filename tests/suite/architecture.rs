//! The arrows between the rooms, and what must not be in the tree of the workflows.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

const ROOMS: [&str; 4] =
    ["sync-multiplexer", "sync-multiplexer-activities", "sync-multiplexer-workflows", "sync-multiplexer-proto"];

const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");

/// Crates that do I/O or start tasks.
const IO_CRATES: [&str; 11] = [
    "sqlx",
    "reqwest",
    "hyper",
    "object_store",
    "qdrant-client",
    "temporalio-client",
    "temporalio-sdk",
    "temporalio-sdk-core",
    "mio",
    "socket2",
    "rustls",
];

/// What of tokio is no I/O: its channels. It is in the tree through the protobuf definitions of Temporal.
const HARMLESS_TOKIO: [&str; 2] = ["default", "sync"];

fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(MANIFEST)
        // What only other platforms need was never fetched, and nothing is fetched here.
        .other_options(["--frozen", "--filter-platform", "host-tuple"].map(str::to_owned).to_vec())
        .exec()
        .expect("cargo metadata answers")
}

/// Packages that a room is built from, with their features, when it is built alone. `cargo metadata` cannot say: it
/// shows the features that any room of the workspace turns on.
fn tree(room: &str) -> Vec<(String, String)> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["tree", "--frozen", "--manifest-path", MANIFEST, "--package", room, "--edges", "normal"])
        .args(["--prefix", "none", "--format", "{p}|{f}"])
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("cargo prints text");
    let package = |line: &str| {
        let (package, features) = line.split_once('|')?;
        Some((package.split(' ').next()?.to_owned(), features.trim_end_matches(" (*)").to_owned()))
    };
    text.lines().filter_map(package).collect()
}

#[test]
fn imports_run_one_way() {
    let metadata = metadata();
    let rooms: BTreeMap<_, _> =
        metadata.workspace_packages().into_iter().map(|package| (package.name.to_string(), package)).collect();
    for (position, room) in ROOMS.iter().enumerate() {
        let package = rooms.get(*room).unwrap_or_else(|| panic!("the room {room} is gone"));
        for dependency in package.dependencies.iter().filter(|it| it.kind == DependencyKind::Normal) {
            if let Some(other) = ROOMS.iter().position(|it| *it == dependency.name) {
                assert!(other > position, "{room} must not import {}", dependency.name);
            }
        }
    }
}

#[test]
fn workflows_can_do_no_io() {
    let tree = tree("sync-multiplexer-workflows");
    let names: BTreeSet<_> = tree.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.contains("temporalio-workflow"), "the tree is not that of the workflows: {names:?}");
    let found: Vec<_> = IO_CRATES.into_iter().filter(|it| names.contains(*it)).collect();
    assert!(found.is_empty(), "the workflows' tree holds {found:?}");
    for (_, features) in tree.iter().filter(|(name, _)| name == "tokio") {
        assert!(features.split(',').all(|it| HARMLESS_TOKIO.contains(&it)), "tokio comes with {features}");
    }
    // The test can fail: the room above does all of that.
    assert!(self::tree("sync-multiplexer-activities").iter().any(|(name, _)| name == "sqlx"));
}
