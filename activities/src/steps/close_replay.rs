//! `close_replay`: proves that every segment is done and that the dead letters are within the budget.

use proto::v1::{CloseReplayInput, CloseReplayOutput, DeadLetter, Gap};

use super::phase;
use crate::context::Context;
use crate::database::{dead_letters, segments};
use crate::error::{Error, ErrorKind, Result};
use crate::ids;

/// Dead letters that travel in the result; all of them are in the table.
const SAMPLE: u32 = 20;

/// The budget when the request names none: this many, or one percent of what the raw store lists, whichever is more.
const FREE_DEAD_LETTERS: u64 = 10;

pub(crate) async fn run(context: &Context, input: CloseReplayInput) -> Result<CloseReplayOutput> {
    let scope = ids::scope(input.slot.as_ref())?;
    phase::enter(context, input.slot.as_ref(), "close").await?;
    let plan_id = ids::uuid("plan_id", &input.plan_id)?;
    let totals = segments::totals(&context.database, &scope, plan_id).await?;
    if totals.segments_done != totals.segments {
        return Err(Error::new(
            ErrorKind::Internal,
            format!(
                "{} of {} segments are done, but the replay was said to be over",
                totals.segments_done, totals.segments
            ),
        ));
    }
    let dead_letter_count = dead_letters::count(&context.database, &scope).await?;
    let sample = dead_letters::list(&context.database, &scope, SAMPLE).await?;
    let budget = input.dead_letter_budget.map_or_else(|| FREE_DEAD_LETTERS.max(totals.listed / 100), u64::from);
    if dead_letter_count > budget {
        let named: Vec<_> =
            sample.iter().take(5).map(|it| format!("{} ({})", it.letter.object_key, it.letter.message)).collect();
        return Err(Error::new(
            ErrorKind::RejectedDocuments,
            format!(
                "{dead_letter_count} entities could not be carried over, more than the budget of {budget}: {}; mend them at \
                 the source, or fork with a larger dead_letter_budget",
                named.join(", "),
            ),
        ));
    }
    Ok(CloseReplayOutput {
        dead_letter_count,
        dead_letters: sample
            .into_iter()
            .map(|it| DeadLetter {
                object_key: it.letter.object_key,
                entity_id: it.letter.entity_id,
                stage: it.letter.stage.as_str().to_owned(),
                kind: it.letter.kind.name().to_owned(),
                message: it.letter.message,
            })
            .collect(),
        gaps: totals.gaps.into_iter().map(|(what, count)| Gap { what, count }).collect(),
    })
}
