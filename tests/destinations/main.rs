//! Destinations at their own seam, without Temporal: the conformance suite on every server we know, and what only one of
//! them promises.

mod conformance;
mod pgvector;
mod qdrant;
mod vespa;
