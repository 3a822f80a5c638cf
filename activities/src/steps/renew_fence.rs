//! `renew_fence`: moves the end of a fence while its owner works behind it.

use std::time::Duration;

use proto::v1::{Done, RenewFenceInput};

use super::switch_request::holds;
use crate::context::Context;
use crate::database::fence;
use crate::error::Result;

pub(crate) async fn run(context: &Context, input: RenewFenceInput) -> Result<Done> {
    let lasts = Duration::from_secs(input.lasts_seconds.into());
    fence::renew(&context.database, &holds(&input.slots)?, lasts).await?;
    Ok(Done {})
}
