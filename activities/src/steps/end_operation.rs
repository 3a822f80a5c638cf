//! `end_operation`: closes the operation's record.

use proto::v1::{Done, EndOperationInput};

use crate::context::Context;
use crate::database::operations::{self, Outcome};
use crate::error::{Error, ErrorKind, Result};
use crate::ids;

pub(crate) async fn run(context: &Context, input: EndOperationInput) -> Result<Done> {
    let organization_id = ids::uuid("organization_id", &input.organization_id)?;
    let operation_id = ids::uuid("operation_id", &input.operation_id)?;
    let outcome = match input.outcome.as_str() {
        "completed" => Outcome::Completed(serde_json::from_str(&input.result_json).map_err(|error| {
            Error::new(ErrorKind::Internal, "the operation's result is not JSON").with_source(error)
        })?),
        "failed" => Outcome::Failed(input.error_kind.parse().unwrap_or(ErrorKind::Internal), input.error_message),
        "cancelled" => Outcome::Cancelled,
        other => return Err(Error::new(ErrorKind::Internal, format!("an operation cannot end as {other:?}"))),
    };
    // A failed or cancelled operation keeps the phase it was in: that is where to look.
    if let Outcome::Completed(_) = outcome {
        operations::set_phase(&context.database, organization_id, operation_id, "done").await?;
    }
    operations::end(&context.database, organization_id, operation_id, &outcome).await?;
    Ok(Done {})
}
