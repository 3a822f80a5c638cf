//! Writing entities.
//!
//! Qdrant has no transaction over several points. What is promised nevertheless:
//!
//! * An entity is accepted when each of its points was answered with "completed", and what an earlier version had
//!   beyond them is removed. Surplus goes last, so that no moment lacks what both versions have.
//! * A point that the server does not take is found by halving, while the rest of its request is stored. It is held
//!   against the entity only after the server took a plain point: otherwise the fault is not the entity's, and the
//!   write fails.
//! * Of an entity that is refused nothing new stays: whatever carries its new content hash is removed again. What an
//!   earlier version had stays, except for chunks that the new one had overwritten before the server refused another:
//!   those are lost, because Qdrant stores a part of a request that it refuses. All that can be checked is therefore
//!   checked before anything is sent.
//! * A write that fails as a whole may have stored a part. Writing again completes it.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt, stream};

use super::batches::{self, cut};
use super::classify::Failure;
use super::filter::{MAX_IDS, listing, of_entities, of_entities_without};
use super::payload::Stored;
use super::point::{Point, point_id, points};
use super::schema::{ENTITY, HASH, metadata};
use super::service::Qdrant;
use crate::destinations::{EntityDocument, Rejection, UpsertOutcome};
use crate::error::{Error, Result};

/// Requests that are sent side by side. With more the server has no less to do.
pub(super) const IN_FLIGHT: usize = 4;

/// Entities whose surplus is looked for at once.
const SURPLUS_ENTITIES: usize = 64;

/// Why the server does not take an entity, by its place in the batch.
type Refusals = BTreeMap<usize, String>;

impl Qdrant {
    /// Writes whole entities; the last version of each counts.
    pub(super) async fn write(&self, documents: &[EntityDocument]) -> Result<UpsertOutcome> {
        let mut outcome = UpsertOutcome::default();
        let (mut sound, mut sent) = (Vec::with_capacity(documents.len()), Vec::new());
        for document in latest(documents) {
            match points(document, sound.len(), &self.scope, &self.settings) {
                Ok(points) => {
                    sound.push(document);
                    sent.extend(points);
                }
                Err(reason) => outcome.rejected.push(Rejection { entity: document.entity.clone(), reason }),
            }
        }
        let refusals = self.store(sent).await?;
        if !refusals.is_empty() {
            self.take_a_plain_point(self.settings.collection()).await?;
        }
        let mut accepted = Vec::with_capacity(sound.len());
        for (at, document) in sound.into_iter().enumerate() {
            let Some(reason) = refusals.get(&at) else {
                accepted.push(document);
                continue;
            };
            self.remove_version(document).await?;
            outcome.rejected.push(Rejection { entity: document.entity.clone(), reason: reason.clone() });
        }
        self.remove_surplus(&accepted).await?;
        outcome.accepted.extend(accepted.into_iter().map(|it| (it.entity.clone(), chunk_count(it))));
        Ok(outcome)
    }

    /// Stores points, a few requests side by side.
    async fn store(&self, points: Vec<Point>) -> Result<Refusals> {
        let refused: Vec<Vec<(Point, Error)>> = stream::iter(cut(points))
            .map(|batch| batches::store(batch, |part: &[Point]| self.send(part)))
            .buffer_unordered(IN_FLIGHT)
            .try_collect()
            .await?;
        let mut refusals = Refusals::new();
        for (point, error) in refused.into_iter().flatten() {
            refusals.entry(point.entity).or_insert_with(|| format!("chunk {}: {}", point.index, error.message()));
        }
        Ok(refusals)
    }

