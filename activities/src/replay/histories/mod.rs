//! Whatever happens at once: a switch is to what a clean build would be.
//!
//! A history is one sync. Two slots are filled, the first becomes active, then the second, and then it is rolled back, by
//! the steps of the workflows ([`switch`]), while others act: the platform writes to raw store and slots in any order
//! ([`platform`]); somebody with a shell tears, copies and renames objects ([`store`]); planners replace each other's plans by
//! listings that are old; attempts overlap, come late, and die ([`attempts`]). At every flip, with the fence still up, the
//! slot is compared entity by entity with one that is built from nothing ([`slot`]), and again when everybody who was late has
//! gone on.
//!
//! Real are plans, segments, ledger, fence and roles in Postgres and the raw store in a folder; destinations are shelves, so
//! that hundreds of histories take less than a minute. Each has a seed, which is printed when it fails.

mod attempts;
mod platform;
mod slot;
mod store;
mod switch;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use fastrand::Rng;
use uuid::Uuid;

use self::attempts::Working;
use self::platform::{Platform, Press};
use self::slot::Slot;
use self::store::{Store, message};
use crate::database::shadow::{self, NewShadow};
use crate::database::tests::world::{self, World};
use crate::database::{Database, SlotScope};
use crate::raw_store::ListedObject;

/// Histories of one run, and a variable that repeats one.
const HISTORIES: u64 = 200;
const SEED: &str = "SYNCMUX_HISTORY_SEED";

/// Histories at a time.
const LANES: u64 = 4;

/// Entities that there may be: few, so that much happens to each. The platform writes the first of them, and somebody with
/// a shell the others.
const ENTITIES: usize = 10;
const OF_THE_PLATFORM: usize = 6;

/// A history so far.
struct Scene<'s> {
    /// What it is called when it fails.
    name: String,
    random: Rng,
    database: &'s Database,
    store: &'s Store,
    slots: &'s [Slot],
    platform: Platform<'s>,
    working: Vec<Working<'s>>,
    listings: Vec<Vec<ListedObject>>,
    /// Slot, plan and number of segments.
    plans: VecDeque<(usize, Uuid, u32)>,
    /// Which of `slots` is active; none while it is the one that the platform made.
    active: Option<usize>,
    generation: u64,
    is_fenced: bool,
}

impl Scene<'_> {
    /// Others do less than `most` things.
    async fn others_act(&mut self, most: u32) {
        for _ in 0..self.random.u32(0..most) {
            match self.random.u8(0..16) {
                // Nobody but the platform writes to the raw store while somebody may compare.
                0 | 1 if !self.is_fenced => {
                    let number = self.random.usize(OF_THE_PLATFORM..ENTITIES);
                    self.store.disturb(number, &mut self.random);
                }
                0..=9 => self.platform.act(&mut self.random).await,
                10 => self.somebody_plans().await,
                11 | 12 => self.somebody_begins().await,
                _ => self.somebody_goes_on().await,
            }
        }
    }
}

/// A sync of its own in the database of all.
async fn slots_of_a_sync(world: &World, connections: [Uuid; 2]) -> Vec<Slot> {
    let sync_id = world::sync(world.pool(), world.organization_id).await;
    world::join(world.pool(), sync_id, world.source_connection_id, 1).await;
    world::join(world.pool(), sync_id, world.active_connection_id, 2).await;
    let mut slots = Vec::new();
    for connection_id in connections {
        let new = world.new_shadow(connection_id);
        let scope = SlotScope { sync_id, ..new.scope };
        shadow::create(world.database(), &NewShadow { scope, ..new }).await.unwrap();
        slots.push(Slot::new(scope, "followed"));
    }
    slots
}

async fn history(world: Arc<World>, connections: [Uuid; 2], seed: u64) {
    let mut random = Rng::with_seed(seed);
    let slots = slots_of_a_sync(&world, connections).await;
    let sync_id = slots[0].open.scope.sync_id;
    let (store, aside, press) = (Store::new(sync_id), Store::new(sync_id), Slot::aside(sync_id));
    // So that the store is never empty: a listing that is, is an error.
    store.put("m1000.json", &message("m1000", &mut random));
    let press = Press { store: &aside, slot: &press };
    let mut scene = Scene {
        name: format!("seed {seed}"),
        random,
        database: world.database(),
        store: &store,
        slots: &slots,
        platform: Platform::new(world.pool(), &store, &slots, press),
        working: Vec::new(),
        listings: Vec::new(),
        plans: VecDeque::new(),
        active: None,
        generation: 0,
        is_fenced: false,
    };
    scene.fork(0).await;
    scene.switch(0, false).await;
    scene.fork(1).await;
    scene.switch(1, false).await;
    scene.others_act(20).await;
    scene.switch(0, true).await;
}

/// Runs histories in lanes, each with a seed of its own, or the one that is to be repeated.
#[tokio::test(flavor = "multi_thread")]
async fn under_live_writes_a_switch_is_to_a_clean_build() {
    let repeated = std::env::var(SEED).ok().map(|seed| seed.parse::<u64>().expect("a seed is a number"));
    let first = repeated.unwrap_or_else(|| fastrand::u64(..u64::MAX - HISTORIES));
    let count = if repeated.is_some() { 1 } else { HISTORIES };
    println!("{SEED}={first} and the {count} from there");
    let started = Instant::now();
    let world = Arc::new(World::new().await);
    let connections = [world.destination().await, world.destination().await];
    let lanes: Vec<_> = (0..LANES)
        .map(|lane| {
            let world = Arc::clone(&world);
            tokio::spawn(async move {
                for number in (lane..count).step_by(usize::try_from(LANES).unwrap()) {
                    history(Arc::clone(&world), connections, first + number).await;
                }
            })
        })
        .collect();
    for lane in lanes {
        lane.await.unwrap();
    }
    println!("{count} histories in {:?}", started.elapsed());
}
