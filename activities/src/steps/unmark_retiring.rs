//! `unmark_retiring`: undo of `mark_retiring`, as long as no point can be gone.

use proto::v1::{UnmarkRetiringInput, UnmarkRetiringOutput};

use crate::context::Context;
use crate::database::retire::{self, Unmarked};
use crate::error::Result;
use crate::ids;

pub(crate) async fn run(context: &Context, input: UnmarkRetiringInput) -> Result<UnmarkRetiringOutput> {
    let scope = ids::scope(input.slot.as_ref())?;
    let unmarked = retire::unmark(&context.database, &scope, ids::operation(input.slot.as_ref())?).await?;
    tracing::info!(slot_id = %scope.slot_id, ?unmarked, "undo: the mark of a retire");
    Ok(UnmarkRetiringOutput { too_late: unmarked == Unmarked::TooLate })
}
