//! Limits over real takers, on a clock that the test moves.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use uuid::Uuid;

use super::world::World;
use crate::database::operations::{self, NewOperation, OperationKind, Outcome};
use crate::database::throttle::{self, in_force};
use crate::database::throttle_turn::{self, Answer, Needs, Taker};
use crate::database::throttled::{self, ThrottledBy};
use crate::error::ErrorKind;
use crate::throttle::{Author, Change, Limits, Setting};

const WORKFLOW: &str = "fork/s/c";

fn author(reason: &str) -> Author {
    Author { requested_by: "ann".to_owned(), reason: reason.to_owned() }
}

fn entities(rate: f64) -> Change {
    Change { entities_per_second: Setting::To(rate), ..Change::default() }
}

fn lanes(lanes: u32) -> Change {
    Change { lanes: Setting::To(lanes), ..Change::default() }
}

fn taker(world: &World) -> Taker {
    Taker { organization_id: world.organization_id, workflow_id: WORKFLOW.to_owned(), holder: Uuid::new_v4() }
}

/// An operation that runs.
async fn operation(world: &World) -> Uuid {
    let operation_id = Uuid::now_v7();
    let new = NewOperation {
        operation_id,
        organization_id: world.organization_id,
        sync_id: world.sync_id,
        slot_id: None,
        kind: OperationKind::Fork,
        workflow_id: WORKFLOW.to_owned(),
        run_id: operation_id.to_string(),
        requested_by: "ann".to_owned(),
        options: json!({}),
        phase: "replay".to_owned(),
    };
    operations::begin(world.database(), &new).await.unwrap();
    operation_id
}

/// A time after everything that is on record.
fn later() -> DateTime<Utc> {
    Utc::now() + TimeDelta::seconds(60)
}

async fn take(world: &World, who: &Taker, needs: Needs, at: DateTime<Utc>) -> Answer {
    throttle_turn::take(world.database(), who, needs, Some(at)).await.unwrap()
}

fn is_go(answer: &Answer) -> bool {
    matches!(answer, Answer::Go { .. })
}

#[tokio::test]
async fn a_rate_holds_over_two_takers_at_once() {
    let world = World::new().await;
    let change = Change { embeds_per_second: Setting::To(40.0), ..entities(10.0) };
    throttle::limit_all(world.database(), change, &author("backup")).await.unwrap();
    let (one, other, start) = (taker(&world), taker(&world), later());
    let (mut carried, mut embedded) = (0, 0);
    for step in 0..80 {
        let at = start + TimeDelta::milliseconds(500 * step);
        let (a, b) =
            tokio::join!(take(&world, &one, Needs::Entities(5), at), take(&world, &other, Needs::Entities(5), at));
        carried += 5 * (u32::from(is_go(&a)) + u32::from(is_go(&b)));
        embedded += 30 * u32::from(is_go(&take(&world, &one, Needs::Embeds(30), at).await));
    }
    // Forty seconds, one second of credit, and one batch that is not paid for yet.
    assert!((395..=415).contains(&carried), "{carried} entities in 40 s at 10/s");
    assert!((1_580..=1_660).contains(&embedded), "{embedded} chunks in 40 s at 40/s");
}

#[tokio::test]
async fn a_change_counts_at_once_and_leaves_who_and_why() {
    let world = World::new().await;
    let (who, start, needs) = (taker(&world), later(), Needs::Entities(100));
    let set = async |change, why| throttle::limit_all(world.database(), change, &author(why)).await.unwrap();
    assert_eq!(take(&world, &who, needs, start).await, Answer::Go { lane: false }, "there is no limit");
    set(entities(1.0), "slow").await;
    assert!(is_go(&take(&world, &who, needs, start).await));
    let Answer::Held { by, why, wait } = take(&world, &who, needs, start).await else { panic!("100 s are owed") };
    assert_eq!((by, wait), (ThrottledBy::Global, Some(TimeDelta::seconds(99))), "and there was a second of credit");
    assert_eq!(why, "1 entities/s for all operations together, set by ann: slow");
    let stopped = set(entities(0.0), "stop").await;
    assert_eq!(stopped.to_string(), "0 entities/s");
    let held = take(&world, &who, needs, start + TimeDelta::days(3)).await;
    assert!(matches!(held, Answer::Held { wait: None, .. }), "{held:?}");
    assert!(is_go(&take(&world, &who, Needs::Embeds(5), start).await), "embedding has no limit");
    set(entities(0.0), "once more").await;
    set(Change::LIFT, "go on").await;
    assert!(is_go(&take(&world, &who, needs, start).await));
    assert_eq!(in_force(world.database(), Some(world.organization_id)).await.unwrap(), []);
    let reasons: Vec<String> =
        sqlx::query_scalar("SELECT reason FROM sync_multiplexer.throttle_change ORDER BY change_id")
            .fetch_all(world.pool())
            .await
            .unwrap();
    assert_eq!(reasons, ["slow", "stop", "go on"], "what changes nothing is no change");
    for nobody in [Author { requested_by: String::new(), ..author("r") }, author(" ")] {
        let refused = throttle::limit_all(world.database(), entities(1.0), &nobody).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    }
}

