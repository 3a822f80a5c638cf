//! Starting the Temporal dev server, and knowing that it is ours and ready.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use tokio::time::{Instant, sleep, timeout};

use super::LOOPBACK;
use super::log::LogPart;
use super::ports::{PortChoice, free_port};
use super::process::{Readiness, ServerProcess, isolate};
use super::state::TemporalRecord;

/// The search attributes of our workflows. On a real cluster `syncmux setup` registers them.
const SEARCH_ATTRIBUTES: [&str; 5] =
    ["SyncId=Keyword", "OrganizationId=Keyword", "Operation=Keyword", "Phase=Keyword", "DestinationKind=Keyword"];

const STOP_GRACE: Duration = Duration::from_secs(15);

/// What a start needs.
#[derive(Debug, Clone)]
pub struct TemporalServerOptions {
    /// The Temporal CLI.
    pub bin: PathBuf,
    /// The SQLite file with the workflows; made when it is not there, used again when it is. An absolute path: it is
    /// also what the server is recognised by.
    pub db_file: PathBuf,
    /// Where the log goes.
    pub log_file: PathBuf,
    /// How long it may take to answer.
    pub ready_within: Duration,
}

impl TemporalServerOptions {
    /// A server that writes everything it writes into `dir` (an absolute path).
    #[must_use]
    pub fn private(bin: &Path, dir: &Path) -> Self {
        Self {
            bin: bin.to_owned(),
            db_file: dir.join("temporal.db"),
            log_file: dir.join("temporal.log"),
            ready_within: Duration::from_secs(60),
        }
    }
}

/// A dev server of one's own, for tests that kill it. It ends when this is dropped.
#[derive(Debug)]
pub struct TemporalServer {
    options: TemporalServerOptions,
    record: TemporalRecord,
}

impl TemporalServer {
    /// Starts a server on free ports and waits until it answers.
    ///
    /// # Errors
    /// When it ends or does not answer in time; the message quotes its log.
    pub async fn start(options: TemporalServerOptions) -> Result<Self> {
        let ports = [PortChoice::Prefer(free_port()?), PortChoice::Prefer(free_port()?)];
        let record = start(&options, ports).await?;
        Ok(Self { options, record })
    }

    /// Host and port of the gRPC frontend, such as `127.0.0.1:7233`.
    #[must_use]
    pub fn address(&self) -> String {
        address(self.record.port)
    }

    /// Where to look with a browser.
    #[must_use]
    pub fn ui_url(&self) -> String {
        ui_url(self.record.ui_port)
    }

    /// The server's process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.record.process.pid()
    }

    /// Ends the server as a crash would (SIGKILL) and waits until it is gone. Its database file stays.
    ///
    /// # Errors
    /// When the process cannot be signalled.
    pub async fn kill9(&self) -> Result<()> {
        self.record.process.kill9().await
    }

    /// Starts the server again on the same ports and the same database file, ending it before if it runs.
    ///
    /// # Errors
    /// As for [`TemporalServer::start`]; a port that somebody else took in between is one too.
    pub async fn restart(&mut self) -> Result<()> {
        stop(&self.record.process).await?;
        let ports = [PortChoice::Exactly(self.record.port), PortChoice::Exactly(self.record.ui_port)];
        self.record = start(&self.options, ports).await?;
        Ok(())
    }

    /// Ends the server in an orderly way.
    ///
    /// # Errors
    /// When the process cannot be signalled.
    pub async fn stop(self) -> Result<()> {
        stop(&self.record.process).await
    }
}

impl Drop for TemporalServer {
    fn drop(&mut self) {
        self.record.process.kill9_now();
    }
}

/// Host and port of a gRPC frontend.
pub(super) fn address(port: u16) -> String {
    format!("{LOOPBACK}:{port}")
}

/// Where to look with a browser.
pub(super) fn ui_url(port: u16) -> String {
    format!("http://{LOOPBACK}:{port}")
}

