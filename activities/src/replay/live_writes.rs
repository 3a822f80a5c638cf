//! Whatever happens at once: in the end the slot is what a clean build would be.
//!
//! A platform writes to raw store and slot, in either order and with anything in between. Several planners replace each
//! other's plans, with listings that are old by then. Attempts at segments overlap, sit on a batch that they read long ago,
//! break half-way through writing, or die before they record; their plans may be gone when they go on. Then the platform
//! rests, as it does behind a fence, and rounds of catching up, each verified, have to bring the slot to the truth.
//!
//! As [`super::convergence`], each history has a seed, which is printed when it fails.

use std::sync::Arc;

use fastrand::Rng;
use futures::StreamExt;
use futures::stream;
use uuid::Uuid;

use super::batch::{Carrier, Ready};
use super::convergence::{ENTITIES, Follower, Store, message, open_slot, run};
use super::hand::Hand;
use super::shelf::Shelf;
use super::slot::OpenSlot;
use crate::database::batch_hold::Attempt;
use crate::database::plans::{self, PlanOptions};
use crate::database::segments;
use crate::database::tests::world::World;
use crate::destinations::EntityRef;
use crate::error::{Error, ErrorKind};
use crate::raw_store::{ListedObject, entity_file_name};
use crate::verification::Comparison;

/// An attempt at a segment with a batch that it has read and not written yet.
struct Working<'s> {
    carrier: Carrier<'s>,
    hand: Hand,
    ready: Ready,
    in_hand: Vec<String>,
    from_index: u32,
    next_index: u32,
}

/// One half of what the platform does about an entity.
enum Half {
    WriteSlot { text: String },
    WriteStore { text: String },
    DeleteSlot,
    DeleteStore,
}

struct Scene<'w, 's> {
    seed: u64,
    random: Rng,
    store: &'s Store,
    follower: &'s Follower<'w>,
    /// A slot on the same shelf: what the platform writes to it is what we would write.
    platform: &'s OpenSlot,
    begun: Vec<Option<Half>>,
    working: Vec<Working<'s>>,
    listings: Vec<Vec<ListedObject>>,
    plans: Vec<(Uuid, u32)>,
}

fn id(number: usize) -> String {
    if number.is_multiple_of(2) { format!("m{number}") } else { format!("page/{number}") }
}

impl Scene<'_, '_> {
    /// The platform begins with an entity, or does the other half of what it began. It does one thing at a time to each.
    async fn platform(&mut self) {
        let number = self.random.usize(0..ENTITIES as usize);
        if let Some(half) = self.begun[number].take() {
            return self.end(number, half).await;
        }
        let text = message(&id(number), &mut self.random);
        let write = self.random.u8(0..3) > 0;
        let (first, second) = match (write, self.random.bool()) {
            (true, true) => (Half::WriteStore { text: text.clone() }, Half::WriteSlot { text }),
            (true, false) => (Half::WriteSlot { text: text.clone() }, Half::WriteStore { text }),
            (false, true) => (Half::DeleteStore, Half::DeleteSlot),
            (false, false) => (Half::DeleteSlot, Half::DeleteStore),
        };
        self.end(number, first).await;
        self.begun[number] = Some(second);
    }

    async fn end(&self, number: usize, half: Half) {
        let (id, key) = (id(number), entity_file_name(&id(number)));
        match half {
            Half::WriteSlot { text } => self.write_slot(number, &text).await,
            Half::WriteStore { text } => self.store.put(&key, &text),
            Half::DeleteSlot => {
                self.follower.shelf.entities.lock().unwrap().remove(&EntityRef(id));
            }
            Half::DeleteStore => self.store.remove(&key),
        }
    }

    /// Writes an entity to the slot as the platform would, by way of a store of its own.
    async fn write_slot(&self, number: usize, text: &str) {
        let aside = Store::new(self.follower.slot.scope.sync_id);
        aside.put(&entity_file_name(&id(number)), text);
        let listed = aside.listing().await;
        Carrier::new(self.platform, aside.open()).await.unwrap().carry(&listed, 1).await.unwrap();
    }

    /// Somebody lists the store, now or long ago, and plans by it.
    async fn plan(&mut self) {
        if self.random.bool() || self.listings.is_empty() {
            self.listings.push(self.store.listing().await);
        }
        if self.random.u8(0..3) == 0 {
            return;
        }
        let listing = self.listings.swap_remove(self.random.usize(0..self.listings.len()));
        let options = PlanOptions {
            segment_entities: Some(self.random.u32(1..5)),
            max_drop_percent: 100,
            retry_dead_letters: false,
            ..PlanOptions::default()
        };
        let lines = stream::iter(listing.into_iter().map(Ok)).boxed();
        let scope = &self.follower.slot.scope;
        let plan = plans::create(self.follower.world.database(), scope, Uuid::now_v7(), lines, &options).await.unwrap();
        self.plans.push((plan.plan_id, plan.segments));
    }

