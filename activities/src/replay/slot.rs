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
use crate::profile::CompleteProfile;

/// A slot with its chunker, embedder and destination.
pub(crate) struct OpenSlot {
    pub(crate) scope: SlotScope,
    pub(crate) collection_id: Uuid,
    /// What the platform calls the source, for a raw store whose manifest does not say.
    pub(crate) source_short_name: Option<String>,
    pub(crate) chunker: Arc<Chunker>,
    pub(crate) embedder: Arc<dyn Embedder>,
    pub(crate) destination: Arc<dyn Destination>,
}

impl OpenSlot {
    /// Opens the slot that a step names.
    pub(crate) async fn open(context: &Context, slot: Option<&SlotRef>) -> Result<Self> {
        Self::open_scope(context, ids::scope(slot)?).await
    }

    /// Opens a slot by its scope.
    pub(crate) async fn open_scope(context: &Context, scope: SlotScope) -> Result<Self> {
        let Recorded { profile, connection_id, collection_id, source_short_name } =
            Recorded::read(context, scope).await?;
        let chunker = Chunker::new(ChunkerSettings::from_profile(profile.profile.chunker.as_ref())?)?;
        let embedder = context.embedder(profile.profile.embedder.as_ref()).await?;
        let destination = destination(context, scope, collection_id, connection_id, &profile).await?;
        Ok(Self { scope, collection_id, source_short_name, chunker: Arc::new(chunker), embedder, destination })
    }

    /// Opens only the destination of a slot: what needs no text must not fail for want of a model.
    pub(crate) async fn destination(context: &Context, scope: SlotScope) -> Result<Arc<dyn Destination>> {
        let recorded = Recorded::read(context, scope).await?;
        destination(context, scope, recorded.collection_id, recorded.connection_id, &recorded.profile).await
    }
}

/// What the database says about a slot that this product built.
struct Recorded {
    profile: CompleteProfile,
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
    context.connections.open(&connection, scope, profile)
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
