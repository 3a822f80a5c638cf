//! What goes into a destination and what comes back.

use uuid::Uuid;

/// Whose points: every statement a destination sends carries all of these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// The tenant.
    pub organization_id: Uuid,
    /// The collection that searches address.
    pub collection_id: Uuid,
    /// The sync whose entities these are.
    pub sync_id: Uuid,
    /// The row of `sync_connection`.
    pub slot_id: Uuid,
}

/// An entity by the id its source gave it. Unique within a sync.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntityRef(pub String);

impl EntityRef {
    /// The id of a chunk of this entity: `{entity_id}__chunk_{index}`, as the platform writes it.
    #[must_use]
    pub fn chunk_id(&self, index: u32) -> String {
        format!("{}__chunk_{index}", self.0)
    }

    /// The point id of a chunk: UUIDv5 in the namespace of the sync over the chunk id, as the platform derives it.
    #[must_use]
    pub fn point_id(&self, sync_id: Uuid, index: u32) -> Uuid {
        Uuid::new_v5(&sync_id, self.chunk_id(index).as_bytes())
    }
}

/// An entity, ready to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct EntityDocument {
    /// Which entity.
    pub entity: EntityRef,
    /// Class name, such as `SlackMessageEntity`.
    pub class: String,
    /// Content hash as the platform computes it, 64 hex digits.
    pub content_hash: String,
    /// The pieces of its text, in order and without gaps; at least one. Exactly one, its whole text without vectors, when
    /// the destination cuts and embeds texts itself.
    pub chunks: Vec<Chunk>,
}

/// A piece of an entity's text with its vectors.
#[derive(Debug, Clone, PartialEq)]
pub struct Chunk {
    /// Position in the entity, from 0.
    pub index: u32,
    /// The text that was embedded.
    pub text: String,
    /// What the platform stores beside the vectors: a JSON object, ASCII-escaped, already serialised.
    pub payload: String,
    /// The dense vector; finite values, length as the profile says. Empty when the destination embeds texts itself.
    pub dense: Vec<f32>,
    /// The BM25 vector of the platform's sparse text.
    pub sparse: SparseVector,
}

/// A sparse vector: strictly ascending indices, one finite value each.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SparseVector {
    /// Token ids.
    pub indices: Vec<u32>,
    /// Weights.
    pub values: Vec<f32>,
}

/// What became of a batch, entity by entity. Partial success is a value.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct UpsertOutcome {
    /// Entities that are stored now, with their number of points.
    pub accepted: Vec<(EntityRef, u32)>,
    /// Entities the destination will never take, with the reason.
    pub rejected: Vec<Rejection>,
}

/// Why a destination will never take an entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Which entity.
    pub entity: EntityRef,
    /// In words, without document text.
    pub reason: String,
}

/// An entity as the destination holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredEntity {
    /// Which entity.
    pub entity: EntityRef,
    /// Content hash its chunks were written with; empty when they disagree, so that it then equals no real hash.
    pub content_hash: String,
    /// Its chunks in order.
    pub chunks: Vec<StoredChunk>,
}

/// A chunk as the destination holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredChunk {
    /// Position in the entity.
    pub index: u32,
    /// Its text.
    pub text: String,
    /// Its dense vector, as precise as the destination keeps it.
    pub dense: Vec<f32>,
}

/// A search.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// The query text, for a destination that matches words itself.
    pub text: String,
    /// Vector of the query text. Empty when the mode needs none.
    pub dense: Vec<f32>,
    /// BM25 vector of the query text.
    pub sparse: SparseVector,
    /// Which of the two to use.
    pub mode: SearchMode,
    /// How many hits at most.
    pub limit: u32,
}

/// How hits are ranked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SearchMode {
    /// By distance of the dense vectors.
    Dense,
    /// By BM25.
    Sparse,
    /// Both, fused by reciprocal rank with `k = 60`.
    Hybrid,
}

/// A chunk that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// The entity it belongs to.
    pub entity: EntityRef,
    /// Position in the entity.
    pub index: u32,
    /// Its text.
    pub text: String,
    /// Higher is better; comparable only within one answer.
    pub score: f64,
}
