//! `verify_slot`: compares the slot with what was recorded, entity by entity by point count, and reads a sample back
//! against the raw store.
//!
//! Both sides come in byte order of the entity id, so the comparison is a merge that holds one entity of each.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashMap;

use futures::{StreamExt, TryStreamExt, stream};
use proto::v1::{VerifyResult, VerifySlotInput};

use super::phase;
use crate::context::Context;
use crate::database::{ledger, verifications};
use crate::destinations::{EntityRef, StoredEntity};
use crate::error::{Error, ErrorKind, Result};
use crate::ids;
use crate::replay::{Carrier, OpenSlot};

/// Entities read back when the request says nothing.
const DEFAULT_SAMPLE: u32 = 100;

/// Entities read back at a time.
const SAMPLE_BATCH: usize = 64;

/// Differences that are named; all are counted.
const EXAMPLES: usize = 10;

pub(crate) async fn run(context: &Context, input: VerifySlotInput) -> Result<VerifyResult> {
    phase::enter(context, input.slot.as_ref(), "verify").await?;
    let operation_id = ids::operation(input.slot.as_ref())?;
    let plan_id = ids::uuid("plan_id", &input.plan_id)?;
    let slot = OpenSlot::open(context, input.slot.as_ref()).await?;

    let mut verification = Verification::default();
    verification.compare_counts(context, &slot).await?;
    let sample = if input.sample == 0 { DEFAULT_SAMPLE } else { input.sample };
    verification.compare_sample(context, &slot, sample).await?;

    let Verification { result } = verification;
    let passed = differences(&result) == 0;
    let stored = serde_json::to_value(&result).map_err(|error| {
        Error::new(ErrorKind::Internal, "the verification cannot be written as JSON").with_source(error)
    })?;
    // One verification per plan: an attempt that is repeated records the same one.
    verifications::record(&context.database, &slot.scope, plan_id, operation_id, passed, &stored).await?;
    if passed {
        return Ok(result);
    }
    Err(Error::new(
        ErrorKind::VerificationFailed,
        format!(
            "the slot differs from the raw store in {} places: {}; nothing was switched. Fork again to mend what changed, or \
             to another connection",
            differences(&result),
            result.examples.join("; "),
        ),
    ))
}

fn differences(result: &VerifyResult) -> u64 {
    result.entities_missing_points
        + result.entities_surplus_points
        + result.entities_unknown
        + result.sample_differences
        + u64::from(result.points_expected != result.points_found)
}

#[derive(Default)]
struct Verification {
    result: VerifyResult,
}

impl Verification {
    fn example(&mut self, words: String) {
        if self.result.examples.len() < EXAMPLES {
            self.result.examples.push(words);
        }
    }

