//! A slot on a server that can be scripted, and what is asserted of it without asking the slot alone.

use std::collections::{BTreeMap, BTreeSet};

use activities::destinations::qdrant::{Qdrant, QdrantSettings};
use activities::destinations::{Destination, EntityDocument, EntityRef, Scope};
use harness::qdrant::{PointKey, QdrantServerOptions};
use proto::v1::QdrantLayout;
use uuid::Uuid;

use super::target::Target;
use super::world::endpoint;
use crate::conformance::observe::scanned;
use crate::conformance::{DIMENSIONS, documents};

/// The collection of the platform's layout at the length that tests use.
pub(crate) const SHARED: &str = "airweave_vectors_8";

pub(crate) struct Stage {
    pub(crate) target: Target,
    pub(crate) scope: Scope,
    pub(crate) slot: Qdrant,
    pub(crate) collection: String,
}

impl Stage {
    /// A prepared slot of the platform's layout. None on a real server.
    pub(crate) async fn open() -> Option<Self> {
        Self::with(QdrantServerOptions::default()).await
    }

    pub(crate) async fn with(options: QdrantServerOptions) -> Option<Self> {
        let stage = Self::unprepared(QdrantLayout::default(), options).await?;
        stage.slot.prepare().await.expect("prepare");
        Some(stage)
    }

    pub(crate) async fn unprepared(layout: QdrantLayout, options: QdrantServerOptions) -> Option<Self> {
        let target = Target::scripted(options).await?;
        let scope = documents::scope();
        let (slot, settings) = (open(&target, &scope, &layout), settings(&layout));
        Some(Self { target, scope, slot, collection: settings.collection().to_owned() })
    }

    /// The point of a chunk, by the platform's rule and not by the product's code.
    pub(crate) fn point(&self, entity: &str, chunk: u32) -> PointKey {
        Uuid::new_v5(&self.scope.sync_id, format!("{entity}__chunk_{chunk}").as_bytes()).into()
    }

    /// Asserts that the collection holds exactly the points of `documents`, and that the slot says so too.
    pub(crate) async fn assert_holds(&self, documents: &[EntityDocument]) {
        let wanted: BTreeMap<EntityRef, u32> =
            documents.iter().map(|it| (it.entity.clone(), it.chunks.len() as u32)).collect();
        let points: BTreeSet<PointKey> =
            wanted.iter().flat_map(|(entity, chunks)| (0..*chunks).map(|chunk| self.point(&entity.0, chunk))).collect();
        let stored = self.target.server().stored_points(&self.collection);
        assert_eq!(stored.into_iter().collect::<BTreeSet<_>>(), points, "these points and no others are stored");
        assert_eq!(self.slot.count().await.expect("count"), points.len() as u64);
        assert_eq!(scanned(&self.slot).await, wanted.into_iter().collect::<Vec<_>>());
    }
}

fn settings(layout: &QdrantLayout) -> QdrantSettings {
    QdrantSettings::from_layout(layout, DIMENSIONS).expect("the layout is valid")
}

/// A slot on the target's server.
pub(crate) fn open(target: &Target, scope: &Scope, layout: &QdrantLayout) -> Qdrant {
    let endpoint = endpoint(&target.server().url(), target.key());
    Qdrant::connect(&endpoint, scope.clone(), settings(layout)).expect("the URL is valid")
}

/// `count` entities of one chunk each.
pub(crate) fn singles(count: u32) -> Vec<EntityDocument> {
    (0..count).map(|n| documents::document(&format!("entity {n:04}"), 1, 1)).collect()
}
