//! Where a slot may be: not where another slot of its sync is.
//!
//! Point ids are derived from the source, so two slots of a sync in one place write over each other, and undoing one empties
//! the other. Three rules, because none of them sees everything:
//!
//! * slots that this product built are recorded with their places, of which each is taken once ([`shadow`]);
//! * of the platform's own slots it is known which layouts they have ([`require_apart_from_the_platform`]);
//! * whatever else may be, such as one server under two names, shows in the data ([`require_vacant`]).
//!
//! A slot that is adopted is where the platform has it, and nowhere else ([`require_that_of_the_platform`]).
//!
//! All are asked before an undo is registered that clears. What clears asks whether the slot is still where it was written
//! ([`require_unmoved`]).
//!
//! [`shadow`]: crate::database::shadow

use uuid::Uuid;

use crate::connections::kind_of;
use crate::context::Context;
use crate::database::shadow::APART;
use crate::database::{SlotScope, slots};
use crate::destinations::Destination;
use crate::error::{Error, ErrorKind, Result};
use crate::profile::CompleteProfile;
use crate::replay::destination;

/// Refuses a slot that would be where the platform itself keeps this sync, by what is known of its layouts.
pub(super) async fn require_apart_from_the_platform(
    context: &Context,
    scope: SlotScope,
    collection_id: Uuid,
    connection_id: Uuid,
    profile: &CompleteProfile,
) -> Result<()> {
    let slots = slots::list(&context.database, scope.organization_id, scope.sync_id).await?;
    let theirs: Vec<_> = slots
        .into_iter()
        .filter(|slot| slot.built.is_none() && slot.connection_id != connection_id)
        .filter(|slot| kind_of(&slot.short_name) == profile.destination_kind())
        .collect();
    if theirs.is_empty() {
        return Ok(());
    }
    let place = destination(context, scope, collection_id, connection_id, profile).await?.place();
    for layout in profile.as_the_platform_does()? {
        // With a collection of its own the slot is apart, wherever the platform's is.
        if destination(context, scope, collection_id, connection_id, &layout).await?.place() != place {
            continue;
        }
        for slot in &theirs {
            let made =
                format!("slot {} (connection {:?}) was made by the platform", slot.slot_id, slot.connection_name);
            let there =
                destination(context, scope, collection_id, slot.connection_id, &layout).await.map_err(|error| {
                    Error::new(
                        error.kind(),
                        format!("{made}, and may be in the same place: {}, or {APART}", error.message()),
                    )
                })?;
            if there.place() == place {
                return Err(Error::new(
                    ErrorKind::Conflict,
                    format!("{made} in the same place ({place}), and the two would write over each other: {APART}"),
                ));
            }
        }
    }
    Ok(())
}

/// Refuses to adopt a slot under a profile that leads elsewhere than where the platform keeps this sync: what readers find
/// there would stay as it is.
pub(super) async fn require_that_of_the_platform(
    context: &Context,
    scope: SlotScope,
    collection_id: Uuid,
    connection_id: Uuid,
    profile: &CompleteProfile,
) -> Result<()> {
    let place = destination(context, scope, collection_id, connection_id, profile).await?.place();
    let mut theirs = Vec::new();
    for layout in profile.as_the_platform_does()? {
        theirs.push(destination(context, scope, collection_id, connection_id, &layout).await?.place());
    }
    // Of a kind of destination that the platform does not have, any place is as good.
    if theirs.is_empty() || theirs.contains(&place) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Conflict,
        format!(
            "slot {} was made by the platform, which keeps this sync in {}, not in {place}: give the profile the \
             platform's layout to adopt the slot, or fork to another connection",
            scope.slot_id,
            theirs.join(" or "),
        ),
    ))
}

/// Refuses a slot into which nothing was written yet when its place holds points of its sync.
pub(super) async fn require_vacant(destination: &dyn Destination) -> Result<()> {
    let points = match destination.count().await {
        // Nothing was built there yet.
        Err(error) if error.kind() == ErrorKind::NotFound => 0,
        counted => counted?,
    };
    if points == 0 {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Conflict,
        format!(
            "{points} points of this sync are already in {}, and this slot wrote none of them: {APART}, or remove them \
             there if nobody needs them",
            destination.place()
        ),
    ))
}

/// Refuses to clear a slot whose connection leads elsewhere since: whatever is there is not ours to remove.
pub(super) fn require_unmoved(scope: SlotScope, written_to: Option<&str>, destination: &dyn Destination) -> Result<()> {
    let place = destination.place();
    match written_to {
        Some(written_to) if written_to != place => Err(Error::new(
            ErrorKind::Conflict,
            format!(
                "the connection of slot {} leads to {place} now; what was written to {written_to} stays",
                scope.slot_id
            ),
        )),
        _ => Ok(()),
    }
}
