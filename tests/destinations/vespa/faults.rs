//! What goes wrong on the way to Vespa, one fault after the other: nothing is lost, and nothing is counted twice.
//!
//! Each feed is judged by three witnesses: what the destination says, what the server holds, and what the server was
//! asked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use activities::destinations::vespa::{Vespa, VespaClient, VespaLimits, VespaSettings};
use activities::destinations::{Destination, EntityDocument, Scope, UpsertOutcome};
use activities::error::ErrorKind;
use futures::TryStreamExt;
use harness::until;
use harness::vespa::{
    Fault, FaultRule, Generation, KeywordScore, QueueLimits, VespaServer, VespaServerOptions, Victim,
    illegal_code_point,
};
use proto::v1::VespaLayout;
use proto::v1::vespa_layout::{Documents, Ids};
use rstest::rstest;
use uuid::Uuid;

use super::place::Place;
use crate::conformance::DIMENSIONS;
use crate::conformance::documents::{document, refs, scope};
use crate::conformance::observe::kind;

/// A slot on a server of its own.
struct Feed {
    place: Place,
    client: Arc<VespaClient>,
    scope: Scope,
}

fn options() -> VespaServerOptions {
    VespaServerOptions { keyword_score: KeywordScore::SparseTensor, ..VespaServerOptions::default() }
}

/// Short enough for tests.
fn limits() -> VespaLimits {
    VespaLimits {
        first_delay: Duration::from_millis(2),
        space_probe: Duration::from_millis(50),
        write_timeout: Duration::from_millis(300),
        ..VespaLimits::default()
    }
}

impl Feed {
    async fn open(options: VespaServerOptions, limits: VespaLimits) -> Self {
        let place = Place::server(options).await;
        let client = Arc::new(VespaClient::new(&place.endpoint(), limits).expect("the endpoint is usable"));
        Self { place, client, scope: scope() }
    }

    fn server(&self) -> &VespaServer {
        self.place.server.as_ref().expect("a server of its own")
    }

    fn slot(&self) -> Vespa {
        self.slot_of(&self.scope, Ids::Platform)
    }

    fn slot_of(&self, scope: &Scope, ids: Ids) -> Vespa {
        let layout = VespaLayout { documents: Documents::Chunk.into(), ids: ids.into(), ..VespaLayout::default() };
        let settings = VespaSettings::from_layout(&layout, DIMENSIONS).expect("the layout is valid");
        Vespa::new(self.client.clone(), scope.clone(), settings)
    }

    /// Writes entities of which all but `refused` must be taken, and asks the witnesses. `repeated` is how many requests
    /// the faults cost.
    async fn feed(&self, entities: &[EntityDocument], refused: &[&str], repeated: usize) -> UpsertOutcome {
        let before = self.client.feed_counts();
        self.server().journal().clear();
        let outcome = self.slot().upsert(entities).await.expect("the feed goes through");

        let taken: Vec<&EntityDocument> =
            entities.iter().filter(|entity| !refused.contains(&entity.entity.0.as_str())).collect();
        let mut accepted: Vec<(&str, usize)> =
            outcome.accepted.iter().map(|(entity, points)| (entity.0.as_str(), *points as usize)).collect();
        accepted.sort_unstable();
        let mut expected: Vec<(&str, usize)> =
            taken.iter().map(|entity| (entity.entity.0.as_str(), entity.chunks.len())).collect();
        expected.sort_unstable();
        assert_eq!(accepted, expected, "each entity is named once");
        let named: Vec<&str> = outcome.rejected.iter().map(|rejection| rejection.entity.0.as_str()).collect();
        assert_eq!(named, refused);

        let mut ids: Vec<String> = taken.iter().flat_map(|entity| ids_of(entity)).collect();
        ids.sort_unstable();
        assert_eq!(self.server().ids(), ids, "the server holds exactly these");
        assert_eq!(self.slot().count().await.expect("count"), ids.len() as u64);
        for entity in taken {
            let stored = self.slot().read(std::slice::from_ref(&entity.entity)).await.expect("read");
            assert_eq!(stored[0].content_hash, entity.content_hash, "{}", entity.entity.0);
        }

        let puts = self.server().journal().attempts("POST");
        let documents: usize = entities.iter().map(|entity| entity.chunks.len()).sum();
        assert!(puts.values().all(|attempts| *attempts > 0));
        assert_eq!(puts.len(), documents, "every document was asked for");
        assert_eq!(puts.values().sum::<usize>(), documents + repeated, "no request was made in vain");
        assert_eq!(self.server().journal().most_on_one_document(), 1, "one at a time per document");
        let counts = self.client.feed_counts();
        let (operations, done) = (counts.operations - before.operations, counts.done - before.done);
        let (refused, failed) = (counts.refused - before.refused, counts.failed - before.failed);
        assert_eq!(operations, done + refused + failed, "every write ends once");
        assert_eq!(failed, 0);
        outcome
    }
}

