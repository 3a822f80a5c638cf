//! Removing points: entities, chunks from some position on, everything of the scope.
//!
//! Every removal names tenant and sync. Qdrant does not say how many points a removal took away, so they are counted or
//! listed first; between the two another writer of the same entities may add some, which are then removed or left, and
//! not in the number. Nobody else's points can be.
//!
//! A removal by filter is resolved to points while the other writers of a shard wait, so none is sent that would remove
//! nothing.

use qdrant_client::qdrant::{Filter, PointId};

use super::classify::Failure;
use super::filter::{MAX_IDS, PAGE_POINTS, listing, of_entities, of_points, of_scope};
use super::payload::Stored;
use super::schema::{ENTITY, INDEX, metadata};
use super::service::Qdrant;
use crate::destinations::EntityRef;
use crate::error::{Error, ErrorKind, Result};

/// Entities of one removal.
const ENTITIES: usize = 128;

impl Qdrant {
    /// Removes entities.
    pub(super) async fn remove_entities(&self, entities: &[EntityRef]) -> Result<u64> {
        let mut ids: Vec<&str> = entities.iter().map(|entity| entity.0.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        let mut removed = 0;
        for ids in ids.chunks(ENTITIES) {
            removed += self.remove_matching(of_entities(&self.scope, ids.iter().copied())).await?;
        }
        Ok(removed)
    }

    /// Removes the chunks of an entity from the position `keep` on.
    pub(super) async fn remove_from(&self, entity: &EntityRef, keep: u32) -> Result<u64> {
        let filter = of_entities(&self.scope, [entity.0.as_str()]);
        let keys = [metadata(ENTITY), metadata(INDEX)];
        let mut doomed = Vec::new();
        for point in self.wire.scroll_all(listing(self.settings.collection(), filter, &keys)).await? {
            if Stored::new(point.id.as_ref(), &point.payload).index()? >= keep {
                doomed.extend(point.id);
            }
        }
        self.remove_points(&doomed).await
    }

    /// Removes everything of the scope, and never the collection: nothing in Qdrant makes "empty" and "removed" one
    /// step, and another sync may be about to write. Where no collection is, there is nothing of the scope either.
    pub(super) async fn remove_all(&self) -> Result<u64> {
        match self.remove_matching(of_scope(&self.scope)).await {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
            other => other,
        }
    }

    /// Removes points that were listed.
    pub(super) async fn remove_points(&self, ids: &[PointId]) -> Result<u64> {
        for ids in ids.chunks(MAX_IDS) {
            self.remove(of_points(&self.scope, ids.iter().cloned())).await?;
        }
        Ok(ids.len() as u64)
    }

    async fn remove_matching(&self, filter: Filter) -> Result<u64> {
        let matching = self.wire.count(self.settings.collection(), filter.clone()).await?;
        if matching > 0 {
            self.remove(filter).await?;
        }
        Ok(matching)
    }

    /// Removes what matches; in portions, when a rate limit allows no more at once.
    async fn remove(&self, filter: Filter) -> Result<()> {
        let collection = self.settings.collection();
        match self.wire.delete(collection, filter.clone()).await {
            Err(Failure::TooMany(_)) => {}
            other => return other.map_err(Error::from),
        }
        let mut portion = PAGE_POINTS;
        loop {
            let mut request = listing(collection, filter.clone(), &[metadata(ENTITY)]);
            request.limit = Some(portion);
            let ids: Vec<PointId> =
                self.wire.scroll(request).await?.result.into_iter().filter_map(|it| it.id).collect();
            if ids.is_empty() {
                return Ok(());
            }
            match self.wire.delete(collection, of_points(&self.scope, ids)).await {
                Err(Failure::TooMany(_)) if portion > 1 => portion /= 2,
                other => other?,
            }
        }
    }
}
