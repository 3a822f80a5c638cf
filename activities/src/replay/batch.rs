//! Carries a batch of objects into a slot and accounts for each of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};

use super::donors::Donors;
use super::preparation::{Object, Outcome, Preparation, Prepared, PreparedChunk, dead_letter};
use super::slot::{Feed, OpenSlot};
use super::vectors::{self, Wanted};
use crate::database::dead_letters::Stage;
use crate::database::ledger::{ContentDigest, LedgerEntry, TokenDigest};
use crate::database::segments::BatchRecord;
use crate::destinations::{Chunk, EntityDocument, EntityRef};
use crate::embedding::EmbedOutcome;
use crate::error::{Error, ErrorKind, Result};
use crate::raw_store::{ListedObject, ReadError, ReadOptions, SyncStore, entity_file_name};
use crate::text::{Catalog, Entity};

#[cfg(test)]
mod tests;

/// Objects read at a time within a batch. Reading is waiting: one by one, a batch would take its sum.
pub(super) const READS_IN_FLIGHT: usize = 16;

/// How often an entity is read when its stored file is gone.
const FILE_ATTEMPTS: u32 = 3;

/// Carries batches of one sync into one slot.
pub(crate) struct Carrier<'a> {
    pub(super) slot: &'a OpenSlot,
    pub(super) store: SyncStore,
    /// Short name of the original source, which texts and payloads name.
    source_name: Arc<str>,
    donors: Donors,
}

/// What reading gave: an entity with its file, or an outcome already.
enum Read {
    Entity(ListedObject, Box<Entity>, Option<Bytes>),
    Nothing(Outcome),
}

/// A batch that only needs to be written: what it becomes is made, and nothing has been changed yet.
pub(crate) struct Ready {
    /// Objects that are gone, with their entities.
    pub(super) gone: BTreeMap<String, String>,
    ledger: Ledger,
    sources: Vec<ListedObject>,
    documents: Vec<EntityDocument>,
}

impl Ready {
    /// Every entity whose points writing it changes.
    pub(crate) fn entities(&self) -> Vec<&str> {
        let textless = self.ledger.record.accepted.iter().map(|entry| &entry.entity_id);
        let written = self.documents.iter().map(|document| &document.entity.0);
        self.gone.values().chain(textless).chain(written).map(String::as_str).collect()
    }
}

/// An entity as the pipeline would write it, without its vectors; for comparison.
pub(crate) struct Expected {
    pub(crate) content_hash: String,
    /// Texts of its chunks, in order.
    pub(crate) chunks: Vec<String>,
}

impl<'a> Carrier<'a> {
    /// A carrier for `slot`, with the source's name from the manifest.
    ///
    /// # Errors
    ///
    /// `RawStoreInvalid` when neither the manifest nor the platform names the source: it is part of every text.
    pub(crate) async fn new(slot: &'a OpenSlot, store: SyncStore) -> Result<Self> {
        let name = store.manifest().await?.source_short_name.or_else(|| slot.source_short_name.clone());
        let name = name.ok_or_else(|| {
            Error::new(
                ErrorKind::RawStoreInvalid,
                "neither the raw store's manifest nor the platform names the source, which is part of every text",
            )
        })?;
        Ok(Self { slot, store, source_name: name.into(), donors: Donors::default() })
    }

    /// Copies vectors that `donors` have instead of embedding.
    pub(crate) fn reusing(self, donors: Donors) -> Self {
        Self { donors, ..self }
    }

    /// What the object should have become; `None` when it has changed since, is gone or cannot be read.
    ///
    /// # Errors
    ///
    /// A failure of the store as a whole.
    pub(crate) async fn expect(&self, entry: LedgerEntry) -> Result<Option<Expected>> {
        // What is read replaces the token; what is not read has none to compare.
        let listed = ListedObject { key: entry.object_key, size: 0, token: String::new(), modified_ms: 0 };
        let outcome = self.prepare(listed).await?;
        if TokenDigest::of(&outcome.listed.token) != entry.token {
            return Ok(None);
        }
        Ok(match outcome.object {
            Object::Document(it) => Some(Expected {
                content_hash: it.content_hash,
                chunks: it.chunks.into_iter().map(|chunk| chunk.text).collect(),
            }),
            Object::Textless { content_hash, .. } => Some(Expected { content_hash, chunks: Vec::new() }),
            Object::DeadLetter(_) | Object::Vanished => None,
        })
    }

