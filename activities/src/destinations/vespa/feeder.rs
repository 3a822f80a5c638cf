//! Writes documents, one per request, as fast as Vespa takes them.
//!
//! A write waits for its turn with the document, for space, for the breaker and for a place in the window, in this
//! order; while it waits for its next attempt it keeps only its turn. Every write ends exactly once: done, refused for a
//! reason, or as an error of the whole feed. Writing a put twice changes nothing, so a write whose outcome is not known is
//! repeated.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::Method;
use tokio::task::JoinSet;
use tracing::Instrument as _;

use super::body::Body;
use super::calls::{Calls, wire_timeout};
use super::classify::{self, Envelope, Refusal};
use super::connections::{Reply, Request, SMALL_ANSWER_BYTES, WireError};
use super::document_id::{DocumentId, encode};
use super::hold::Hold;
use super::order::DocumentOrder;
use super::status::Verdict;
use super::window::Window;
use crate::error::{Error, ErrorKind, Result};
use crate::metrics::metrics;

/// Writes of one feed that are prepared beyond those that may be in flight: enough that none waits for the next to be
/// made, and few enough that they are made while others are under way.
const PREPARED_AHEAD: usize = 64;

/// How often a write may be answered with 429 before that is more than the window trying how far it can go.
const USUAL_THROTTLING: u32 = 2;

/// A write.
#[derive(Debug, Clone)]
pub(super) struct Operation {
    pub(super) id: DocumentId,
    pub(super) write: Write,
    /// Document selection that the document there now must match. A put of a document that is not there goes ahead.
    pub(super) condition: Option<String>,
}

/// What to write.
#[derive(Debug, Clone)]
pub(super) enum Write {
    /// The whole document.
    Put(Bytes),
    /// No document. Done when there is none as well.
    Remove,
}

/// What became of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Written {
    Done,
    /// The document there now does not match the condition.
    ConditionNotMet,
    /// Vespa will never take this document. In words.
    Refused(String),
}

/// How many of what there were.
#[derive(Debug, Default)]
pub(super) struct Counts {
    operations: AtomicU64,
    requests: AtomicU64,
    done: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
    throttled: AtomicU64,
    overloads: AtomicU64,
}

/// The counts at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedCounts {
    /// Writes that were begun.
    pub operations: u64,
    /// Requests sent for them.
    pub requests: u64,
    /// Writes that were carried out.
    pub done: u64,
    /// Writes that Vespa refused, or whose condition was not met.
    pub refused: u64,
    /// Writes that ended in an error.
    pub failed: u64,
    /// Requests that were answered with 429.
    pub throttled: u64,
}

impl Counts {
    fn read(&self) -> FeedCounts {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        FeedCounts {
            operations: get(&self.operations),
            requests: get(&self.requests),
            done: get(&self.done),
            refused: get(&self.refused),
            failed: get(&self.failed),
            throttled: get(&self.throttled),
        }
    }
}

fn add(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

/// Counts a write that was begun once, whatever ends it: also that nobody waits for it any more.
struct Account<'a> {
    counts: &'a Counts,
    outcome: Option<&'a AtomicU64>,
}

impl<'a> Account<'a> {
    fn open(counts: &'a Counts) -> Self {
        add(&counts.operations);
        Self { counts, outcome: None }
    }

    fn close(mut self, result: &Result<Written>) {
        self.outcome = Some(match result {
            Ok(Written::Done) => &self.counts.done,
            Ok(Written::ConditionNotMet | Written::Refused(_)) => &self.counts.refused,
            Err(_) => &self.counts.failed,
        });
    }
}

impl Drop for Account<'_> {
    fn drop(&mut self) {
        add(self.outcome.unwrap_or(&self.counts.failed));
    }
}

