//! What is written down between two runs of the program: which servers run, and a lock so that only one run changes
//! them at a time.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::process::ServerProcess;

/// How long to wait for another `up` or `down` of the same stack.
pub(super) const LOCK_WITHIN: Duration = Duration::from_secs(180);

/// The servers that were started, as of the last `up` or `down`. A claim to be checked, never a proof.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StackState {
    /// PostgreSQL, when it was started.
    pub(super) postgres: Option<PostgresRecord>,
    /// Temporal, when it was started.
    pub(super) temporal: Option<TemporalRecord>,
}

/// A PostgreSQL server that was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PostgresRecord {
    /// The postmaster.
    pub(super) process: ServerProcess,
    /// Where it listens on 127.0.0.1.
    pub(super) port: u16,
    /// Its data directory, as it was told on its command line.
    pub(super) data_dir: PathBuf,
}

/// A Temporal dev server that was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TemporalRecord {
    /// The server.
    pub(super) process: ServerProcess,
    /// Its gRPC port on 127.0.0.1.
    pub(super) port: u16,
    /// Its web UI's port on 127.0.0.1.
    pub(super) ui_port: u16,
}

impl StackState {
    fn path(run_dir: &Path) -> PathBuf {
        run_dir.join("stack.json")
    }

    /// Reads the state of `run_dir`. A file that is absent or does not parse is an empty state: what runs all the same
    /// is found by its command line.
    pub(super) fn load(run_dir: &Path) -> Result<Self> {
        let path = Self::path(run_dir);
        match fs::read(&path) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                tracing::warn!(path = %path.display(), %error, "the stack's state file is not readable, starting afresh");
                Self::default()
            })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Replaces the state of `run_dir` in one step, so that a reader sees the old one or the new one.
    pub(super) fn save(&self, run_dir: &Path) -> Result<()> {
        let path = Self::path(run_dir);
        let new = path.with_extension("json.new");
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        let write = || -> io::Result<()> {
            let mut file = File::create(&new)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&new, &path)
        };
        write().with_context(|| format!("cannot write {}", path.display()))
    }
}

/// Held while servers are started or stopped. The kernel lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub(super) struct StackLock {
    _file: File,
}

impl StackLock {
    /// Waits for its turn.
    pub(super) async fn acquire(run_dir: &Path, within: Duration) -> Result<Self> {
        let path = run_dir.join("lock");
        let file = File::create(&path).with_context(|| {
            format!(
                "cannot write {}: does the folder belong to another user? `make clean-dev` as that user",
                path.display()
            )
        })?;
        let deadline = Instant::now() + within;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: file }),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => sleep(Duration::from_millis(100)).await,
                Err(TryLockError::WouldBlock) => {
                    bail!(
                        "another process has been starting or stopping this stack for long; it holds {}",
                        path.display()
                    )
                }
                Err(TryLockError::Error(error)) => {
                    return Err(error).with_context(|| format!("cannot lock {}", path.display()));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> StackState {
        let process = ServerProcess::of_pid(std::process::id()).expect("this process runs");
        StackState { postgres: None, temporal: Some(TemporalRecord { process, port: 7233, ui_port: 8233 }) }
    }

    #[test]
    fn what_was_saved_is_loaded() {
        let dir = tempfile::tempdir().expect("directory");
        assert_eq!(StackState::load(dir.path()).expect("load"), StackState::default());
        sample().save(dir.path()).expect("save");
        assert_eq!(StackState::load(dir.path()).expect("load"), sample());
    }

    #[test]
    fn a_torn_file_counts_as_none() {
        let dir = tempfile::tempdir().expect("directory");
        fs::write(dir.path().join("stack.json"), "{\"postgres\": {\"pro").expect("write");
        assert_eq!(StackState::load(dir.path()).expect("load"), StackState::default());
    }

    #[tokio::test]
    async fn the_lock_has_one_holder() {
        let dir = tempfile::tempdir().expect("directory");
        let first = StackLock::acquire(dir.path(), LOCK_WITHIN).await.expect("first");
        let refused = StackLock::acquire(dir.path(), Duration::ZERO).await.expect_err("held");
        assert!(refused.to_string().contains("another process"), "{refused}");
        drop(first);
        StackLock::acquire(dir.path(), Duration::ZERO).await.expect("free again");
    }
}