    /// Reads, prepares and fills in vectors of `objects`. Takes as long as reading and embedding do, and changes nothing.
    ///
    /// # Errors
    ///
    /// A failure of the store or the embedder as a whole. What is wrong with single objects is in the record instead.
    pub(super) async fn ready(&mut self, objects: &[ListedObject], gone: BTreeMap<String, String>) -> Result<Ready> {
        let outcomes: Vec<Outcome> = stream::iter(objects.to_vec())
            .map(|listed| self.prepare(listed))
            .buffered(READS_IN_FLIGHT)
            .try_collect()
            .await?;

        let mut ledger = Ledger { record: BatchRecord::default() };
        let mut prepared = Vec::new();
        for Outcome { listed, object, gaps } in outcomes {
            for gap in gaps {
                ledger.gap(gap);
            }
            match object {
                Object::Document(document) => prepared.push((listed, document)),
                Object::Textless { entity_id, content_hash } => ledger.accept(listed, entity_id, &content_hash, 0)?,
                Object::DeadLetter(letter) => ledger.record.dead_letters.push(letter),
                Object::Vanished => ledger.record.vanished += 1,
            }
        }
        let (sources, documents) = self.fill(prepared, &mut ledger).await?;
        Ok(Ready { gone, ledger, sources, documents })
    }

    /// Writes what is ready; `next_index` is where the cursor goes afterwards.
    ///
    /// # Errors
    ///
    /// A failure of the destination as a whole; nothing is recorded then, and carrying the batch again is safe.
    pub(super) async fn write_ready(&self, ready: Ready, next_index: u32) -> Result<BatchRecord> {
        let Ready { mut ledger, sources, documents, .. } = ready;
        ledger.record.next_index = next_index;
        self.clear_textless(&ledger.record).await?;
        self.write(sources, &documents, &mut ledger).await?;
        Ok(ledger.record)
    }

    /// Carries objects into a slot that nobody else knows.
    #[cfg(test)]
    pub(super) async fn carry(&mut self, objects: &[ListedObject], next_index: u32) -> Result<BatchRecord> {
        let ready = self.ready(objects, BTreeMap::new()).await?;
        self.write_ready(ready, next_index).await
    }

    /// Removes what an earlier version of entities without text left in the destination: nothing will be written over it.
    async fn clear_textless(&self, record: &BatchRecord) -> Result<()> {
        let textless: Vec<_> = record.accepted.iter().map(|entry| EntityRef(entry.entity_id.clone())).collect();
        if !textless.is_empty() {
            self.slot.destination.delete(&textless).await?;
        }
        Ok(())
    }

    /// Reads one object and does everything with it that needs no other.
    async fn prepare(&self, listed: ListedObject) -> Result<Outcome> {
        let (listed, entity, blob) = match self.read(listed).await? {
            Read::Entity(listed, entity, blob) => (listed, entity, blob),
            Read::Nothing(outcome) => return Ok(outcome),
        };
        let preparation = Preparation {
            chunker: match &self.slot.feed {
                Feed::Chunks { chunker, .. } => Some(Arc::clone(chunker)),
                Feed::WholeEntities => None,
            },
            source_name: Arc::clone(&self.source_name),
            collection_id: self.slot.collection_id,
            sync_id: self.slot.scope.sync_id,
        };
        // Converting, cutting and hashing take processor time: away from the threads that wait for the network.
        tokio::task::spawn_blocking(move || preparation.prepare(listed, &entity, blob.as_ref()))
            .await
            .map_err(|error| Error::new(ErrorKind::Internal, "preparing an entity broke off").with_source(error))?
    }

