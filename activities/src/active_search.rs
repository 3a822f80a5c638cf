//! Searches the active slot of a sync: what a reader that follows the flip does.
//!
//! A reader resolves the active destination, and may keep it for as long as the generation stays the same. An answer counts
//! when the generation after the search is the one that was resolved: generations only grow, so the slot was the active
//! one all the time, and no flip fell into the search.

use uuid::Uuid;

use crate::context::Context;
use crate::database::SlotScope;
use crate::database::active_destination::{ActiveDestination, resolve};
use crate::destinations::Hit;
use crate::error::{Error, ErrorKind, Result};
use crate::search::search;

/// Flips that may fall into one search before it gives up.
const ATTEMPTS: u32 = 10;

/// The best chunks of the active slot, and the destination that they are from.
pub(crate) async fn search_active(
    context: &Context,
    organization_id: Uuid,
    sync_id: Uuid,
    question: &str,
    limit: u32,
) -> Result<(ActiveDestination, Vec<Hit>)> {
    let mut active = resolve(&context.database, organization_id, sync_id).await?;
    for _ in 0..ATTEMPTS {
        let answer =
            search(context, SlotScope { organization_id, sync_id, slot_id: active.slot_id }, question, limit).await;
        let now = resolve(&context.database, organization_id, sync_id).await?;
        if now.generation == active.generation {
            return answer.map(|hits| (active, hits));
        }
        active = now;
    }
    Err(Error::new(
        ErrorKind::Unavailable,
        format!("the active slot of sync {sync_id} changed during each of {ATTEMPTS} searches: try again"),
    ))
}
