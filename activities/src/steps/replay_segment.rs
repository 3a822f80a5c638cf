//! `replay_segment`: works through one segment, batch by batch, from its checkpoint.
//!
//! The cursor of record is the segment's row in Postgres, moved in the transaction that records what the destination
//! acknowledged. So an attempt that dies costs the batch it was in, and nothing else. An attempt that is taken for dead and
//! is not, after an outage of Temporal for instance, loses its claim on the segment to the next one and ends; one whose plan
//! was replaced answers `Conflict`.
//!
//! A worker that is being stopped [ends](crate::drain) between two batches.
//!
//! A batch is made first and written then. Only writing it excludes plans ([`batch_hold`](crate::database::batch_hold)), so
//! that a plan need not wait for an embedder.
//!
//! How fast it goes is said by its [lane](crate::throttle): an attempt may end before the segment is done, to tell its workflow
//! what holds it back.

use std::sync::Arc;
use std::time::Instant;

use proto::v1::{ReplaySegmentInput, ReplaySegmentOutput};
use uuid::Uuid;

use crate::context::Context;
use crate::database::batch_hold::Attempt as Claimed;
use crate::database::{PlannedChange, segments};
use crate::error::{Error, ErrorKind, Result};
use crate::ids;
use crate::metrics::metrics;
use crate::replay::{Carrier, Donors, Hand, OpenSlot};
use crate::throttle::{Lane, Word};

/// Entities of a batch when the request says nothing.
const DEFAULT_BATCH_ENTITIES: u32 = 64;

/// Bytes of entity JSON in a batch, so that memory stays small however large entities are; one entity may exceed it.
const MAX_BATCH_BYTES: u64 = 8 * 1024 * 1024;

/// How an attempt at a segment ended.
pub(crate) enum Attempt {
    /// The segment is done, or there is something to tell.
    Ended(ReplaySegmentOutput),
    /// It is held back, and lets others work meanwhile.
    GivesWay(String),
}

/// `workflow_id` is the workflow that asks, under which limits of an operation are kept.
pub(crate) async fn run(context: &Context, workflow_id: &str, input: ReplaySegmentInput) -> Result<Attempt> {
    let scope = ids::scope(input.slot.as_ref())?;
    let claimed = Claimed {
        scope,
        plan_id: ids::uuid("plan_id", &input.plan_id)?,
        segment_no: input.segment_no,
        claim: Uuid::new_v4(),
    };
    let lane = context.throttle.lane(scope.organization_id, workflow_id, claimed.claim, input.shown.clone());
    let batch_entities = if input.batch_entities == 0 { DEFAULT_BATCH_ENTITIES } else { input.batch_entities };
    let word = tokio::select! {
        biased;
        word = lane.word() => Some(word),
        done = work(context, claimed, batch_entities, &lane) => {
            done?;
            None
        }
    };
    let (unfinished, throttle) = match word {
        Some(Word::GiveWay(throttling)) => return Ok(Attempt::GivesWay(throttling.why)),
        Some(Word::Tell(throttling)) => (true, Some(throttling)),
        None => (false, lane.last().await?),
    };
    let counters = segments::read(&context.database, &scope, claimed.plan_id, claimed.segment_no).await?.counters;
    Ok(Attempt::Ended(ReplaySegmentOutput {
        entities: counters.entities,
        points: counters.points,
        textless: counters.textless,
        dead_letters: counters.dead_letters,
        vanished: counters.vanished,
        chunks_embedded: counters.chunks_embedded,
        chunks_reused: counters.chunks_reused,
        deleted: counters.deleted,
        unfinished,
        throttle,
    }))
}

async fn work(context: &Context, claimed: Claimed, batch_entities: u32, lane: &Arc<Lane>) -> Result<()> {
    let Claimed { scope, plan_id, segment_no, claim } = claimed;
    let slot = OpenSlot::open_scope(context, scope).await?.paced(lane);
    let store = context.store.sync(scope.sync_id);
    let donors = Donors::open(context, &slot).await?;
    let segment = segments::claim(&context.database, &scope, plan_id, segment_no, claim).await?;
    let hand = Hand { database: context.database.clone(), attempt: claimed };
    let mut carrier = Carrier::new(&slot, store).await?.reusing(donors);
    let mut in_hand = segment.in_hand.as_slice();
    let mut next_index = segment.next_index;
    let mut rest = segment.entries.get(next_index as usize..).unwrap_or_default();
    while !rest.is_empty() {
        context.drain.may_go_on()?;
        let (batch, after) = rest.split_at(batch_length(rest.iter().map(PlannedChange::size), batch_entities as usize));
        let from_index = next_index;
        next_index += u32::try_from(batch.len())
            .map_err(|_| Error::new(ErrorKind::Internal, "a batch is longer than a segment can be"))?;
        let admission = lane.entities(batch.len()).await?;
        let mut began = Instant::now();
        let ready = carrier.prepare_batch(batch).await?;
        let making = began.elapsed();
        // Before the right to write is taken: whoever has that keeps plans out.
        let permit = lane.destination(&slot.health).await?;
        began = Instant::now();
        hand.announce(&ready.entities()).await?;
        let mut hold = hand.hold().await?;
        let record = hold.keep(carrier.land(&context.database, ready, next_index, in_hand)).await?;
        drop(permit);
        hold.record(from_index, &record).await?;
        metrics().batch(slot.destination_kind, &record, making + began.elapsed());
        admission.end().await?;
        rest = after;
        in_hand = &[];
    }
    Ok(())
}

/// How many of the next objects make a batch: at least one, at most `most`, and no more bytes than the limit.
fn batch_length(sizes: impl Iterator<Item = u64>, most: usize) -> usize {
    let mut bytes = 0_u64;
    let fitting = sizes.take(most).take_while(|size| {
        bytes = bytes.saturating_add(*size);
        bytes <= MAX_BATCH_BYTES
    });
    fitting.count().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_bounded_by_count_and_bytes() {
        let length = |sizes: &[u64]| batch_length(sizes.iter().copied(), 3);
        assert_eq!(length(&[1, 1, 1, 1, 1]), 3);
        assert_eq!(length(&[MAX_BATCH_BYTES - 1, 1, 1]), 2);
        assert_eq!(length(&[MAX_BATCH_BYTES + 1, 1]), 1, "an entity over the limit goes alone");
        assert_eq!(length(&[u64::MAX, u64::MAX]), 1);
    }
}