/// Ids of an entity's documents in the platform's scheme.
fn ids_of(entity: &EntityDocument) -> Vec<String> {
    let id = |chunk: u32| format!("id:airweave:base_entity::{}", user_part(&entity.entity.0, chunk));
    (0..entity.chunks.len() as u32).map(id).collect()
}

fn user_part(entity: &str, chunk: u32) -> String {
    format!("ConformanceEntity_{entity}__chunk_{chunk}")
}

fn entities(count: u32) -> Vec<EntityDocument> {
    (0..count).map(|n| document(&format!("entity {n}"), 1, 2)).collect()
}

/// So often does something go wrong, with two hundred documents to write.
const TIMES: u32 = 25;

/// What the client cannot tell from a write that was not done is written again: once more, and no more.
#[rstest]
#[case::unavailable(Fault::Unavailable)]
#[case::bad_gateway(Fault::BadGateway)]
#[case::internal_error(Fault::InternalError)]
#[case::timeout_in_queue(Fault::TimeoutInQueue)]
#[case::timeout_in_backend(Fault::TimeoutInBackend)]
#[case::reset_stream(Fault::ResetStream)]
#[case::overload(Fault::Overload)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_fails_is_repeated(#[case] fault: Fault) {
    let feed = Feed::open(options(), limits()).await;
    feed.server().inject(FaultRule::new(fault).on(Victim::Puts).every(3).times(TIMES));
    feed.feed(&entities(100), &[], TIMES as usize).await;
}

#[rstest]
#[case::reset(Fault::ResetConnection)]
#[case::answer_lost(Fault::LoseAnswer)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_reset_takes_its_requests_along(#[case] fault: Fault) {
    // One request after the other, so that each reset costs exactly one.
    let feed = Feed::open(options(), limits()).await;
    for n in 0..5 {
        let victim = Victim::Document(user_part(&format!("entity {n}"), 0));
        feed.server().inject(FaultRule::new(fault.clone()).on(victim).times(1));
    }
    let slot = feed.slot();
    for entity in &entities(5) {
        let outcome = slot.upsert(std::slice::from_ref(entity)).await.expect("the feed goes through");
        assert_eq!((outcome.accepted.len(), outcome.rejected.len()), (1, 0));
    }
    assert_eq!(feed.server().ids().len(), 10);
    let counts = feed.client.feed_counts();
    assert_eq!((counts.operations, counts.done, counts.refused, counts.failed), (10, 10, 0, 0));
    let puts = feed.server().journal().attempts("POST");
    for n in 0..5 {
        let id = format!("id:airweave:base_entity::{}", user_part(&format!("entity {n}"), 0));
        assert!(puts[&id] >= 2, "{id} was repeated");
    }
}

