//! The program `syncmux`.

use std::process::ExitCode;

use clap::Parser as _;
use sync_multiplexer::cli::Cli;

fn main() -> ExitCode {
    Cli::parse().run()
}
