//! Every golden vector: stores written by the platform's own code, and what that code made of each entity.

use std::collections::HashMap;
use std::io::Read;

use rstest::rstest;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{
    Catalog, Entity, PayloadContext, chunk_payload, content_hash, entity_payload, entity_sparse_text, metadata_section,
};
use crate::json::{self, Value};

/// A store, its golden vectors, and how many entities both hold.
struct Fixture {
    store: &'static [u8],
    golden: &'static [u8],
    entities: usize,
}

const MIXED: Fixture = Fixture {
    store: include_bytes!("../../../tests/fixtures/arf/dev-mixed.tar.zst"),
    golden: include_bytes!("../../../tests/fixtures/golden/dev-mixed.jsonl.zst"),
    entities: 1391,
};

const PER_SOURCE: Fixture = Fixture {
    store: include_bytes!("../../../tests/fixtures/arf/dev-per-source.tar.zst"),
    golden: include_bytes!("../../../tests/fixtures/golden/dev-per-source.jsonl.zst"),
    entities: 933,
};

/// The files of a store by path below the folder that was archived.
fn unpack(archive: &[u8]) -> HashMap<Vec<u8>, Vec<u8>> {
    let mut archive = tar::Archive::new(zstd::Decoder::new(archive).unwrap());
    let mut files = HashMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path_bytes().into_owned();
        let Some(below) = path.iter().position(|byte| *byte == b'/') else { continue };
        let path = path[below + 1..].to_vec();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        files.insert(path, bytes);
    }
    files
}

/// Where the platform's replay restores a blob to. The golden keyword texts hold that path, not the stored one.
fn replay_path(sync_id: &str, stored_file: &str) -> String {
    let name = stored_file.rsplit_once('/').map_or(stored_file, |(_, name)| name);
    format!("/tmp/airweave/arf_replay/{sync_id}/{name}")
}

/// What differs from the vector, in words.
fn differences(vector: &Value, files: &HashMap<Vec<u8>, Vec<u8>>) -> Vec<String> {
    let text = |key| vector.get(key).and_then(Value::as_str).unwrap();
    let mut found = Vec::new();
    let mut compare = |what: &str, got: Option<&str>, expected: &str| {
        if got != Some(expected) {
            found.push(format!("{}: {what}\n  expected {expected:?}\n  got      {got:?}", text("path")));
        }
    };
    let stored = json::parse(&files[text("path").as_bytes()]).unwrap();
    let mut entity = Entity::from_value(stored, Catalog::builtin()).unwrap();
    assert!(entity.is_known_class(), "{}", entity.class());
    let blob = entity.stored_file().map(str::to_owned);
    let blob_sha256 = blob.as_ref().map(|path| hex::encode(Sha256::digest(&files[path.as_bytes()])));
    assert_eq!(blob.is_some(), entity.kind().is_file());

    compare("entity id", Some(entity.entity_id()), text("entity_id"));
    compare("class", Some(entity.class()), text("class"));
    compare("stored hash", entity.stored_hash(), text("stored_hash"));
    compare("content hash", Some(&content_hash(&entity, blob_sha256.as_deref())), text("replay_hash"));
    let section = metadata_section(&entity, text("source_name"));
    compare("metadata section", Some(section.as_deref().unwrap_or_default()), text("metadata_section"));
    if let Some(path) = blob {
        entity.set_local_path(&replay_path(text("sync_id"), &path));
    }
    compare("keyword text", Some(&entity_sparse_text(&entity)), text("sparse_text"));
    found
}

#[rstest]
#[case::one_store_with_all_classes(MIXED)]
#[case::one_store_per_source(PER_SOURCE)]
fn every_golden_vector_matches(#[case] fixture: Fixture) {
    let files = unpack(fixture.store);
    let lines = zstd::decode_all(fixture.golden).unwrap();
    let vectors: Vec<_> = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    assert_eq!(vectors.len(), fixture.entities);
    let found: Vec<_> = vectors.iter().flat_map(|line| differences(&json::parse(line).unwrap(), &files)).collect();
    assert!(found.is_empty(), "{} differences\n{}", found.len(), found.join("\n"));
}

/// The payload of an entity that is stored whole is that of a chunk with the same text, but for what makes it a chunk.
#[rstest]
#[case::one_store_with_all_classes(MIXED)]
#[case::one_store_per_source(PER_SOURCE)]
fn a_whole_entity_is_stored_like_a_chunk_of_all_its_text(#[case] fixture: Fixture) {
    let files = unpack(fixture.store);
    let lines = zstd::decode_all(fixture.golden).unwrap();
    let mut compared = 0;
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let vector = json::parse(line).unwrap();
        let text = |key| vector.get(key).and_then(Value::as_str).unwrap();
        let stored = json::parse(&files[text("path").as_bytes()]).unwrap();
        let entity = Entity::from_value(stored, Catalog::builtin()).unwrap();
        let context = PayloadContext {
            collection_id: Uuid::from_u128(1),
            source_name: text("source_name"),
            sync_id: text("sync_id").parse().unwrap(),
            sync_job_id: None,
            content_hash: text("replay_hash"),
            text: text("metadata_section"),
        };
        let parsed = |payload: String| serde_json::from_str::<serde_json::Value>(&payload).unwrap();
        let whole = parsed(entity_payload(&entity, &context));
        let mut chunk = parsed(chunk_payload(&entity, 7, &context));
        assert_eq!(chunk["entity_id"], format!("{}__chunk_7", text("entity_id")));
        chunk["entity_id"] = text("entity_id").into();
        let metadata = chunk["airweave_system_metadata"].as_object_mut().unwrap();
        assert_eq!(metadata.remove("chunk_index"), Some(7.into()));
        assert_eq!(metadata["original_entity_id"], text("entity_id"));
        assert_eq!(whole, chunk, "{}", text("path"));
        assert_eq!(whole["textual_representation"], text("metadata_section"));
        compared += 1;
    }
    assert_eq!(compared, fixture.entities);
}

#[test]
fn all_vectors_are_covered() {
    assert_eq!(MIXED.entities + PER_SOURCE.entities, 2324);
}
