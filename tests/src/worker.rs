//! A real worker process, to be stopped politely or killed.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The program under test, as the build left it beside the test programs.
///
/// # Panics
///
/// When it was not built: `cargo build --workspace` does.
#[must_use]
pub fn syncmux() -> PathBuf {
    let test = std::env::current_exe().expect("a test program has a path");
    // target/debug/deps/suite-0123 -> target/debug/syncmux
    let program = test.parent().and_then(Path::parent).expect("test programs live in target/*/deps").join("syncmux");
    assert!(program.exists(), "{} is missing: run `cargo build --workspace` first", program.display());
    program
}

/// A running worker. Dropping it kills it.
pub struct Worker {
    child: Child,
    log: PathBuf,
}

impl Worker {
    pub(crate) fn spawn(mut command: Command, log: PathBuf) -> Self {
        let file = File::options().create(true).append(true).open(&log).expect("the worker's log opens");
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a file handle can be cloned"))
            .stderr(file)
            .spawn()
            .expect("the worker starts");
        Self { child, log }
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What the worker logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The file it logs to; it outlives the worker.
    #[must_use]
    pub fn log_file(&self) -> PathBuf {
        self.log.clone()
    }

    /// Ends it as a crash would.
    ///
    /// # Panics
    ///
    /// When the process cannot be signalled.
    pub fn kill9(mut self) {
        self.child.kill().expect("our own child can be killed");
        self.child.wait().expect("a killed child can be waited for");
    }

    /// Asks it to stop (SIGTERM) and waits; returns whether it ended well.
    ///
    /// # Panics
    ///
    /// When the process cannot be signalled.
    #[must_use]
    pub fn stop(mut self) -> bool {
        let pid = i32::try_from(self.child.id()).expect("a process id fits");
        kill(Pid::from_raw(pid), Signal::SIGTERM).expect("our own child can be signalled");
        self.child.wait().expect("our own child can be waited for").success()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
