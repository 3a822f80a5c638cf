//! What the server holds: collections of points, in memory, behind one lock.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::future::pending;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ::qdrant_client::qdrant::point_id::PointIdOptions;
use ::qdrant_client::qdrant::{CollectionConfig, CollectionStatus, PayloadSchemaInfo, PointId, Value};
use tonic::{Code, Response, Status};
use uuid::Uuid;

use super::faults::{Fault, Faults};
use super::journal::{Call, Journal, Method, Ticket};
use super::strict_mode::TokenBucket;
use super::vectors::StoredVectors;
use super::writes::Operation;
use super::{Answer, Look, QdrantServerOptions, wrong_input};

/// The id of a point; numbers come before UUIDs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PointKey {
    /// A number.
    Number(u64),
    /// A UUID.
    Uuid(Uuid),
}

impl From<u64> for PointKey {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<Uuid> for PointKey {
    fn from(uuid: Uuid) -> Self {
        Self::Uuid(uuid)
    }
}

impl From<PointKey> for PointId {
    fn from(key: PointKey) -> Self {
        match key {
            PointKey::Number(number) => number.into(),
            PointKey::Uuid(uuid) => uuid.to_string().into(),
        }
    }
}

impl TryFrom<PointId> for PointKey {
    type Error = Status;

    fn try_from(id: PointId) -> Result<Self, Status> {
        match id.point_id_options {
            Some(PointIdOptions::Num(number)) => Ok(Self::Number(number)),
            Some(PointIdOptions::Uuid(text)) => Uuid::parse_str(&text)
                .map(Self::Uuid)
                .map_err(|_| Status::invalid_argument(format!("Unable to parse UUID: {text}"))),
            None => Err(Status::invalid_argument("Empty ID is not allowed")),
        }
    }
}

impl fmt::Display for PointKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(formatter),
            Self::Uuid(uuid) => uuid.fmt(formatter),
        }
    }
}

/// A point as it is stored.
#[derive(Debug, Clone)]
pub(super) struct Point {
    pub(super) payload: HashMap<String, Value>,
    pub(super) vectors: StoredVectors,
    /// The operation that wrote it.
    pub(super) version: u64,
    /// Acknowledged, but neither counted nor found yet.
    pub(super) deferred: bool,
}

#[derive(Default)]
pub(super) struct Collection {
    pub(super) config: CollectionConfig,
    pub(super) indexes: BTreeMap<String, PayloadSchemaInfo>,
    pub(super) points: BTreeMap<PointKey, Point>,
    pub(super) queue: VecDeque<Operation>,
    /// Whether a look showed what is in the queue now.
    pub(super) queue_was_seen: bool,
    pub(super) looks: VecDeque<Look>,
    pub(super) write_tokens: Option<TokenBucket>,
    pub(super) operations: u64,
}

impl Collection {
    /// Points that readers see, in the order of their ids.
    pub(super) fn visible(&self) -> impl Iterator<Item = (PointKey, &Point)> {
        self.points.iter().filter(|(_, point)| !point.deferred).map(|(key, point)| (*key, point))
    }

    pub(super) fn next_operation(&mut self) -> u64 {
        self.operations += 1;
        self.operations
    }

    /// What the collection says of itself now. What it says stays true until the next look, which finds the optimizer and
    /// the queue one step further.
    pub(super) fn look(&mut self, name: &str, shared: &Shared) -> Look {
        if std::mem::replace(&mut self.queue_was_seen, true) {
            self.apply_queue(name, shared);
        }
        self.queue_was_seen = !self.queue.is_empty();
        let idle = Look { status: CollectionStatus::Green, queue: 0, deferred: 0 };
        let look = self.looks.pop_front().unwrap_or(idle);
        self.defer_newest(look.deferred);
        Look { queue: look.queue + u64::try_from(self.queue.len()).unwrap_or(u64::MAX), ..look }
    }

    /// Gives the optimizer work that takes so many looks.
    pub(super) fn optimize_for(&mut self, looks: u32, deferred: u64) {
        let look = Look { status: CollectionStatus::Yellow, queue: 0, deferred };
        self.looks = (0..looks).map(|_| look).collect();
        self.defer_newest(self.looks.front().map_or(0, |next| next.deferred));
    }

    pub(super) fn apply_queue(&mut self, name: &str, shared: &Shared) {
        while let Some(operation) = self.queue.pop_front() {
            // What fails after it was acknowledged is lost without a word.
            let _ = operation.apply(name, self, shared);
        }
    }

    fn defer_newest(&mut self, count: u64) {
        let mut newest: Vec<&mut Point> = self.points.values_mut().collect();
        newest.sort_by_key(|point| std::cmp::Reverse(point.version));
        for (at, point) in newest.into_iter().enumerate() {
            point.deferred = u64::try_from(at).is_ok_and(|at| at < count);
        }
    }
}

