//! Postgres with pgvector as a destination: one table per slot, hybrid search in SQL.
//!
//! Start at `service.rs`, which is the [`Destination`](super::Destination); `schema.rs` says what is in a table.
//!
//! Invariants kept here:
//! * A batch is one transaction, so an entity is never half written. Rows are written in one order, so writers of the
//!   same entities wait for each other instead of deadlocking.
//! * Every statement filters by organisation and sync, although a table holds one slot of one sync only.
//! * A table carries its layout and its owner as a comment; whatever does not match is refused, never altered.

mod classify;
mod config;
mod pool;
mod prepare;
mod request_builder;
mod schema;
mod search;
mod service;

pub use config::{Distance, HnswSettings, PgvectorSettings, VectorType};
pub use pool::{PgvectorPools, PoolLimits};
pub use service::Pgvector;
