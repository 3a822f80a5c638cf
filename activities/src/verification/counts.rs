//! The points of every entity, compared with the ledger.
//!
//! Both sides come in byte order of the entity id, so the comparison is a merge that holds one entity of each.

use std::cmp::Ordering;

use futures::TryStreamExt;

use super::{Comparison, MOST_IN_DOUBT};
use crate::database::{Database, ledger};
use crate::error::{Error, ErrorKind, Result};
use crate::replay::OpenSlot;

/// An entity whose points are not those recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Miscount {
    pub(super) entity_id: String,
    pub(super) want: u64,
    pub(super) have: u64,
}

impl Comparison {
    /// Merges the ledger with a scan of the destination. Answers entities whose points are not those recorded; those beyond
    /// [`MOST_IN_DOUBT`] count as differences at once.
    pub(super) async fn compare_counts(&mut self, database: &Database, slot: &OpenSlot) -> Result<Vec<Miscount>> {
        let mut found = Vec::new();
        merge(database, slot, |id, want, have| {
            self.result.entities_compared += 1;
            self.result.points_expected += want;
            if want != have && found.len() < MOST_IN_DOUBT {
                found.push(Miscount { entity_id: id.to_owned(), want, have });
            } else {
                self.miscount(id, want, have);
            }
        })
        .await?;
        self.result.points_found = slot.destination.count().await?;
        Ok(found)
    }

    /// Counts an entity whose points are not those recorded, by kind.
    pub(super) fn miscount(&mut self, id: &str, want: u64, have: u64) {
        match (want, have) {
            (0, 1..) => self.result.entities_unknown += 1,
            (want, have) if have < want => self.result.entities_missing_points += 1,
            (want, have) if have > want => self.result.entities_surplus_points += 1,
            _ => return,
        }
        self.example(format!("entity {id:?} has {have} points instead of {want}"));
    }

    /// Counts an entity that has none of its points because the plan left it to the next one.
    pub(super) fn left_out(&mut self, id: &str) {
        self.result.entities_missing_points += 1;
        self.example(format!(
            "entity {id:?} was taken out with another object of the same id, and is written by the next round"
        ));
    }
}

/// The first `most` entities whose points are not those recorded.
pub(super) async fn miscounts(database: &Database, slot: &OpenSlot, most: usize) -> Result<Vec<Miscount>> {
    let mut found = Vec::new();
    merge(database, slot, |id, want, have| {
        if want != have && found.len() < most {
            found.push(Miscount { entity_id: id.to_owned(), want, have });
        }
    })
    .await?;
    Ok(found)
}

/// Tells each entity that either side knows, with its points as recorded and as stored.
async fn merge(database: &Database, slot: &OpenSlot, mut tell: impl FnMut(&str, u64, u64)) -> Result<()> {
    let mut recorded = ledger::stream_by_entity(database, &slot.scope).await?;
    let mut stored = slot.destination.scan().await?;
    let mut expected = recorded.try_next().await?;
    let mut found = stored.try_next().await?;
    loop {
        let order = match (&expected, &found) {
            (None, None) => return Ok(()),
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
        tell(&id, want, have);
        if expected.is_none() {
            expected = recorded.try_next().await?;
        }
        if found.is_none() {
            found = stored.try_next().await?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_that_differ_are_sorted_by_kind() {
        let mut comparison = Comparison::default();
        for (want, have) in [(1, 1), (2, 1), (1, 3), (0, 1), (4, 0)] {
            comparison.miscount("e", want, have);
        }
        let result = &comparison.result;
        assert_eq!(
            (result.entities_missing_points, result.entities_surplus_points, result.entities_unknown),
            (2, 1, 1)
        );
        assert_eq!(result.examples.len(), 4);
        assert!(comparison.differences() > 0);
    }
}
