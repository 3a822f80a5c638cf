//! Readers follow the flip: each answer is of one slot, which was the active one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use activities::database::roles;
use activities::destinations::Hit;
use harness::{Reader, World, until};
use proto::v1::{SearchResult, SwitchRequest};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

/// For a state that is a few round trips away.
const SHORTLY: Duration = Duration::from_secs(60);

const SWITCHES: u64 = 100;
const READERS: usize = 6;
const QUESTION: &str = "the zebra with a sextant";

/// Two ready slots that hold the same entity, each text saying in which of them it is; the first one is active.
async fn world_with_marked_slots() -> (World, [Uuid; 2]) {
    let world = World::new().await;
    world.put_entity("needle", "the zebra calibrates its sextant under the aqueduct");
    let worker = world.worker();
    let mut slots = Vec::new();
    for connection in [world.ids.connection_v0, world.ids.connection_v1] {
        let forked = world.fork(&world.fork_request(connection)).await.expect("the fork completes");
        let mark = format!("UPDATE {} SET text = text || ' [{}]'", world.points_table(&forked.slot_id), forked.slot_id);
        sqlx::query(AssertSqlSafe(mark)).execute(world.database.pool()).await.expect("the texts can be marked");
        slots.push(forked.slot_id.parse().expect("a slot id is a UUID"));
    }
    assert!(worker.stop(), "the worker ends well");
    world.flip(&world.flip_command(slots[0], false)).await.expect("the first slot becomes active");
    (world, slots.try_into().expect("two slots"))
}

async fn generation(world: &World) -> u64 {
    roles::generation(&world.database, world.ids.organization_id, world.ids.sync_id).await.expect("it can be read")
}

/// A read as somebody saw it who looked at the roles before and after.
struct Seen {
    before: u64,
    after: u64,
    slot_id: Uuid,
    generation: u64,
    hits: Vec<Hit>,
}

/// What is wrong with a read. `active` says which slot each generation made the active one.
fn wrong(seen: &Seen, active: &BTreeMap<u64, Uuid>) -> Option<String> {
    let Seen { before, after, slot_id, generation, hits } = seen;
    if !(before..=after).contains(&generation) {
        return Some(format!("generation {generation} was over before the read: {before} to {after}"));
    }
    if active.get(generation) != Some(slot_id) {
        return Some(format!("at generation {generation} {:?} was active, not {slot_id}", active.get(generation)));
    }
    if hits.is_empty() || hits[0].entity.0 != "needle" {
        return Some(format!("the answer is not there: {hits:?}"));
    }
    let strange = hits.iter().find(|hit| !hit.text.ends_with(&format!("[{slot_id}]")));
    strange.map(|hit| format!("an answer from {slot_id} holds {:?}", hit.text))
}

