//! What a server was asked, in order, and what it really stored.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ::qdrant_client::qdrant::alias_operations::Action;
use ::qdrant_client::qdrant::{CreateCollection, Filter, OptimizersConfigDiff};
use tonic::Code;

use super::store::PointKey;

/// The calls that are modelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Method {
    Upsert,
    Delete,
    UpdateBatch,
    Get,
    Scroll,
    Count,
    Query,
    QueryBatch,
    CreateFieldIndex,
    DeleteFieldIndex,
    CollectionInfo,
    CollectionExists,
    ListCollections,
    CreateCollection,
    UpdateCollection,
    DeleteCollection,
    UpdateAliases,
    ListAliases,
    ListCollectionAliases,
}

/// One request.
#[derive(Debug, Clone)]
pub struct Call {
    /// Which call.
    pub method: Method,
    /// The collection or alias it named; empty when it named none.
    pub collection: String,
    /// Points that were sent, or asked for by id.
    pub ids: Vec<PointKey>,
    /// Every filter in it, those of sub-requests too.
    pub filters: Vec<Filter>,
    /// Whether it wanted to wait; false when left out.
    pub wait: bool,
    /// The field of an index.
    pub field: String,
    /// Alias actions in order.
    pub alias_actions: Vec<Action>,
    /// What a collection was created with.
    pub created: Option<Box<CreateCollection>>,
    /// What an update of a collection changed of its optimizer.
    pub optimizers: Option<OptimizersConfigDiff>,
    /// How it was answered; nothing while it is under way, and for ever when the answer was lost with the connection.
    pub outcome: Option<Code>,
    /// Points that it really stored or removed.
    pub changed: u64,
}

impl Call {
    pub(super) fn new(method: Method, collection: &str) -> Self {
        Self {
            method,
            collection: collection.to_owned(),
            ids: Vec::new(),
            filters: Vec::new(),
            wait: false,
            field: String::new(),
            alias_actions: Vec::new(),
            created: None,
            optimizers: None,
            outcome: None,
            changed: 0,
        }
    }
}

/// The record of a server's life; restarts do not clear it.
#[derive(Debug, Default)]
pub struct Journal(Arc<Mutex<Record>>);

#[derive(Debug, Default)]
struct Record {
    calls: Vec<Call>,
    stored: HashMap<(String, PointKey), u32>,
    in_flight: HashMap<Method, u32>,
    most_in_flight: HashMap<Method, u32>,
    generation: u32,
    traceparents: BTreeSet<String>,
}

/// A call under way.
pub(super) struct Ticket {
    journal: Arc<Mutex<Record>>,
    at: usize,
    method: Method,
    generation: u32,
}

impl Journal {
    /// Every call so far, oldest first.
    #[must_use]
    pub fn all(&self) -> Vec<Call> {
        lock(&self.0).calls.clone()
    }

    /// Calls of one method, oldest first.
    #[must_use]
    pub fn calls(&self, method: Method) -> Vec<Call> {
        lock(&self.0).calls.iter().filter(|call| call.method == method).cloned().collect()
    }

    /// How often a method was called.
    #[must_use]
    pub fn count(&self, method: Method) -> usize {
        lock(&self.0).calls.iter().filter(|call| call.method == method).count()
    }

    /// Calls that could have changed points, alone or in a batch.
    #[must_use]
    pub fn writes(&self) -> usize {
        let writing = [Method::Upsert, Method::Delete, Method::UpdateBatch];
        lock(&self.0).calls.iter().filter(|call| writing.contains(&call.method)).count()
    }

    /// How often a point was really stored in a collection.
    #[must_use]
    pub fn stored(&self, collection: &str, point: PointKey) -> u32 {
        lock(&self.0).stored.get(&(collection.to_owned(), point)).copied().unwrap_or_default()
    }

    /// The most calls of a method that were under way at the same time.
    #[must_use]
    pub fn most_in_flight(&self, method: Method) -> u32 {
        lock(&self.0).most_in_flight.get(&method).copied().unwrap_or_default()
    }

    /// Every `traceparent` that came with a call.
    #[must_use]
    pub fn traceparents(&self) -> BTreeSet<String> {
        lock(&self.0).traceparents.clone()
    }

    pub(super) fn traced(&self, traceparent: &str) {
        lock(&self.0).traceparents.insert(traceparent.to_owned());
    }

    pub(super) fn begin(&self, call: Call) -> Ticket {
        let mut record = lock(&self.0);
        let method = call.method;
        let now = record.in_flight.entry(method).or_default();
        *now += 1;
        let now = *now;
        let most = record.most_in_flight.entry(method).or_default();
        *most = now.max(*most);
        record.calls.push(call);
        let (at, generation) = (record.calls.len() - 1, record.generation);
        Ticket { journal: Arc::clone(&self.0), at, method, generation }
    }

    pub(super) fn point_stored(&self, collection: &str, point: PointKey) {
        *lock(&self.0).stored.entry((collection.to_owned(), point)).or_default() += 1;
    }

    /// After a kill nothing is under way, even if a task that held a call is dropped late.
    pub(super) fn nothing_in_flight(&self) {
        let mut record = lock(&self.0);
        record.in_flight.clear();
        record.generation += 1;
    }
}

impl Ticket {
    pub(super) fn changed(&self, points: u64) {
        lock(&self.journal).calls[self.at].changed = points;
    }

    pub(super) fn answered(self, code: Code) {
        lock(&self.journal).calls[self.at].outcome = Some(code);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut record = lock(&self.journal);
        if record.generation == self.generation
            && let Some(now) = record.in_flight.get_mut(&self.method)
        {
            *now -= 1;
        }
    }
}

fn lock(record: &Mutex<Record>) -> MutexGuard<'_, Record> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}
