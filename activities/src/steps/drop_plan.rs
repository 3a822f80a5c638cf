//! `drop_plan`: undo of `plan_replay`.

use proto::v1::{Done, UndoInput};

use crate::context::Context;
use crate::database::plans;
use crate::error::{ErrorKind, Result};
use crate::ids;

pub(crate) async fn run(context: &Context, input: UndoInput) -> Result<Done> {
    match plans::drop_plan(&context.database, &ids::scope(input.slot.as_ref())?).await {
        Ok(_) => Ok(Done {}),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Done {}),
        Err(error) => Err(error),
    }
}
