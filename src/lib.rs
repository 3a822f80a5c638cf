//! Composition: the command line, the worker process, the HTTP API, the embedded stack and the demo. Parse, wire, serve, shut down.
//!
//! No SQL and no vendor client live here, with two exceptions by purpose: [`stack`] starts the servers of the embedded
//! stack, and [`demo`] plays the platform and fills its tables.
//!
//! Start at [`cli::Cli`].

pub mod api;
pub mod cli;
pub mod config;
pub mod demo;
pub mod operations;
pub mod output;
pub mod payloads;
pub mod profile_file;
pub mod stack;
pub mod telemetry;
pub mod temporal;
pub mod worker;
