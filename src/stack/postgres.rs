//! Starting PostgreSQL, and knowing that it is ours and ready.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use nix::sys::signal::Signal;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection, PgConnection};
use tokio::time::{Instant, sleep, timeout};

use super::LOOPBACK;
use super::log::LogPart;
use super::place::{PostgresPlace, make_private_dir, remove_tree};
use super::ports::PortChoice;
use super::process::{Readiness, ServerProcess, isolate};
use super::state::PostgresRecord;

/// The superuser that `initdb` makes.
pub(super) const SUPERUSER: &str = "postgres";

/// The major version whose data directories the prepared programs understand.
const MAJOR_VERSION: &str = "18";

/// A fast shutdown writes a checkpoint, which may take a while on a slow disk.
const STOP_GRACE: Duration = Duration::from_secs(30);

/// How long backends of a killed server may take to notice.
const ORPHAN_GRACE: Duration = Duration::from_secs(5);

/// What a start needs.
#[derive(Debug)]
pub(super) struct PostgresOptions {
    /// Programs, data and user.
    pub(super) place: PostgresPlace,
    /// Where the log goes.
    pub(super) log_file: PathBuf,
    /// Which port.
    pub(super) port: PortChoice,
    /// Whether to flush to disk.
    pub(super) durable: bool,
    /// How long it may take to answer.
    pub(super) ready_within: Duration,
}

/// How to reach `database` on `port`. Nothing is taken from the environment's `PG…` variables.
pub(super) fn connect_options(port: u16, database: &str) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .host(&LOOPBACK.to_string())
        .port(port)
        .username(SUPERUSER)
        .password("")
        .database(database)
        .ssl_mode(PgSslMode::Disable)
        .disable_statement_logging()
}

/// Whether the server of `record` runs and answers, and really serves the recorded data.
pub(super) async fn answers(record: &PostgresRecord) -> bool {
    record.process.is_running() && serves(record.port, &record.data_dir).await
}

/// Waits for a recorded server that may still be recovering; `false` when it is gone or deaf.
pub(super) async fn answers_within(record: &PostgresRecord, within: Duration) -> bool {
    let ready = record.process.until_ready(within, async || serves(record.port, &record.data_dir).await).await;
    ready == Readiness::Ready
}

/// Ends whatever runs on `data_dir` although nothing about it was written down: a server, or what a killed server left
/// behind. A backend notices within moments that its server is gone; one that does not is killed.
pub(super) async fn stop_strays(data_dir: &Path) -> Result<()> {
    for process in ServerProcess::find_by_argument("postgres", data_dir) {
        tracing::warn!(pid = process.pid(), "stopping a PostgreSQL of ours that was not written down");
        stop(&process).await?;
    }
    for backend in ServerProcess::find_by_directory("postgres", data_dir) {
        if !backend.until_gone(ORPHAN_GRACE).await {
            backend.kill9().await?;
        }
    }
    Ok(())
}

/// Fast shutdown: open transactions are rolled back, then a checkpoint, then the end.
pub(super) async fn stop(process: &ServerProcess) -> Result<()> {
    process.stop(Signal::SIGINT, STOP_GRACE).await
}

/// Makes the data directory when there is none, starts a server on it and waits until it answers.
///
pub(super) async fn start(options: &PostgresOptions) -> Result<PostgresRecord> {
    let data_dir = &options.place.data_dir;
    init(&options.place)?;
    stop_strays(data_dir).await?;
    remove_misleading_pid_file(data_dir)?;

    let deadline = Instant::now() + options.ready_within;
    let mut port = options.port.first().await?;
    loop {
        let (log, file) =
            LogPart::open(&options.log_file).with_context(|| format!("cannot write {}", options.log_file.display()))?;
        let process = ServerProcess::spawn(server_command(options, port), options.place.account.as_ref(), file)?;
        let left = deadline.saturating_duration_since(Instant::now());
        match process.until_ready(left, async || serves(port, data_dir).await).await {
            Readiness::Ready => return Ok(PostgresRecord { process, port, data_dir: data_dir.clone() }),
            Readiness::Exited if Instant::now() < deadline && log.tail().contains("Address already in use") => {
                port = options.port.next(port)?;
            }
            Readiness::Exited => bail!("PostgreSQL ended while starting; {}", log.quote()),
            Readiness::TimedOut => {
                process.kill9().await?;
                bail!("PostgreSQL did not answer within {} s; {}", options.ready_within.as_secs(), log.quote());
            }
        }
        sleep(Duration::from_millis(200)).await;
    }
}

