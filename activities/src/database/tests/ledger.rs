//! The ledger in Postgres against a map in memory.

use std::collections::{BTreeMap, HashSet};

use fastrand::Rng;
use futures::TryStreamExt;
use uuid::Uuid;

use super::world::World;
use crate::database::ledger::{self, ContentDigest, LedgerChanges, LedgerEntry, LedgerTotals, TokenDigest};
use crate::database::{SlotScope, segments};
use crate::raw_store::entity_file_name;

type Model = BTreeMap<String, LedgerEntry>;

fn entry(object_key: String, entity_id: String, points: u32) -> LedgerEntry {
    LedgerEntry {
        token: TokenDigest::of(&format!("{object_key} {points}")),
        content: ContentDigest::of(&format!("{points:064x}")).unwrap(),
        object_key,
        entity_id,
        points,
    }
}

/// An entity of a store of `space` entities. One in fifty is in an object of another name.
fn pick(random: &mut Rng, space: u32) -> LedgerEntry {
    let number = random.u32(0..space);
    let entity_id = if number.is_multiple_of(3) { format!("page/{number:06}") } else { format!("m-{number:06}") };
    let object_key =
        if number.is_multiple_of(50) { format!("copy of {number}.json") } else { entity_file_name(&entity_id) };
    entry(object_key, entity_id, random.u32(0..4))
}

async fn apply(world: &World, scope: &SlotScope, changes: LedgerChanges) {
    let mut transaction = world.pool().begin().await.unwrap();
    ledger::apply(&mut transaction, scope, changes).await.unwrap();
    transaction.commit().await.unwrap();
}

async fn read(world: &World, scope: &SlotScope) -> Vec<LedgerEntry> {
    ledger::stream(world.database(), scope).await.unwrap().try_collect().await.unwrap()
}

/// The sizes of the pages in order, after proving that they are ordered and say what they hold.
async fn page_sizes(world: &World, scope: &SlotScope) -> Vec<i32> {
    let pages: Vec<(String, i32)> = sqlx::query_as(
        "SELECT first_key, entry_count FROM sync_multiplexer.ledger_page WHERE slot_id = $1 ORDER BY first_key",
    )
    .bind(scope.slot_id)
    .fetch_all(world.pool())
    .await
    .unwrap();
    assert!(pages.first().is_none_or(|(first_key, _)| first_key.is_empty()), "a key has a page, whatever it is");
    pages.into_iter().map(|(_, count)| count).collect()
}

async fn assert_is(world: &World, scope: &SlotScope, model: &Model) {
    assert!(read(world, scope).await.iter().eq(model.values()), "the entries are not those of the model");
    let totals = LedgerTotals {
        entities: model.len() as u64,
        textless: model.values().filter(|entry| entry.points == 0).count() as u64,
        points: model.values().map(|entry| u64::from(entry.points)).sum(),
    };
    assert_eq!(ledger::totals(world.database(), scope).await.unwrap(), totals);
    let mut by_entity: BTreeMap<&str, u64> = BTreeMap::new();
    for entry in model.values().filter(|entry| entry.points > 0) {
        *by_entity.entry(&entry.entity_id).or_default() += u64::from(entry.points);
    }
    let found: Vec<(String, u64)> =
        ledger::stream_by_entity(world.database(), scope).await.unwrap().try_collect().await.unwrap();
    assert!(found.iter().map(|(id, points)| (id.as_str(), *points)).eq(by_entity), "by entity");
}

#[tokio::test]
async fn a_ledger_is_what_a_map_would_be() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = Rng::with_seed(seed);
    let world = World::new().await;
    let scope = world.shadow().await;
    let other = world.shadow().await;
    let mut model = Model::new();
    let (mut longest, mut joined) = (0, false);
    // It grows in large and small batches, in order and all over the place, then shrinks to nothing.
    for step in 0..90 {
        let removing = step >= 45;
        let count = [1, 64, 700, 1600][random.usize(0..4)];
        let mut changes = LedgerChanges::default();
        let from = random.u32(0..8000);
        for position in 0..count {
            let picked = if random.u8(0..4) == 0 {
                pick(&mut random, 8000)
            } else {
                let entity_id = format!("m-{:06}", (from + position) % 8000);
                entry(entity_file_name(&entity_id), entity_id, random.u32(0..4))
            };
            if removing && random.u8(0..10) > 0 || random.u8(0..10) == 0 {
                model.remove(&picked.object_key);
                changes.remove(picked.object_key);
            } else {
                model.insert(picked.object_key.clone(), picked.clone());
                changes.put(picked);
            }
        }
        apply(&world, &scope, changes.clone()).await;
        let sizes = page_sizes(&world, &scope).await;
        assert!(sizes.iter().all(|size| (1..=1024).contains(size)), "{sizes:?}");
        joined |= sizes.len() < longest;
        longest = longest.max(sizes.len());
        if step % 10 == 0 {
            assert_is(&world, &scope, &model).await;
            // Once more: nothing changes, not even a time.
            let before = world.everything().await;
            apply(&world, &scope, changes).await;
            assert_eq!(world.everything().await, before);
        }
    }
    assert_is(&world, &scope, &model).await;
    assert!(longest > 4 && joined, "pages were cut ({longest}) and joined ({joined})");
    let mut changes = LedgerChanges::default();
    for key in std::mem::take(&mut model).into_keys() {
        changes.remove(key);
    }
    apply(&world, &scope, changes).await;
    assert_eq!(page_sizes(&world, &scope).await.len(), 0);
    assert_is(&world, &other, &model).await;
}

