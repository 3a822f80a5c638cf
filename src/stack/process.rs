//! Server processes that outlive the program which started them.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::account::Account;

/// How often a waiting loop looks again.
const POLL: Duration = Duration::from_millis(50);

/// How long a killed process may take to disappear.
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// A process, told apart from a later one that got the same pid by the time of its start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServerProcess {
    pid: u32,
    /// Clock ticks between the machine's boot and the start of the process (`starttime` in proc(5)).
    started_ticks: u64,
}

/// How the wait for a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Readiness {
    /// It answers.
    Ready,
    /// It ended by itself.
    Exited,
    /// It runs and does not answer.
    TimedOut,
}

impl ServerProcess {
    /// The process that has `pid` at the moment.
    pub(super) fn of_pid(pid: u32) -> Option<Self> {
        read_stat(pid).map(|stat| Self { pid, started_ticks: stat.started_ticks })
    }

    /// [`ServerProcess::detach`] with an emptied environment, and as `account` when one is given. For servers that are
    /// configured by their arguments alone; variables set on `command` are lost too.
    pub(crate) fn spawn(mut command: Command, account: Option<&Account>, log: File) -> Result<Self> {
        isolate(&mut command, account);
        Self::detach(command, log)
    }

    /// Starts `command` so that it outlives us: no terminal input, output into `log`, and a process group of its own,
    /// which a ctrl-C in our terminal does not reach.
    pub(crate) fn detach(mut command: Command, log: File) -> Result<Self> {
        let program = command.get_program().to_owned();
        let name = Path::new(&program).display();
        let errors = log.try_clone().context("cannot duplicate the log's handle")?;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        // Until it is waited for, an ended child keeps its entry in /proc, so this sees even one that failed at once.
        let process = Self::of_pid(child.id());
        // Somebody has to collect the exit status while we live, or a killed server would stay as a zombie.
        thread::spawn(move || child.wait());
        process.ok_or_else(|| anyhow!("{name} is not to be seen in /proc"))
    }

    /// Running processes called `program` that were given `argument` (exactly) on their command line.
    pub(super) fn find_by_argument(program: &str, argument: &Path) -> Vec<Self> {
        find(|process| {
            let command_line = fs::read(process.join("cmdline")).unwrap_or_default();
            let mut arguments = command_line.split(|&byte| byte == 0);
            let runs = arguments.next().map(|path| Path::new(OsStr::from_bytes(path)));
            runs.and_then(Path::file_name) == Some(OsStr::new(program))
                && arguments.any(|given| given == argument.as_os_str().as_bytes())
        })
    }

    /// Running processes called `program` whose current directory is `dir`.
    pub(super) fn find_by_directory(program: &str, dir: &Path) -> Vec<Self> {
        find(|process| {
            fs::read_to_string(process.join("comm")).is_ok_and(|name| name.trim_end() == program)
                && fs::read_link(process.join("cwd")).is_ok_and(|current| current == dir)
        })
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether this very process still runs. One that ended and was not waited for does not run.
    pub(crate) fn is_running(&self) -> bool {
        read_stat(self.pid).is_some_and(|stat| stat.started_ticks == self.started_ticks && !stat.ended)
    }

    /// Polls `answers` until it says yes, the process ends, or time is up.
    pub(super) async fn until_ready(&self, within: Duration, mut answers: impl AsyncFnMut() -> bool) -> Readiness {
        let deadline = Instant::now() + within;
        loop {
            if !self.is_running() {
                return Readiness::Exited;
            }
            if answers().await {
                return Readiness::Ready;
            }
            if Instant::now() >= deadline {
                return Readiness::TimedOut;
            }
            sleep(POLL).await;
        }
    }

    /// Asks the process to end with `signal`, and kills it when it has not after `grace`.
    pub(crate) async fn stop(&self, signal: Signal, grace: Duration) -> Result<()> {
        self.signal(signal)?;
        if self.until_gone(grace).await {
            return Ok(());
        }
        tracing::warn!(pid = self.pid, "the server did not stop when asked, killing it");
        self.kill9().await
    }

    /// Kills the process as a crash would, and waits until it is gone.
    pub(crate) async fn kill9(&self) -> Result<()> {
        self.signal(Signal::SIGKILL)?;
        if self.until_gone(GONE_WITHIN).await {
            return Ok(());
        }
        bail!("process {} is still there {} s after a kill", self.pid, GONE_WITHIN.as_secs())
    }

    /// Kills the process without waiting; for destructors.
    pub(super) fn kill9_now(&self) {
        // Nobody is left to tell: the process is gone already, or it is not ours to end.
        let _ = self.signal(Signal::SIGKILL);
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        if !self.is_running() {
            return Ok(());
        }
        let pid = i32::try_from(self.pid).context("a pid beyond 31 bits")?;
        match kill(Pid::from_raw(pid), signal) {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(error) => Err(error).with_context(|| format!("cannot send {signal} to process {pid}")),
        }
    }

    /// Waits until the process has ended; `false` when it still runs after `within`.
    pub(super) async fn until_gone(&self, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        while self.is_running() {
            if Instant::now() >= deadline {
                return false;
            }
            sleep(POLL).await;
        }
        true
    }
}

/// Empties the environment but for the search path, moves to `/` (the current directory may be closed to `account`)
/// and, when `account` is given, runs as that user. Dropping from root also drops root's supplementary groups.
pub(super) fn isolate(command: &mut Command, account: Option<&Account>) {
    command
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .current_dir("/");
    if let Some(account) = account {
        command.uid(account.uid).gid(account.gid);
    }
}

/// Running processes whose folder below `/proc` is `wanted`.
fn find(wanted: impl Fn(&Path) -> bool) -> Vec<ServerProcess> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let found = entries.flatten().filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        wanted(&entry.path()).then(|| ServerProcess::of_pid(pid)).flatten()
    });
    found.filter(ServerProcess::is_running).collect()
}

