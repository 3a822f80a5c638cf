//! The embedded stack: PostgreSQL with pgvector and the Temporal dev server with its UI, run from the tools that
//! `make prepare` puts into `.dev/`.
//!
//! Start at [`Stack::up`]. It keeps three promises:
//!
//! * **Up is idempotent.** Servers that run and answer are used again; dead, deaf or half-recorded ones are cleaned
//!   away first. Data survives a `kill -9` of either server.
//! * **Only our own processes end.** A process is signalled only while its pid *and* its start time are the recorded
//!   ones, or while its command line names our data.
//! * **Loopback only.** Both servers listen on 127.0.0.1 and nowhere else. PostgreSQL trusts whoever reaches it there,
//!   so this is for development and tests on a machine of one's own.
//!
//! | file | owns |
//! |---|---|
//! | `lifecycle` | up, down, discard, under one lock |
//! | `postgres`, `temporal` | how each server is started and when it is ready |
//! | `place`, `account`, `shelter` | where PostgreSQL may live, and as whom, when we are root |
//! | `process`, `ports`, `log` | processes, ports and logs in general |
//! | `state` | what is written down between two runs of the program |
//! | `report` | what `syncmux stack …` prints |

mod account;
mod database;
mod lifecycle;
mod log;
mod options;
mod paths;
mod place;
mod ports;
mod postgres;
mod process;
mod report;
mod shelter;
mod state;
mod temporal;

#[cfg(test)]
mod tests;

pub use lifecycle::Stack;
pub use options::{PreferredPorts, StackOptions};
pub use paths::{StackPaths, find_dev_dir};
pub use ports::free_port;
pub(crate) use process::ServerProcess;
pub use report::{ServerState, ServerStatus, StackStatus};
pub use temporal::{TemporalServer, TemporalServerOptions};

/// Both servers listen here and nowhere else.
const LOOPBACK: std::net::Ipv4Addr = std::net::Ipv4Addr::LOCALHOST;