#[derive(Default)]
pub(super) struct Store {
    pub(super) collections: BTreeMap<String, Collection>,
    pub(super) aliases: BTreeMap<String, String>,
}

impl Store {
    /// The collection behind a name, which may be an alias.
    pub(super) fn resolve(&self, name: &str) -> Result<String, Status> {
        let name = self.aliases.get(name).map_or(name, String::as_str);
        if self.collections.contains_key(name) { Ok(name.to_owned()) } else { Err(no_such_collection(name)) }
    }

    pub(super) fn collection(&mut self, name: &str) -> Result<&mut Collection, Status> {
        let name = self.resolve(name)?;
        self.collections.get_mut(&name).ok_or_else(|| no_such_collection(&name))
    }

    pub(super) fn apply_queues(&mut self, shared: &Shared) {
        for (name, collection) in &mut self.collections {
            collection.apply_queue(name, shared);
        }
    }

    pub(super) fn show(&mut self, collection: &str, looks: &[Look]) {
        let collection = self.collection(collection).expect("the collection is there");
        collection.looks = looks.iter().copied().collect();
        collection.defer_newest(collection.looks.front().map_or(0, |next| next.deferred));
    }

    pub(super) fn stored_points(&mut self, collection: &str) -> Vec<PointKey> {
        self.collection(collection).map_or_else(|_| Vec::new(), |there| there.points.keys().copied().collect())
    }
}

pub(super) fn no_such_collection(name: &str) -> Status {
    Status::not_found(format!("Not found: Collection `{name}` doesn't exist!"))
}

/// What all calls share.
pub(super) struct Shared {
    pub(super) options: QdrantServerOptions,
    pub(super) journal: Journal,
    pub(super) faults: Faults,
    store: Mutex<Store>,
}

/// What a call may know of the fault it meets while it acts.
pub(super) struct Acting<'a> {
    pub(super) shared: &'a Shared,
    pub(super) ticket: &'a Ticket,
    /// The operation is taken, but its time runs out before it is applied.
    pub(super) wait_times_out: bool,
}

impl Shared {
    pub(super) fn new(options: QdrantServerOptions) -> Self {
        Self { options, journal: Journal::default(), faults: Faults::default(), store: Mutex::default() }
    }

    pub(super) fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers one call: writes it down, lets it meet the fault that is scripted for it, and acts under the lock.
    pub(super) async fn answer<T>(
        &self,
        call: Call,
        act: impl FnOnce(&mut Store, &Acting<'_>) -> Result<T, Status>,
    ) -> Answer<T> {
        let method = call.method;
        let ticket = self.journal.begin(call);
        let fault = self.faults.next(method);
        if method.writes_points() && !self.options.write_latency.is_zero() {
            tokio::time::sleep(self.options.write_latency).await;
        }
        if matches!(fault, Some(Fault::Hang)) {
            pending::<()>().await;
        }
        let answer = match fault.as_ref().and_then(Fault::refusal) {
            Some(refusal) => Err(refusal),
            None => {
                let wait_times_out = matches!(fault, Some(Fault::WaitTimeout));
                act(&mut self.store(), &Acting { shared: self, ticket: &ticket, wait_times_out })
            }
        };
        if matches!(fault, Some(Fault::Silence)) {
            pending::<()>().await;
        }
        let answer = match fault {
            Some(Fault::AnswerLost) => Err(Status::unavailable("scripted: the answer was lost")),
            _ => answer,
        };
        ticket.answered(answer.as_ref().err().map_or(Code::Ok, Status::code));
        answer.map(Response::new)
    }
}

impl Method {
    fn writes_points(self) -> bool {
        matches!(self, Self::Upsert | Self::Delete | Self::UpdateBatch)
    }
}

/// Ids of a request, each checked.
pub(super) fn keys(ids: Vec<PointId>) -> Result<Vec<PointKey>, Status> {
    ids.into_iter().map(PointKey::try_from).collect()
}

/// Refuses an argument that this server would have to take into account.
pub(super) fn absent<T>(value: Option<&T>, what: &str) -> Result<(), Status> {
    if value.is_some() { Err(super::not_modelled(what)) } else { Ok(()) }
}

/// Refuses a limit of zero, which the real server does not take either.
pub(super) fn limit(limit: Option<u64>, otherwise: u64) -> Result<usize, Status> {
    match limit.unwrap_or(otherwise) {
        0 => Err(wrong_input("limit must be 1 or larger")),
        limit => usize::try_from(limit).map_err(wrong_input),
    }
}
