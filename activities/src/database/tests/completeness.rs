use uuid::Uuid;

use super::world::{World, broken_listing, object, stream_of};
use crate::database::platform;
use crate::error::ErrorKind;

fn object_key(entity_id: &str) -> String {
    format!("{entity_id}.json")
}

/// Gives the platform a row for each entity.
pub async fn know(world: &World, entity_ids: impl IntoIterator<Item = String>) {
    sqlx::query(
        "WITH job AS (
             INSERT INTO public.sync_job
                 (id, created_at, modified_at, organization_id, sync_id, entities_inserted, entities_deleted, entities_skipped)
             VALUES (gen_random_uuid(), now(), now(), $1, $2, 0, 0, 0) RETURNING id
         )
         INSERT INTO public.entity
             (id, created_at, modified_at, organization_id, sync_id, sync_job_id, entity_id, hash)
         SELECT gen_random_uuid(), now(), now(), $1, $2, job.id, entity_id, 'hash' FROM job, unnest($3::text[]) AS entity_id",
    )
    .bind(world.organization_id)
    .bind(world.sync_id)
    .bind(entity_ids.into_iter().collect::<Vec<_>>())
    .execute(world.pool())
    .await
    .unwrap();
}

#[tokio::test]
async fn what_the_platform_knows_and_the_raw_store_lacks_is_named() {
    let world = World::new().await;
    // Names that an encoding of rows could stumble over.
    let names = ["plain", "tab\tand\nnewline", "back\\slash", "\\N", "ünïcode 漢字", "", "missing b", "missing a"];
    know(&world, names.map(String::from)).await;
    let listed = names[..6].iter().map(|name| Ok(object(&object_key(name), "t"))).chain([
        // Listed twice by overlapping pages, and one the platform does not know.
        Ok(object("plain.json", "t2")),
        Ok(object("extra.json", "t")),
    ]);
    let found = platform::compare_with_listing(
        world.database(),
        world.organization_id,
        world.sync_id,
        stream_of(listed.collect()),
        object_key,
    )
    .await
    .unwrap();
    assert_eq!(found.listed, 7);
    assert_eq!(found.bytes, 70);
    assert_eq!(found.known_to_platform, 8);
    assert_eq!(found.missing, 2);
    assert_eq!(found.missing_sample, ["missing a", "missing b"]);
}

#[tokio::test]
async fn more_rows_than_a_page_of_the_cursor() {
    let world = World::new().await;
    know(&world, (0..12_000).map(|n| format!("e{n:05}"))).await;
    let listed = (0..11_950).map(|n| Ok(object(&format!("e{n:05}.json"), "t"))).collect();
    let found = platform::compare_with_listing(
        world.database(),
        world.organization_id,
        world.sync_id,
        stream_of(listed),
        object_key,
    )
    .await
    .unwrap();
    assert_eq!((found.listed, found.known_to_platform, found.missing), (11_950, 12_000, 50));
    assert_eq!(found.missing_sample.len(), 20);
    assert_eq!(found.missing_sample[0], "e11950");
}

#[tokio::test]
async fn a_listing_that_fails_is_that_failure() {
    let world = World::new().await;
    know(&world, ["a".to_owned()]).await;
    for _ in 0..10 {
        // More often than the pool has connections: none is lost on the way.
        let error = platform::compare_with_listing(
            world.database(),
            world.organization_id,
            world.sync_id,
            broken_listing(),
            object_key,
        )
        .await
        .unwrap_err();
        assert_eq!((error.kind(), error.message()), (ErrorKind::Timeout, "the listing stalled"));
    }
}

#[tokio::test]
async fn names_that_cannot_be_are_refused() {
    let world = World::new().await;
    let compare = |key: String, size| {
        let line = crate::raw_store::ListedObject { key, size, token: "t".into(), modified_ms: 0 };
        platform::compare_with_listing(
            world.database(),
            world.organization_id,
            world.sync_id,
            stream_of(vec![Ok(line)]),
            object_key,
        )
    };
    for (key, size) in [("nul\0.json".to_owned(), 1), ("x".repeat(5000), 1), ("a.json".to_owned(), u64::MAX)] {
        assert_eq!(compare(key, size).await.unwrap_err().kind(), ErrorKind::RawStoreInvalid);
    }
}

#[tokio::test]
async fn an_unknown_sync_is_not_found() {
    let world = World::new().await;
    let error = platform::compare_with_listing(
        world.database(),
        world.organization_id,
        Uuid::now_v7(),
        stream_of(vec![]),
        object_key,
    )
    .await
    .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}
