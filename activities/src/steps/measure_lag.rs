//! `measure_lag`: how far a slot is behind the raw store. Read only.

use chrono::Utc;
use proto::v1::{Lag, MeasureLagInput, MeasureLagOutput};

use crate::context::Context;
use crate::database::plans::{self, PlanOptions};
use crate::error::Result;
use crate::ids;

pub(crate) async fn run(context: &Context, input: MeasureLagInput) -> Result<MeasureLagOutput> {
    let scope = ids::scope(input.slot.as_ref())?;
    let listing = Box::pin(context.store.sync(scope.sync_id).list());
    let options = PlanOptions { retry_dead_letters: false, ..PlanOptions::default() };
    let backlog = plans::measure(&context.database, &scope, listing, &options).await?;
    let oldest_change_ms = backlog.oldest_change.map_or(0, |oldest| (Utc::now() - oldest).num_milliseconds().max(0));
    Ok(MeasureLagOutput {
        lag: Some(Lag { entities: backlog.entities, oldest_change_ms: oldest_change_ms.unsigned_abs() }),
    })
}