#[tokio::test]
async fn a_batch_pays_everybody_or_nobody() {
    let world = World::new().await;
    let operation_id = operation(&world).await;
    let (who, start, needs) = (taker(&world), later(), Needs::Entities(10));
    let (db, organization_id, mine) = (world.database(), world.organization_id, author("mine"));
    let own = throttle::limit_operation(db, organization_id, operation_id, entities(10.0), &mine).await;
    assert_eq!(own.unwrap(), Limits { entities_per_second: Some(10.0), ..Limits::default() });
    throttle::limit_all(world.database(), entities(5.0), &author("all")).await.unwrap();
    assert!(is_go(&take(&world, &who, needs, start).await));
    // Both are owed now, and the slower one holds it back without the other being paid for the asking.
    for at in [TimeDelta::milliseconds(500), TimeDelta::milliseconds(900)] {
        let Answer::Held { by, why, wait } = take(&world, &who, needs, start + at).await else { panic!("it is owed") };
        assert_eq!((by, wait), (ThrottledBy::Global, Some(TimeDelta::seconds(1) - at)), "{why}");
    }
    assert!(is_go(&take(&world, &who, needs, start + TimeDelta::seconds(1)).await));
    throttle::limit_all(world.database(), Change::LIFT, &author("all")).await.unwrap();
    let Answer::Held { by, why, wait } = take(&world, &who, needs, start + TimeDelta::milliseconds(900)).await else {
        panic!("its own limit holds")
    };
    assert_eq!(wait, Some(TimeDelta::milliseconds(100)), "it paid twice, not four times");
    assert_eq!((by, why.as_str()), (ThrottledBy::Operation, "10 entities/s for this operation, set by ann: mine"));
    // Another workflow has no limit.
    let other = Taker { workflow_id: "fork/s/d".to_owned(), ..taker(&world) };
    assert!(is_go(&take(&world, &other, needs, start).await));
}

#[tokio::test]
async fn limits_of_an_operation_are_its_organisations_and_end_with_it() {
    let world = World::new().await;
    let (db, organization_id) = (world.database(), world.organization_id);
    let operation_id = operation(&world).await;
    let limit = async |whose, which| throttle::limit_operation(db, whose, which, entities(0.0), &author("mine")).await;
    let strange = limit(world.stranger_id, operation_id).await.unwrap_err();
    assert_eq!(strange.kind(), ErrorKind::NotFound);
    assert_eq!(limit(organization_id, Uuid::now_v7()).await.unwrap_err().kind(), ErrorKind::NotFound);
    limit(organization_id, operation_id).await.unwrap();
    let stranger = Taker { organization_id: world.stranger_id, ..taker(&world) };
    assert!(is_go(&take(&world, &stranger, Needs::Entities(1), later()).await), "only by the same name");
    assert_eq!(in_force(db, Some(world.stranger_id)).await.unwrap(), []);
    assert_eq!(in_force(db, Some(organization_id)).await.unwrap()[0].workflow_id.as_deref(), Some(WORKFLOW));

    operations::end(db, organization_id, operation_id, &Outcome::Cancelled).await.unwrap();
    assert!(is_go(&take(&world, &taker(&world), Needs::Entities(1), later()).await));
    assert_eq!(limit(organization_id, operation_id).await.unwrap_err().kind(), ErrorKind::Conflict);

    // One that was terminated leaves its limits, because it may come back by a reset; the next one begins without.
    let terminated = operation(&world).await;
    limit(organization_id, terminated).await.unwrap();
    operations::end_terminated(db, organization_id, terminated).await.unwrap();
    assert_eq!(in_force(db, Some(organization_id)).await.unwrap().len(), 1);
    operation(&world).await;
    assert_eq!(in_force(db, Some(organization_id)).await.unwrap(), []);
}

