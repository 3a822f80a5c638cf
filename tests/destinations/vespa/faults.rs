//! Trouble that passes, one fault after the other: nothing is lost, and nothing is counted twice. Trouble that stays, and
//! trouble with one document alone, is in `feeder`.
//!
//! Each feed is judged by three witnesses: what the destination says, what the server holds, and what the server was
//! asked.

use std::collections::BTreeMap;
use std::time::Duration;

use activities::destinations::vespa::{Vespa, VespaLimits};
use activities::destinations::{Destination, EntityDocument};
use futures::TryStreamExt;
use harness::until;
use harness::vespa::{Fault, FaultRule, VespaServerOptions, Victim};
use rstest::rstest;

use super::slots::{Place, limits, store};
use crate::conformance::documents::{document, scope};

/// A slot on a server whose workers take a moment, so that many requests are under way at once.
async fn busy(limits: VespaLimits) -> (Place, Vespa) {
    let options = VespaServerOptions { service_time: Duration::from_millis(2), ..VespaServerOptions::default() };
    let place = Place::new(options, limits).await;
    let slot = place.chunks(&scope());
    (place, slot)
}

fn entities(count: u32) -> Vec<EntityDocument> {
    (0..count).map(|n| document(&format!("entity {n}"), 1, 2)).collect()
}

/// Ids of the documents of all entities, in order.
fn ids_of(entities: &[EntityDocument]) -> Vec<String> {
    let ids_of_one = |entity: &EntityDocument| {
        let id = |chunk| format!("id:airweave:base_entity::{}", user_part(&entity.entity.0, chunk));
        (0..entity.chunks.len()).map(id).collect::<Vec<_>>()
    };
    let mut ids: Vec<String> = entities.iter().flat_map(ids_of_one).collect();
    ids.sort_unstable();
    ids
}

fn user_part(entity: &str, chunk: usize) -> String {
    format!("ConformanceEntity_{entity}__chunk_{chunk}")
}

/// What must be true after a feed of these entities and no others; how often each document was asked for.
async fn assert_fed(place: &Place, slot: &Vespa, entities: &[EntityDocument]) -> BTreeMap<String, usize> {
    let ids = ids_of(entities);
    assert_eq!(place.server.ids(), ids, "the server holds exactly these");
    assert_eq!(slot.count().await.expect("count"), ids.len() as u64);
    let counts = place.client.feed_counts();
    assert_eq!(counts.operations, ids.len() as u64, "each document is written once");
    assert_eq!((counts.done, counts.refused, counts.failed), (counts.operations, 0, 0), "and each write ends once");
    let puts = place.server.journal().attempts("POST");
    assert_eq!(puts.keys().collect::<Vec<_>>(), ids.iter().collect::<Vec<_>>(), "every document was asked for");
    assert_eq!(place.server.journal().most_on_one_document(), 1, "one request at a time per document");
    puts
}

/// So often does something go wrong, with two hundred documents to write.
const TIMES: u32 = 25;

/// What the client cannot tell from a write that was not done is written again: once for each fault, and no more.
#[rstest]
#[case::unavailable(Fault::Unavailable)]
#[case::bad_gateway(Fault::BadGateway)]
#[case::failure(Fault::InternalError)]
#[case::timeout_undone(Fault::TimeoutInQueue)]
#[case::timeout_done(Fault::TimeoutInBackend)]
#[case::stream_reset(Fault::ResetStream)]
#[case::overload(Fault::Overload)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_fails_is_repeated_and_no_other(#[case] fault: Fault) {
    let (place, slot) = busy(VespaLimits { attempts: 20, ..limits() }).await;
    place.server.inject(FaultRule::new(fault).on(Victim::Puts).every(3).times(TIMES));
    let entities = entities(100);
    store(&slot, &entities).await;
    let puts = assert_fed(&place, &slot, &entities).await;
    assert_eq!(puts.values().sum::<usize>(), 200 + TIMES as usize);
}

