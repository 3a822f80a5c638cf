//! Qdrant as a destination, over gRPC: by default the platform's own layout, in which a slot is what the platform would
//! have written itself.
//!
//! Start at `service.rs`, which is the [`Destination`](super::Destination); `schema.rs` says what a collection looks
//! like, `payload.rs` what a point holds, `wire.rs` which requests there are.
//!
//! Invariants kept here:
//! * Every filter begins with the tenant and the sync, because a collection is shared by default; only the point by
//!   which a check writes, which is nobody's, is removed by its id. No collection of a slot is ever removed, and none
//!   that exists is altered, but for payload indexes that it lacks.
//! * A write counts when the server answers that it is completed, and not before. A server reports success for more
//!   than that.
//! * Qdrant has no transaction over several points. `write.rs` says what an entity's write means nevertheless.
//! * Points are identified by sync and chunk and not by slot, as the platform does it. Two slots of a sync in the same
//!   collection would overwrite each other; [`Destination::place`](super::Destination::place) tells.

mod batches;
mod check;
mod classify;
mod clients;
mod config;
mod difference;
mod endpoint;
mod filter;
mod finish;
mod payload;
mod point;
mod prepare;
mod read;
mod remove;
mod scan;
mod schema;
mod search;
mod service;
mod throttle;
mod wire;
mod write;

pub use clients::QdrantClients;
pub(crate) use config::{DEFAULT_HNSW, DEFAULT_SPARSE_VECTOR};
pub use config::{Distance, HnswSettings, QdrantSettings, Quantization};
pub use endpoint::QdrantEndpoint;
pub use service::Qdrant;