/// The faults hit whatever is under way; how many requests that costs depends on the moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_connection_is_reset_again_and_again() {
    let options = VespaServerOptions { service_time: Duration::from_millis(3), ..options() };
    let limits = VespaLimits { attempts: 50, ..limits() };
    let feed = Feed::open(options, limits).await;
    let (slot, entities) = (feed.slot(), entities(200));
    let writing = slot.upsert(&entities);
    let breaking = async {
        for already in [50, 120, 200, 280] {
            until("some documents are there", Duration::from_secs(20), || async {
                feed.server().ids().len() > already
            })
            .await;
            feed.server().reset_connections();
        }
    };
    let (outcome, ()) = tokio::join!(writing, breaking);
    assert_eq!(outcome.expect("the feed goes through").accepted.len(), 200);
    assert_eq!(feed.server().ids().len(), 400);
    let counts = feed.client.feed_counts();
    assert_eq!((counts.operations, counts.done, counts.failed), (400, 400, 0));
}

/// Vespa Cloud tells connections to go all day long. What is under way is answered, and the rest goes elsewhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_told_to_go_cost_nothing() {
    let options = VespaServerOptions { service_time: Duration::from_millis(2), ..options() };
    let feed = Feed::open(options, limits()).await;
    feed.server().inject(FaultRule::new(Fault::GoAway).on(Victim::Puts).every(20));
    feed.feed(&entities(200), &[], 0).await;
    assert!(feed.server().journal().connections() > 8, "others were opened");
}