/// A request without an answer is given up; what else is under way goes on.
#[rstest]
#[case::hang(Fault::Hang)]
#[case::connection_reset(Fault::ResetConnection)]
#[case::answer_lost(Fault::LoseAnswer)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_without_an_answer_is_given_up_and_repeated(#[case] fault: Fault) {
    let (place, slot) = Place::simple().await;
    let entities = entities(5);
    for entity in &entities {
        let victim = Victim::Document(user_part(&entity.entity.0, 0));
        place.server.inject(FaultRule::new(fault.clone()).on(victim).times(1));
    }
    for entity in &entities {
        store(&slot, std::slice::from_ref(entity)).await;
    }
    let puts = assert_fed(&place, &slot, &entities).await;
    for (id, attempts) in puts {
        // A connection that is reset may take the other chunk's request along.
        let expected = if id.ends_with("__chunk_0") || fault != Fault::Hang { 1..=2 } else { 1..=1 };
        assert!(expected.contains(&attempts), "{id} was tried {attempts} times");
        assert!(!id.ends_with("__chunk_0") || attempts == 2, "{id} was repeated");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_connection_is_reset_again_and_again() {
    let (place, slot) = busy(VespaLimits { attempts: 50, ..limits() }).await;
    let entities = entities(200);
    let breaking = async {
        for already in [50, 120, 200, 280] {
            let is_there = || async { place.server.ids().len() > already };
            until("some documents are there", Duration::from_secs(20), is_there).await;
            place.server.reset_connections();
        }
    };
    tokio::join!(store(&slot, &entities), breaking);
    assert_fed(&place, &slot, &entities).await;
}

/// Vespa Cloud tells connections to go all day long. What is under way is answered, and the rest goes elsewhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_told_to_go_cost_nothing() {
    let (place, slot) = busy(limits()).await;
    place.server.inject(FaultRule::new(Fault::GoAway).on(Victim::Puts).every(20));
    let entities = entities(200);
    store(&slot, &entities).await;
    let puts = assert_fed(&place, &slot, &entities).await;
    assert_eq!(puts.values().sum::<usize>(), 400, "no request was made in vain");
    assert!(place.server.journal().connections() > 8, "others were opened");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_in_the_middle_is_outlasted() {
    let (place, slot) = busy(VespaLimits { attempts: 100, ..limits() }).await;
    let entities = entities(200);
    let restarting = async {
        let is_there = || async { place.server.ids().len() > 100 };
        until("some documents are there", Duration::from_secs(20), is_there).await;
        place.server.stop().await;
        let before = place.client.feed_counts().requests;
        let has_failed = || async { place.client.feed_counts().requests > before + 20 };
        until("writes have failed", Duration::from_secs(20), has_failed).await;
        place.server.restart().await;
    };
    tokio::join!(store(&slot, &entities), restarting);
    assert_fed(&place, &slot, &entities).await;
}

/// A page that fails is asked for again; a page that fails for good is an error and never a short list.
#[rstest]
#[case::failure(Fault::InternalError)]
#[case::unavailable(Fault::Unavailable)]
#[case::overload(Fault::Overload)]
#[case::connection_reset(Fault::ResetConnection)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scan_is_whole_or_an_error(#[case] fault: Fault) {
    let limits = VespaLimits { stall: Duration::from_millis(200), attempts: 4, ..limits() };
    let place = Place::new(VespaServerOptions::default(), limits).await;
    let slot = place.chunks(&scope());
    let entities = entities(300);
    store(&slot, &entities).await;
    place.server.inject(FaultRule::new(fault.clone()).on(Victim::Visits).every(2));
    let scan = async || slot.scan().await?.try_collect::<Vec<_>>().await;
    let scanned = scan().await.expect("every other page fails");
    assert_eq!(scanned.len(), 300);
    assert!(scanned.iter().all(|(_, points)| *points == 2), "each document is seen once");
    assert_eq!(slot.count().await.expect("every other page fails"), 600);
    place.server.inject(FaultRule::new(fault).on(Victim::Visits));
    assert!(scan().await.expect_err("every page fails").kind().is_retryable());
    assert!(slot.count().await.expect_err("every page fails").kind().is_retryable());
    assert!(slot.clear().await.expect_err("every page fails").kind().is_retryable());
    assert_eq!(place.server.ids().len(), 600);
}
