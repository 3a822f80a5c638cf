//! Making the collection, or verifying that the one that is there fits.
//!
//! A collection that exists is never altered, with one exception: payload indexes that it lacks are added, as the
//! platform itself adds them when it first writes. Whoever comes second finds the first one's collection and verifies
//! it.
//!
//! Bulk load, where nothing is indexed while points arrive, is for the operator's own collections, and entered only by
//! making one: the platform's collections serve other tenants, and so may any collection that is there. It is left in
//! `finish.rs`.

use qdrant_client::qdrant::CollectionInfo;

use super::difference::{differences, missing_indexes};
use super::schema::create_collection;
use super::service::Qdrant;
use crate::error::{Error, ErrorKind, Result};

impl Qdrant {
    /// Creates or verifies the slot's collection.
    pub(super) async fn create_or_verify(&self) -> Result<()> {
        self.verify_names().await?;
        self.build(self.settings.collection(), self.settings.own).await
    }

    /// Creates or verifies a collection of the slot's layout.
    pub(super) async fn build(&self, collection: &str, bulk_load: bool) -> Result<()> {
        if self.wire.collection(collection).await?.is_none() {
            self.wire.create_collection(&create_collection(&self.settings, collection, bulk_load)).await?;
        }
        // Also after creating: somebody else may have been first, and a server may have settings of its own.
        let Some(info) = self.verified(collection).await? else {
            let problem = format!("the collection {collection} was removed while it was prepared");
            return Err(Error::new(ErrorKind::Unavailable, problem));
        };
        for index in missing_indexes(&info) {
            self.wire.create_index(&index.create(collection)).await?;
        }
        Ok(())
    }

    /// A collection, if it is there; verified to be of the slot's layout.
    pub(super) async fn verified(&self, collection: &str) -> Result<Option<CollectionInfo>> {
        let Some(info) = self.wire.collection(collection).await? else { return Ok(None) };
        let found = differences(&self.settings, &info);
        if found.is_empty() {
            return Ok(Some(info));
        }
        let found = found.join("; ");
        Err(incompatible(format!("the collection {collection} is not as the profile says: {found}")))
    }

    /// Verifies that the names mean what the layout thinks. Behind an alias would be somebody else's collection, maybe
    /// that of the active slot, whose points the shadow's would overwrite; and an alias that cannot be made is better
    /// noticed before the load than when the slot is switched to.
    pub(super) async fn verify_names(&self) -> Result<()> {
        let collection = self.settings.collection();
        if let Some(alias) = self.wire.aliases().await?.into_iter().find(|alias| alias.alias_name == collection) {
            let target = alias.collection_name;
            return Err(incompatible(format!(
                "{collection} is an alias of the collection {target}; name a collection"
            )));
        }
        if let Some(alias) = &self.settings.alias
            && self.wire.has_collection(alias).await?
        {
            return Err(incompatible(format!("there is a collection named {alias}, so it cannot be an alias")));
        }
        Ok(())
    }

    /// Points the layout's alias at the collection, if there is one. One step: readers see the old collection or this
    /// one, and never none.
    pub(super) async fn point_alias(&self) -> Result<()> {
        let Some(alias) = &self.settings.alias else { return Ok(()) };
        let collection = self.settings.collection();
        self.wire.point_alias(alias, collection).await?;
        let aliases = self.wire.aliases().await?;
        if aliases.iter().any(|it| it.alias_name == *alias && it.collection_name == collection) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Internal, format!("Qdrant accepted the alias {alias} and does not have it")))
    }
}

fn incompatible(problem: String) -> Error {
    Error::new(ErrorKind::IncompatibleDestination, problem)
}
