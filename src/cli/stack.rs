//! `syncmux stack`

use clap::{Args, Subcommand};

use crate::output::{Failure, print_json};
use crate::stack::{Stack as Servers, StackOptions, find_dev_dir};

/// Start and stop the embedded Postgres and Temporal.
#[derive(Debug, Subcommand)]
pub(super) enum Stack {
    /// Start both servers, or find them running
    #[command(after_long_help = "Examples:

  syncmux stack up")]
    Up(Which),
    /// Start both servers, and print shell variables that point tools at them
    #[command(after_long_help = "Examples:

  syncmux stack env")]
    Env(Which),
    /// Stop both servers, and the demo's worker; their data stays
    #[command(after_long_help = "Examples:

  syncmux stack down")]
    Down(Which),
    /// Stop them and remove their data
    #[command(after_long_help = "Examples:

  syncmux stack discard")]
    Discard(Which),
    /// Say what runs and where
    #[command(after_long_help = "Examples:

  syncmux stack status")]
    Status(Which),
}

#[derive(Debug, Args)]
pub(super) struct Which {
    /// The stack of the test-suite instead of the demo's
    #[arg(long)]
    test: bool,
    /// Print JSON, where there is something to print
    #[arg(long)]
    json: bool,
}

impl Which {
    fn options(&self) -> Result<StackOptions, Failure> {
        let dev_dir = find_dev_dir()?;
        Ok(if self.test { StackOptions::test(&dev_dir) } else { StackOptions::demo(&dev_dir) })
    }

    async fn show(&self) -> Result<(), Failure> {
        let status = Servers::status(&self.options()?).await?;
        if self.json {
            return print_json(&status);
        }
        println!("{status}");
        Ok(())
    }
}

impl Stack {
    pub(super) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Up(which) => {
                Servers::up(&which.options()?).await?;
                which.show().await
            }
            Self::Env(which) => {
                let stack = Servers::up(&which.options()?).await?;
                print!("{}", if which.test { stack.test_exports() } else { stack.exports(crate::demo::DATABASE) });
                Ok(())
            }
            Self::Down(which) => {
                crate::demo::stop_worker(&which.options()?).await?;
                Ok(Servers::down(&which.options()?).await?)
            }
            Self::Discard(which) => {
                crate::demo::stop_worker(&which.options()?).await?;
                Ok(Servers::discard(&which.options()?).await?)
            }
            Self::Status(which) => which.show().await,
        }
    }
}
