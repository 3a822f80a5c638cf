//! From Qdrant to Vespa: every entity that has text is there, with what the platform would have written, and the others
//! are named.
//!
//! The expectation comes from `fixtures/vespa/check_documents.py`, which has nothing of the product in it, and reads the
//! raw store, Qdrant and Vespa by itself.

mod places;
mod stage;
mod troubles;

use harness::vespa::VespaServer;
use proto::v1::vespa_layout::{Documents, Ids};
use proto::v1::{ForkResult, Role, VespaLayout};
use rstest::rstest;

use self::stage::{Stage, layout, vespa};

/// Gaps of entities that were carried over all the same.
const CARRIED: [&str; 3] = ["no grammar for ", "unknown class ", "web page without its content"];

#[rstest]
#[case::mixed("dev-mixed", "stub", Ids::Platform, Ids::Scoped)]
#[case::asana("dev-per-source", "asana", Ids::Scoped, Ids::Platform)]
#[case::github("dev-per-source", "github", Ids::Platform, Ids::Scoped)]
#[case::gmail("dev-per-source", "gmail", Ids::Scoped, Ids::Platform)]
#[case::google_drive("dev-per-source", "google_drive", Ids::Platform, Ids::Scoped)]
#[case::hubspot("dev-per-source", "hubspot", Ids::Scoped, Ids::Platform)]
#[case::jira("dev-per-source", "jira", Ids::Platform, Ids::Scoped)]
#[case::linear("dev-per-source", "linear", Ids::Scoped, Ids::Platform)]
#[case::notion("dev-per-source", "notion", Ids::Platform, Ids::Scoped)]
#[case::slack("dev-per-source", "slack", Ids::Scoped, Ids::Platform)]
#[case::stripe("dev-per-source", "stripe", Ids::Platform, Ids::Platform)]
#[tokio::test(flavor = "multi_thread")]
async fn every_entity_with_text_arrives(
    #[case] archive: &str,
    #[case] source: &str,
    #[case] ids_of_entities: Ids,
    #[case] ids_of_chunks: Ids,
) {
    let stage = Stage::new(archive, source).await;
    let (for_entities, for_chunks) = (vespa(Documents::RawEntity).await, vespa(Documents::Chunk).await);
    let entities = layout(Documents::RawEntity, ids_of_entities);
    let chunks = layout(Documents::Chunk, ids_of_chunks);
    let (as_entities, as_chunks) =
        tokio::join!(stage.fork(&for_entities, entities.clone()), stage.fork(&for_chunks, chunks.clone()));

    assert_eq!(as_entities.points, as_entities.entities - as_entities.textless, "a document per entity");
    assert_eq!((as_entities.chunks_embedded, as_entities.chunks_reused), (0, 0), "Vespa embeds");
    assert_eq!(as_chunks.points, stage.on_qdrant.points, "a document per chunk");
    assert_eq!((as_chunks.chunks_embedded, as_chunks.chunks_reused), (0, as_chunks.points), "with Qdrant's vectors");
    assert_arrived(&stage, &for_entities, &entities, &as_entities).await;
    assert_arrived(&stage, &for_chunks, &chunks, &as_chunks).await;

    for slot in [&as_entities.slot_id, &as_chunks.slot_id] {
        stage.world.switch(&stage.world.switch_request(slot)).await.expect("the switch completes");
        let list = stage.world.list();
        let active: Vec<_> = list.slots.iter().filter(|it| it.role() == Role::Active).map(|it| &it.slot_id).collect();
        assert_eq!(active, [slot]);
    }
    stage.done().await;
}

/// Fails unless documents and what the fork says of the rest are the whole raw store.
async fn assert_arrived(stage: &Stage, server: &VespaServer, layout: &VespaLayout, result: &ForkResult) {
    let checked = stage.check(server, layout).await;
    assert!(checked.problems.is_empty(), "{} problems: {:#?}", checked.problems.len(), checked.problems);
    assert!(checked.whole_texts * 2 >= checked.entities, "{} texts were compared as a whole", checked.whole_texts);

    let dead = dead_letters(stage, &result.slot_id).await;
    let (stored, carried) = (stage.world.entity_files().len() as u64, result.entities);
    assert_eq!((result.state.as_str(), result.listed, result.dead_letter_count), ("ready", stored, dead.len() as u64));
    assert_eq!(carried + result.dead_letter_count, stored, "each is carried over or a dead letter");
    assert_eq!((checked.documents, checked.entities), (result.points, carried - result.textless));
    assert_eq!(checked.without_document.len() as u64, result.textless + result.dead_letter_count);
    for (entity_id, reason) in &dead {
        assert!(checked.without_document.contains(entity_id) && !reason.is_empty(), "{entity_id:?}: {reason:?}");
    }
    let without_text = result.gaps.iter().filter(|gap| !CARRIED.iter().any(|it| gap.what.starts_with(it)));
    assert_eq!(without_text.map(|gap| gap.count).sum::<u64>(), result.textless, "{:?}", result.gaps);

    let verified = result.verification.as_ref().expect("a fork verifies");
    let found = (verified.entities_compared, verified.points_expected, verified.points_found);
    assert_eq!(found, (carried, result.points, result.points), "{verified:?}");
    let differences = [
        verified.entities_missing_points,
        verified.entities_surplus_points,
        verified.entities_unknown,
        verified.entities_vanished,
        verified.sample_differences,
    ];
    assert_eq!((differences, verified.sampled), ([0; 5], carried.min(100)), "{verified:?}");
}

/// Entities that a slot could not take, and why not.
async fn dead_letters(stage: &Stage, slot: &str) -> Vec<(String, String)> {
    sqlx::query_as("SELECT entity_id, message FROM sync_multiplexer.dead_letter WHERE slot_id::text = $1")
        .bind(slot)
        .fetch_all(stage.world.database.pool())
        .await
        .expect("the dead letters are readable")
}
