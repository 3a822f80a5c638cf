//! Looks at one entity of a raw store the way a replay would, and tells everything about it. Needs no database.

use crate::chunking::{Chunker, ChunkerSettings};
use crate::database::dead_letters::Stage;
use crate::error::{Error, ErrorKind, Result};
use crate::raw_store::{ListedObject, ReadError, ReadOptions, SyncStore};
use crate::replay::{EntityText, entity_text};
use crate::text::{Catalog, Entity, metadata_section};

/// An entity with all that is derived from it.
#[derive(Debug, Clone, PartialEq)]
pub struct InspectedEntity {
    /// Id at the source.
    pub entity_id: String,
    /// Class name.
    pub class: String,
    /// Whether the catalogue knows the class.
    pub known_class: bool,
    /// Content hash as the platform computes it.
    pub content_hash: String,
    /// The hash the platform stored, if it did.
    pub stored_hash: Option<String>,
    /// The metadata section; code files have none.
    pub metadata_section: Option<String>,
    /// The text that would be embedded.
    pub text: Option<String>,
    /// Why there is no text.
    pub no_text: Option<String>,
    /// The text cut into chunks.
    pub chunks: Vec<String>,
    /// Bytes of the entity's JSON.
    pub json_bytes: u64,
    /// Bytes of its stored file.
    pub blob_bytes: Option<u64>,
}

/// Why an entity cannot be carried over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The step that gave up.
    pub stage: &'static str,
    /// In words, without content.
    pub reason: String,
}

/// Inspects entities of one sync.
pub struct Inspector {
    store: SyncStore,
    source_name: String,
    names_source: bool,
    chunker: Chunker,
}

impl Inspector {
    /// Reads the manifest. `chunker` says how texts are cut.
    ///
    /// # Errors
    ///
    /// As [`SyncStore::manifest`], and `InvalidInput` for a chunker out of range.
    pub async fn open(store: SyncStore, chunker: ChunkerSettings) -> Result<Self> {
        let manifest = store.manifest().await?;
        let names_source = manifest.source_short_name.is_some();
        let source_name = manifest.source_short_name.unwrap_or_else(|| "unknown".to_owned());
        Ok(Self { store, source_name, names_source, chunker: Chunker::new(chunker)? })
    }

    /// Whether the manifest names the source, which is part of every text and hash. When it does not, the texts here say
    /// "unknown"; a replay takes the name from the platform, or refuses.
    #[must_use]
    pub fn names_source(&self) -> bool {
        self.names_source
    }

    /// Reads one object; `Ok(None)` when it is gone.
    ///
    /// # Errors
    ///
    /// A failure of the store as a whole.
    pub async fn inspect(&self, listed: &ListedObject) -> Result<Option<Result<InspectedEntity, Broken>>> {
        let raw = match self.store.read_entity(&listed.key).await {
            Ok(raw) => raw,
            Err(ReadError::Vanished { .. }) => return Ok(None),
            Err(ReadError::Failed(error)) => return Err(error),
            Err(fact) => return Ok(Some(Err(broken(Stage::Decode, fact.to_string())))),
        };
        let entity = match Entity::from_value(raw.value, Catalog::builtin()) {
            Ok(entity) => entity,
            Err(error) => return Ok(Some(Err(broken(Stage::Decode, error.to_string())))),
        };
        let blob = match entity.stored_file().filter(|_| entity.kind().is_file()) {
            None => None,
            Some(path) => match self.store.read_blob(path, ReadOptions::DEFAULT_MAX_BLOB_BYTES).await {
                Ok(blob) => Some(blob),
                Err(ReadError::Failed(error)) => return Err(error),
                Err(fact) => return Ok(Some(Err(broken(Stage::Read, fact.to_string())))),
            },
        };
        let source_name = self.source_name.clone();
        let blob_bytes = blob.as_ref().map(|blob| blob.len() as u64);
        let (entity, built) = tokio::task::spawn_blocking(move || {
            let built = entity_text(&entity, &source_name, blob.as_ref());
            (entity, built)
        })
        .await
        .map_err(|error| Error::new(ErrorKind::Internal, "reading an entity broke off").with_source(error))?;
        let EntityText { content_hash, text, language, .. } = built;
        let (text, no_text) = match text {
            Ok(text) => (Some(text), None),
            Err(reason) => (None, Some(reason.to_string())),
        };
        let chunks = match &text {
            Some(text) => self.chunker.chunk(text, language.as_deref())?.texts,
            None => Vec::new(),
        };
        Ok(Some(Ok(InspectedEntity {
            entity_id: entity.entity_id().to_owned(),
            class: entity.class().to_owned(),
            known_class: entity.is_known_class(),
            content_hash,
            stored_hash: entity.stored_hash().map(str::to_owned),
            metadata_section: metadata_section(&entity, &self.source_name),
            text,
            no_text,
            chunks,
            json_bytes: raw.bytes,
            blob_bytes,
        })))
    }
}

fn broken(stage: Stage, reason: String) -> Broken {
    Broken { stage: stage.as_str(), reason }
}
