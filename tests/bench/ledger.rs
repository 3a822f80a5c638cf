//! Fills the ledger of a slot with many entities and plans over it, and prints what that takes: room in Postgres, time, and
//! the most memory of this process, which is the planner and the carrier in one.
//!
//! `make bench-ledger` runs it; `make bench-ledger ENTITIES=1000000` with fewer. The listing is made up line by line, in
//! no order, and goes the way of every listing: into a plan, whose segments are claimed and recorded batch by batch, as if
//! a destination had taken them. It measures, it does not judge; memory must not grow with the entities, so compare two
//! sizes.

use std::fs;
use std::time::Instant;

use activities::database::batch_hold::{Attempt, BatchHold};
use activities::database::ledger::{ContentDigest, LedgerEntry, TokenDigest};
use activities::database::plans::{self, PlanOptions, PlanSummary};
use activities::database::segments::{self, BatchRecord};
use activities::database::shadow::{self, NewShadow};
use activities::database::{PlannedChange, SlotScope};
use activities::raw_store::{ListedObject, entity_file_name};
use futures::StreamExt;
use futures::stream;
use harness::{World, WorldOptions};
use serde_json::json;
use uuid::Uuid;

/// Entities of a batch. Larger than a worker's, because here nothing but the record is written for them.
const BATCH: usize = 1000;

/// Entities that are listed out of order.
const BLOCK: u64 = 1 << 20;

/// Modification times say which entity it is.
const FIRST_MODIFIED_MS: i64 = 1_700_000_000_000;

#[tokio::main]
async fn main() {
    let entities: u64 = std::env::var("ENTITIES").ok().and_then(|text| text.parse().ok()).unwrap_or(10_000_000);
    let world = World::with(WorldOptions { entities: 0, ..WorldOptions::default() }).await;
    let bench = Bench { scope: slot(&world).await, world, entities };

    let first = bench.plan("planned for an empty slot", 0, 0).await;
    assert_eq!(first.entities, entities, "everything is new");
    bench.record(&first).await;
    bench.print_size().await;

    let unchanged = bench.plan("planned, nothing changed", 0, 0).await;
    assert_eq!((unchanged.unchanged, unchanged.entities, unchanged.deletes), (entities, 0, 0));
    // One in a hundred is of another version, and one in a thousand is gone.
    let changed = bench.plan("planned, 1 % changed and 0.1 % gone", 100, 1000).await;
    assert_eq!(changed.deletes, entities.div_ceil(1000));
    bench.record(&changed).await;
    bench.print_size().await;
    bench.world.done().await;
}

struct Bench {
    world: World,
    scope: SlotScope,
    entities: u64,
}

impl Bench {
    /// Plans over a listing of which every `changed`th object is of another version and every `gone`th is not there.
    async fn plan(&self, what: &str, changed: u64, gone: u64) -> PlanSummary {
        let every = |number: u64, nth: u64| nth > 0 && number.is_multiple_of(nth);
        let entities = self.entities;
        let lines = (0..entities.next_multiple_of(BLOCK))
            .map(scattered)
            .filter(move |number| *number < entities)
            .filter_map(move |number| {
                let version = if every(number, changed) { "later" } else { "first" };
                (!every(number, gone)).then(|| Ok(object(number, version)))
            });
        forget_peak_memory();
        let started = Instant::now();
        let listing = stream::iter(lines).boxed();
        let options = PlanOptions::default();
        let plan = plans::create(&self.world.database, &self.scope, Uuid::now_v7(), listing, &options).await;
        let seconds = started.elapsed().as_secs_f64();
        println!("{what}: {seconds:.0} s, at most {} MiB of memory", peak_memory_mib());
        plan.expect("the plan is made")
    }