#[tokio::test]
async fn lanes_that_write_at_once_lose_nothing() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let world = World::new().await;
    let scope = world.shadow().await;
    let tasks: Vec<_> = (0..8_u64)
        .map(|lane| {
            let database = world.database().clone();
            tokio::spawn(async move {
                let mut random = Rng::with_seed(seed ^ lane);
                let mut model = Model::new();
                for _ in 0..25 {
                    let mut changes = LedgerChanges::default();
                    for _ in 0..60 {
                        // Neighbours in the same pages, but objects of its own, as segments have.
                        let number = random.u32(0..4000) * 8 + u32::try_from(lane).unwrap();
                        let entity_id = format!("e{number:06}");
                        let entry = entry(entity_file_name(&entity_id), entity_id, random.u32(0..4));
                        if random.u8(0..5) == 0 {
                            model.remove(&entry.object_key);
                            changes.remove(entry.object_key);
                        } else {
                            model.insert(entry.object_key.clone(), entry.clone());
                            changes.put(entry);
                        }
                    }
                    let mut transaction = database.pool().begin().await.unwrap();
                    ledger::apply(&mut transaction, &scope, changes).await.unwrap();
                    transaction.commit().await.unwrap();
                }
                model
            })
        })
        .collect();
    let mut model = Model::new();
    for task in tasks {
        model.extend(task.await.unwrap());
    }
    assert!(page_sizes(&world, &scope).await.len() > 3);
    assert_is(&world, &scope, &model).await;
}

#[tokio::test]
async fn a_sample_is_even_and_repeats_itself() {
    let world = World::new().await;
    let scope = world.shadow().await;
    let mut changes = LedgerChanges::default();
    for number in 0..3000 {
        let entity_id = format!("e{number:05}");
        changes.put(entry(entity_file_name(&entity_id), entity_id, u32::from(number % 3 != 0)));
    }
    apply(&world, &scope, changes).await;
    let sample = async |n, seed| ledger::sample(world.database(), &scope, n, seed).await.unwrap();

    let all = sample(5000, 1).await;
    assert_eq!(all.len(), 2000, "entities without points have nothing to compare");
    assert!(
        all.iter().all(|entry| entry.points == 1) && all.windows(2).all(|pair| pair[0].object_key < pair[1].object_key)
    );
    assert_eq!(sample(0, 1).await, []);
    let some = sample(100, 7).await;
    assert_eq!((some.len(), sample(100, 7).await == some, sample(100, 8).await == some), (100, true, false));
    // Every tenth of the store gives about a tenth of the sample.
    let mut tenths = [0_u32; 10];
    for seed in 0..40 {
        for entry in sample(50, seed).await {
            tenths[entry.entity_id[1..].parse::<usize>().unwrap() / 300] += 1;
        }
    }
    assert!(tenths.iter().all(|count| (120..280).contains(count)), "{tenths:?}");
}

#[tokio::test]
async fn other_objects_of_the_same_entity_are_found() {
    let world = World::new().await;
    let scope = world.shadow().await;
    let mut changes = LedgerChanges::default();
    for number in 0..2500 {
        let entity_id = format!("e{number:05}");
        changes.put(entry(entity_file_name(&entity_id), entity_id, 1));
    }
    changes.put(entry("copy.json".into(), "e00007".into(), 1));
    changes.put(entry("z copy.json".into(), "e00007".into(), 1));
    changes.put(entry("lonely copy.json".into(), "e99999".into(), 1));
    apply(&world, &scope, changes).await;
    let others = async |objects: &[(&str, &str)]| {
        let (keys, ids) = objects.iter().copied().unzip();
        let found = ledger::with_entities(world.database(), &scope, &ids, &keys).await.unwrap();
        found.into_iter().map(|entry| entry.object_key).collect::<HashSet<_>>()
    };
    let keys = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect::<HashSet<_>>();
    assert_eq!(others(&[("e00007.json", "e00007")]).await, keys(&["copy.json", "z copy.json"]));
    assert_eq!(others(&[("copy.json", "e00007")]).await, keys(&["e00007.json", "z copy.json"]));
    assert_eq!(others(&[("copy.json", "e00007"), ("z copy.json", "e00007")]).await, keys(&["e00007.json"]));
    assert_eq!(others(&[("e00008.json", "e00008"), ("gone.json", "e99999")]).await, keys(&["lonely copy.json"]));
    assert_eq!(others(&[("new.json", "new")]).await, keys(&[]));
}

