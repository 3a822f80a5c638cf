//! Qdrant: the protocol server that the proofs stand on, the conformance suite over it, and faults.
//!
//! With `QDRANT_URL` (and `QDRANT_API_KEY`) everything that needs no script runs on that server instead. What does need one
//! then says so and passes.

mod faults;
mod promises;
mod server;
mod sharing;
mod stage;
mod target;
mod world;