#[tokio::test]
async fn lanes_of_all_operations_are_given_back_or_expire() {
    let world = World::new().await;
    throttle::limit_all(world.database(), lanes(2), &author("small")).await.unwrap();
    let (one, two, three, needs) = (taker(&world), taker(&world), taker(&world), Needs::Entities(1));
    let at = later();
    for who in [&one, &two, &one] {
        assert_eq!(take(&world, who, needs, at).await, Answer::Go { lane: true });
    }
    let Answer::Held { by, why, wait } = take(&world, &three, needs, at).await else { panic!("both are taken") };
    assert_eq!(
        (by, why.as_str(), wait),
        (ThrottledBy::Global, "2 lanes for all operations together, set by ann: small", None)
    );
    throttle_turn::release_lane(world.database(), &one).await.unwrap();
    assert!(is_go(&take(&world, &three, needs, at).await));
    assert!(!is_go(&take(&world, &one, needs, at).await));
    sqlx::query("UPDATE sync_multiplexer.lane SET expires_at = now() - interval '1 second' WHERE holder = $1")
        .bind(two.holder)
        .execute(world.pool())
        .await
        .unwrap();
    throttle_turn::renew_lane(world.database(), &three).await.unwrap();
    assert!(is_go(&take(&world, &one, needs, at).await), "the worker of the second is gone");
    throttle::limit_all(world.database(), lanes(0), &author("stop")).await.unwrap();
    assert!(!is_go(&take(&world, &one, needs, at).await), "no lanes are a stop");
}

#[tokio::test]
async fn who_waits_says_so_until_nobody_does() {
    let world = World::new().await;
    let (who, db) = (taker(&world), world.database());
    let current = async || throttled::current(db, world.organization_id, Some(WORKFLOW)).await.unwrap();
    let ago = |seconds| Utc::now() - TimeDelta::seconds(seconds);
    let since = throttled::note(db, &who, ThrottledBy::Global, "w", ago(20)).await.unwrap();
    // Another lane began later; it is the same wait.
    assert_eq!(throttled::note(db, &who, ThrottledBy::Global, "words", ago(3)).await.unwrap(), since);
    let noted = current().await;
    assert_eq!((noted.len(), noted[0].why.as_str(), noted[0].since), (1, "words", since));
    assert_eq!(throttled::current(db, world.stranger_id, None).await.unwrap(), []);
    throttled::over(db, &who).await.unwrap();
    assert_eq!(current().await.len(), 1, "somebody said so a moment ago");
    let age = async |seconds: i32| {
        sqlx::query("UPDATE sync_multiplexer.throttled SET seen_at = now() - make_interval(secs => $1)")
            .bind(f64::from(seconds))
            .execute(world.pool())
            .await
            .unwrap();
    };
    let own = throttled::note(db, &who, ThrottledBy::Operation, "own", Utc::now()).await.unwrap();
    sqlx::query("UPDATE sync_multiplexer.throttled SET seen_at = now() - interval '6 seconds' WHERE why = 'words'")
        .execute(world.pool())
        .await
        .unwrap();
    let both: Vec<_> = current().await.into_iter().map(|it| (it.throttled_by, it.since)).collect();
    assert_eq!(both, [(ThrottledBy::Operation, own), (ThrottledBy::Global, since)], "now comes before just now");
    age(16).await;
    assert_eq!(current().await, [], "nobody has said so for long");
    assert_eq!(
        throttled::note(db, &who, ThrottledBy::Global, "words", Utc::now()).await.unwrap(),
        since,
        "a batch between"
    );
    age(61).await;
    let anew = throttled::note(db, &who, ThrottledBy::Global, "words", Utc::now()).await.unwrap();
    assert!(anew > since, "it is another wait");
    age(6).await;
    throttled::over(db, &who).await.unwrap();
    assert_eq!(current().await, []);
}

#[tokio::test]
async fn without_an_answer_nobody_works() {
    let world = World::new().await;
    let (who, db) = (taker(&world), world.database().clone());
    assert!(is_go(&throttle_turn::take(&db, &who, Needs::Entities(1), None).await.unwrap()));
    sqlx::query("ALTER TABLE sync_multiplexer.throttle RENAME TO gone").execute(world.pool()).await.unwrap();
    let unknown = throttle_turn::take(&db, &who, Needs::Entities(1), None).await.unwrap_err();
    assert!(unknown.message().contains("nothing is written before that is known"), "{unknown}");
    sqlx::query("ALTER TABLE sync_multiplexer.gone RENAME TO throttle").execute(world.pool()).await.unwrap();
    db.pool().close().await;
    let away = throttle_turn::take(&db, &who, Needs::Entities(1), None).await.unwrap_err();
    assert_eq!(away.kind(), ErrorKind::Unavailable);
    assert!(away.kind().is_retryable());
}
