//! Everything needed to write to one slot, opened once per activity.

use std::sync::Arc;

use proto::v1::SlotRef;
use uuid::Uuid;

use crate::chunking::{Chunker, ChunkerSettings};
use crate::context::Context;
use crate::database::{SlotScope, platform, slots};
use crate::destinations::{Destination, Scope};
use crate::embedding::Embedder;
use crate::error::{Error, ErrorKind, Result};
use crate::ids;
use crate::profile::{CompleteProfile, Intake};
use crate::throttle::gauged::Gauged;
use crate::throttle::health::Health;
use crate::throttle::{Lane, Paced};

/// A slot with what makes its documents, and its destination.
pub(crate) struct OpenSlot {
    pub(crate) scope: SlotScope,
    pub(crate) collection_id: Uuid,
    /// What the platform calls the source, for a raw store whose manifest does not say.
    pub(crate) source_short_name: Option<String>,
    pub(crate) feed: Feed,
    pub(crate) destination: Arc<dyn Destination>,
    /// How that is, as this worker sees it.
    pub(crate) health: Arc<Health>,
    /// Kind of that, as the profile lays it out.
    pub(crate) destination_kind: &'static str,
}

/// What a slot is given of an entity, and what makes it.
pub(crate) enum Feed {
    /// Chunks with their vectors.
    Chunks { chunker: Arc<Chunker>, embedder: Arc<dyn Embedder> },
    /// The whole text, which the destination cuts and embeds itself.
    WholeEntities,
}

impl Feed {
    /// Opens what the profile asks for.
    ///
    /// # Errors
    ///
    /// `InvalidInput` when the profile is out of range, or names a model that this worker does not have.
    pub(crate) async fn open(context: &Context, profile: &CompleteProfile) -> Result<Self> {
        Ok(match profile.intake() {
            Intake::WholeEntities => Self::WholeEntities,
            Intake::Chunks => {
                let chunker = Chunker::new(ChunkerSettings::from_profile(profile.profile.chunker.as_ref())?)?;
                let embedder = context.embedder(profile.profile.embedder.as_ref()).await?;
                Self::Chunks { chunker: Arc::new(chunker), embedder }
            }
        })
    }

    /// The same, which embeds no faster than the lane may.
    fn paced(self, lane: &Arc<Lane>) -> Self {
        match self {
            Self::Chunks { chunker, embedder } => {
                Self::Chunks { chunker, embedder: Arc::new(Paced::new(embedder, Arc::clone(lane))) }
            }
            Self::WholeEntities => Self::WholeEntities,
        }
    }

    /// Identity of the model that makes the vectors, where we make them.
    pub(crate) fn model(&self) -> Option<&str> {
        match self {
            Self::Chunks { embedder, .. } => Some(embedder.model()),
            Self::WholeEntities => None,
        }
    }
}

impl OpenSlot {
    /// Opens the slot that a step names.
    pub(crate) async fn open(context: &Context, slot: Option<&SlotRef>) -> Result<Self> {
        Self::open_scope(context, ids::scope(slot)?).await
    }

    /// Opens a slot by its scope.
    pub(crate) async fn open_scope(context: &Context, scope: SlotScope) -> Result<Self> {
        let Recorded { profile, embedder_model, connection_id, collection_id, source_short_name } =
            Recorded::read(context, scope).await?;
        let feed = Feed::open(context, &profile).await?;
        require_model(scope, embedder_model.as_deref(), feed.model())?;
        let destination = destination(context, scope, collection_id, connection_id, &profile).await?;
        let destination_kind = profile.destination_kind();
        let health = context.throttle.healths.of(connection_id);
        Ok(Self { scope, collection_id, source_short_name, feed, destination, destination_kind, health })
    }

    /// The same, for work in a lane.
    pub(crate) fn paced(self, lane: &Arc<Lane>) -> Self {
        Self { feed: self.feed.paced(lane), ..self }
    }

    /// Opens only the destination of a slot: what needs no text must not fail for want of a model.
    pub(crate) async fn destination(context: &Context, scope: SlotScope) -> Result<Arc<dyn Destination>> {
        let recorded = Recorded::read(context, scope).await?;
        destination(context, scope, recorded.collection_id, recorded.connection_id, &recorded.profile).await
    }
}

/// Vectors of two models in one slot, or a question of one asked of vectors of another, give no error but wrong answers.
fn require_model(scope: SlotScope, recorded: Option<&str>, here: Option<&str>) -> Result<()> {
    match (recorded, here) {
        (Some(recorded), Some(here)) if recorded != here => Err(Error::new(
            ErrorKind::IncompatibleDestination,
            format!(
                "slot {} holds vectors of the model {recorded}, but this worker has {here}: give the workers the model it \
                 was built with, or fork to another connection",
                scope.slot_id
            ),
        )),
        _ => Ok(()),
    }
}

/// What the database says about a slot that this product built.
struct Recorded {
    profile: CompleteProfile,
    embedder_model: Option<String>,
    connection_id: Uuid,
    collection_id: Uuid,
    source_short_name: Option<String>,
}

impl Recorded {
    async fn read(context: &Context, scope: SlotScope) -> Result<Self> {
        let slot = slots::get(&context.database, &scope).await?;
        let built = slot.built.as_ref().ok_or_else(|| {
            Error::new(
                ErrorKind::Conflict,
                format!("slot {} was made by the platform, so how it was built is not known", scope.slot_id),
            )
        })?;
        let sync = platform::sync(&context.database, scope.organization_id, scope.sync_id).await?;
        Ok(Self {
            profile: CompleteProfile::from_stored(&built.profile)?,
            embedder_model: built.embedder_model.clone(),
            connection_id: slot.connection_id,
            collection_id: collection(&sync)?,
            source_short_name: sync.source_short_name,
        })
    }
}

/// Opens the destination behind a connection.
pub(crate) async fn destination(
    context: &Context,
    scope: SlotScope,
    collection_id: Uuid,
    connection_id: Uuid,
    profile: &CompleteProfile,
) -> Result<Arc<dyn Destination>> {
    let connection = platform::destination_connection(&context.database, scope.organization_id, connection_id).await?;
    let scope =
        Scope { organization_id: scope.organization_id, collection_id, sync_id: scope.sync_id, slot_id: scope.slot_id };
    let destination = context.connections.open(&connection, scope, profile)?;
    Ok(Arc::new(Gauged::new(destination, context.throttle.healths.of(connection_id))))
}

/// The collection a sync feeds, which every point names.
pub(crate) fn collection(sync: &platform::SyncInfo) -> Result<Uuid> {
    sync.collection_id.ok_or_else(|| {
        Error::new(
            ErrorKind::NotFound,
            format!("sync {} feeds no collection; it has no source connection, or that names none", sync.sync_id),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_opened_only_with_the_model_it_was_built_with() {
        let id = Uuid::from_u128(1);
        let scope = SlotScope { organization_id: id, sync_id: id, slot_id: id };
        for (recorded, here) in [(Some("a"), Some("a")), (None, Some("a")), (None, None)] {
            require_model(scope, recorded, here).unwrap();
        }
        let refused = require_model(scope, Some("a"), Some("b")).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::IncompatibleDestination);
        assert!(refused.message().contains("vectors of the model a, but this worker has b"), "{refused}");
    }
}