/// Whether the server of `record` runs and answers.
pub(super) async fn answers(bin: &Path, record: &TemporalRecord) -> bool {
    record.process.is_running() && serves(bin, record.port).await
}

/// Waits for a recorded server that may be busy; `false` when it is gone or deaf.
pub(super) async fn answers_within(bin: &Path, record: &TemporalRecord, within: Duration) -> bool {
    record.process.until_ready(within, async || serves(bin, record.port).await).await == Readiness::Ready
}

/// Ends whatever runs on `db_file` although nothing about it was written down: two servers on one file would corrupt it.
pub(super) async fn stop_strays(db_file: &Path) -> Result<()> {
    for process in ServerProcess::find_by_argument("temporal", db_file) {
        tracing::warn!(pid = process.pid(), "stopping a Temporal server of ours that was not written down");
        stop(&process).await?;
    }
    Ok(())
}

/// Orderly shutdown.
pub(super) async fn stop(process: &ServerProcess) -> Result<()> {
    process.stop(Signal::SIGTERM, STOP_GRACE).await
}

/// Starts a server on `ports` (gRPC, UI) and waits until it answers.
pub(super) async fn start(options: &TemporalServerOptions, ports: [PortChoice; 2]) -> Result<TemporalRecord> {
    stop_strays(&options.db_file).await?;
    let deadline = Instant::now() + options.ready_within;
    let (mut port, mut ui_port) = (ports[0].first().await?, ports[1].first().await?);
    loop {
        let (log, file) =
            LogPart::open(&options.log_file).with_context(|| format!("cannot write {}", options.log_file.display()))?;
        let process = ServerProcess::spawn(server_command(options, port, ui_port), None, file)?;
        let left = deadline.saturating_duration_since(Instant::now());
        match process.until_ready(left, async || serves(&options.bin, port).await).await {
            Readiness::Ready => return Ok(TemporalRecord { process, port, ui_port }),
            Readiness::Exited if Instant::now() < deadline && log.tail().contains("address already in use") => {
                (port, ui_port) = (ports[0].next(port)?, ports[1].next(ui_port)?);
            }
            Readiness::Exited => bail!("the Temporal dev server ended while starting; {}", log.quote()),
            Readiness::TimedOut => {
                process.kill9().await?;
                let seconds = options.ready_within.as_secs();
                bail!("the Temporal dev server did not answer within {seconds} s; {}", log.quote());
            }
        }
        sleep(Duration::from_millis(200)).await;
    }
}

fn server_command(options: &TemporalServerOptions, port: u16, ui_port: u16) -> Command {
    let mut command = Command::new(&options.bin);
    command.args(["server", "start-dev", "--ip", &LOOPBACK.to_string(), "--log-level", "warn"]);
    command.args(["--disable-config-file", "--disable-config-env", "--ui-disable-news-fetch"]);
    command.args(["--port", &port.to_string(), "--ui-port", &ui_port.to_string()]);
    command.arg("--db-filename").arg(&options.db_file);
    for attribute in SEARCH_ATTRIBUTES {
        command.args(["--search-attribute", attribute]);
    }
    command
}

/// Asks through the CLI for something that needs the frontend, the default namespace and the search attributes.
async fn serves(bin: &Path, port: u16) -> bool {
    // The CLI is 150 MB; there is no point in starting it while nothing listens.
    if tokio::net::TcpStream::connect((LOOPBACK, port)).await.is_err() {
        return false;
    }
    let mut ask = Command::new(bin);
    ask.args(["operator", "search-attribute", "list", "--namespace", "default", "--output", "json"]);
    ask.args(["--address", &address(port), "--disable-config-file", "--disable-config-env"]);
    isolate(&mut ask, None);
    let answer = tokio::process::Command::from(ask).kill_on_drop(true).output();
    let Ok(Ok(answer)) = timeout(Duration::from_secs(10), answer).await else { return false };
    answer.status.success() && String::from_utf8_lossy(&answer.stdout).contains("customAttributes")
}
