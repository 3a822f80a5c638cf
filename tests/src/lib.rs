//! What the proofs stand on: a world per test, worker processes that can be killed, and waiting without sleeping.
//!
//! `make test` starts one Postgres and one Temporal for the whole suite and says where they are by environment variables.
//! Each test makes a [`World`] of its own: a database, a raw store, a task queue, and ids that no other test has. So tests
//! run side by side. A world whose test failed keeps its database and its folder, and says where they are.

mod anyone;
mod collection;
mod embeddings;
mod ending;
mod fixture;
mod flipping;
mod handmade;
mod live_writer;
pub mod platform_api;
mod platform_jobs;
pub mod qdrant;
mod reader;
mod resync;
mod role_watch;
pub mod vespa;
mod wait;
mod worker;
mod world;

pub use anyone::{AnyWorkflow, Ended, ended, payload, progress, scheduled, signal};
pub use embeddings::EmbeddingsServer;
pub use fixture::fixture_path;
pub use handmade::entity;
pub use live_writer::{LiveWriter, Versions};
pub use reader::{Answer, Destination, Reader};
pub use role_watch::RoleWatch;
pub use wait::{until, until_some};
pub use worker::{Worker, syncmux};
pub use world::{World, WorldOptions, required_env};
