//! What the feeder does when things stay wrong, or concern one document alone. Trouble that passes is in `faults`.

use std::time::{Duration, Instant};

use activities::destinations::vespa::{FeedCounts, VespaLimits};
use activities::destinations::{Destination, EntityRef};
use activities::error::ErrorKind;
use harness::vespa::{Fault, FaultRule, QueueLimits, VespaServerOptions, Victim};
use rstest::rstest;

use super::slots::{Place, limits, many, store};
use crate::conformance::documents::{document, refs, scope};

fn assert_accounts(place: &Place) -> FeedCounts {
    let counts = place.client.feed_counts();
    assert_eq!(counts.operations, counts.done + counts.refused + counts.failed, "each write once: {counts:?}");
    counts
}

/// Troubles that stay: an error of the right kind after the attempts there are.
#[rstest]
#[case::unavailable(Fault::Unavailable, ErrorKind::Unavailable)]
#[case::bad_gateway(Fault::BadGateway, ErrorKind::Unavailable)]
#[case::failure(Fault::InternalError, ErrorKind::Internal)]
#[case::timeout(Fault::TimeoutInQueue, ErrorKind::Timeout)]
#[case::hang(Fault::Hang, ErrorKind::Timeout)]
#[case::reset(Fault::ResetConnection, ErrorKind::Unavailable)]
#[case::unauthorized(Fault::Unauthorized, ErrorKind::DestinationDenied)]
#[tokio::test]
async fn lasting_trouble_is_an_error_of_its_kind(#[case] fault: Fault, #[case] kind: ErrorKind) {
    let limits = VespaLimits { attempts: 3, write_timeout: Duration::from_millis(50), ..limits() };
    let place = Place::new(VespaServerOptions::default(), limits).await;
    let slot = place.chunks(&scope());
    let attempts = if fault == Fault::Unauthorized { 1 } else { 3 };
    place.server.inject(FaultRule::new(fault).on(Victim::Puts));
    let error = slot.upsert(&many(1)).await.expect_err("it lasts");
    assert_eq!(error.kind(), kind, "{}", error.chain());
    assert_eq!(place.server.journal().attempts("POST").values().copied().max(), Some(attempts));
    assert_eq!(assert_accounts(&place).failed, 1);
}

#[tokio::test]
async fn a_full_queue_slows_the_feed_down_and_loses_nothing() {
    let options = VespaServerOptions {
        workers: 2,
        service_time: Duration::from_millis(2),
        queue: QueueLimits { operations: 6, ..QueueLimits::default() },
        ..VespaServerOptions::default()
    };
    let place = Place::new(options, limits()).await;
    let slot = place.chunks(&scope());
    store(&slot, &many(300)).await;
    let counts = assert_accounts(&place);
    assert_eq!((counts.done, place.server.ids().len()), (300, 300));
    assert!(counts.throttled > 0, "16 at a time are more than 2 workers and a queue of 6: {counts:?}");
    assert!(counts.requests < 10 * 300, "who is refused waits before asking again: {counts:?}");
}

#[tokio::test]
async fn only_429_for_long_is_an_error() {
    let place =
        Place::new(VespaServerOptions::default(), VespaLimits { stall: Duration::from_millis(200), ..limits() }).await;
    let slot = place.chunks(&scope());
    place.server.inject(FaultRule::new(Fault::Overload).on(Victim::Puts));
    let error = slot.upsert(&many(5)).await.expect_err("it lasts");
    assert_eq!(error.kind(), ErrorKind::RateLimited);
    place.server.faults().clear();
    store(&slot, &many(5)).await;
}

#[tokio::test]
async fn without_space_the_feed_is_held_and_removes_pass() {
    let (place, slot) = Place::simple().await;
    store(&slot, &many(50)).await;
    let (blocked, window) = (Duration::from_millis(600), place.client.window());
    place.server.journal().clear();
    place.server.inject(FaultRule::new(Fault::NoSpace).lasting(blocked));
    let started = Instant::now();
    let (more, gone) = tokio::join!(
        async {
            let more: Vec<_> = (0..200).map(|n| document(&format!("more {n}"), 1, 1)).collect();
            store(&slot, &more).await;
            started.elapsed()
        },
        async {
            let gone = slot.delete(&refs(&["entity 0001", "entity 0002"])).await.expect("delete");
            (gone, started.elapsed())
        }
    );
    assert_eq!(gone.0, 2);
    assert!(gone.1 < blocked && more >= blocked, "removes do not wait ({:?}), puts do ({more:?})", gone.1);
    assert_eq!(place.server.ids().len(), 248);
    let refused = place.server.journal().statuses()[&507];
    // At most a window full before it is noticed, and then one per probe.
    assert!(refused <= window + 16, "{refused} puts were sent to a server without space, in a window of {window}");
    assert_accounts(&place);
}

