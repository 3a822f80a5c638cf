//! Entities of a raw store, and the texts, hashes and payloads the platform makes of them.
//!
//! A replay must write what a live sync would have written, so everything here follows the platform's own recipe byte
//! for byte; the golden vectors in `tests/fixtures/golden` hold it to that. Python decides what the bytes are:
//! `str()`, `repr()`, `str.title()`, `json.dumps` and the date-times of pydantic each have their file.
//!
//! Start with [`Entity::from_value`]; then [`metadata_section()`] and [`full_text`] give the text to chunk,
//! [`content_hash()`] the version of the entity, [`chunk_payload`] and [`chunk_sparse_text`] what is stored and indexed
//! for a chunk, [`entity_payload`] what is stored for an entity that is not cut. What the raw store does not say about a
//! class (which fields are embeddable, which strings are date-times) comes from the [`Catalog`].
//!
//! Invariants: no stored field is dropped from hash, payload or keyword text except where the platform does so;
//! text for embedding and payloads is UTF-8 (lone surrogates become U+FFFD), while hash and keyword text keep lone
//! surrogates as the escapes Python writes.

mod catalog;
mod content_hash;
mod datetime;
mod entity;
mod field;
mod kind;
mod metadata_section;
mod nonprintable;
mod payload;
mod python_str;
mod sparse_text;
mod title;

#[cfg(test)]
mod golden_tests;

pub use catalog::{Catalog, CatalogError, ClassInfo};
pub use content_hash::content_hash;
pub use datetime::DateTime;
pub use entity::{Entity, TextError};
pub use field::{FieldInfo, FieldType};
pub use kind::EntityKind;
pub use metadata_section::{full_text, metadata_section};
pub use payload::{PayloadContext, chunk_payload, entity_payload};
pub use python_str::{write_repr, write_str};
pub use sparse_text::{chunk_sparse_text, entity_sparse_text};
pub use title::title_case;
