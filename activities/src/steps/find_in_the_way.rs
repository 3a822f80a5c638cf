//! `find_in_the_way`: lists what a fence would have to wait for now. Read only.

use proto::v1::{FindInTheWayInput, FindInTheWayOutput};

use super::switch_request::{holds, in_the_way};
use crate::context::Context;
use crate::database::fence;
use crate::error::Result;

pub(crate) async fn run(context: &Context, input: FindInTheWayInput) -> Result<FindInTheWayOutput> {
    let found = fence::in_the_way(&context.database, &holds(&input.slots)?).await?;
    Ok(FindInTheWayOutput { in_the_way: found.into_iter().map(in_the_way).collect() })
}
