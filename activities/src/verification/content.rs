//! Entities read back and compared with what they should have become.

use std::borrow::Cow;
use std::collections::HashMap;

use futures::{StreamExt, TryStreamExt, stream};

use super::{BATCH, Comparison};
use crate::database::ledger::LedgerEntry;
use crate::destinations::{EntityRef, StoredEntity};
use crate::error::Result;
use crate::replay::{Carrier, OpenSlot};

/// How an entity stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is what the raw store gives.
    Same,
    /// Its object changed or went since it was written, or cannot be read: nothing to compare with.
    Changed,
    /// It is not, with the reason.
    Differs(String),
}

impl Comparison {
    /// Reads entities back and compares hash and texts with what the raw store gives now. Answers those that differ, with the
    /// reason; whoever asked decides whether that counts.
    pub(super) async fn read_back(
        &mut self,
        slot: &OpenSlot,
        carrier: &Carrier<'_>,
        entries: &[LedgerEntry],
    ) -> Result<Vec<(String, String)>> {
        let mut differing = Vec::new();
        for entries in entries.chunks(BATCH) {
            for (entry, verdict) in entries.iter().zip(judge(slot, carrier, entries).await?) {
                match verdict {
                    Verdict::Changed => continue,
                    Verdict::Same => {}
                    Verdict::Differs(words) => differing.push((entry.entity_id.clone(), words)),
                }
                self.result.sampled += 1;
            }
        }
        Ok(differing)
    }

    /// Counts an entity that differs.
    pub(super) fn content_differs(&mut self, entity_id: &str, words: &str) {
        self.result.sample_differences += 1;
        self.example(format!("entity {entity_id:?} {words}"));
    }
}

/// How each of a batch of entities stands. The destination is read first: an object that is still the recorded version
/// afterwards was that version while it was read.
pub(super) async fn judge(slot: &OpenSlot, carrier: &Carrier<'_>, entries: &[LedgerEntry]) -> Result<Vec<Verdict>> {
    let ids: Vec<_> = entries.iter().map(|entry| EntityRef(entry.entity_id.clone())).collect();
    let stored: HashMap<_, _> =
        slot.destination.read(&ids).await?.into_iter().map(|it| (it.entity.0.clone(), it)).collect();
    let expected: Vec<_> =
        stream::iter(entries.to_vec()).map(|entry| carrier.expect(entry)).buffered(BATCH).try_collect().await?;
    let verdicts = entries.iter().zip(expected).map(|(entry, expected)| {
        let Some(expected) = expected else { return Verdict::Changed };
        let texts: Vec<_> = expected.chunks.iter().map(|text| slot.destination.stored_text(text)).collect();
        difference(&expected.content_hash, &texts, stored.get(&entry.entity_id)).map_or(Verdict::Same, Verdict::Differs)
    });
    Ok(verdicts.collect())
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
}
