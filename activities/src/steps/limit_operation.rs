//! `limit_operation`: records the rates that an operator told a workflow, so that they hold for segments that run already.

use proto::v1::{LimitOperationInput, Throttle};

use crate::context::Context;
use crate::database::throttle;
use crate::error::{Error, ErrorKind, Result};
use crate::ids;
use crate::throttle::{Author, Change, Setting};

/// Who it was when the signal does not say.
const SOMEBODY: &str = "somebody with access to Temporal";

pub(crate) async fn run(context: &Context, input: LimitOperationInput) -> Result<Throttle> {
    let asked = input.throttle.ok_or_else(|| Error::new(ErrorKind::InvalidInput, "throttle is missing"))?;
    let setting = |rate: Option<f64>| match rate {
        Some(rate) => Setting::To(rate),
        None if asked.unlimited => Setting::Lift,
        None => Setting::Keep,
    };
    let change = Change {
        entities_per_second: setting(asked.entities_per_second),
        embeds_per_second: setting(asked.embeds_per_second),
        lanes: Setting::Keep,
    };
    let requested_by = if asked.requested_by.is_empty() { SOMEBODY.to_owned() } else { asked.requested_by };
    let author = Author { requested_by, reason: asked.reason };
    let organization_id = ids::uuid("organization_id", &input.organization_id)?;
    let operation_id = ids::uuid("operation_id", &input.operation_id)?;
    let limits = throttle::limit_operation(&context.database, organization_id, operation_id, change, &author).await?;
    Ok(Throttle {
        entities_per_second: limits.entities_per_second,
        embeds_per_second: limits.embeds_per_second,
        ..Throttle::default()
    })
}