/// What Postgres keeps for it, pages, headers and index together, filled by batches of 64 in four lanes as a fork fills it.
#[tokio::test]
async fn ten_million_entities_fit_into_a_few_hundred_megabytes() {
    const LANES: u32 = 4;
    const PER_LANE: u32 = 7_500;
    let world = World::new().await;
    let scope = world.shadow().await;
    let tasks: Vec<_> = (0..LANES)
        .map(|lane| {
            let database = world.database().clone();
            tokio::spawn(async move {
                let mut random = Rng::with_seed(u64::from(lane));
                let mut entries: Vec<LedgerEntry> = (0..PER_LANE)
                    .map(|number| {
                        let entity_id = realistic_id(&mut random, number);
                        // A lane has a range of keys of its own.
                        entry(entity_file_name(&format!("{lane}{entity_id}")), format!("{lane}{entity_id}"), 1)
                    })
                    .collect();
                entries.sort_by(|one, two| one.object_key.cmp(&two.object_key));
                for batch in entries.chunks(64) {
                    let mut changes = LedgerChanges::default();
                    for entry in batch {
                        changes.put(entry.clone());
                    }
                    let mut transaction = database.pool().begin().await.unwrap();
                    ledger::apply(&mut transaction, &scope, changes).await.unwrap();
                    transaction.commit().await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    // A copy has no dead rows, which a vacuum could not take away while anybody looks on.
    for statement in [
        "CREATE TABLE sync_multiplexer.measured (LIKE sync_multiplexer.ledger_page INCLUDING ALL)",
        "INSERT INTO sync_multiplexer.measured SELECT * FROM sync_multiplexer.ledger_page",
    ] {
        sqlx::query(statement).execute(world.pool()).await.unwrap();
    }
    let bytes: i64 = sqlx::query_scalar("SELECT pg_total_relation_size('sync_multiplexer.measured')")
        .fetch_one(world.pool())
        .await
        .unwrap();
    let entries: i64 = sqlx::query_scalar("SELECT sum(length(entries))::bigint FROM sync_multiplexer.ledger_page")
        .fetch_one(world.pool())
        .await
        .unwrap();
    let pages = page_sizes(&world, &scope).await;
    let count = i64::from(LANES * PER_LANE);
    println!(
        "{} bytes per entity in Postgres, {} of them in entries, {} entities per page",
        bytes / count,
        entries / count,
        count / i64::try_from(pages.len()).unwrap()
    );
    assert!(bytes / count < 50, "{} bytes per entity", bytes / count);
}

/// A third each: random ids, ids that count, paths.
fn realistic_id(random: &mut Rng, number: u32) -> String {
    match number % 3 {
        0 => Uuid::from_u128(random.u128(..)).to_string(),
        1 => format!("C04{:02}QX-17{:08}.{:06}", number % 40, number * 977, number * 31 % 1_000_000),
        _ => format!("acme/service-{}/src/module_{}/handlers/request_{number}.rs", number % 30, number % 200),
    }
}

#[tokio::test]
async fn a_batch_changes_the_ledger_as_it_accounts_for_entries() {
    let world = World::new().await;
    let (scope, keys) = super::plans::filled(&world).await;
    let plan_id = Uuid::now_v7();
    let listing = super::plans::lines(&keys[2..]);
    let options = super::world::sized(None);
    crate::database::plans::create(world.database(), &scope, plan_id, listing, &options).await.unwrap();
    let batch = segments::BatchRecord {
        next_index: 2,
        deleted: keys[..2].to_vec(),
        forgotten: vec![keys[5].clone()],
        ..Default::default()
    };
    segments::checkpoint(world.database(), &scope, plan_id, 0, None, 0, &batch).await.unwrap();
    let held: Vec<_> = read(&world, &scope).await.into_iter().map(|entry| entry.object_key).collect();
    let expected: Vec<_> = keys[2..].iter().filter(|key| **key != keys[5]).cloned().collect();
    assert_eq!(held, expected);
    let segment = segments::read(world.database(), &scope, plan_id, 0).await.unwrap();
    assert_eq!((segment.is_done(), segment.counters.deleted, segment.counters.entities), (true, 2, 0));
    let totals = segments::totals(world.database(), &scope, plan_id).await.unwrap();
    assert_eq!((totals.entities_total, totals.entities_done, totals.counters.deleted), (2, 2, 2));
}
