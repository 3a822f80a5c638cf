//! Destinations: vector databases a slot can live in.
//!
//! [`Destination`] is the contract; `tests/destinations/conformance` is the one suite that every implementation passes. Errors are
//! classified once, in each destination's own `classify`, into the kinds of [`crate::error`].
//!
//! Invariants kept here: every effect is idempotent because ids are derived; nothing outside the [`Scope`] is ever
//! touched; a write counts as done only after the destination acknowledged each document.

mod document;
mod entity_sort;
mod fusion;
mod observed;
pub mod pgvector;
pub mod qdrant;
mod validate;
pub mod vespa;

pub use document::{
    Chunk, EntityDocument, EntityRef, Hit, Query, Rejection, Scope, SearchMode, SparseVector, StoredChunk,
    StoredEntity, UpsertOutcome,
};
pub(crate) use entity_sort::EntitySort;
pub(crate) use observed::Observed;
pub use validate::validate;

use std::borrow::Cow;

use async_trait::async_trait;
use futures::stream::BoxStream;

use crate::error::Result;

/// One slot's store of one sync. Every method may be called again with the same input and then changes nothing new.
///
/// Before `prepare` and after `clear` the store may not exist; methods that need it then fail with `NotFound` or find
/// it empty. They never create it.
#[async_trait]
pub trait Destination: Send + Sync {
    /// Proves that writing would work, by doing a real write that leaves nothing behind.
    async fn check(&self) -> Result<()>;

    /// Creates what the profile asks for, or verifies that what exists matches it; never alters silently. Enters bulk
    /// load, where the destination has such a mode.
    ///
    /// Fails with `IncompatibleDestination` when something else is there already.
    async fn prepare(&self) -> Result<()>;

    /// Leaves bulk load; returns when everything written is indexed and countable.
    async fn finish(&self) -> Result<()>;

    /// Writes all chunks of each entity. After an accepted entity, exactly its chunks are stored: surplus chunks of an
    /// earlier version are gone. Of a rejected entity nothing is written, and what an earlier version left stays.
    ///
    /// Each entity is named once in the outcome. When it occurs twice in `documents`, the last one counts.
    async fn upsert(&self, documents: &[EntityDocument]) -> Result<UpsertOutcome>;

    /// Removes entities; returns how many points went.
    async fn delete(&self, entities: &[EntityRef]) -> Result<u64>;

    /// Removes the chunks of an entity whose index is `keep` or higher; returns how many points went.
    async fn trim(&self, entity: &EntityRef, keep: u32) -> Result<u64>;

    /// Reads entities back; one that is absent is absent from the answer.
    async fn read(&self, entities: &[EntityRef]) -> Result<Vec<StoredEntity>>;

    /// Every entity of the scope with its number of points, in byte order of the entity id, without holding them all.
    ///
    /// An entity that is written or removed meanwhile may be seen either way; all others are seen exactly once.
    async fn scan(&self) -> Result<BoxStream<'_, Result<(EntityRef, u32)>>>;

    /// Points in the scope, counted exactly.
    async fn count(&self) -> Result<u64>;

    /// The best chunks for a query, best first. Fails with `InvalidInput` when the query does not fit the profile.
    async fn search(&self, query: &Query) -> Result<Vec<Hit>>;

    /// Removes everything of the scope and nothing else; returns how many points went. Undo of `prepare` and `upsert`.
    async fn clear(&self) -> Result<u64>;

    /// Points readers that address the destination by a name of its own at this slot, after a switch to it.
    async fn activate(&self) -> Result<()> {
        Ok(())
    }

    /// Where the points are, without secrets. Two slots of one sync in equal places would write over each other.
    fn place(&self) -> String;

    /// A text as [`Self::read`] gives it back: without the characters that the destination cannot hold.
    fn stored_text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        Cow::Borrowed(text)
    }

    /// How a dense vector comes back from [`Self::read`].
    fn dense_fidelity(&self) -> DenseFidelity;

    /// Whether dense vectors are compared by their direction alone, so that their length does not matter.
    fn compares_directions(&self) -> bool;

    /// How often the destination has asked for less so far, counting what the client bore without an error. Only a greater
    /// number than before means something; other slots on the same connection may share it.
    fn overloads(&self) -> u64;
}

/// How a dense vector that was written comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DenseFidelity {
    /// As it was written.
    Exact,
    /// Scaled to length one, up to rounding of the last place.
    Direction,
    /// With fewer digits, or not at all.
    Rounded,
}
