//! How a stack is to be run.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// Ports to take when nobody else has them; otherwise a free one is taken. They lie below the range from which Linux
/// gives ports to outgoing connections (32768 and up), so that a restart finds its port again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PreferredPorts {
    /// PostgreSQL.
    pub postgres: u16,
    /// Temporal's gRPC frontend.
    pub temporal: u16,
    /// Temporal's web UI.
    pub temporal_ui: u16,
}

/// One stack: which tools, where its data is, and how careful it is with it.
#[derive(Debug, Clone)]
pub struct StackOptions {
    /// The folder that `make prepare` filled.
    pub dev_dir: PathBuf,
    /// Data, logs and state of this stack. Two stacks with different folders do not meet.
    pub run_dir: PathBuf,
    /// Ports to try first.
    pub ports: PreferredPorts,
    /// Whether PostgreSQL flushes to disk. `false` is faster where databases are thrown away; even then a killed
    /// server loses nothing, only a crashed machine does.
    pub durable: bool,
    /// How long either server may take until it answers.
    pub ready_within: Duration,
}

impl StackOptions {
    /// The stack of `syncmux demo`, in `.dev/run`.
    #[must_use]
    pub fn demo(dev_dir: &Path) -> Self {
        Self {
            dev_dir: dev_dir.to_owned(),
            run_dir: dev_dir.join("run"),
            ports: PreferredPorts { postgres: 15432, temporal: 7233, temporal_ui: 8233 },
            durable: true,
            ready_within: Duration::from_secs(60),
        }
    }

    /// The stack of `make test`, in `.dev/test-run`.
    #[must_use]
    pub fn test(dev_dir: &Path) -> Self {
        Self {
            run_dir: dev_dir.join("test-run"),
            ports: PreferredPorts { postgres: 15532, temporal: 7333, temporal_ui: 8333 },
            durable: false,
            ..Self::demo(dev_dir)
        }
    }
}