    /// Records everything in a plan as done, as whoever works through it does.
    async fn record(&self, plan: &PlanSummary) {
        forget_peak_memory();
        let started = Instant::now();
        let (database, scope, plan_id) = (&self.world.database, self.scope, plan.plan_id);
        for segment_no in 0..plan.segments {
            let attempt = Attempt { scope, plan_id, segment_no, claim: Uuid::new_v4() };
            let segment = segments::claim(database, &scope, plan_id, segment_no, attempt.claim).await;
            let segment = segment.expect("the segment is there");
            let mut from_index = segment.next_index;
            for changes in segment.entries.chunks(BATCH) {
                let mut batch = BatchRecord {
                    next_index: from_index + u32::try_from(changes.len()).expect("it is short"),
                    ..BatchRecord::default()
                };
                for change in changes {
                    match change {
                        PlannedChange::Write(object) => batch.accepted.push(entry(object)),
                        PlannedChange::Delete { object_key, .. } => batch.deleted.push(object_key.clone()),
                    }
                }
                let hold = BatchHold::take(database, attempt).await.expect("nobody else has it");
                hold.record(from_index, &batch).await.expect("it can be recorded");
                from_index = batch.next_index;
            }
        }
        let seconds = started.elapsed().as_secs_f64();
        let entities = plan.entities + plan.deletes;
        println!("recorded {entities} entities: {seconds:.0} s, at most {} MiB of memory", peak_memory_mib());
    }

    /// With its index, and what Postgres has not yet put to use again.
    async fn print_size(&self) {
        let (table, all, payload): (i64, i64, i64) = sqlx::query_as(
            "SELECT pg_table_size('sync_multiplexer.ledger_page'), pg_total_relation_size('sync_multiplexer.ledger_page'),
                    (SELECT sum(octet_length(entries))::bigint FROM sync_multiplexer.ledger_page)",
        )
        .fetch_one(self.world.database.pool())
        .await
        .expect("sizes can be asked for");
        let each = |bytes: i64| bytes as f64 / self.entities as f64;
        println!(
            "the ledger: {} MB in all, {} MB without index; {:.1} bytes an entity, of which {:.1} in pages",
            all / 1_000_000,
            table / 1_000_000,
            each(all),
            each(payload)
        );
    }
}

/// A slot that is to be filled.
async fn slot(world: &World) -> SlotScope {
    let scope =
        SlotScope { organization_id: world.ids.organization_id, sync_id: world.ids.sync_id, slot_id: Uuid::now_v7() };
    let new = NewShadow {
        scope,
        connection_id: world.ids.connection_v0,
        profile: json!({}),
        profile_name: "bench".to_owned(),
        fingerprint: "bench".to_owned(),
        place: "nowhere".to_owned(),
        embedder_model: None,
        operation_id: Uuid::now_v7(),
    };
    shadow::create(&world.database, &new).await.expect("a slot can be made");
    scope
}

/// The numbers of a block in another order.
fn scattered(step: u64) -> u64 {
    let (block, within) = (step / BLOCK, step % BLOCK);
    // An odd factor maps a power of two onto itself.
    block * BLOCK + within.wrapping_mul(0x9_E375) % BLOCK
}

/// Half of the ids are as chat messages have them, and half as pages of a wiki: those do not compress.
fn entity_id(number: u64) -> String {
    if number.is_multiple_of(2) {
        format!("message-{number}")
    } else {
        let mixed = u128::from(number).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
        Uuid::from_u128(mixed ^ (mixed >> 61)).to_string()
    }
}

fn object(number: u64, version: &str) -> ListedObject {
    let modified_ms = FIRST_MODIFIED_MS + i64::try_from(number).expect("there are fewer");
    let token = format!("{version}-{:x}-{modified_ms}000000", number * 7);
    ListedObject { key: entity_file_name(&entity_id(number)), size: 900 + number % 500, token, modified_ms }
}

fn entry(object: &ListedObject) -> LedgerEntry {
    let number = (object.modified_ms - FIRST_MODIFIED_MS).unsigned_abs();
    let mixed = u128::from(number + 1).wrapping_mul(0xD134_2543_DE82_EF95_A076_1D64_78BD_642F);
    LedgerEntry {
        object_key: object.key.clone(),
        entity_id: entity_id(number),
        token: TokenDigest::of(&object.token),
        content: ContentDigest::of(&format!("{mixed:032x}{mixed:032x}")).expect("it is a digest"),
        points: u32::try_from(number % 4).expect("it is below 4"),
    }
}

/// The most memory this process has had resident since it was last forgotten, as Linux counts it.
fn peak_memory_mib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux says how it is");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("Linux says VmHWM");
    let kib: u64 = line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number of KiB");
    kib / 1024
}

fn forget_peak_memory() {
    fs::write("/proc/self/clear_refs", "5").expect("Linux can forget it");
}
