//! A destination in memory, whose every property can be chosen, and an embedder whose vectors follow from the text.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::{self, BoxStream};

use crate::destinations::{
    DenseFidelity, Destination, EntityDocument, EntityRef, Hit, Query, StoredChunk, StoredEntity, UpsertOutcome,
};
use crate::embedding::{EmbedFailure, EmbedOutcome, Embedder};
use crate::error::{Error, ErrorKind, Result};

/// Length of [`Echo`]'s vectors.
pub(super) const DIMENSIONS: usize = 3;

/// The text that [`Echo`] refuses.
pub(super) const REFUSED: &str = "refused";

/// The vector of a text: of any length but one, and another one for another text.
pub(super) fn vector(text: &str) -> Vec<f32> {
    let weighted = (1_u16..).zip(text.bytes()).map(|(position, byte)| f32::from(position) * f32::from(byte));
    vec![text.bytes().map(f32::from).sum(), weighted.sum(), -1.5]
}

/// An embedder that answers [`vector`] and notes what it was asked.
#[derive(Default)]
pub(super) struct Echo {
    asked: Mutex<Vec<String>>,
}

impl Echo {
    /// Every text it was asked for, in order.
    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

#[async_trait]
impl Embedder for Echo {
    fn dimensions(&self) -> usize {
        DIMENSIONS
    }

    fn model(&self) -> &str {
        "echo"
    }

    async fn embed(&self, texts: &[String]) -> Result<Vec<EmbedOutcome>> {
        self.asked.lock().unwrap().extend_from_slice(texts);
        let outcome = |text: &String| match text.as_str() {
            REFUSED => Err(EmbedFailure::Refused { status: 400 }),
            text => Ok(vector(text)),
        };
        Ok(texts.iter().map(outcome).collect())
    }
}

/// What happens when a shelf is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    Answers,
    /// Answers this often, then fails.
    FailsAfter(usize),
    /// Never answers.
    Hangs,
}

/// The destination.
pub(super) struct Shelf {
    pub(super) place: String,
    pub(super) fidelity: DenseFidelity,
    pub(super) compares_directions: bool,
    pub(super) replaces_nul: bool,
    pub(super) reading: Reading,
    pub(super) entities: Mutex<BTreeMap<EntityRef, StoredEntity>>,
    /// Which entities each reading asked for.
    pub(super) reads: Mutex<Vec<Vec<EntityRef>>>,
    /// After how many more entities writing and deleting fail, once.
    pub(super) breaks_after: Mutex<Option<usize>>,
}

impl Shelf {
    /// An empty one that keeps everything as it is and compares directions.
    pub(super) fn new(place: &str) -> Self {
        Self {
            place: place.to_owned(),
            fidelity: DenseFidelity::Exact,
            compares_directions: true,
            replaces_nul: false,
            reading: Reading::Answers,
            entities: Mutex::default(),
            reads: Mutex::default(),
            breaks_after: Mutex::default(),
        }
    }

    /// Puts an entity on the shelf, with texts and vectors as they are given.
    pub(super) fn put(&self, entity: &str, content_hash: &str, chunks: &[(&str, Vec<f32>)]) {
        let chunks = (0_u32..).zip(chunks).map(|(index, (text, dense))| StoredChunk {
            index,
            text: self.stored_text(text).into_owned(),
            dense: dense.clone(),
        });
        let entity = EntityRef(entity.to_owned());
        let stored =
            StoredEntity { entity: entity.clone(), content_hash: content_hash.to_owned(), chunks: chunks.collect() };
        self.entities.lock().unwrap().insert(entity, stored);
    }