    fn send(&self, part: &[Point]) -> impl Future<Output = Result<(), Failure>> + use<'_> {
        let wire = part.iter().map(|point| point.wire.clone()).collect();
        self.wire.upsert(self.settings.collection(), wire)
    }

    /// Removes the points of an entity that have the content hash of `document`.
    async fn remove_version(&self, document: &EntityDocument) -> Result<()> {
        let filter = of_entities(&self.scope, [document.entity.0.as_str()]);
        let keys = [metadata(ENTITY), metadata(HASH)];
        let stored = self.wire.scroll_all(listing(self.settings.collection(), filter, &keys)).await?;
        let new = stored.into_iter().filter(|point| {
            Stored::new(point.id.as_ref(), &point.payload).hash() == Some(document.content_hash.as_str())
        });
        let doomed: Vec<_> = new.filter_map(|point| point.id).collect();
        self.remove_points(&doomed).await?;
        Ok(())
    }

    /// Removes what earlier versions of the entities had beyond the chunks they have now.
    async fn remove_surplus(&self, documents: &[&EntityDocument]) -> Result<()> {
        for documents in portions(documents) {
            let ids = documents.iter().map(|document| document.entity.0.as_str());
            let written = documents.iter().flat_map(|document| {
                document.chunks.iter().map(|chunk| point_id(&document.entity, self.scope.sync_id, chunk.index))
            });
            let filter = of_entities_without(&self.scope, ids, written);
            let surplus =
                self.wire.scroll_all(listing(self.settings.collection(), filter, &[metadata(ENTITY)])).await?;
            let surplus: Vec<_> = surplus.into_iter().filter_map(|point| point.id).collect();
            self.remove_points(&surplus).await?;
        }
        Ok(())
    }
}

/// The last version of each entity in a batch, in byte order of the id.
fn latest(documents: &[EntityDocument]) -> Vec<&EntityDocument> {
    let by_id: BTreeMap<&str, &EntityDocument> =
        documents.iter().map(|document| (document.entity.0.as_str(), document)).collect();
    by_id.into_values().collect()
}

/// Cuts entities so that a filter that names them and their points stays short; one entity alone may have more points.
fn portions<'a>(mut documents: &'a [&'a EntityDocument]) -> impl Iterator<Item = &'a [&'a EntityDocument]> {
    std::iter::from_fn(move || {
        let mut points = 0;
        let fitting = documents.iter().take(SURPLUS_ENTITIES).take_while(|document| {
            points += document.chunks.len();
            points <= MAX_IDS
        });
        let (portion, rest) = documents.split_at(fitting.count().max(1).min(documents.len()));
        documents = rest;
        (!portion.is_empty()).then_some(portion)
    })
}

/// How many chunks; they are numbered with as many bits.
fn chunk_count(document: &EntityDocument) -> u32 {
    u32::try_from(document.chunks.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::destinations::{Chunk, EntityRef, SparseVector};

    fn document(id: &str, hash: &str, chunks: usize) -> EntityDocument {
        let chunk = Chunk {
            index: 0,
            text: String::new(),
            payload: "{}".into(),
            dense: Vec::new(),
            sparse: SparseVector::default(),
        };
        EntityDocument {
            entity: EntityRef(id.into()),
            class: "C".into(),
            content_hash: hash.into(),
            chunks: vec![chunk; chunks],
        }
    }

    #[test]
    fn the_last_version_in_a_batch_counts() {
        let batch = [document("b", "1", 1), document("a", "1", 1), document("b", "2", 1)];
        let latest: Vec<_> =
            latest(&batch).into_iter().map(|it| (it.entity.0.as_str(), it.content_hash.as_str())).collect();
        assert_eq!(latest, [("a", "1"), ("b", "2")]);
    }

    proptest! {
        #[test]
        fn portions_hold_every_entity_once_and_stay_short(
            counts in prop::collection::vec(prop_oneof![1_usize..5, 400_usize..1_200], 0..200),
        ) {
            let documents: Vec<_> = counts.iter().map(|count| document("e", "h", *count)).collect();
            let documents: Vec<_> = documents.iter().collect();
            let portions: Vec<_> = portions(&documents).collect();
            prop_assert_eq!(portions.concat().len(), documents.len());
            for portion in portions {
                let points: usize = portion.iter().map(|document| document.chunks.len()).sum();
                prop_assert!(portion.len() <= SURPLUS_ENTITIES && (points <= MAX_IDS || portion.len() == 1));
            }
        }
    }
}
