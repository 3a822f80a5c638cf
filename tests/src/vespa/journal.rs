//! What the server was asked, for tests: each request, how many were under way at once, and over how many connections.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use hyper::Version;

/// One request.
#[derive(Debug, Clone)]
pub struct Request {
    /// Of which connection, counted from 1.
    pub connection: u64,
    /// HTTP version.
    pub version: Version,
    /// HTTP method.
    pub method: String,
    /// Path as it was sent.
    pub path: String,
    /// Query as it was sent.
    pub query: String,
    /// The document it is about, when there is one.
    pub id: Option<String>,
    /// The trace it belongs to, as it was sent.
    pub traceparent: Option<String>,
    /// Whether the body was compressed.
    pub compressed: bool,
    /// Bytes of the body, uncompressed.
    pub bytes: usize,
    /// Status that was answered; none while it is under way, and when it never was.
    pub status: Option<u16>,
}

/// Everything that was asked.
#[derive(Debug, Default)]
pub struct Journal {
    pages: Mutex<Pages>,
}

#[derive(Debug, Default)]
struct Pages {
    requests: Vec<Request>,
    in_flight: usize,
    most_in_flight: usize,
    by_document: BTreeMap<String, usize>,
    most_on_one_document: usize,
    /// Requests of earlier times that are still under way have numbers below this.
    cleared: usize,
}

/// A line of the journal that is being written. Dropped without [`Self::close`], the request stays unanswered.
#[derive(Debug)]
pub struct OpenRequest<'a> {
    journal: &'a Journal,
    number: usize,
    id: Option<String>,
    status: Option<u16>,
}

impl Journal {
    /// Notes a request that arrived.
    pub(super) fn open(&self, request: Request) -> OpenRequest<'_> {
        let mut pages = self.pages.lock().expect("no holder panics");
        let id = request.id.clone();
        pages.in_flight += 1;
        pages.most_in_flight = pages.most_in_flight.max(pages.in_flight);
        if let Some(id) = &id {
            let on_this = pages.by_document.entry(id.clone()).or_default();
            *on_this += 1;
            let on_this = *on_this;
            pages.most_on_one_document = pages.most_on_one_document.max(on_this);
        }
        let number = pages.cleared + pages.requests.len();
        pages.requests.push(request);
        OpenRequest { journal: self, number, id, status: None }
    }

    /// Every request since the start or the last [`Self::clear`], in the order of arrival.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.pages.lock().expect("no holder panics").requests.clone()
    }

    /// How often each document was asked for with this method.
    #[must_use]
    pub fn attempts(&self, method: &str) -> BTreeMap<String, usize> {
        let mut attempts = BTreeMap::new();
        for request in self.requests().into_iter().filter(|request| request.method == method) {
            if let Some(id) = request.id {
                *attempts.entry(id).or_default() += 1;
            }
        }
        attempts
    }

    /// How often each status was answered.
    #[must_use]
    pub fn statuses(&self) -> BTreeMap<u16, usize> {
        let mut statuses = BTreeMap::new();
        for status in self.requests().into_iter().filter_map(|request| request.status) {
            *statuses.entry(status).or_default() += 1;
        }
        statuses
    }

    /// The most requests that were under way at once.
    #[must_use]
    pub fn most_in_flight(&self) -> usize {
        self.pages.lock().expect("no holder panics").most_in_flight
    }

    /// The most requests about one document that were under way at once.
    #[must_use]
    pub fn most_on_one_document(&self) -> usize {
        self.pages.lock().expect("no holder panics").most_on_one_document
    }

    /// How many connections carried requests.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.requests().iter().map(|request| request.connection).collect::<BTreeSet<_>>().len()
    }

    /// Forgets everything but what is under way.
    pub fn clear(&self) {
        let mut pages = self.pages.lock().expect("no holder panics");
        pages.cleared += pages.requests.len();
        pages.requests.clear();
        pages.most_in_flight = pages.in_flight;
        pages.most_on_one_document = pages.by_document.values().copied().max().unwrap_or_default();
    }
}

impl OpenRequest<'_> {
    /// Notes the answer.
    pub(super) fn close(mut self, status: u16) {
        self.status = Some(status);
    }
}

impl Drop for OpenRequest<'_> {
    fn drop(&mut self) {
        let mut pages = self.journal.pages.lock().expect("no holder panics");
        pages.in_flight -= 1;
        if let Some(id) = &self.id {
            let on_this = pages.by_document.get_mut(id).expect("it was counted when it came");
            *on_this -= 1;
            if *on_this == 0 {
                pages.by_document.remove(id);
            }
        }
        let at = self.number.checked_sub(pages.cleared);
        if let Some(request) = at.and_then(|at| pages.requests.get_mut(at)) {
            request.status = self.status;
        }
    }
}
