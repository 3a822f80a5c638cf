//! What `syncmux stack up | status | env` prints.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::Serialize;

use super::lifecycle::{Stack, log_file};
use super::options::StackOptions;
use super::paths::StackPaths;
use super::postgres::{self, SUPERUSER};
use super::state::StackState;
use super::{LOOPBACK, temporal};

/// How one server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerState {
    /// It runs and answers.
    Running,
    /// It runs and does not answer (yet).
    NotAnswering,
    /// It does not run.
    Stopped,
}

/// One server, for people and for scripts.
#[derive(Debug, Clone, Serialize)]
pub struct ServerStatus {
    /// How it is.
    pub state: ServerState,
    /// Its process, when it runs.
    pub pid: Option<u32>,
    /// How to reach it, when it runs: a database URL, or host and port.
    pub address: Option<String>,
    /// Where its log is.
    pub log: PathBuf,
}

/// Both servers. `Display` is for people, serde for `--json`.
#[derive(Debug, Clone, Serialize)]
pub struct StackStatus {
    /// PostgreSQL with pgvector.
    pub postgres: ServerStatus,
    /// The Temporal dev server.
    pub temporal: ServerStatus,
    /// Where to look at the workflows with a browser, when Temporal runs.
    pub temporal_ui_url: Option<String>,
    /// Data, logs and state of the stack.
    pub run_dir: PathBuf,
}

impl Stack {
    /// Looks at the servers of a stack without changing anything.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub async fn status(options: &StackOptions) -> Result<StackStatus> {
        let run_dir = std::path::absolute(&options.run_dir)?;
        let StackState { postgres, temporal } = StackState::load(&run_dir)?;
        // Without the tools Temporal cannot be asked; it then counts as not answering.
        let bin = StackPaths::discover(&options.dev_dir).ok().map(|paths| paths.temporal_bin().to_owned());

        let server = |name: &str, pid: u32, runs: bool, answers: bool, address: String| ServerStatus {
            state: match (runs, answers) {
                (true, true) => ServerState::Running,
                (true, false) => ServerState::NotAnswering,
                (false, _) => ServerState::Stopped,
            },
            pid: runs.then_some(pid),
            address: runs.then_some(address),
            log: log_file(&run_dir, name),
        };
        let absent = |name: &str| server(name, 0, false, false, String::new());
        let postgres_status = match &postgres {
            Some(record) => server(
                "postgres",
                record.process.pid(),
                record.process.is_running(),
                postgres::answers(record).await,
                format!("postgres://{SUPERUSER}@{LOOPBACK}:{}/postgres", record.port),
            ),
            None => absent("postgres"),
        };
        let temporal_status = match &temporal {
            Some(record) => server(
                "temporal",
                record.process.pid(),
                record.process.is_running(),
                match &bin {
                    Some(bin) => temporal::answers(bin, record).await,
                    None => false,
                },
                temporal::address(record.port),
            ),
            None => absent("temporal"),
        };
        let temporal_ui_url =
            temporal.filter(|record| record.process.is_running()).map(|record| temporal::ui_url(record.ui_port));
        Ok(StackStatus { postgres: postgres_status, temporal: temporal_status, temporal_ui_url, run_dir })
    }

    /// Lines for a shell's `eval` that tell the test-suite where everything is.
    #[must_use]
    pub fn test_exports(&self) -> String {
        exports(&[
            ("SYNCMUX_TEST_DATABASE_URL", &self.postgres_admin_url()),
            ("SYNCMUX_TEST_TEMPORAL_ADDRESS", &self.temporal_address()),
            ("SYNCMUX_TEMPORAL_BIN", &text(self.temporal_bin())),
            ("SYNCMUX_MODEL_DIR", &text(&self.model_dir())),
            ("SYNCMUX_VESPA_CLI", &text(&self.vespa_cli())),
            ("SYNCMUX_PYVESPA_DIR", &text(&self.pyvespa_dir())),
            ("SYNCMUX_SCHEMATHESIS_DIR", &text(&self.schemathesis_dir())),
            ("SYNCMUX_TEMPORALIO_DIR", &text(&self.temporalio_dir())),
        ])
    }

    /// Lines for a shell's `eval` that point tools at this stack: `psql`, the `temporal` CLI and `syncmux` itself.
    #[must_use]
    pub fn exports(&self, database: &str) -> String {
        exports(&[
            ("DATABASE_URL", &self.database_url(database)),
            ("TEMPORAL_ADDRESS", &self.temporal_address()),
            ("TEMPORAL_BIN", &text(self.temporal_bin())),
            ("SYNCMUX_MODEL_DIR", &text(&self.model_dir())),
        ])
    }
}

impl fmt::Display for StackStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "postgres     {}", self.postgres)?;
        writeln!(f, "temporal     {}", self.temporal)?;
        if let Some(url) = &self.temporal_ui_url {
            writeln!(f, "temporal ui  {url}")?;
        }
        write!(f, "logs         {}", self.run_dir.display())
    }
}

impl fmt::Display for ServerStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            ServerState::Running => "running",
            ServerState::NotAnswering => "not answering",
            ServerState::Stopped => "stopped",
        };
        match (&self.address, self.pid) {
            (Some(address), Some(pid)) => write!(f, "{state}  {address}  (pid {pid})"),
            _ => f.write_str(state),
        }
    }
}

fn exports(variables: &[(&str, &str)]) -> String {
    let line = |(name, value): &(&str, &str)| format!("export {name}={}\n", shell_quote(value));
    variables.iter().map(line).collect()
}

/// One word for any POSIX shell, whatever it holds.
fn shell_quote(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exports_survive_a_shell() {
        let value = "it's $HOME; `rm` \"x\"\\";
        let script = format!("{}printf %s \"$A\"", exports(&[("A", value)]));
        let output = std::process::Command::new("sh").arg("-c").arg(script).output().expect("sh");
        assert_eq!(String::from_utf8_lossy(&output.stdout), value);
    }
}
