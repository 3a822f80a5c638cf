//! Listing every entity of the scope. Qdrant lists points by id; the entities are brought into byte order here.

use futures::stream::{self, BoxStream, StreamExt};

use super::filter::{listing, of_scope};
use super::payload::Stored;
use super::schema::{ENTITY, metadata};
use super::service::Qdrant;
use crate::destinations::EntityRef;
use crate::destinations::entity_sort::EntitySort;
use crate::error::Result;

/// What sorting may hold in memory; the rest goes to temporary files.
const SORT_BYTES: usize = 32 * 1024 * 1024;

impl Qdrant {
    /// Every entity with its number of points.
    pub(super) async fn scan_entities(&self) -> Result<BoxStream<'_, Result<(EntityRef, u32)>>> {
        let mut sort = EntitySort::new(SORT_BYTES);
        let mut request = listing(self.settings.collection(), of_scope(&self.scope), &[metadata(ENTITY)]);
        loop {
            let page = self.wire.scroll(request.clone()).await?;
            for point in &page.result {
                sort.push(Stored::new(point.id.as_ref(), &point.payload).entity()?, 1)?;
            }
            match page.next_page_offset {
                Some(next) => request.offset = Some(next),
                None => return Ok(stream::iter(sort.finish()?).boxed()),
            }
        }
    }
}