/// Which slot each generation made the active one, by the audit trail.
async fn audited(world: &World) -> BTreeMap<u64, Uuid> {
    let rows: Vec<(i64, Uuid)> = sqlx::query_as("SELECT generation, new_active FROM sync_multiplexer.audit")
        .fetch_all(world.database.pool())
        .await
        .expect("the audit trail can be read");
    rows.into_iter().map(|(generation, slot_id)| (generation.unsigned_abs(), slot_id)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_switches_under_load_and_no_wrong_read() {
    let (world, slots) = world_with_marked_slots().await;
    let world = Arc::new(world);
    let reader = Arc::new(Reader::start(&world).await);
    let (reads, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let load: Vec<_> = (0..READERS)
        .map(|_| {
            let (world, reader, reads, over) =
                (Arc::clone(&world), Arc::clone(&reader), Arc::clone(&reads), Arc::clone(&over));
            tokio::spawn(async move {
                let (mut seen, mut wasted) = (Vec::new(), 0);
                while !over.load(Ordering::Relaxed) {
                    let before = generation(&world).await;
                    let answer = reader.ask(QUESTION).await.expect("no read fails");
                    let after = generation(&world).await;
                    wasted += answer.wasted;
                    let destination = answer.destination;
                    assert_eq!(destination.collection_readable_id.as_deref(), Some("company-knowledge"));
                    seen.push(Seen {
                        before,
                        after,
                        slot_id: destination.slot_id,
                        generation: destination.generation.unsigned_abs(),
                        hits: answer.hits,
                    });
                    reads.fetch_add(1, Ordering::Relaxed);
                }
                (seen, wasted)
            })
        })
        .collect();

    for switch in 0..SWITCHES {
        // The second slot is a shadow the first time; from then on each is one that was active before.
        let target = slots[usize::from(switch % 2 == 0)];
        world.flip(&world.flip_command(target, switch > 0)).await.expect("the roles change");
        let so_far = reads.load(Ordering::Relaxed);
        until("the readers go on", SHORTLY, async || {
            reads.load(Ordering::Relaxed) >= so_far + 2 || load.iter().any(tokio::task::JoinHandle::is_finished)
        })
        .await;
    }
    over.store(true, Ordering::Relaxed);

    let active = audited(&world).await;
    assert_eq!(active.len() as u64, SWITCHES + 1);
    let (mut count, mut in_between, mut wasted) = (0, 0, 0);
    let mut by_slot = BTreeMap::<Uuid, u32>::new();
    for task in load {
        let (seen, wasted_here) = task.await.expect("a reader goes on to the end");
        wasted += wasted_here;
        for read in &seen {
            assert_eq!(wrong(read, &active), None);
            count += 1;
            in_between += u32::from(read.before < read.after);
            *by_slot.entry(read.slot_id).or_default() += 1;
        }
    }
    eprintln!("{count} reads, {in_between} of them with a switch in between, {wasted} searches wasted, {by_slot:?}");
    assert_eq!(by_slot.len(), 2, "both slots were read");
    drop(reader);
    Arc::into_inner(world).expect("nobody else has the world").done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_does_not_look_again_is_found_out() {
    let (world, slots) = world_with_marked_slots().await;
    let reader = Reader::start(&world).await;
    let remembered = reader.resolve().await.expect("there is an active slot");
    let read = async || {
        let before = generation(&world).await;
        let hits = reader.search(&remembered, QUESTION).await.expect("the slot answers");
        let after = generation(&world).await;
        let generation = remembered.generation.unsigned_abs();
        Seen { before, after, slot_id: remembered.slot_id, generation, hits }
    };
    let active = audited(&world).await;
    assert_eq!(wrong(&read().await, &active), None);
    world.flip(&world.flip_command(slots[1], false)).await.expect("the roles change");
    let active = audited(&world).await;
    let stale = read().await;
    assert!(wrong(&stale, &active).expect("a stale read").contains("was over before the read"));

    // The other ways to be wrong.
    let fresh = reader.ask(QUESTION).await.expect("an answer");
    let seen = |slot_id, hits| Seen { before: 2, after: 2, slot_id, generation: 2, hits };
    assert_eq!(wrong(&seen(slots[1], fresh.hits.clone()), &active), None);
    assert!(wrong(&seen(slots[0], stale.hits.clone()), &active).expect("another slot").contains("was active, not"));
    let mixed: Vec<Hit> = fresh.hits.iter().take(1).chain(&stale.hits[1..]).cloned().collect();
    assert!(wrong(&seen(slots[1], mixed), &active).expect("two slots in one answer").contains("holds"));
    drop(reader);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_hears_of_a_switch_without_asking() {
    let (world, slots) = world_with_marked_slots().await;
    let reader = Reader::start(&world).await;
    let first = reader.ask(QUESTION).await.expect("an answer").destination;
    assert_eq!((first.slot_id, first.generation, reader.known()), (slots[0], 1, Some(first.clone())));
    world.flip(&world.flip_command(slots[1], false)).await.expect("the roles change");
    until("it forgets what it knew", SHORTLY, async || reader.known().is_none()).await;
    let answer = reader.ask(QUESTION).await.expect("an answer");
    assert_eq!((answer.destination.slot_id, answer.destination.generation, answer.wasted), (slots[1], 2, 0));

    // A lost connection loses what was said meanwhile; the generation tells.
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
               WHERE datname = current_database() AND query LIKE 'LISTEN%'";
    let cut: i64 = sqlx::query_scalar(cut).fetch_one(world.database.pool()).await.expect("a session can be ended");
    assert_eq!(cut, 1, "the reader's session is the one that listens");
    world.flip(&world.flip_command(slots[0], true)).await.expect("the roles change back");
    let answer = reader.ask(QUESTION).await.expect("an answer");
    assert_eq!((answer.destination.slot_id, answer.destination.generation), (slots[0], 3));
    drop(reader);
    world.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_asks_the_active_slot_or_the_one_that_is_named() {
    let (world, slots) = world_with_marked_slots().await;
    let sync = world.ids.sync_id.to_string();
    let search = |more: &[&str]| {
        let output = world.command().args(["search", "--sync", &sync, QUESTION]).args(more).output();
        output.expect("the program runs")
    };
    let answer = |more: &[&str]| -> SearchResult {
        let output = search(&[more, &["--json"]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("search prints JSON")
    };
    let active = answer(&[]);
    assert_eq!((active.slot_id.as_str(), active.generation), (slots[0].to_string().as_str(), Some(1)));
    assert_eq!((active.collection.as_str(), active.hits[0].entity_id.as_str()), ("company-knowledge", "needle"));
    assert!(active.hits[0].text.ends_with(&format!("[{}]", slots[0])), "{:?}", active.hits[0]);
    let named = answer(&["--slot", &slots[1].to_string(), "--limit", "1"]);
    assert_eq!((named.slot_id.as_str(), named.generation, named.hits.len()), (slots[1].to_string().as_str(), None, 1));

    let request = SwitchRequest {
        expected_generation: Some(1),
        force: true,
        reason: "its texts were marked by hand".to_owned(),
        ..world.switch_request(&slots[1].to_string())
    };
    let worker = world.worker();
    world.switch(&request).await.expect("the switch");
    drop(worker);
    let active = answer(&["--limit", "2"]);
    assert_eq!((active.slot_id.as_str(), active.generation), (slots[1].to_string().as_str(), Some(2)));
    let table = String::from_utf8(search(&[]).stdout).expect("text");
    for word in ["SCORE", "needle", "the zebra", "generation 2"] {
        assert!(table.contains(word), "{word:?} is not in\n{table}");
    }

    let nobody = Uuid::new_v4().to_string();
    for (arguments, code, words) in [
        (&["--slot", &nobody][..], 4, "does not exist"),
        (&["--slot", "nope"], 2, "--slot is not a UUID"),
        (&["--limit", "0"], 2, "0"),
    ] {
        let output = search(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(words), "{arguments:?} said {said}");
    }
    let reader = Reader::start(&world).await;
    assert_eq!(reader.ask(QUESTION).await.expect("an answer").destination.slot_id, slots[1], "readers agree");
    drop(reader);
    world.done().await;
}