struct Stat {
    started_ticks: u64,
    ended: bool,
}

/// Reads state (field 3), number of threads (20) and start time (22) of `/proc/{pid}/stat`. Field 2, the name, is in
/// parentheses and may hold anything, so counting starts after the last one.
///
/// A killed process shows as a zombie as soon as its first thread is gone; files, locks and ports are its own until the
/// last one is.
fn read_stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = text.rsplit_once(')')?;
    let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
    let threads: u32 = fields.get(17)?.parse().ok()?;
    let ended = matches!(*fields.first()?, "Z" | "X") && threads <= 1;
    let started_ticks = fields.get(19)?.parse().ok()?;
    Some(Stat { started_ticks, ended })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper(seconds: &str) -> ServerProcess {
        let mut command = Command::new("sleep");
        command.arg(seconds);
        let log = tempfile::tempfile().expect("log");
        ServerProcess::spawn(command, None, log).expect("spawn")
    }

    #[tokio::test]
    async fn a_process_is_told_from_a_later_one_with_its_pid() {
        let process = sleeper("600");
        assert!(process.is_running());
        let pid = Pid::from_raw(i32::try_from(process.pid()).expect("31 bits"));
        assert_eq!(nix::unistd::getpgid(Some(pid)), Ok(pid), "a ctrl-C in our terminal must not reach it");
        let earlier = ServerProcess { started_ticks: process.started_ticks - 1, ..process.clone() };
        assert!(!earlier.is_running());
        earlier.kill9().await.expect("nothing to kill");
        assert!(process.is_running(), "a signal meant for an earlier process must not reach this one");
        process.stop(Signal::SIGTERM, GONE_WITHIN).await.expect("stop");
        assert!(!process.is_running());
        process.stop(Signal::SIGTERM, GONE_WITHIN).await.expect("stopping twice is fine");
    }

    #[tokio::test]
    async fn a_process_is_found_by_its_exact_argument() {
        // An argument that no other test and no other program uses.
        let seconds = format!("600.{}", std::process::id());
        let process = sleeper(&seconds);
        assert_eq!(ServerProcess::find_by_argument("sleep", Path::new(&seconds)), std::slice::from_ref(&process));
        assert_eq!(ServerProcess::find_by_argument("sleep", Path::new("600.")), []);
        assert_eq!(ServerProcess::find_by_argument("postgres", Path::new(&seconds)), []);
        assert!(ServerProcess::find_by_directory("sleep", Path::new("/")).contains(&process));
        assert!(!ServerProcess::find_by_directory("sleep", Path::new("/tmp")).contains(&process));
        process.kill9().await.expect("kill");
        assert_eq!(ServerProcess::find_by_argument("sleep", Path::new(&seconds)), []);
    }

    #[tokio::test]
    async fn waiting_ends_when_the_process_does() {
        let process = sleeper("0");
        let readiness = process.until_ready(Duration::from_secs(60), async || false).await;
        assert_eq!(readiness, Readiness::Exited);
    }

    #[tokio::test]
    async fn waiting_ends_at_the_deadline() {
        let process = sleeper("600");
        assert_eq!(process.until_ready(Duration::ZERO, async || false).await, Readiness::TimedOut);
        assert_eq!(process.until_ready(Duration::ZERO, async || true).await, Readiness::Ready);
        process.kill9().await.expect("kill");
    }

    #[test]
    fn a_program_that_does_not_exist_is_an_error() {
        let command = Command::new("/nonexistent/server");
        let error = ServerProcess::spawn(command, None, tempfile::tempfile().expect("log")).expect_err("no such file");
        assert!(error.to_string().contains("cannot start /nonexistent/server"), "{error}");
    }
}
