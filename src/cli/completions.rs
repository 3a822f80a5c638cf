//! `syncmux completions`

use std::io;

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::Cli;
use crate::output::Failure;

/// Print what a shell needs to complete this program's commands and options.
///
/// Examples:
///
///   syncmux completions bash > ~/.local/share/bash-completion/completions/syncmux
///   syncmux completions zsh > ~/.zfunc/_syncmux
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    #[allow(clippy::unused_async, reason = "every command is run alike")]
    pub(super) async fn run(self) -> Result<(), Failure> {
        let mut written = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "syncmux", &mut written);
        io::Write::write_all(&mut io::stdout(), &written)?;
        Ok(())
    }
}