/// Overload that nobody scripted: two workers, and room for four to wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_is_too_small_slows_the_feed_down() {
    let options = VespaServerOptions {
        service_time: Duration::from_millis(1),
        workers: 2,
        queue: QueueLimits { operations: 4, ..QueueLimits::default() },
        ..options()
    };
    let feed = Feed::open(options, limits()).await;
    let entities = entities(200);
    let outcome = feed.slot().upsert(&entities).await.expect("the feed goes through");
    assert_eq!((outcome.accepted.len(), outcome.rejected.len()), (200, 0));
    assert_eq!(feed.server().ids().len(), 400);
    let (counts, statuses) = (feed.client.feed_counts(), feed.server().journal().statuses());
    assert!(statuses[&429] > 0, "it was too small");
    assert_eq!(counts.throttled, statuses[&429] as u64);
    assert_eq!((counts.operations, counts.done, counts.failed), (400, 400, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overload_without_end_is_an_error_in_the_end() {
    let limits = VespaLimits { stall: Duration::from_millis(200), ..limits() };
    let feed = Feed::open(options(), limits).await;
    feed.server().inject(FaultRule::new(Fault::Overload).on(Victim::Writes));
    assert_eq!(kind(feed.slot().upsert(&entities(20)).await), ErrorKind::RateLimited);
    let requests = feed.server().journal().requests().len();
    assert!(requests < 2_000, "{requests} requests in 200 ms hardly back off");
}

/// The whole feed holds its breath and looks now and then; removes go on, for they make room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_node_holds_all_puts_and_lets_removes_pass() {
    let feed = Feed::open(options(), limits()).await;
    let old = [document("old", 1, 4)];
    feed.feed(&old, &[], 0).await;
    feed.server().journal().clear();
    feed.server().inject(FaultRule::new(Fault::NoSpace).on(Victim::Writes).lasting(Duration::from_secs(1)));
    let slot = feed.slot();
    let new = entities(200);
    let writing = slot.upsert(&new);
    let making_room = async {
        until("the node is full", Duration::from_secs(5), || async {
            feed.server().journal().statuses().contains_key(&507)
        })
        .await;
        let removed = slot.delete(&refs(&["old"])).await.expect("removes pass");
        assert!(!feed.server().journal().attempts("POST").is_empty());
        assert_eq!(removed, 4);
        assert!(feed.server().ids().is_empty(), "nothing was put meanwhile");
    };
    let (outcome, ()) = tokio::join!(writing, making_room);
    assert_eq!(outcome.expect("the feed goes through").accepted.len(), 200);
    assert_eq!(feed.server().ids().len(), 400);
    let refused = feed.server().journal().statuses()[&507];
    // Those that were under way when it began, and a probe each 50 ms for a second.
    assert!(refused < 16 + 25, "{refused} puts were tried on a full node");
    let counts = feed.client.feed_counts();
    assert_eq!((counts.operations, counts.done, counts.failed), (4 + 400 + 4, 4 + 400 + 4, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stays_full_is_out_of_space() {
    let limits = VespaLimits { space_wait: Duration::from_millis(300), ..limits() };
    let feed = Feed::open(options(), limits).await;
    feed.server().inject(FaultRule::new(Fault::NoSpace));
    assert_eq!(kind(feed.slot().upsert(&entities(50)).await), ErrorKind::OutOfSpace);
    assert_eq!(feed.server().ids(), [""; 0]);
    feed.server().faults().clear();
    feed.feed(&entities(50), &[], 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_hangs_is_given_up_and_repeated() {
    let feed = Feed::open(options(), limits()).await;
    for n in [3, 7] {
        let victim = Victim::Document(user_part(&format!("entity {n}"), 1));
        feed.server().inject(FaultRule::new(Fault::Hang).on(victim).times(1));
    }
    let outcome = feed.slot().upsert(&entities(50)).await.expect("the feed goes through");
    assert_eq!(outcome.accepted.len(), 50);
    assert_eq!(feed.server().ids().len(), 100);
    assert_eq!(feed.server().journal().attempts("POST").values().filter(|attempts| **attempts == 2).count(), 2);
    let counts = feed.client.feed_counts();
    assert_eq!((counts.operations, counts.requests, counts.done), (100, 102, 100));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_in_the_middle_is_outlasted() {
    let options = VespaServerOptions { service_time: Duration::from_millis(3), ..options() };
    let limits = VespaLimits { attempts: 100, ..limits() };
    let feed = Feed::open(options, limits).await;
    let (slot, entities) = (feed.slot(), entities(200));
    let writing = slot.upsert(&entities);
    let restarting = async {
        until("some documents are there", Duration::from_secs(20), || async { feed.server().ids().len() > 100 }).await;
        feed.server().stop().await;
        let requests = feed.client.feed_counts().requests;
        until("writes have failed", Duration::from_secs(20), || async {
            feed.client.feed_counts().requests > requests + 20
        })
        .await;
        feed.server().restart().await;
    };
    let (outcome, ()) = tokio::join!(writing, restarting);
    assert_eq!(outcome.expect("the feed goes through").accepted.len(), 200);
    assert_eq!(feed.server().ids().len(), 400);
    assert_eq!(feed.client.feed_counts().failed, 0);
}

/// 400 and 413 are about one document: never repeated, and its entity is named.
#[rstest]
#[case::rejected(Fault::Rejected, "400")]
#[case::too_large(Fault::TooLarge, "413")]
#[case::ignored(Fault::IgnoredOperation, "X-Vespa-Ignored-Operation")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_that_is_refused_is_rejected_alone(#[case] fault: Fault, #[case] words: &str) {
    let feed = Feed::open(options(), limits()).await;
    feed.server().inject(FaultRule::new(fault).on(Victim::Document(user_part("entity 7", 1))));
    let outcome = feed.feed(&entities(50), &["entity 7"], 0).await;
    let reason = &outcome.rejected[0].reason;
    assert!(reason.contains(words) && !reason.contains("text of"), "{reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_that_is_truly_too_large_is_rejected_alone() {
    let options = VespaServerOptions { request_limit_bytes: 100_000, ..options() };
    let feed = Feed::open(options, limits()).await;
    let mut entities = entities(20);
    entities[3].chunks[0].text = "words ".repeat(40_000);
    let outcome = feed.feed(&entities, &["entity 3"], 0).await;
    assert!(outcome.rejected[0].reason.contains("413"), "{:?}", outcome.rejected);
}

/// The platform's ids do not tell syncs apart. The document of another sync stays, and the entity is rejected.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_syncs_document_is_not_written_over() {
    let feed = Feed::open(options(), limits()).await;
    let other = Scope { sync_id: Uuid::new_v4(), slot_id: Uuid::new_v4(), ..feed.scope.clone() };
    let theirs = feed.slot_of(&other, Ids::Platform);
    theirs.upsert(&[document("shared", 1, 2)]).await.expect("the feed goes through");
    let outcome = feed.slot().upsert(&[document("shared", 2, 2), document("own", 2, 1)]).await.expect("upsert");
    assert_eq!(outcome.accepted.len(), 1);
    assert!(outcome.rejected[0].reason.contains("IDS_SCOPED"), "{:?}", outcome.rejected);
    assert_eq!(feed.server().journal().statuses()[&412], 2, "refused by the server, and not repeated");
    let stored = theirs.read(&refs(&["shared"])).await.expect("read");
    assert_eq!(stored[0].content_hash, document("shared", 1, 2).content_hash);

    let scoped = feed.slot_of(&feed.scope, Ids::Scoped);
    let outcome = scoped.upsert(&[document("shared", 2, 2)]).await.expect("upsert");
    assert_eq!((outcome.accepted.len(), outcome.rejected.len()), (1, 0), "side by side");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_arrive_as_they_were_meant() {
    let feed = Feed::open(options(), limits()).await;
    let ids = [
        "a+b",
        "a b",
        "a%2Bb",
        "a/b",
        "a//b",
        "https://x.y//z?q=1&r=2#s",
        "..",
        ".",
        "../../x",
        "/",
        "trail/",
        "%",
        "%2F",
        "|^[]{}<>`\"\\",
        ":@;=&!'(),*~$",
        "é漢\u{1f980}",
        "a\tb\nc",
    ];
    let documents: Vec<EntityDocument> = ids.iter().map(|id| document(id, 1, 2)).collect();
    feed.feed(&documents, &[], 0).await;
    for (left, id) in ids.iter().enumerate().map(|(n, id)| (ids.len() - n - 1, id)) {
        assert_eq!(feed.slot().delete(&refs(&[id])).await.expect("delete"), 2, "{id:?}");
        assert_eq!(feed.server().ids().len(), 2 * left, "{id:?} and nothing else");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_characters_are_taken_out_and_ids_with_them_refused() {
    let feed = Feed::open(options(), limits()).await;
    let mut entity = document("plain", 1, 1);
    entity.chunks[0].text = "a\u{8}b\0\u{fdd0}\u{ffff}\u{1fffe}c\t".to_owned();
    entity.chunks[0].payload = serde_json::json!({
        "name": "na\u{8}me", "k\u{1}ey": "v\u{2}", "breadcrumbs": [{ "entity_id": "x\u{3}", "name": "n\u{fffe}" }],
    })
    .to_string();
    let bad = document("bad\u{7}", 1, 1);
    let outcome = feed.slot().upsert(&[entity.clone(), bad]).await.expect("the feed goes through");
    assert_eq!((outcome.accepted.len(), outcome.rejected.len()), (1, 1));
    assert!(outcome.rejected[0].reason.contains("U+0007"), "{:?}", outcome.rejected);
    assert_eq!(feed.server().journal().statuses().get(&400), None, "nothing was tried in vain");
    let stored = feed.server().document(&ids_of(&entity)[0]).expect("it is there");
    assert_eq!(stored["textual_representation"], "abc\t");
    assert_eq!(stored["name"], "name");
    assert_eq!(illegal_code_point(&stored.to_string()), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fields_that_are_dropped_are_no_success() {
    let options =
        VespaServerOptions { generation: Generation::RawEntities, ignore_undefined_fields: true, ..options() };
    let feed = Feed::open(options, limits()).await;
    assert_eq!(kind(feed.slot().prepare().await), ErrorKind::IncompatibleDestination);
    assert_eq!(kind(feed.slot().upsert(&entities(5)).await), ErrorKind::IncompatibleDestination);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_without_document_api_is_no_success() {
    let feed = Feed::open(VespaServerOptions { document_api: false, ..options() }, limits()).await;
    assert_eq!(kind(feed.slot().prepare().await), ErrorKind::InvalidInput);
    assert_eq!(kind(feed.slot().upsert(&entities(5)).await), ErrorKind::InvalidInput);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_credentials_end_the_feed_at_once() {
    let feed = Feed::open(options(), limits()).await;
    feed.server().inject(FaultRule::new(Fault::Unauthorized).on(Victim::Puts));
    assert_eq!(kind(feed.slot().upsert(&entities(50)).await), ErrorKind::DestinationDenied);
    assert!(feed.server().journal().attempts("POST").values().all(|attempts| *attempts == 1), "none is repeated");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_for_good_is_an_error_and_no_loss() {
    let limits = VespaLimits { attempts: 3, ..limits() };
    let feed = Feed::open(options(), limits).await;
    let victim = Victim::Document(user_part("entity 7", 0));
    feed.server().inject(FaultRule::new(Fault::Unavailable).on(victim));
    assert_eq!(kind(feed.slot().upsert(&entities(20)).await), ErrorKind::Unavailable);
    let puts = feed.server().journal().attempts("POST");
    assert_eq!(puts[&format!("id:airweave:base_entity::{}", user_part("entity 7", 0))], 3);
    feed.server().faults().clear();
    feed.feed(&entities(20), &[], 0).await;
}

/// Reading: a page that fails is asked for again, one that fails for good is an error and never a short list.
#[rstest]
#[case::internal_error(Fault::InternalError)]
#[case::unavailable(Fault::Unavailable)]
#[case::overload(Fault::Overload)]
#[case::reset(Fault::ResetConnection)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scan_is_whole_or_an_error(#[case] fault: Fault) {
    let limits = VespaLimits { stall: Duration::from_millis(200), ..limits() };
    let feed = Feed::open(options(), limits).await;
    let entities = entities(300);
    feed.feed(&entities, &[], 0).await;
    feed.server().inject(FaultRule::new(fault.clone()).on(Victim::Visits).every(2).times(6));
    let slot = feed.slot();
    let scanned: BTreeMap<String, u32> = slot
        .scan()
        .await
        .expect("scan")
        .map_ok(|(entity, points)| (entity.0, points))
        .try_collect()
        .await
        .expect("scan");
    assert_eq!(scanned.len(), 300);
    assert!(scanned.values().all(|points| *points == 2));
    assert_eq!(slot.count().await.expect("count"), 600);
    feed.server().faults().clear();
    feed.server().inject(FaultRule::new(fault).on(Victim::Visits));
    let scan = async { slot.scan().await?.try_collect::<Vec<_>>().await };
    assert!(scan.await.expect_err("it never succeeds").kind().is_retryable());
    assert!(slot.count().await.expect_err("it never succeeds").kind().is_retryable());
    assert!(slot.clear().await.expect_err("it never succeeds").kind().is_retryable());
}

/// A query that saw a part of the documents only must not decide what is removed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn degraded_coverage_is_not_believed() {
    let feed = Feed::open(options(), limits()).await;
    feed.feed(&[document("long", 1, 30), document("other", 1, 5)], &[], 0).await;
    feed.server().inject(FaultRule::new(Fault::DegradedCoverage));
    assert_eq!(kind(feed.slot().finish().await), ErrorKind::Unavailable);
    let outcome = feed.slot().upsert(&[document("long", 2, 3)]).await.expect("the feed goes through");
    assert_eq!(outcome.accepted.len(), 1);
    assert_eq!(feed.server().ids().len(), 8, "every surplus chunk is gone");
    assert_eq!(feed.slot().delete(&refs(&["long", "other"])).await.expect("delete"), 8);
    assert_eq!(feed.server().ids(), [""; 0]);
}