#[tokio::test]
async fn no_space_for_long_is_an_error_and_the_next_feed_tries_again() {
    let limits = VespaLimits { space_wait: Duration::from_millis(200), ..limits() };
    let place = Place::new(VespaServerOptions::default(), limits).await;
    let slot = place.chunks(&scope());
    place.server.inject(FaultRule::new(Fault::NoSpace));
    let error = slot.upsert(&many(20)).await.expect_err("it lasts");
    assert_eq!(error.kind(), ErrorKind::OutOfSpace);
    assert_eq!(slot.delete(&refs(&["absent"])).await.expect("removes pass"), 0);
    place.server.faults().clear();
    store(&slot, &many(20)).await;
}

#[tokio::test]
async fn a_document_that_is_refused_is_refused_alone() {
    let options = VespaServerOptions { request_limit_bytes: 20_000, ..VespaServerOptions::default() };
    let place = Place::new(options, limits()).await;
    let slot = place.chunks(&scope());
    let mut documents = many(30);
    documents[7].chunks[0].text = "x".repeat(20_000);
    let rejected = "ConformanceEntity_entity 0011__chunk_0";
    place.server.inject(FaultRule::new(Fault::Rejected).on(Victim::Document(rejected.into())));
    let thrown_away = "ConformanceEntity_entity 0012__chunk_0";
    place.server.inject(FaultRule::new(Fault::IgnoredOperation).on(Victim::Document(thrown_away.into())));
    let mut outcome = slot.upsert(&documents).await.expect("upsert");
    outcome.rejected.sort_by(|left, right| left.entity.cmp(&right.entity));
    let reasons: Vec<(&str, &str)> =
        outcome.rejected.iter().map(|it| (it.entity.0.as_str(), it.reason.as_str())).collect();
    assert_eq!(reasons[0], ("entity 0007", "its document is larger than this Vespa takes (413)"));
    assert_eq!(reasons[1], ("entity 0011", "Vespa refuses its document (400)"));
    assert!(reasons[2].0 == "entity 0012" && reasons[2].1.contains("X-Vespa-Ignored-Operation"), "{reasons:?}");
    assert_eq!((outcome.accepted.len(), place.server.ids().len()), (27, 27));
    assert_eq!(assert_accounts(&place).refused, 3);
}

#[tokio::test]
async fn half_an_entity_does_not_stay() {
    let (place, slot) = Place::simple().await;
    store(&slot, &[document("whole", 1, 3), document("half", 1, 3)]).await;
    let refused = "ConformanceEntity_half__chunk_1";
    place.server.inject(FaultRule::new(Fault::Rejected).on(Victim::Document(refused.into())).times(1));
    let outcome = slot.upsert(&[document("half", 2, 4), document("whole", 2, 2)]).await.expect("upsert");
    assert_eq!(outcome.accepted, [(EntityRef("whole".into()), 2)]);
    assert_eq!(outcome.rejected.len(), 1);
    assert_eq!(place.server.ids().len(), 2, "{:?}", place.server.ids());
    // Refused in whole: what was there stays.
    place.server.faults().clear();
    let only = "ConformanceEntity_whole__chunk_0";
    place.server.inject(FaultRule::new(Fault::Rejected).on(Victim::Document(only.into())).times(1));
    assert_eq!(slot.upsert(&[document("whole", 3, 1)]).await.expect("upsert").rejected.len(), 1);
    assert_eq!(slot.read(&refs(&["whole"])).await.expect("read")[0].chunks.len(), 2);
}

/// Puts wait while others retry; visits and reads are repeated too.
#[tokio::test]
async fn reads_bear_passing_trouble() {
    let (place, slot) = Place::simple().await;
    store(&slot, &many(100)).await;
    for fault in [Fault::Overload, Fault::Unavailable, Fault::TimeoutInQueue, Fault::ResetConnection] {
        for victim in [Victim::Visits, Victim::Searches, Victim::Gets] {
            place.server.inject(FaultRule::new(fault.clone()).on(victim).times(1));
        }
        assert_eq!(slot.count().await.expect("count"), 100);
        assert_eq!(slot.read(&refs(&["entity 0001"])).await.expect("read").len(), 1);
        place.server.faults().clear();
    }
    place.server.inject(FaultRule::new(Fault::Unavailable).on(Victim::Visits));
    assert_eq!(slot.count().await.expect_err("it lasts").kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn what_a_query_cannot_see_is_visited() {
    let (place, slot) = Place::simple().await;
    store(&slot, &many(40)).await;
    slot.finish().await.expect("all nodes are there");
    place.server.inject(FaultRule::new(Fault::DegradedCoverage));
    assert_eq!(slot.finish().await.expect_err("some are away").kind(), ErrorKind::Unavailable);
    store(&slot, &[document("entity 0003", 2, 5)]).await;
    let ids: Vec<EntityRef> = (0..40).map(|n| EntityRef(format!("entity {n:04}"))).collect();
    assert_eq!(slot.read(&ids).await.expect("read").len(), 40);
    assert_eq!(slot.trim(&EntityRef("entity 0003".into()), 2).await.expect("trim"), 3);
    assert_eq!(slot.delete(&ids).await.expect("delete"), 41);
    assert_eq!(place.server.ids().len(), 0);
}
