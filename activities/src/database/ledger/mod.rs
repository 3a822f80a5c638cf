//! What a slot is known to hold: per object of the raw store the version that was replayed, and the points it became.
//!
//! Entries live in pages, one per range of object keys (`page` is how a page is laid out, `pages` how pages are kept in
//! size). They are changed by `apply` only, in the transaction that moves the cursor, and read in key order, by entity, or
//! as a sample (`read`).
//!
//! Exact are the object key, the entity id and the number of points. Token and content hash are digests, made to
//! be compared with digests.

mod apply;
mod digest;
mod page;
mod pages;
mod read;

use std::collections::BTreeMap;

pub(super) use apply::{apply, forget};
pub use digest::{ContentDigest, TokenDigest};
pub(super) use read::LedgerCursor;
pub use read::{of_objects, sample, stream, stream_by_entity, totals, with_entities};

/// One object a slot was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerEntry {
    /// Key of the object in the raw store.
    pub object_key: String,
    /// The entity in it.
    pub entity_id: String,
    /// Version of the object, as it was read.
    pub token: TokenDigest,
    /// What was written: equal for equal text and metadata.
    pub content: ContentDigest,
    /// Points the destination acknowledged; 0 for an entity without text.
    pub points: u32,
}

/// Sums over a slot's ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct LedgerTotals {
    /// Entities recorded.
    #[sqlx(try_from = "i64")]
    pub entities: u64,
    /// Of those, without text.
    #[sqlx(try_from = "i64")]
    pub textless: u64,
    /// Points recorded.
    #[sqlx(try_from = "i64")]
    pub points: u64,
}

/// What changes in a ledger at once; of several changes to one key the last counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LedgerChanges {
    /// By object key: what is held from now on, or nothing.
    by_key: BTreeMap<String, Option<LedgerEntry>>,
}

impl LedgerChanges {
    /// The slot holds this.
    pub fn put(&mut self, entry: LedgerEntry) {
        self.by_key.insert(entry.object_key.clone(), Some(entry));
    }

    /// The slot holds nothing of this object, or what it holds is not known.
    pub fn remove(&mut self, object_key: String) {
        self.by_key.insert(object_key, None);
    }
}