    /// An attempt claims a segment of some plan and reads its next batch.
    async fn begin(&mut self) {
        let Some((plan_id, segments)) = self.random.choice(&self.plans).copied().filter(|(_, count)| *count > 0) else {
            return;
        };
        let (database, slot) = (self.follower.world.database(), &self.follower.slot);
        let segment_no = self.random.u32(0..segments);
        let attempt = Attempt { scope: slot.scope, plan_id, segment_no, claim: Uuid::new_v4() };
        let segment = match segments::claim(database, &slot.scope, plan_id, segment_no, attempt.claim).await {
            Ok(segment) => segment,
            Err(error) => return assert_eq!(error.kind(), ErrorKind::Conflict, "seed {}: {error}", self.seed),
        };
        if segment.is_done() {
            return;
        }
        let rest = &segment.entries[segment.next_index as usize..];
        let batch = &rest[..rest.len().min(self.random.usize(1..4))];
        let mut carrier = Carrier::new(slot, self.store.open()).await.unwrap();
        let ready = carrier.prepare_batch(batch).await.unwrap();
        let next_index = segment.next_index + u32::try_from(batch.len()).unwrap();
        let hand = Hand { database: database.clone(), attempt };
        let from_index = segment.next_index;
        self.working.push(Working { carrier, hand, ready, in_hand: segment.in_hand, from_index, next_index });
    }

    /// An attempt goes on with the batch that it read: to its end, or not.
    async fn go_on(&mut self) {
        if self.working.is_empty() {
            return;
        }
        let it = self.working.swap_remove(self.random.usize(0..self.working.len()));
        let lost = |error: Error| {
            assert!(
                matches!(error.kind(), ErrorKind::Conflict | ErrorKind::Unavailable),
                "seed {}: {error}",
                self.seed
            );
        };
        if let Err(error) = it.hand.announce(&it.ready.entities()).await {
            return lost(error);
        }
        if self.random.u8(0..8) == 0 {
            return;
        }
        let mut hold = match it.hand.hold().await {
            Ok(hold) => hold,
            Err(error) => return lost(error),
        };
        if self.random.u8(0..4) == 0 {
            *self.follower.shelf.breaks_after.lock().unwrap() = Some(self.random.usize(0..4));
        }
        let landed =
            hold.keep(it.carrier.land(self.follower.world.database(), it.ready, it.next_index, &it.in_hand)).await;
        *self.follower.shelf.breaks_after.lock().unwrap() = None;
        match landed {
            Err(error) => lost(error),
            // It dies here.
            Ok(_) if self.random.u8(0..6) == 0 => {}
            Ok(record) => {
                if let Err(error) = hold.record(it.from_index, &record).await {
                    lost(error);
                }
            }
        }
    }

    /// The platform ends what it began.
    async fn rest(&mut self) {
        for number in 0..self.begun.len() {
            if let Some(half) = self.begun[number].take() {
                self.end(number, half).await;
            }
        }
    }
}

async fn history(world: Arc<World>, seed: u64) {
    let mut random = Rng::with_seed(seed);
    let store = Store::new(world.sync_id);
    let shelf = Arc::new(Shelf::new("followed"));
    let scope = world.shadow().await;
    let follower = Follower { world: &world, slot: open_slot(scope, &shelf), shelf: Arc::clone(&shelf) };
    let platform = open_slot(scope, &shelf);
    store.put("m1000.json", &message("m1000", &mut random));
    let mut scene = Scene {
        seed,
        random,
        store: &store,
        follower: &follower,
        platform: &platform,
        begun: (0..ENTITIES).map(|_| None).collect(),
        working: Vec::new(),
        listings: Vec::new(),
        plans: Vec::new(),
    };
    for _ in 0..scene.random.u32(20..70) {
        match scene.random.u8(0..10) {
            0..=3 => scene.platform().await,
            4 => scene.plan().await,
            5 | 6 => scene.begin().await,
            _ => scene.go_on().await,
        }
    }
    scene.rest().await;

    // Whoever works on a plan of before comes too late from here on, and is told so.
    let mut clean_rounds = 0;
    for round in 0.. {
        assert!(round < 12, "seed {seed}: it does not converge");
        let plan = follower.plan(&store, false).await;
        for _ in 0..3 {
            scene.go_on().await;
        }
        follower.work(&store, &plan, None, || ()).await;
        let compared =
            Comparison::of_delta(world.database(), store.open(), &follower.slot, plan.plan_id).await.unwrap();
        clean_rounds = if plan.segments == 0 && compared.differences() == 0 { clean_rounds + 1 } else { 0 };
        if clean_rounds > 0 && scene.working.is_empty() {
            break;
        }
    }
    follower.assert_is_a_clean_build(&store, seed).await;
    follower.assert_ledger_tells_the_truth(seed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn under_live_writes_a_slot_becomes_a_clean_build() {
    run(history).await;
}
