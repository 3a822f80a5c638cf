//! The arrows between the rooms, and what must not be in the tree of the workflows.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, PackageId};

const ROOMS: [&str; 4] =
    ["sync-multiplexer", "sync-multiplexer-activities", "sync-multiplexer-workflows", "sync-multiplexer-proto"];

/// Crates that do I/O or start tasks. `tokio` itself is in the tree through the protobuf definitions of Temporal (tonic
/// without a transport), so its features are looked at instead.
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

fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        // What only other platforms need was never fetched, and nothing is fetched here.
        .other_options(["--frozen", "--filter-platform", "host-tuple"].map(str::to_owned).to_vec())
        .exec()
        .expect("cargo metadata answers")
}

/// Names of the normal dependencies of every package.
fn dependencies(metadata: &Metadata) -> BTreeMap<PackageId, Vec<PackageId>> {
    let nodes = &metadata.resolve.as_ref().expect("metadata resolves").nodes;
    let normal = |node: &cargo_metadata::Node| {
        let wanted = |dep: &&cargo_metadata::NodeDep| dep.dep_kinds.iter().any(|it| it.kind == DependencyKind::Normal);
        node.deps.iter().filter(wanted).map(|dep| dep.pkg.clone()).collect()
    };
    nodes.iter().map(|node| (node.id.clone(), normal(node))).collect()
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
    let metadata = metadata();
    let dependencies = dependencies(&metadata);
    let start = metadata.workspace_packages().into_iter().find(|it| it.name == "sync-multiplexer-workflows");
    let mut todo = vec![start.expect("the room is there").id.clone()];
    let mut seen = BTreeSet::new();
    while let Some(id) = todo.pop() {
        if seen.insert(id.clone()) {
            todo.extend(dependencies[&id].clone());
        }
    }
    let names: BTreeSet<_> = seen.iter().map(|id| metadata[id].name.to_string()).collect();
    assert!(names.contains("temporalio-workflow"), "the walk found nothing: {names:?}");
    let found: Vec<_> = IO_CRATES.into_iter().filter(|it| names.contains(*it)).collect();
    assert!(found.is_empty(), "the workflows' tree holds {found:?}");
}
