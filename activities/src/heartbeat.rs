//! Keeps a long activity known to be alive, and stops it when it is told to.

use std::time::Duration;

use futures::future::BoxFuture;
use temporalio_sdk::activities::{ActivityContext, ActivityError};

use crate::activity_error::{interrupted, report};
use crate::error::Result;

/// How often a beat is offered; the SDK sends fewer. Well below the heartbeat timeout of every long step.
const INTERVAL: Duration = Duration::from_secs(2);

/// Runs `work`, beating while it runs. Dropping it when interrupted is safe: every effect is idempotent and the cursor
/// of record is written in the same transaction as what it covers.
pub(crate) async fn with_heartbeat<T>(
    ctx: &ActivityContext,
    mut work: BoxFuture<'_, Result<T>>,
) -> Result<T, ActivityError> {
    let mut beat = tokio::time::interval(INTERVAL);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done.map_err(|error| report(error, ctx)),
            _ = ctx.cancelled() => return Err(interrupted()),
            _ = beat.tick() => ctx.record_heartbeat(()).await?,
        }
    }
}