    /// Reads an entity and its stored file.
    ///
    /// The platform removes an entity's old file before it writes the new one and the entity, so a file that is gone is
    /// looked for again under the name the entity has then.
    async fn read(&self, mut listed: ListedObject) -> Result<Read> {
        for attempt in 1.. {
            let raw = match self.store.read_entity(&listed.key).await {
                Ok(raw) => raw,
                Err(error) => return object_failure(listed, String::new(), error).map(Read::Nothing),
            };
            let unchanged = raw.token == listed.token;
            // The version that was read, which may be newer than the one that was listed.
            listed.token = raw.token;
            let entity = match Entity::from_value(raw.value, Catalog::builtin()) {
                Ok(entity) => entity,
                Err(error) => {
                    let kind = ErrorKind::RawStoreInvalid;
                    let letter = dead_letter(&listed, String::new(), Stage::Decode, kind, error.to_string());
                    return Ok(Read::Nothing(Outcome::dead(listed, letter)));
                }
            };
            if let Some(twin) = self.twin(&listed.key, entity.entity_id()).await? {
                let reason = format!("its entity id is that of {twin}, which is carried over instead");
                let id = entity.entity_id().to_owned();
                let letter = dead_letter(&listed, id, Stage::Decode, ErrorKind::RawStoreInvalid, reason);
                return Ok(Read::Nothing(Outcome::dead(listed, letter)));
            }
            let Some(path) = entity.stored_file().filter(|_| entity.kind().is_file()) else {
                return Ok(Read::Entity(listed, Box::new(entity), None));
            };
            match self.store.read_blob(path, ReadOptions::DEFAULT_MAX_BLOB_BYTES).await {
                Ok(blob) => return Ok(Read::Entity(listed, Box::new(entity), Some(blob))),
                Err(ReadError::Vanished { .. }) if attempt < FILE_ATTEMPTS && !(attempt > 1 && unchanged) => {}
                Err(ReadError::Vanished { .. }) => {
                    let reason = "its stored file is not in the raw store".to_owned();
                    let id = entity.entity_id().to_owned();
                    let letter = dead_letter(&listed, id, Stage::Read, ErrorKind::RawStoreInvalid, reason);
                    return Ok(Read::Nothing(Outcome::dead(listed, letter)));
                }
                Err(error) => return object_failure(listed, entity.entity_id().to_owned(), error).map(Read::Nothing),
            }
        }
        Err(Error::new(ErrorKind::Internal, "reading an entity ended without an answer"))
    }

    /// The object that has the name of `entity_id`, when `key` is another one and that one exists. The platform keeps one
    /// object per id; a second one is a copy that somebody made, and carrying both would write one over the other.
    async fn twin(&self, key: &str, entity_id: &str) -> Result<Option<String>> {
        let name = entity_file_name(entity_id);
        if key == name {
            return Ok(None);
        }
        match self.store.read_entity(&name).await {
            Ok(_) | Err(ReadError::Undecodable { .. } | ReadError::TooLarge { .. }) => Ok(Some(name)),
            // A name that no store takes is no object either.
            Err(ReadError::Vanished { .. } | ReadError::Refused { .. }) => Ok(None),
            Err(error @ ReadError::Failed(_)) => Err(error.into()),
        }
    }

    /// Gives all chunks of the batch their vectors. An entity with a chunk that cannot be embedded is a dead letter.
    async fn fill(
        &mut self,
        prepared: Vec<(ListedObject, Prepared)>,
        ledger: &mut Ledger,
    ) -> Result<(Vec<ListedObject>, Vec<EntityDocument>)> {
        let mut vectors = self.vectors(&prepared, ledger).await?.into_iter();
        let (mut sources, mut documents) = (Vec::new(), Vec::new());
        for (listed, it) in prepared {
            let answers: Vec<_> = vectors.by_ref().take(it.chunks.len()).collect();
            let mut chunks = Vec::with_capacity(it.chunks.len());
            let mut failure = None;
            for ((index, chunk), answer) in (0_u32..).zip(it.chunks).zip(answers) {
                match answer {
                    Ok(dense) => {
                        let PreparedChunk { text, payload, sparse } = chunk;
                        chunks.push(Chunk { index, text, payload, dense, sparse });
                    }
                    Err(reason) => {
                        failure.get_or_insert_with(|| format!("chunk {index}: {reason}"));
                    }
                }
            }
            if let Some(reason) = failure {
                let letter = dead_letter(&listed, it.entity.0, Stage::Embed, ErrorKind::RejectedDocuments, reason);
                ledger.record.dead_letters.push(letter);
                continue;
            }
            sources.push(listed);
            documents.push(EntityDocument {
                entity: it.entity,
                class: it.class,
                content_hash: it.content_hash,
                chunks,
            });
        }
        Ok((sources, documents))
    }

