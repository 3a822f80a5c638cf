//! Whoever plans and carries: workflows, followers, and attempts that were taken for dead.
//!
//! Attempts at segments overlap, sit on a batch that they read long ago, break half-way through writing, or are dropped at any
//! await, as a task is that is aborted and a worker that is killed; their plans may be gone when they go on.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use futures::StreamExt;
use futures::stream;
use uuid::Uuid;

use super::Scene;
use crate::database::batch_hold::Attempt;
use crate::database::plans::{self, PlanOptions, PlanSummary};
use crate::database::segments;
use crate::error::{ErrorKind, Result};
use crate::raw_store::ListedObject;
use crate::replay::batch::{Carrier, Ready};
use crate::replay::hand::Hand;

/// Plans that somebody may still work on: the newest, and some that were replaced.
const REMEMBERED: usize = 4;

/// An attempt at a segment with a batch that it has read and not written yet.
pub(super) struct Working<'s> {
    slot: usize,
    carrier: Carrier<'s>,
    hand: Hand,
    ready: Ready,
    in_hand: Vec<String>,
    from_index: u32,
    next_index: u32,
    is_announced: bool,
}

/// Does `work`, or drops it where it is after it was looked at so often.
pub(super) async fn until_death<F: Future>(looks: Option<u32>, work: F) -> Option<F::Output> {
    let mut work = pin!(work);
    let mut left = looks;
    poll_fn(|context| match &mut left {
        Some(0) => Poll::Ready(None),
        left => {
            if let Some(left) = left {
                *left -= 1;
            }
            work.as_mut().poll(context).map(Some)
        }
    })
    .await
}

impl<'s> Scene<'s> {
    /// After how many looks somebody dies, now and then.
    pub(super) fn death(&mut self, one_in: u8, most: u32) -> Option<u32> {
        (self.random.u8(0..one_in) == 0).then(|| self.random.u32(0..most))
    }

    /// Plans by a listing that is complete.
    pub(super) async fn plan(
        &mut self,
        slot: usize,
        listing: Vec<ListedObject>,
        operation_id: Uuid,
    ) -> Result<PlanSummary> {
        let options = PlanOptions {
            segment_entities: Some(self.random.u32(1..6)),
            max_drop_percent: 100,
            retry_dead_letters: self.random.u8(0..4) == 0,
            operation_id,
            ..PlanOptions::default()
        };
        let scope = self.slots[slot].open.scope;
        let lines = stream::iter(listing.into_iter().map(Ok)).boxed();
        let plan = plans::create(self.database, &scope, Uuid::now_v7(), lines, &options).await?;
        self.plans.push_back((slot, plan.plan_id, plan.segments));
        if self.plans.len() > REMEMBERED {
            self.plans.pop_front();
        }
        Ok(plan)
    }

    /// Somebody lists the store, now or long ago, and plans by it for a slot that is not active.
    pub(super) async fn somebody_plans(&mut self) {
        if self.random.bool() || self.listings.is_empty() {
            self.listings.push(self.store.listing().await);
        }
        if self.random.u8(0..3) == 0 {
            return;
        }
        let slot = self.random.usize(0..self.slots.len());
        let listing = self.listings.swap_remove(self.random.usize(0..self.listings.len()));
        let planned = self.plan(slot, listing, Uuid::now_v7()).await;
        if self.is_fenced || self.active == Some(slot) {
            let refused = planned.expect_err("nobody plans for an active slot, or through a fence");
            assert_eq!(refused.kind(), ErrorKind::Conflict, "{}: {refused}", self.name);
        } else {
            planned.unwrap();
        }
    }

    /// An attempt claims a segment of some plan and reads its next batch.
    pub(super) async fn somebody_begins(&mut self) {
        let plan = self.random.choice(&self.plans).copied();
        let Some((slot, plan_id, segments)) = plan.filter(|(_, _, segments)| *segments > 0) else { return };
        let segment_no = self.random.u32(0..segments);
        match self.read(slot, plan_id, segment_no).await {
            Ok(working) => self.working.extend(working),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{}: {error}", self.name),
        }
    }

    /// An attempt goes on with the batch that it read: to its end, or not.
    pub(super) async fn somebody_goes_on(&mut self) {
        if self.working.is_empty() {
            return;
        }
        let it = self.working.swap_remove(self.random.usize(0..self.working.len()));
        if let Err(error) = self.write(it).await {
            assert_eq!(error.kind(), ErrorKind::Conflict, "{}: {error}", self.name);
        }
    }

    /// Every attempt that is still about goes on.
    pub(super) async fn all_go_on(&mut self) {
        while !self.working.is_empty() {
            self.somebody_goes_on().await;
        }
    }

    /// Works through a plan, until it is done or replaced, while others do what they do.
    pub(super) async fn work_through(&mut self, slot: usize, plan: &PlanSummary) -> Result<()> {
        for segment_no in 0..plan.segments {
            while let Some(working) = self.read(slot, plan.plan_id, segment_no).await? {
                self.others_act(2).await;
                self.write(working).await?;
            }
        }
        Ok(())
    }

    /// Claims a segment and reads its next batch; nothing when it is done.
    async fn read(&mut self, slot: usize, plan_id: Uuid, segment_no: u32) -> Result<Option<Working<'s>>> {
        let open = &self.slots[slot].open;
        let attempt = Attempt { scope: open.scope, plan_id, segment_no, claim: Uuid::new_v4() };
        let segment = segments::claim(self.database, &open.scope, plan_id, segment_no, attempt.claim).await?;
        if segment.is_done() {
            return Ok(None);
        }
        let rest = &segment.entries[segment.next_index as usize..];
        let batch = &rest[..rest.len().min(self.random.usize(1..4))];
        let mut carrier = Carrier::new(open, self.store.open()).await?;
        let ready = carrier.prepare_batch(batch).await?;
        let hand = Hand { database: self.database.clone(), attempt };
        let (from_index, in_hand) = (segment.next_index, segment.in_hand);
        let next_index = from_index + u32::try_from(batch.len()).unwrap();
        Ok(Some(Working { slot, carrier, hand, ready, in_hand, from_index, next_index, is_announced: false }))
    }

    /// Writes a batch, or stops before the destination is touched and is taken for dead, or dies, or loses its claim, or meets
    /// a destination that breaks off.
    ///
    /// # Errors
    /// When the plan is not the slot's any more.
    async fn write(&mut self, mut it: Working<'s>) -> Result<()> {
        if !it.is_announced {
            match it.hand.announce(&it.ready.entities()).await {
                Err(error) if error.kind() == ErrorKind::Unavailable => return Ok(()),
                announced => announced?,
            }
            it.is_announced = true;
            if self.random.u8(0..4) == 0 {
                self.working.push(it);
                return Ok(());
            }
        }
        let shelf = &self.slots[it.slot].shelf;
        if self.random.u8(0..8) == 0 {
            *shelf.breaks_after.lock().unwrap() = Some(self.random.usize(0..4));
        }
        let death = self.death(4, 60);
        let written = until_death(death, async {
            let mut hold = it.hand.hold().await?;
            let record = hold.keep(it.carrier.land(self.database, it.ready, it.next_index, &it.in_hand)).await?;
            hold.record(it.from_index, &record).await
        })
        .await;
        *shelf.breaks_after.lock().unwrap() = None;
        match written {
            Some(Err(error)) if error.kind() == ErrorKind::Unavailable => Ok(()),
            Some(written) => written,
            None => Ok(()),
        }
    }
}