/// The feeder of one Vespa, shared by every slot on it.
#[derive(Debug)]
pub(super) struct Feeder {
    calls: Arc<Calls>,
    window: Window,
    hold: Hold,
    order: DocumentOrder,
    counts: Counts,
    /// When a write was last taken.
    last_success: Mutex<Option<Instant>>,
}

impl Feeder {
    pub(super) fn new(calls: Arc<Calls>) -> Self {
        let limits = calls.limits;
        Self {
            window: Window::new(limits.connections),
            hold: Hold::new(&limits),
            order: DocumentOrder::default(),
            counts: Counts::default(),
            last_success: Mutex::default(),
            calls,
        }
    }

    /// The counts so far.
    pub(super) fn counts(&self) -> FeedCounts {
        self.counts.read()
    }

    /// Answers so far that asked for less than the window had made of it already: 507, and 429 to a write that had some.
    pub(super) fn overloads(&self) -> u64 {
        self.counts.overloads.load(Ordering::Relaxed)
    }

    /// How many writes may be in flight now.
    pub(super) fn target(&self) -> usize {
        self.window.target()
    }

    /// Carries out all writes, in no order between documents. They are asked for as there is room for them; outcomes are
    /// in their order.
    ///
    /// # Errors
    /// The first failure that is not one document's; what was under way may or may not have been done.
    pub(super) async fn feed(
        self: &Arc<Self>,
        mut operations: impl Iterator<Item = Operation> + Send,
    ) -> Result<Vec<Written>> {
        let mut outcomes = Vec::new();
        // Dropping it ends its tasks, if the caller gives up.
        let mut tasks = JoinSet::new();
        loop {
            while tasks.len() < self.window.target() + PREPARED_AHEAD
                && let Some(operation) = operations.next()
            {
                let (feeder, at) = (Arc::clone(self), outcomes.len());
                outcomes.push(None);
                tasks.spawn(async move { (at, feeder.write(&operation).await) }.in_current_span());
            }
            let Some(finished) = tasks.join_next().await else { break };
            let outcome = finished.map_err(|error| {
                Error::new(ErrorKind::Internal, "a write to Vespa ended without an outcome").with_source(error)
            });
            match outcome.and_then(|(at, written)| Ok((at, written?))) {
                Ok((at, written)) => outcomes[at] = Some(written),
                Err(error) => {
                    // No write of this feed goes on behind the caller's back.
                    tasks.shutdown().await;
                    return Err(error);
                }
            }
        }
        outcomes
            .into_iter()
            .collect::<Option<_>>()
            .ok_or_else(|| Error::new(ErrorKind::Internal, "a write to Vespa has no outcome"))
    }

    /// Carries out one write.
    async fn write(&self, operation: &Operation) -> Result<Written> {
        let account = Account::open(&self.counts);
        let result = self.write_until_decided(operation).await;
        account.close(&result);
        result
    }

