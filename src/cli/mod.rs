//! The command line. One subcommand per file; each says in its help what it needs and what it changes.

mod api;
mod arf;
mod completions;
mod dead_letters;
mod demo;
mod doctor;
mod explain;
mod follow;
mod fork;
mod fork_collection;
mod list;
mod migrate;
mod operations;
mod probe;
mod progress_bar;
mod resync;
mod retire;
mod rollback;
mod search;
mod setup;
mod stack;
mod status;
mod switch;
mod throttle;
mod watch;
mod worker;

pub(crate) use list::{destinations, render as render_destinations};
pub(crate) use progress_bar::ForkBar;

use std::process::ExitCode;

use activities::trace_context;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::config::with_secret_files;
use crate::output::Failure;
use crate::telemetry::{self, LogFormat, Process};

/// Moves a sync from one vector destination to another without downtime and without losing an entity.
///
/// A fork adds a shadow destination and fills it from the raw store; a follow keeps it fresh; a switch promotes it; a
/// rollback goes back; a retire removes what nobody wants any more; a resync makes the platform fill the raw store. They
/// are Temporal workflows that a worker runs, so they survive crashes and can be paused, resumed and cancelled from the
/// Temporal UI.
///
/// Exit codes: 0 done, 1 failed, 2 bad input, 3 not allowed, 4 not found, 5 conflict, 6 raw store not usable,
/// 7 destination not usable, 8 too many rejected entities, 9 verification failed, 10 something is away (try again),
/// 70 a bug.
#[derive(Debug, Parser)]
#[command(name = "syncmux", version, max_term_width = 110)]
pub struct Cli {
    /// Which events are logged to stderr, such as "info" or "warn,activities=debug"
    #[arg(long, global = true, env = "SYNCMUX_LOG", default_value = "warn", value_name = "FILTER")]
    log: String,
    /// How logs look
    #[arg(long, global = true, env = "SYNCMUX_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    #[command(subcommand)]
    command: Command,
}

/// Each variant is described by its own type.
/// Each command's help is the documentation of its struct; words here would hide all but its first line.
#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Demo),
    Worker(worker::Worker),
    Api(api::Api),
    Migrate(migrate::Migrate),
    Setup(setup::Setup),
    Fork(fork::Fork),
    Follow(follow::Follow),
    Switch(switch::Switch),
    Rollback(rollback::Rollback),
    Resync(resync::Resync),
    Retire(retire::Retire),
    Search(search::Search),
    List(list::List),
    Status(status::Status),
    #[command(subcommand)]
    Operations(operations::OperationsCommand),
    Throttle(throttle::Throttle),
    DeadLetters(dead_letters::DeadLetters),
    Doctor(doctor::Doctor),
    Explain(explain::Explain),
    Completions(completions::Completions),
    Probe(probe::Probe),
    #[command(subcommand)]
    Arf(arf::Arf),
    #[command(subcommand)]
    Stack(stack::Stack),
}

impl Cli {
    /// What the process was started with: arguments, variables, and the files that variables name. Ends the process when
    /// help is asked for or the usage is wrong.
    ///
    /// # Errors
    ///
    /// `InvalidInput` when the file of a secret cannot be used.
    pub fn read() -> Result<Self, Failure> {
        let command = with_secret_files(Self::command(), &|name| std::env::var(name).ok())?;
        Ok(Self::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit()))
    }

    /// Runs the command to its exit code.
    #[must_use]
    pub fn run(self) -> ExitCode {
        let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return Failure::from(error).exit(),
        };
        // Exporters connect by the runtime they are made in.
        let entered = runtime.enter();
        let is_service = matches!(self.command, Command::Worker(_) | Command::Api(_));
        let process = if is_service { Process::Service } else { Process::Command };
        let telemetry = telemetry::init(&self.log, self.log_format, process);
        // A service has a span per piece of work instead.
        let span = match process {
            Process::Service => tracing::Span::none(),
            Process::Command => tracing::info_span!("syncmux"),
        };
        let run = async {
            match self.command {
                Command::Demo(command) => command.run().await,
                Command::Worker(command) => command.run().await,
                Command::Api(command) => command.run().await,
                Command::Migrate(command) => command.run().await,
                Command::Setup(command) => command.run().await,
                Command::Fork(command) => command.run().await,
                Command::Follow(command) => command.run().await,
                Command::Switch(command) => command.run().await,
                Command::Rollback(command) => command.run().await,
                Command::Resync(command) => command.run().await,
                Command::Retire(command) => command.run().await,
                Command::Search(command) => command.run().await,
                Command::List(command) => command.run().await,
                Command::Status(command) => command.run().await,
                Command::Operations(command) => command.run().await,
                Command::Throttle(command) => command.run().await,
                Command::DeadLetters(command) => command.run().await,
                Command::Doctor(command) => command.run().await,
                Command::Explain(command) => command.run().await,
                Command::Completions(command) => command.run().await,
                Command::Probe(command) => command.run().await,
                Command::Arf(command) => command.run().await,
                Command::Stack(command) => command.run().await,
            }
        };
        let outcome = runtime.block_on(trace_context::within(span, run));
        telemetry.shut_down();
        drop(entered);
        // Blocking work that nobody waits for any more must not hold the exit.
        runtime.shutdown_background();
        match outcome {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => failure.exit(),
        }
    }
}