    /// Merges the ledger with a scan of the destination.
    async fn compare_counts(&mut self, context: &Context, slot: &OpenSlot) -> Result<()> {
        let mut recorded = ledger::stream_by_entity(&context.database, &slot.scope).await?;
        let mut stored = slot.destination.scan().await?;
        let mut expected = recorded.try_next().await?;
        let mut found = stored.try_next().await?;
        loop {
            let order = match (&expected, &found) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((expected, _)), Some((found, _))) => expected.as_bytes().cmp(found.0.as_bytes()),
            };
            let (id, want, have) = match order {
                Ordering::Less => expected.take().map(|(id, points)| (id, points, 0)),
                Ordering::Greater => found.take().map(|(id, points)| (id.0, 0, u64::from(points))),
                Ordering::Equal => {
                    expected.take().zip(found.take()).map(|((id, want), (_, have))| (id, want, u64::from(have)))
                }
            }
            .ok_or_else(|| Error::new(ErrorKind::Internal, "a merge compared an entity that is not there"))?;
            self.count(&id, want, have);
            if expected.is_none() {
                expected = recorded.try_next().await?;
            }
            if found.is_none() {
                found = stored.try_next().await?;
            }
        }
        drop(stored);
        let counted = slot.destination.count().await?;
        if counted != self.result.points_found {
            self.example(format!("{counted} points are counted but {} were scanned", self.result.points_found));
            self.result.points_found = counted;
        }
        Ok(())
    }

    fn count(&mut self, id: &str, want: u64, have: u64) {
        self.result.entities_compared += 1;
        self.result.points_expected += want;
        self.result.points_found += have;
        match (want, have) {
            (0, _) => self.result.entities_unknown += 1,
            (want, have) if have < want => self.result.entities_missing_points += 1,
            (want, have) if have > want => self.result.entities_surplus_points += 1,
            _ => return,
        }
        self.example(format!("entity {id:?} has {have} points instead of {want}"));
    }

    /// Reads entities back and compares hash and texts with what the raw store gives now.
    async fn compare_sample(&mut self, context: &Context, slot: &OpenSlot, sample: u32) -> Result<()> {
        let carrier = Carrier::new(slot, context.store.sync(slot.scope.sync_id)).await?;
        // The slot's id as a seed: repeating a verification compares the same entities.
        let seed = slot.scope.slot_id.as_u64_pair().0;
        let rows = ledger::sample(&context.database, &slot.scope, sample, seed).await?;
        for rows in rows.chunks(SAMPLE_BATCH) {
            let ids: Vec<_> = rows.iter().map(|row| EntityRef(row.entity_id.clone())).collect();
            let stored: HashMap<_, _> =
                slot.destination.read(&ids).await?.into_iter().map(|it| (it.entity.0.clone(), it)).collect();
            let expected: Vec<_> =
                stream::iter(rows.to_vec()).map(|it| carrier.expect(it)).buffered(SAMPLE_BATCH).try_collect().await?;
            for (row, expected) in rows.iter().zip(expected) {
                // Changed or gone since it was replayed: a live write, which catch-up carries over.
                let Some(expected) = expected else { continue };
                self.result.sampled += 1;
                let texts: Vec<_> = expected.chunks.iter().map(|text| slot.destination.stored_text(text)).collect();
                if let Some(difference) = difference(&expected.content_hash, &texts, stored.get(&row.entity_id)) {
                    self.result.sample_differences += 1;
                    self.example(format!("entity {:?} {difference}", row.entity_id));
                }
            }
        }
        Ok(())
    }
}

/// `texts` are those of the chunks, in the form in which the destination holds them.
fn difference(content_hash: &str, texts: &[Cow<'_, str>], stored: Option<&StoredEntity>) -> Option<String> {
    let Some(stored) = stored else {
        return (!texts.is_empty()).then(|| "is not in the destination".to_owned());
    };
    if stored.chunks.len() != texts.len() {
        return Some(format!("has {} chunks instead of {}", stored.chunks.len(), texts.len()));
    }
    if stored.content_hash != content_hash {
        return Some("was written from other content".to_owned());
    }
    let differing = stored.chunks.iter().zip(texts).position(|(stored, text)| stored.text != *text);
    differing.map(|index| format!("has another text in chunk {index}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destinations::StoredChunk;

    fn stored(hash: &str, texts: &[&str]) -> StoredEntity {
        let chunks =
            (0_u32..).zip(texts).map(|(index, text)| StoredChunk { index, text: (*text).to_owned(), dense: vec![1.0] });
        StoredEntity { entity: EntityRef("e".to_owned()), content_hash: hash.to_owned(), chunks: chunks.collect() }
    }

    #[test]
    fn each_kind_of_difference_is_seen() {
        let texts = ["a", "b"].map(Cow::Borrowed);
        assert_eq!(difference("h", &texts, Some(&stored("h", &["a", "b"]))), None);
        assert_eq!(difference("h", &[], None), None, "an entity without text has no points");
        for (other, words) in [
            (None, "not in the destination"),
            (Some(stored("h", &["a"])), "1 chunks instead of 2"),
            (Some(stored("x", &["a", "b"])), "other content"),
            (Some(stored("h", &["a", "x"])), "another text in chunk 1"),
        ] {
            assert!(difference("h", &texts, other.as_ref()).unwrap().contains(words), "{words}");
        }
    }

    #[test]
    fn counts_that_differ_are_sorted_by_kind() {
        let mut verification = Verification::default();
        for (want, have) in [(1, 1), (2, 1), (1, 3), (0, 1), (4, 0)] {
            verification.count("e", want, have);
        }
        let result = verification.result;
        assert_eq!(
            (
                result.entities_compared,
                result.entities_missing_points,
                result.entities_surplus_points,
                result.entities_unknown
            ),
            (5, 2, 1, 1)
        );
        assert_eq!((result.points_expected, result.points_found, result.examples.len()), (8, 6, 4));
        assert!(differences(&result) > 0);
    }
}
