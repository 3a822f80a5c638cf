//! Idempotency keys: one wins, the answer is kept, a dead worker is taken over from, keys expire.

use uuid::Uuid;

use super::world::World;
use crate::database::idempotency::{Answer, Claim, KeyedRequest, answer, claim, give_up};

fn request(world: &World, key: &str, what: u8) -> KeyedRequest {
    KeyedRequest { organization_id: world.organization_id, key: key.into(), request_hash: [what; 32] }
}

fn yours(claim: Claim) -> (Uuid, Uuid) {
    match claim {
        Claim::Yours { claim, operation_id } => (claim, operation_id),
        other => panic!("expected a claim, got {other:?}"),
    }
}

#[tokio::test]
async fn of_two_requests_with_one_key_one_wins_and_both_get_its_answer() {
    let world = World::new().await;
    let (db, first) = (world.database(), request(&world, "k", 1));
    let both = futures::future::join(claim(db, &first), claim(db, &first)).await;
    let both = [both.0.unwrap(), both.1.unwrap()];
    assert_eq!(both.iter().filter(|it| matches!(it, Claim::InProgress)).count(), 1, "{both:?}");
    let won = both.into_iter().find(|it| matches!(it, Claim::Yours { .. })).expect("one wins");
    let (mine, _) = yours(won);

    assert_eq!(claim(db, &request(&world, "k", 2)).await.unwrap(), Claim::OfAnotherRequest);
    let stranger = KeyedRequest { organization_id: world.stranger_id, ..first.clone() };
    yours(claim(db, &stranger).await.unwrap());

    let said = Answer {
        status: 202,
        content_type: "application/json".into(),
        location: Some("/operations/1".into()),
        body: b"{}".to_vec(),
    };
    answer(db, &first, Uuid::new_v4(), &said).await.unwrap();
    assert_eq!(claim(db, &first).await.unwrap(), Claim::InProgress, "only the winner answers");
    answer(db, &first, mine, &said).await.unwrap();
    assert_eq!(claim(db, &first).await.unwrap(), Claim::Answered(said));
    give_up(db, &first, mine).await.unwrap();
    assert!(matches!(claim(db, &first).await.unwrap(), Claim::Answered(_)), "an answer stands");
    assert_eq!(claim(db, &request(&world, "k", 2)).await.unwrap(), Claim::OfAnotherRequest);
}

#[tokio::test]
async fn who_dies_is_taken_over_from_and_what_expired_is_forgotten() {
    let world = World::new().await;
    let (db, first) = (world.database(), request(&world, "k", 1));
    let (dead, operation) = yours(claim(db, &first).await.unwrap());
    let past = "UPDATE sync_multiplexer.idempotency_key SET claimed_until = now() - interval '1 second'";
    sqlx::query(past).execute(world.pool()).await.unwrap();
    assert_eq!(claim(db, &request(&world, "k", 2)).await.unwrap(), Claim::OfAnotherRequest);
    let (next, same) = yours(claim(db, &first).await.unwrap());
    assert_ne!(dead, next);
    assert_eq!(operation, same, "the operation that was chosen first");
    // Giving up frees the key, for the one who has it.
    give_up(db, &first, dead).await.unwrap();
    assert_eq!(claim(db, &first).await.unwrap(), Claim::InProgress);
    give_up(db, &first, next).await.unwrap();
    let (_, other) = yours(claim(db, &first).await.unwrap());
    assert_ne!(other, operation);

    yours(claim(db, &request(&world, "old", 1)).await.unwrap());
    let past = "UPDATE sync_multiplexer.idempotency_key SET expires_at = now() - interval '1 second'";
    sqlx::query(past).execute(world.pool()).await.unwrap();
    yours(claim(db, &request(&world, "k", 2)).await.unwrap());
    let left: Vec<String> =
        sqlx::query_scalar("SELECT key FROM sync_multiplexer.idempotency_key").fetch_all(world.pool()).await.unwrap();
    assert_eq!(left, ["k"]);
}