fn server_command(options: &PostgresOptions, port: u16) -> Command {
    let durable = if options.durable { "on" } else { "off" };
    let settings = [
        format!("listen_addresses={LOOPBACK}"),
        format!("port={port}"),
        // No socket file: its path has a length limit, and TCP is enough.
        "unix_socket_directories=".to_owned(),
        // Tests run side by side, each with pools of its own.
        "max_connections=300".to_owned(),
        "shared_buffers=128MB".to_owned(),
        format!("fsync={durable}"),
        // Torn pages can only come from a crash of the machine, which `fsync=off` does not survive anyway.
        format!("full_page_writes={durable}"),
        "timezone=UTC".to_owned(),
        "log_timezone=UTC".to_owned(),
        "log_line_prefix=%m [%p] %d ".to_owned(),
    ];
    let mut command = Command::new(options.place.home.join("bin/postgres"));
    command.arg("-D").arg(&options.place.data_dir);
    for setting in settings {
        command.arg("-c").arg(setting);
    }
    command
}

/// Makes the data directory beside its place and renames it there, so that an interrupted `initdb` leaves nothing that
/// looks like one. The locale is PostgreSQL's own C.UTF-8: none has to be installed.
fn init(place: &PostgresPlace) -> Result<()> {
    let data_dir = &place.data_dir;
    match fs::read_to_string(data_dir.join("PG_VERSION")) {
        Ok(version) if version.trim() == MAJOR_VERSION => return Ok(()),
        Ok(version) => bail!(
            "{} was made by PostgreSQL {}, not {MAJOR_VERSION}: `syncmux stack discard` removes it",
            data_dir.display(),
            version.trim()
        ),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("cannot look into {}", data_dir.display())),
    }
    let new = data_dir.with_extension("new");
    remove_tree(&new)?;
    make_private_dir(&new, place.account.as_ref())?;
    let mut command = Command::new(place.home.join("bin/initdb"));
    command.arg("--pgdata").arg(&new).args(["--username", SUPERUSER]).args([
        "--auth=trust",
        "--encoding=UTF8",
        "--locale=C",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--no-instructions",
    ]);
    isolate(&mut command, place.account.as_ref());
    let output = command.output().context("cannot start initdb")?;
    if !output.status.success() {
        let words: Vec<OsString> = command.get_args().map(ToOwned::to_owned).collect();
        return Err(anyhow!("{}", String::from_utf8_lossy(&output.stderr).trim().to_owned()))
            .with_context(|| format!("initdb failed ({}) with {words:?}", output.status));
    }
    // An empty or half-made folder without PG_VERSION may be in the way.
    remove_tree(data_dir)?;
    fs::rename(&new, data_dir).with_context(|| format!("cannot make {}", data_dir.display()))
}

/// One connection, one question: a server that answers with our data directory is ours and ready.
async fn serves(port: u16, data_dir: &Path) -> bool {
    let ask = async {
        let mut connection = PgConnection::connect_with(&connect_options(port, "postgres")).await?;
        let answer: String =
            sqlx::query_scalar("SELECT current_setting('data_directory')").fetch_one(&mut connection).await?;
        connection.close().await?;
        Ok::<_, sqlx::Error>(answer)
    };
    matches!(timeout(Duration::from_secs(5), ask).await, Ok(Ok(answer)) if Path::new(&answer) == data_dir)
}

/// PostgreSQL itself recognises the `postmaster.pid` of a killed server and tidies up with what it says, unless the pid
/// in it belongs to some other process by now: then it would refuse to start. Nothing runs on `data_dir` any more.
fn remove_misleading_pid_file(data_dir: &Path) -> Result<()> {
    let file = data_dir.join("postmaster.pid");
    let Ok(text) = fs::read_to_string(&file) else { return Ok(()) };
    let pid = text.lines().next().and_then(|line| line.trim().parse().ok());
    if pid.is_some_and(|pid: u32| ServerProcess::of_pid(pid).is_some()) {
        fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
    }
    Ok(())
}
