//! Proving that writing would work, by a write that leaves nothing behind.
//!
//! Where the collection is there, a point is written that belongs to no tenant, so that no search finds it, and
//! removed. Where it is not, the same is done in a collection of the slot's layout that is made for it and removed.
//! Both are named after the slot: what a crash leaves behind, the next check removes.

use qdrant_client::qdrant::{Condition, Filter, PointStruct};
use uuid::Uuid;

use super::point::points;
use super::service::Qdrant;
use crate::destinations::{Chunk, EntityDocument, EntityRef, Scope, SparseVector};
use crate::error::{Error, ErrorKind, Result};

/// How often a rehearsal begins anew because another check of the same slot removed its collection.
const ATTEMPTS: u32 = 3;

impl Qdrant {
    /// Proves that writing would work.
    pub(super) async fn rehearse(&self) -> Result<()> {
        self.verify_names().await?;
        if self.verified(self.settings.collection()).await?.is_some() {
            return self.take_a_plain_point(self.settings.collection()).await;
        }
        let collection = format!("sync-multiplexer-check-{}", self.scope.slot_id);
        for _ in 1..ATTEMPTS {
            match self.rehearse_in(&collection).await {
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Unavailable) => {}
                other => return other,
            }
        }
        self.rehearse_in(&collection).await
    }

    async fn rehearse_in(&self, collection: &str) -> Result<()> {
        self.wire.delete_collection(collection).await?;
        let written = match self.build(collection, false).await {
            Ok(()) => self.take_a_plain_point(collection).await,
            Err(error) => Err(error),
        };
        let removed = self.wire.delete_collection(collection).await;
        written.and(removed)
    }

    /// Writes a point like any other and removes it. When this fails, no point of ours is at fault.
    pub(super) async fn take_a_plain_point(&self, collection: &str) -> Result<()> {
        let point = self.plain_point()?;
        // By its id alone, which is derived from a sync that nobody has: a collection that was not prepared yet may
        // lack the indexes without which a server refuses other filters.
        let filter = Filter::must([Condition::has_id(point.id.clone())]);
        let written = self.wire.upsert(collection, vec![point]).await.map_err(Error::from);
        let removed = self.wire.delete(collection, filter).await.map_err(Error::from);
        written.and(removed)
    }

    /// A point of a tenant and a sync that nobody is.
    fn plain_point(&self) -> Result<PointStruct> {
        let nobody = Uuid::new_v5(&self.scope.slot_id, b"sync-multiplexer check");
        let scope = Scope { organization_id: nobody, collection_id: nobody, sync_id: nobody, slot_id: nobody };
        let dimensions = usize::try_from(self.settings.dimensions).unwrap_or_default();
        let document = EntityDocument {
            entity: EntityRef("sync-multiplexer check".to_owned()),
            class: "Check".to_owned(),
            content_hash: "0".repeat(64),
            chunks: vec![Chunk {
                index: 0,
                text: "check".to_owned(),
                payload: "{}".to_owned(),
                dense: vec![1.0; dimensions],
                sparse: SparseVector { indices: vec![1], values: vec![1.0] },
            }],
        };
        let point = points(&document, 0, &scope, &self.settings).ok().and_then(|mut points| points.pop());
        point.map(|point| point.wire).ok_or_else(|| Error::new(ErrorKind::Internal, "the plain point is not sound"))
    }
}

#[cfg(test)]
mod tests {
    use proto::v1::QdrantLayout;

    use super::*;
    use crate::destinations::qdrant::{QdrantEndpoint, QdrantSettings};

    #[test]
    fn the_plain_point_is_sound_in_every_layout_and_nobodys() {
        let scope = Scope {
            organization_id: Uuid::new_v4(),
            collection_id: Uuid::new_v4(),
            sync_id: Uuid::new_v4(),
            slot_id: Uuid::new_v4(),
        };
        let endpoint = QdrantEndpoint::new(&"http://localhost:6333".into(), None, None).expect("valid");
        for (distance, dimensions) in [(1, 1), (2, 8), (3, 3_072), (4, 65_536)] {
            let layout = QdrantLayout { distance, ..QdrantLayout::default() };
            let settings = QdrantSettings::from_layout(&layout, dimensions).expect("valid");
            let slot = Qdrant::connect(&endpoint, scope.clone(), settings).expect("nothing is connected yet");
            let point = slot.plain_point().expect("sound");
            assert_eq!(slot.plain_point().expect("sound"), point, "the same each time, so that one is left at most");
            let words = format!("{point:?}");
            for id in [scope.collection_id, scope.sync_id, scope.slot_id] {
                assert!(!words.contains(&id.to_string()), "nobody's: {words}");
            }
        }
    }
}
