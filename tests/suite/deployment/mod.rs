//! `deploy/`: what can be run here is run, and what cannot is read by the tools that would run it.
//!
//! The image's program runs in a root that holds the image's files and nothing else; the image itself, the compose file
//! and the chart need a daemon or a cluster, so they are linted, rendered and compared with schemas.

mod chart;
mod compose;
mod image;
mod probe;
mod runbook;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use sync_multiplexer::stack::find_dev_dir;

/// `deploy/`.
fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").canonicalize().expect("deploy is in the checkout")
}

fn read(file: &str) -> String {
    let path = deploy().join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A program that `make peers` fetched, or one of this machine where it fetches none.
fn tool(name: &str) -> Command {
    let fetched = find_dev_dir().expect("a checkout").join("deploy").join(name);
    Command::new(if fetched.exists() { fetched } else { PathBuf::from(name) })
}

/// Runs a tool that has to succeed; returns what it printed.
#[track_caller]
fn succeed(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (out, err) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{command:?}\n{out}\n{err}");
    out.into_owned()
}

/// The documents of a YAML text that are not empty.
fn documents(yaml: &str) -> Vec<serde_json::Value> {
    serde_yaml_ng::Deserializer::from_str(yaml)
        .map(|document| serde::Deserialize::deserialize(document).unwrap_or_else(|error| panic!("{error}: {yaml}")))
        .filter(|document: &serde_json::Value| !document.is_null())
        .collect()
}