    /// One outcome per chunk, in order; empty vectors for a destination that makes its own.
    async fn vectors(
        &mut self,
        prepared: &[(ListedObject, Prepared)],
        ledger: &mut Ledger,
    ) -> Result<Vec<EmbedOutcome>> {
        let wanted: Vec<Wanted<'_>> = prepared
            .iter()
            .flat_map(|(_, Prepared { entity, content_hash, chunks, .. })| {
                chunks.iter().map(move |chunk| Wanted { entity, content_hash, text: &chunk.text })
            })
            .collect();
        let Feed::Chunks { embedder, .. } = &self.slot.feed else {
            return Ok(vec![Ok(Vec::new()); wanted.len()]);
        };
        let filled = vectors::fill(embedder.as_ref(), &mut self.donors, &wanted).await?;
        ledger.record.chunks_embedded += filled.embedded;
        ledger.record.chunks_reused += filled.reused;
        for gap in self.donors.take_gaps() {
            ledger.gap(gap);
        }
        Ok(filled.outcomes)
    }

    async fn write(&self, sources: Vec<ListedObject>, documents: &[EntityDocument], ledger: &mut Ledger) -> Result<()> {
        if documents.is_empty() {
            return Ok(());
        }
        let outcome = self.slot.destination.upsert(documents).await?;
        let accepted: BTreeMap<_, _> = outcome.accepted.into_iter().collect();
        let rejected: BTreeMap<_, _> = outcome.rejected.into_iter().map(|it| (it.entity, it.reason)).collect();
        for (listed, document) in sources.into_iter().zip(documents) {
            if let Some(points) = accepted.get(&document.entity) {
                ledger.accept(listed, document.entity.0.clone(), &document.content_hash, *points)?;
            } else if let Some(reason) = rejected.get(&document.entity) {
                let id = document.entity.0.clone();
                let letter = dead_letter(&listed, id, Stage::Write, ErrorKind::RejectedDocuments, reason.clone());
                ledger.record.dead_letters.push(letter);
            } else {
                // Neither accepted nor rejected: unknown is an error, the batch is carried again.
                return Err(Error::new(
                    ErrorKind::Internal,
                    format!("the destination did not say what became of the entity in {}", listed.key),
                ));
            }
        }
        Ok(())
    }
}

/// The record being written.
struct Ledger {
    record: BatchRecord,
}

impl Ledger {
    fn gap(&mut self, what: String) {
        *self.record.gaps.entry(what).or_default() += 1;
    }

    fn accept(&mut self, listed: ListedObject, entity_id: String, content_hash: &str, points: u32) -> Result<()> {
        self.record.accepted.push(LedgerEntry {
            object_key: listed.key,
            entity_id,
            token: TokenDigest::of(&listed.token),
            content: ContentDigest::of(content_hash)?,
            points,
        });
        Ok(())
    }
}

/// Tells facts about one object from failures of the store as a whole.
fn object_failure(mut listed: ListedObject, entity_id: String, error: ReadError) -> Result<Outcome> {
    let stage = match &error {
        ReadError::Failed(_) => return Err(error.into()),
        ReadError::Vanished { .. } => return Ok(Outcome { listed, object: Object::Vanished, gaps: Vec::new() }),
        ReadError::Undecodable { token, .. } => {
            listed.token.clone_from(token);
            Stage::Decode
        }
        ReadError::TooLarge { token, .. } => {
            listed.token.clone_from(token);
            Stage::Read
        }
        ReadError::Refused { .. } => Stage::Read,
    };
    let letter = dead_letter(&listed, entity_id, stage, error.kind(), error.to_string());
    Ok(Outcome::dead(listed, letter))
}
