//! Ids as text at the edges, as UUIDs inside.

use proto::v1::SlotRef;
use uuid::Uuid;

use crate::database::SlotScope;
use crate::error::{Error, ErrorKind, Result};

/// Parses an id; `field` is its name in the request.
///
/// # Errors
///
/// `InvalidInput` naming the field.
pub(crate) fn uuid(field: &str, text: &str) -> Result<Uuid> {
    if text.is_empty() {
        return Err(Error::new(ErrorKind::InvalidInput, format!("{field} is missing")));
    }
    Uuid::try_parse(text).map_err(|_| Error::new(ErrorKind::InvalidInput, format!("{field} is not a UUID: {text:?}")))
}

/// Parses an id that may be left out.
pub(crate) fn optional_uuid(field: &str, text: &str) -> Result<Option<Uuid>> {
    if text.is_empty() { Ok(None) } else { uuid(field, text).map(Some) }
}

/// The slot a step works on.
pub(crate) fn scope(slot: Option<&SlotRef>) -> Result<SlotScope> {
    let slot = required(slot)?;
    Ok(SlotScope {
        organization_id: uuid("organization_id", &slot.organization_id)?,
        sync_id: uuid("sync_id", &slot.sync_id)?,
        slot_id: uuid("slot_id", &slot.slot_id)?,
    })
}

/// Organisation and sync of a step that works on the sync as a whole, or on a slot of it.
pub(crate) fn sync(slot: Option<&SlotRef>) -> Result<(Uuid, Uuid)> {
    let slot = required(slot)?;
    Ok((uuid("organization_id", &slot.organization_id)?, uuid("sync_id", &slot.sync_id)?))
}

/// The operation on whose behalf a step works.
pub(crate) fn operation(slot: Option<&SlotRef>) -> Result<Uuid> {
    uuid("operation_id", &required(slot)?.operation_id)
}

fn required(slot: Option<&SlotRef>) -> Result<&SlotRef> {
    slot.ok_or_else(|| Error::new(ErrorKind::Internal, "a step was asked for without a slot"))
}
