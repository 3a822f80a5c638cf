//! The program `syncmux`.

use std::process::ExitCode;

use sync_multiplexer::cli::Cli;

fn main() -> ExitCode {
    match Cli::read() {
        Ok(cli) => cli.run(),
        Err(failure) => failure.exit(),
    }
}
