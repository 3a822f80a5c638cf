//! The platform's schemas as it deployed them in January 2026, as tables.

use super::FieldRow;
use super::Indexing::{Attribute, Index, SummaryOnly};

/// Which of the platform's application packages is deployed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    /// Of the first week of January: one document per entity, which Vespa cuts and embeds. The fields that it derives
    /// can be neither written nor read here.
    RawEntities,
    /// From 20 January on: one document per chunk, with its tensors.
    Chunks,
}

const BASE: [FieldRow; 15] = [
    ("entity_id", "string", Attribute),
    ("name", "string", Attribute),
    ("breadcrumbs", "array<struct{entity_id:string,name:string,entity_type:string}>", SummaryOnly),
    ("created_at", "long", Attribute),
    ("updated_at", "long", Attribute),
    ("airweave_system_metadata_collection_id", "string", Attribute),
    ("airweave_system_metadata_entity_type", "string", Attribute),
    ("airweave_system_metadata_sync_id", "string", Attribute),
    ("airweave_system_metadata_sync_job_id", "string", Attribute),
    ("airweave_system_metadata_hash", "string", Attribute),
    ("airweave_system_metadata_original_entity_id", "string", Attribute),
    ("airweave_system_metadata_source_name", "string", Attribute),
    ("airweave_system_metadata_chunk_index", "int", Attribute),
    ("textual_representation", "string", Index),
    ("payload", "string", Index),
];

const CHUNKS_ONLY: [FieldRow; 4] = [
    ("access_is_public", "bool", Attribute),
    ("access_viewers", "array<string>", Attribute),
    ("dense_embedding", "tensor<bfloat16>(x[DIM])", Attribute),
    ("sparse_embedding", "tensor<float>(token{})", Attribute),
];

const FILE: [FieldRow; 5] = [
    ("url", "string", Attribute),
    ("size", "long", Attribute),
    ("file_type", "string", Attribute),
    ("mime_type", "string", Attribute),
    ("local_path", "string", Attribute),
];

const CODE_FILE: [FieldRow; 5] = [
    ("repo_name", "string", Attribute),
    ("path_in_repo", "string", Attribute),
    ("repo_owner", "string", Attribute),
    ("language", "string", Attribute),
    ("commit_id", "string", Attribute),
];

const WEB: [FieldRow; 1] = [("crawl_url", "string", Attribute)];

/// Every type with its fields, those it inherits included.
#[must_use]
pub fn tables(generation: Generation) -> Vec<(&'static str, Vec<FieldRow>)> {
    let base: Vec<FieldRow> = match generation {
        Generation::RawEntities => BASE.into_iter().filter(|(name, ..)| !name.ends_with("_chunk_index")).collect(),
        Generation::Chunks => BASE.into_iter().chain(CHUNKS_ONLY).collect(),
    };
    let with = |more: &[&[FieldRow]]| base.iter().copied().chain(more.concat()).collect();
    vec![
        ("base_entity", with(&[])),
        ("file_entity", with(&[&FILE])),
        ("code_file_entity", with(&[&FILE, &CODE_FILE])),
        ("email_entity", with(&[&FILE])),
        ("web_entity", with(&[&WEB])),
    ]
}
