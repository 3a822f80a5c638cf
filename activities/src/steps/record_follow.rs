//! `record_follow`: records how a followed slot stands, for `syncmux list` and `syncmux status`.

use chrono::{DateTime, Utc};
use proto::v1::{Done, RecordFollowInput};

use crate::context::Context;
use crate::database::follow_state::{self, Failing, FollowState};
use crate::error::{Error, ErrorKind, Result};
use crate::ids;

pub(crate) async fn run(context: &Context, input: RecordFollowInput) -> Result<Done> {
    let scope = ids::scope(input.slot.as_ref())?;
    let operation_id = ids::operation(input.slot.as_ref())?;
    let shown = input.followed.unwrap_or_default();
    let failing = time(shown.failing_since_ms)?.map(|since| Failing {
        since,
        kind: shown.error_kind,
        message: shown.error_message,
    });
    let state = FollowState {
        compared_at: time(shown.compared_at_ms)?,
        lag: shown.lag.map(|lag| (lag.entities, lag.oldest_change_ms)),
        caught_up_at: time(shown.caught_up_at_ms)?,
        failing,
    };
    follow_state::record(&context.database, &scope, operation_id, &state).await?;
    Ok(Done {})
}

fn time(at_ms: u64) -> Result<Option<DateTime<Utc>>> {
    if at_ms == 0 {
        return Ok(None);
    }
    let time = i64::try_from(at_ms).ok().and_then(DateTime::from_timestamp_millis);
    time.map(Some).ok_or_else(|| Error::new(ErrorKind::Internal, format!("{at_ms} is no time in milliseconds")))
}