    async fn write_until_decided(&self, operation: &Operation) -> Result<Written> {
        let request = request(operation, self.calls.limits.write_timeout);
        let is_put = matches!(operation.write, Write::Put(_));
        let _turn = self.order.turn(operation.id.as_str()).await;
        let started = Instant::now();
        let (mut failures, mut throttled) = (0, 0);
        loop {
            let leave = if is_put { Some(self.hold.leave(started).await?) } else { None };
            self.calls.breaker.admit().await?;
            let place = self.window.place().await?;
            if leave.as_ref().is_some_and(|leave| self.hold.has_ended(leave)) {
                // The feed was put on hold while this one waited for its place.
                continue;
            }
            add(&self.counts.requests);
            let answer = self.calls.connections.send(&request).await;
            let verdict = answer.as_ref().map_or(Verdict::Uncertain, |reply| Verdict::of(reply.status));
            if verdict.is_trouble() {
                self.calls.breaker.failed()
            } else {
                self.calls.breaker.succeeded()
            }
            match verdict {
                Verdict::Done | Verdict::ConditionNotMet | Verdict::Refused => {
                    place.succeeded();
                    self.succeeded();
                    if let Some(leave) = &leave {
                        self.hold.taken(leave);
                    }
                }
                Verdict::Throttled => place.throttled(),
                Verdict::NoSpace if is_put => {
                    add(&self.counts.overloads);
                    self.hold.no_space();
                }
                Verdict::NoSpace | Verdict::Uncertain | Verdict::Denied | Verdict::NotTheApi => {}
            }
            drop(place);
            drop(leave);

            let delay = match (verdict, answer) {
                // The hold lets it through again, or ends it.
                (Verdict::NoSpace, Ok(_)) if is_put => continue,
                (Verdict::Throttled, Ok(_)) => {
                    add(&self.counts.throttled);
                    self.bear_throttling(started)?;
                    throttled += 1;
                    if throttled > USUAL_THROTTLING {
                        add(&self.counts.overloads);
                    }
                    self.calls.limits.delay(throttled - 1)
                }
                (Verdict::Uncertain, answer) => {
                    failures += 1;
                    let error = match answer {
                        Ok(reply) => classify::unexpected("write a document", &reply),
                        Err(error @ WireError::TooLong(_)) => {
                            return Err(classify::unanswered("write a document", error));
                        }
                        Err(error) => classify::unanswered("write a document", error),
                    };
                    if failures >= self.calls.limits.attempts || error.kind() == ErrorKind::DestinationDenied {
                        return Err(error);
                    }
                    metrics().retry(&error);
                    self.calls.limits.delay(failures - 1)
                }
                (_, Ok(reply)) => return judge(operation, verdict, &reply),
                (_, Err(error)) => return Err(classify::unanswered("write a document", error)),
            };
            tokio::time::sleep(delay).await;
        }
    }

    fn succeeded(&self) {
        *self.last_success.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// 429 is borne as long as anything moves.
    fn bear_throttling(&self, started: Instant) -> Result<()> {
        let last = *self.last_success.lock().unwrap_or_else(PoisonError::into_inner);
        let stalled = last.map_or(started, |last| last.max(started)).elapsed();
        if stalled < self.calls.limits.stall {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::RateLimited,
            format!("Vespa has answered every write with 429 for {} seconds", stalled.as_secs()),
        ))
    }
}

/// The request of a write.
fn request(operation: &Operation, timeout: Duration) -> Request {
    let mut target = format!("{}?timeout={}ms", operation.id.path(), timeout.as_millis());
    if let Some(condition) = &operation.condition {
        target.push_str(&format!("&condition={}", encode(condition)));
        if matches!(operation.write, Write::Put(_)) {
            target.push_str("&create=true");
        }
    }
    let (method, body) = match &operation.write {
        Write::Put(body) => (Method::POST, Some(Body::of(body.clone()))),
        Write::Remove => (Method::DELETE, None),
    };
    Request { method, target, body, timeout: wire_timeout(timeout), answer_bytes: SMALL_ANSWER_BYTES }
}