    /// Counts an entity that is written or deleted.
    fn touch(&self) -> Result<()> {
        let mut breaks_after = self.breaks_after.lock().unwrap();
        match breaks_after.as_mut() {
            Some(0) => {
                *breaks_after = None;
                Err(Error::new(ErrorKind::Unavailable, "the shelf broke"))
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Which entities each reading asked for.
    pub(super) fn reads(&self) -> Vec<Vec<EntityRef>> {
        self.reads.lock().unwrap().clone()
    }

    /// Everything on the shelf.
    pub(super) fn content(&self) -> Vec<StoredEntity> {
        self.entities.lock().unwrap().values().cloned().collect()
    }
}

#[async_trait]
impl Destination for Shelf {
    async fn check(&self) -> Result<()> {
        Ok(())
    }

    async fn prepare(&self) -> Result<()> {
        Ok(())
    }

    async fn finish(&self) -> Result<()> {
        Ok(())
    }

    async fn upsert(&self, documents: &[EntityDocument]) -> Result<UpsertOutcome> {
        let mut accepted = Vec::new();
        for document in documents {
            self.touch()?;
            let chunks: Vec<_> =
                document.chunks.iter().map(|chunk| (chunk.text.as_str(), chunk.dense.clone())).collect();
            self.put(&document.entity.0, &document.content_hash, &chunks);
            accepted.push((document.entity.clone(), u32::try_from(chunks.len()).unwrap()));
        }
        Ok(UpsertOutcome { accepted, rejected: Vec::new() })
    }

    async fn delete(&self, entities: &[EntityRef]) -> Result<u64> {
        let mut points = 0;
        for entity in entities {
            self.touch()?;
            points += self.entities.lock().unwrap().remove(entity).map_or(0, |it| it.chunks.len() as u64);
        }
        Ok(points)
    }

    async fn trim(&self, entity: &EntityRef, keep: u32) -> Result<u64> {
        let mut held = self.entities.lock().unwrap();
        let Some(stored) = held.get_mut(entity) else { return Ok(0) };
        let before = stored.chunks.len();
        stored.chunks.retain(|chunk| chunk.index < keep);
        Ok((before - stored.chunks.len()) as u64)
    }

    async fn read(&self, entities: &[EntityRef]) -> Result<Vec<StoredEntity>> {
        let earlier = {
            let mut reads = self.reads.lock().unwrap();
            reads.push(entities.to_vec());
            reads.len() - 1
        };
        match self.reading {
            Reading::Hangs => std::future::pending().await,
            Reading::FailsAfter(answers) if earlier >= answers => {
                Err(Error::new(ErrorKind::Unavailable, "the shelf is away"))
            }
            Reading::FailsAfter(_) | Reading::Answers => {
                let held = self.entities.lock().unwrap();
                Ok(entities.iter().filter_map(|entity| held.get(entity).cloned()).collect())
            }
        }
    }

    async fn scan(&self) -> Result<BoxStream<'_, Result<(EntityRef, u32)>>> {
        let all: Vec<_> =
            self.content().into_iter().map(|it| Ok((it.entity, u32::try_from(it.chunks.len()).unwrap()))).collect();
        Ok(stream::iter(all).boxed())
    }

    async fn count(&self) -> Result<u64> {
        Ok(self.content().iter().map(|it| it.chunks.len() as u64).sum())
    }

    async fn search(&self, _query: &Query) -> Result<Vec<Hit>> {
        Err(Error::new(ErrorKind::InvalidInput, "a shelf is not searched"))
    }

    async fn clear(&self) -> Result<u64> {
        Ok(std::mem::take(&mut *self.entities.lock().unwrap()).values().map(|it| it.chunks.len() as u64).sum())
    }

    fn place(&self) -> String {
        self.place.clone()
    }

    fn dense_fidelity(&self) -> DenseFidelity {
        self.fidelity
    }

    fn stored_text<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if self.replaces_nul { Cow::Owned(text.replace('\0', "\u{FFFD}")) } else { Cow::Borrowed(text) }
    }

    fn compares_directions(&self) -> bool {
        self.compares_directions
    }

    fn overloads(&self) -> u64 {
        0
    }
}
