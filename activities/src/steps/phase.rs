//! Records the step an operation is at, for `syncmux status`.

use proto::v1::SlotRef;

use crate::context::Context;
use crate::database::operations;
use crate::error::Result;
use crate::ids;

/// Notes the phase of the operation behind `slot`.
pub(super) async fn enter(context: &Context, slot: Option<&SlotRef>, phase: &str) -> Result<()> {
    let (organization_id, _) = ids::sync(slot)?;
    operations::set_phase(&context.database, organization_id, ids::operation(slot)?, phase).await
}