/// Reads the last word on a write.
fn judge(operation: &Operation, verdict: Verdict, reply: &Reply) -> Result<Written> {
    let envelope = Envelope::of(reply);
    match verdict {
        Verdict::Done => {
            if envelope.id.as_deref() != Some(operation.id.as_str()) {
                return Err(classify::broken("write a document", "its answer names another document"));
            }
            if reply.ignored_operation {
                return Ok(Written::Refused(classify::IGNORED_OPERATION.to_owned()));
            }
            if reply.ignored_fields {
                return Err(classify::not_deployed(classify::FIELDS_IGNORED));
            }
            Ok(Written::Done)
        }
        Verdict::ConditionNotMet => Ok(Written::ConditionNotMet),
        Verdict::Refused => match classify::refusal(reply.status, &envelope.message.unwrap_or_default()) {
            Refusal::Document(reason) => Ok(Written::Refused(reason)),
            Refusal::Deployment(problem) => Err(classify::not_deployed(&problem)),
        },
        Verdict::Throttled | Verdict::Uncertain | Verdict::NoSpace | Verdict::Denied | Verdict::NotTheApi => {
            Err(classify::unexpected("write a document", reply))
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn operation(condition: Option<&str>, write: Write) -> Operation {
        let id = DocumentId::new("airweave", "base_entity", "a+b").unwrap();
        Operation { id, write, condition: condition.map(str::to_owned) }
    }

    fn reply(status: u16, body: &str) -> Reply {
        Reply { status, ignored_operation: false, ignored_fields: false, body: Bytes::copy_from_slice(body.as_bytes()) }
    }

    const OK: &str = r#"{"pathId":"/x","id":"id:airweave:base_entity::a+b"}"#;

    #[test]
    fn requests_name_document_time_and_condition() {
        let second = Duration::from_secs(1);
        let put = request(&operation(Some("a.b == 'c'"), Write::Put(Bytes::from_static(b"{}"))), second);
        assert_eq!(
            (put.method, put.target.as_str()),
            (
                Method::POST,
                "/document/v1/airweave/base_entity/docid/a%2Bb?timeout=1000ms&condition=a.b%20%3D%3D%20%27c%27&create=true"
            )
        );
        let remove = request(&operation(None, Write::Remove), second);
        assert_eq!((remove.method, remove.body), (Method::DELETE, None));
        assert_eq!(remove.target, "/document/v1/airweave/base_entity/docid/a%2Bb?timeout=1000ms");
        assert!(remove.timeout > second, "Vespa gives up first");
    }

    #[rstest]
    #[case(200, OK, Ok(Written::Done))]
    #[case(200, r#"{"id":"id:airweave:base_entity::a b"}"#, Err(ErrorKind::Internal))]
    #[case(200, "<html>proxy</html>", Err(ErrorKind::Internal))]
    #[case(412, "{}", Ok(Written::ConditionNotMet))]
    #[case(400, r#"{"message":"Document type x does not exist"}"#, Err(ErrorKind::IncompatibleDestination))]
    #[case(400, "", Ok(Written::Refused("Vespa refuses its document (400)".into())))]
    #[case(401, "", Err(ErrorKind::DestinationDenied))]
    #[case(404, "{}", Err(ErrorKind::InvalidInput))]
    fn last_words(#[case] status: u16, #[case] body: &str, #[case] expected: Result<Written, ErrorKind>) {
        let written = judge(&operation(None, Write::Remove), Verdict::of(status), &reply(status, body));
        assert_eq!(written.map_err(|error| error.kind()), expected);
    }

    #[test]
    fn ignored_writes_are_no_success() {
        let (operation, verdict) = (operation(None, Write::Remove), Verdict::Done);
        let thrown_away = judge(&operation, verdict, &Reply { ignored_operation: true, ..reply(200, OK) }).unwrap();
        assert!(matches!(thrown_away, Written::Refused(reason) if reason.contains("X-Vespa-Ignored-Operation")));
        let cut = judge(&operation, verdict, &Reply { ignored_fields: true, ..reply(200, OK) }).unwrap_err();
        assert_eq!(cut.kind(), ErrorKind::IncompatibleDestination);
        assert!(cut.message().contains("X-Vespa-Ignored-Fields"), "{cut}");
    }

    #[test]
    fn a_write_is_counted_once_however_it_ends() {
        let counts = Counts::default();
        Account::open(&counts).close(&Ok(Written::Done));
        Account::open(&counts).close(&Ok(Written::ConditionNotMet));
        Account::open(&counts).close(&Err(Error::new(ErrorKind::Timeout, "")));
        drop(Account::open(&counts));
        let FeedCounts { operations, done, refused, failed, .. } = counts.read();
        assert_eq!((operations, done, refused, failed), (4, 1, 1, 2));
    }
}
