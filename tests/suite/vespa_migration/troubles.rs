//! Vespa is in trouble in the middle of a fork: the fork waits, and completes with each entity exactly once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use harness::vespa::{Fault, FaultRule, Generation, VespaServer, VespaServerOptions, Victim};
use harness::{Worker, World, WorldOptions, until};
use proto::v1::profile::Destination;
use proto::v1::vespa_layout::{Documents, Ids};
use proto::v1::{ForkOptions, ForkRequest, ForkResult};
use serde_json::json;
use sync_multiplexer::output::Failure;
use sync_multiplexer::temporal;
use temporalio_client::{Client, WorkflowDescribeOptions, WorkflowHandle};
use workflows::fork::ForkWorkflow;

use super::stage::{layout, request};

const PATIENCE: Duration = Duration::from_secs(60);

const ENTITIES: usize = 160;

const LANES: u32 = 4;
const BATCH: u32 = 8;

/// Documents that are written and not yet recorded, at most.
const IN_HAND: u32 = LANES * BATCH;

/// Documents after which the trouble begins.
const EARLY: usize = 40;

/// A fork to a slow Vespa, under way.
struct UnderWay {
    world: World,
    worker: Worker,
    server: VespaServer,
    fork: WorkflowHandle<Client, ForkWorkflow>,
}

impl UnderWay {
    /// Starts the fork and waits until some documents are there.
    async fn new() -> Self {
        let world = World::with(WorldOptions { entities: ENTITIES, ..WorldOptions::default() }).await;
        let worker = world.worker();
        let options = VespaServerOptions {
            generation: Generation::RawEntities,
            workers: 1,
            service_time: Duration::from_millis(10),
            ..VespaServerOptions::default()
        };
        let server = VespaServer::start(options).await;
        let connection = world.connect_destination("vespa", json!({ "url": server.url() })).await;
        let layout = Destination::Vespa(layout(Documents::RawEntity, Ids::Platform));
        let options =
            ForkOptions { lanes: LANES, batch_entities: BATCH, segment_entities: 40, ..ForkOptions::default() };
        let request = ForkRequest { options: Some(options), ..request(&world, connection, layout) };
        let fork = world.start_fork(&request).await.expect("a fork starts");
        let under_way = Self { world, worker, server, fork };
        let there = format!("{EARLY} documents are there");
        until(&there, PATIENCE, async || under_way.server.ids().len() >= EARLY).await;
        under_way
    }

    /// Fails when the fork was over before the trouble began: then it would prove nothing.
    fn assert_in_the_middle(&self) {
        assert!(self.server.ids().len() < ENTITIES, "the fork was over before it was in trouble");
    }

    /// The highest attempt of what Temporal has under way.
    async fn attempt(&self) -> i32 {
        let description = self.fork.describe(WorkflowDescribeOptions::default()).await.expect("Temporal answers");
        description.raw_description.pending_activities.iter().map(|it| it.attempt).max().unwrap_or_default()
    }

    /// How often each document was really written.
    fn writes(&self) -> BTreeMap<String, usize> {
        let mut writes: BTreeMap<String, usize> = self.server.ids().into_iter().map(|id| (id, 0)).collect();
        for request in self.server.journal().requests() {
            let count = request.id.as_ref().and_then(|id| writes.get_mut(id));
            if let (Some(count), "POST", Some(200)) = (count, request.method.as_str(), request.status) {
                *count += 1;
            }
        }
        writes
    }

    /// How often each document was refused for want of space.
    fn refusals(&self) -> BTreeMap<String, usize> {
        let mut refusals = BTreeMap::new();
        for request in self.server.journal().requests().into_iter().filter(|it| it.status == Some(507)) {
            *refusals.entry(request.id.expect("only writes are refused")).or_default() += 1;
        }
        refusals
    }

    /// Waits for the end; every entity must be there exactly once.
    async fn completes(&self) -> ForkResult {
        let ended: Result<ForkResult, Failure> = temporal::watch_fork(&self.fork, |_| {}).await;
        let result = ended.expect("the fork completes");
        let all = ENTITIES as u64;
        assert_eq!((result.entities, result.points, result.dead_letter_count), (all, all, 0), "{result:?}");
        let mut expected: Vec<&str> = self.world.entity_ids.iter().map(String::as_str).collect();
        expected.sort_unstable();
        let documents = self.server.ids();
        let mut there: Vec<String> = documents
            .iter()
            .map(|id| self.server.document(id).expect("it is there")["entity_id"].as_str().expect("a text").to_owned())
            .collect();
        there.sort_unstable();
        assert_eq!(there, expected, "each entity is one document");
        let slot = &self.world.list().slots[0];
        assert_eq!((slot.entities, slot.points), (all, all));
        result
    }

    async fn done(self) {
        assert!(self.worker.stop(), "the worker ends well");
        self.world.done().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_waits_for_a_vespa_that_is_gone() {
    let fork = UnderWay::new().await;
    fork.server.stop().await;
    fork.assert_in_the_middle();
    until("an attempt has failed", PATIENCE, async || fork.attempt().await > 1).await;
    let without = fork.server.ids().len();
    fork.server.restart().await;
    fork.completes().await;
    // What was written and not answered may be written again, and nothing else.
    let again: usize = fork.writes().values().map(|times| times.saturating_sub(1)).sum();
    eprintln!("gone after {without} documents, {again} written again");
    assert!(again <= IN_HAND as usize, "{again} documents were written again");
    fork.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_holds_still_while_there_is_no_space() {
    let fork = UnderWay::new().await;
    fork.server.inject(FaultRule::new(Fault::NoSpace).on(Victim::Writes));
    fork.assert_in_the_middle();
    let since = Instant::now();
    until("a refused document is tried again", PATIENCE, async || fork.refusals().values().any(|times| *times > 1))
        .await;
    let (refused, attempt): (usize, i32) = (fork.refusals().values().sum(), fork.attempt().await);
    // Of what was in hand each document once, and then one try each five seconds.
    let tries = since.elapsed().as_secs() / 5 + 1;
    fork.assert_in_the_middle();
    fork.server.faults().clear();
    fork.completes().await;
    assert_eq!(attempt, 1, "the feed is held, and does not fail");
    assert!(refused as u64 <= IN_HAND as u64 + tries, "{refused} refusals in {:?}", since.elapsed());
    assert!(fork.writes().values().all(|times| *times == 1), "nothing is written twice");
    fork.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_slows_down_for_a_vespa_that_is_overloaded() {
    const STORM: u32 = 120;
    let fork = UnderWay::new().await;
    fork.server.inject(FaultRule::new(Fault::Overload).on(Victim::Puts).times(STORM));
    fork.assert_in_the_middle();
    fork.completes().await;
    assert!(fork.server.journal().statuses()[&429] >= STORM as usize, "{:?}", fork.server.journal().statuses());
    assert!(fork.writes().values().all(|times| *times == 1), "nothing is written twice");
    fork.done().await;
}
