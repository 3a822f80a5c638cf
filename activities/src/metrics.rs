//! What is counted and measured, all of it, in one place.
//!
//! Each instrument has one name and a fixed set of labels, listed in [`INSTRUMENTS`]; dashboards and alerts are checked
//! against that list. Labels have few values that are known beforehand: a kind of destination, of error, of operation. An id
//! is never one: a label value is a time series for ever.
//!
//! Instruments come from the process-wide meter of OpenTelemetry. Whoever starts the process sets that up first; without it
//! nothing is counted and nothing costs. Counters begin at zero when [`Metrics::begin_at_zero`] is called, so
//! that the first failure is an increase and not a new series.
//!
//! Names are those of OpenTelemetry; Prometheus sees `_` for `.`, the unit, and `_total` after a counter.

use std::sync::LazyLock;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Histogram, Meter};

use crate::database::operations::{OperationKind, OperationState};
use crate::database::segments::BatchRecord;
use crate::error::{Error, ErrorKind, Result};

/// What an instrument measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instrument {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Times in buckets.
    Histogram,
}

/// Every instrument: its name as Prometheus shows it, what it is, and its labels.
pub const INSTRUMENTS: &[(&str, Instrument, &[&str])] = &[
    ("syncmux_entities_total", Instrument::Counter, &["destination_kind", "outcome"]),
    ("syncmux_chunks_total", Instrument::Counter, &["vectors"]),
    ("syncmux_destination_bytes_total", Instrument::Counter, &["destination_kind"]),
    ("syncmux_retries_total", Instrument::Counter, &["kind"]),
    ("syncmux_dead_letters_total", Instrument::Counter, &["kind"]),
    ("syncmux_batch_duration_seconds", Instrument::Histogram, &["destination_kind"]),
    ("syncmux_destination_requests_total", Instrument::Counter, &["destination_kind", "outcome"]),
    ("syncmux_destination_request_duration_seconds", Instrument::Histogram, &["destination_kind"]),
    ("syncmux_lag_entities", Instrument::Gauge, &[]),
    ("syncmux_lag_seconds", Instrument::Gauge, &[]),
    ("syncmux_throttle_wait_seconds_total", Instrument::Counter, &["by"]),
    ("syncmux_operations_running", Instrument::Gauge, &["operation"]),
    ("syncmux_operations_ended_total", Instrument::Counter, &["operation", "outcome"]),
    ("syncmux_fences_swept_total", Instrument::Counter, &[]),
    ("syncmux_webhook_deliveries_total", Instrument::Counter, &["outcome"]),
    ("syncmux_http_requests_total", Instrument::Counter, &["route", "method", "status"]),
    ("syncmux_http_request_duration_seconds", Instrument::Histogram, &["route"]),
    ("syncmux_build_info", Instrument::Gauge, &["version"]),
];

/// The kinds of destinations there are.
pub const DESTINATION_KINDS: [&str; 3] = ["pgvector", "qdrant", "vespa"];

/// Upper bounds of the buckets of times, in seconds: from a local write to a batch that waits for an embedder.
const SECONDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0];

/// The instruments of this process.
#[must_use]
pub fn metrics() -> &'static Metrics {
    static METRICS: LazyLock<Metrics> = LazyLock::new(|| Metrics::of(&opentelemetry::global::meter("syncmux")));
    &METRICS
}

/// What became of an attempt to deliver a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// The receiver acknowledged it.
    Delivered,
    /// It is tried again.
    Failed,
    /// It was given up.
    Dead,
}

impl Delivery {
    const ALL: [Self; 3] = [Self::Delivered, Self::Failed, Self::Dead];

    const fn label(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Dead => "dead",
        }
    }
}

/// The instruments. Each method is one event.
pub struct Metrics {
    entities: Counter<u64>,
    chunks: Counter<u64>,
    destination_bytes: Counter<u64>,
    retries: Counter<u64>,
    dead_letters: Counter<u64>,
    batch_duration: Histogram<f64>,
    destination_requests: Counter<u64>,
    destination_request_duration: Histogram<f64>,
    lag_entities: Gauge<u64>,
    lag: Gauge<f64>,
    throttle_wait: Counter<f64>,
    operations_running: Gauge<u64>,
    operations_ended: Counter<u64>,
    fences_swept: Counter<u64>,
    webhook_deliveries: Counter<u64>,
    http_requests: Counter<u64>,
    http_request_duration: Histogram<f64>,
    build_info: Gauge<u64>,
}

impl Metrics {
    fn of(meter: &Meter) -> Self {
        let count = |name: &'static str, what: &'static str| meter.u64_counter(name).with_description(what).build();
        let time = |name: &'static str, what: &'static str| {
            meter.f64_histogram(name).with_unit("s").with_description(what).with_boundaries(SECONDS.to_vec()).build()
        };
        let gauge = |name: &'static str, what: &'static str| meter.u64_gauge(name).with_description(what).build();
        Self {
            entities: count("syncmux.entities", "Entities by what became of them"),
            chunks: count("syncmux.chunks", "Chunks whose vector was made or copied"),
            destination_bytes: count(
                "syncmux.destination.bytes",
                "Bytes of texts, payloads and vectors handed to destinations",
            ),
            retries: count("syncmux.retries", "Attempts that failed and are made again"),
            dead_letters: count("syncmux.dead_letters", "Entities that could not be carried over"),
            batch_duration: time("syncmux.batch.duration", "From reading a batch to its checkpoint"),
            destination_requests: count("syncmux.destination.requests", "Calls of destinations"),
            destination_request_duration: time("syncmux.destination.request.duration", "Time of a call"),
            lag_entities: gauge("syncmux.lag.entities", "How far the worst slot that is followed was behind"),
            lag: meter
                .f64_gauge("syncmux.lag")
                .with_unit("s")
                .with_description("Age of what the worst slot that is followed has for certain")
                .build(),
            throttle_wait: meter
                .f64_counter("syncmux.throttle.wait")
                .with_unit("s")
                .with_description("Time that work was held back")
                .build(),
            operations_running: gauge("syncmux.operations.running", "Operations that have not ended"),
            operations_ended: count("syncmux.operations.ended", "Operations that ended"),
            fences_swept: count("syncmux.fences.swept", "Fences that expired before their operation took them down"),
            webhook_deliveries: count("syncmux.webhook.deliveries", "Attempts to deliver an event"),
            http_requests: count("syncmux.http.requests", "Requests that the API answered"),
            http_request_duration: time("syncmux.http.request.duration", "Time until the answer began"),
            build_info: gauge("syncmux.build.info", "1, with the version"),
        }
    }

    /// Names the version, and begins every counter whose labels are known at zero.
    pub fn begin_at_zero(&self) {
        self.build_info.record(1, &[KeyValue::new("version", env!("CARGO_PKG_VERSION"))]);
        for kind in DESTINATION_KINDS {
            for outcome in ["written", "unchanged", "deleted", "textless", "dead_letter"] {
                self.entities(kind, outcome, 0);
            }
            self.destination_bytes(kind, 0);
            for outcome in std::iter::once("ok").chain(ErrorKind::ALL.map(ErrorKind::name)) {
                self.destination_requests.add(0, &of_destination(kind, outcome));
            }
        }
        for vectors in ["new", "reused"] {
            self.chunks.add(0, &[KeyValue::new("vectors", vectors)]);
        }
        for kind in ErrorKind::ALL {
            self.dead_letters.add(0, &[KeyValue::new("kind", kind.name())]);
            if kind.is_retryable() {
                self.retries.add(0, &[KeyValue::new("kind", kind.name())]);
            }
        }
        for operation in OperationKind::ALL {
            for outcome in OperationState::ALL.iter().filter(|state| **state != OperationState::Running) {
                self.operations_ended.add(0, &ended(*operation, *outcome));
            }
        }
        self.fences_swept.add(0, &[]);
        for outcome in Delivery::ALL {
            self.webhook_deliveries.add(0, &[KeyValue::new("outcome", outcome.label())]);
        }
    }

    fn entities(&self, destination_kind: &'static str, outcome: &'static str, count: u64) {
        self.entities.add(count, &of_destination(destination_kind, outcome));
    }

    /// A batch was recorded, so that it is not done again.
    pub fn batch(&self, destination_kind: &'static str, batch: &BatchRecord, took: Duration) {
        let textless = batch.accepted.iter().filter(|entry| entry.points == 0).count();
        for (outcome, count) in [
            ("written", batch.accepted.len() - textless),
            ("textless", textless),
            ("deleted", batch.deleted.len()),
            ("dead_letter", batch.dead_letters.len()),
        ] {
            self.entities(destination_kind, outcome, count as u64);
        }
        for (vectors, count) in [("new", batch.chunks_embedded), ("reused", batch.chunks_reused)] {
            self.chunks.add(count, &[KeyValue::new("vectors", vectors)]);
        }
        for letter in &batch.dead_letters {
            self.dead_letters.add(1, &[KeyValue::new("kind", letter.kind.name())]);
        }
        self.batch_duration.record(took.as_secs_f64(), &[KeyValue::new("destination_kind", destination_kind)]);
    }

    /// A comparison found entities as the slot has them.
    pub fn unchanged(&self, destination_kind: &'static str, entities: u64) {
        self.entities(destination_kind, "unchanged", entities);
    }

    /// Bytes are handed to a destination.
    pub fn destination_bytes(&self, destination_kind: &'static str, bytes: u64) {
        self.destination_bytes.add(bytes, &[KeyValue::new("destination_kind", destination_kind)]);
    }

    /// A destination answered a call, or did not.
    pub fn destination_request<T>(&self, destination_kind: &'static str, result: &Result<T>, took: Duration) {
        let outcome = result.as_ref().err().map_or("ok", |error| error.kind().name());
        self.destination_requests.add(1, &of_destination(destination_kind, outcome));
        let labels = [KeyValue::new("destination_kind", destination_kind)];
        self.destination_request_duration.record(took.as_secs_f64(), &labels);
    }

    /// An attempt failed and is made again.
    pub fn retry(&self, error: &Error) {
        self.retries.add(1, &[KeyValue::new("kind", error.kind().name())]);
    }

    /// How the worst of the slots stands that are followed: entities it was behind when it was last compared, and the age of
    /// the time up to which it has everything. Zero when none is followed.
    pub fn lag(&self, entities: u64, age: Duration) {
        self.lag_entities.record(entities, &[]);
        self.lag.record(age.as_secs_f64(), &[]);
    }

    /// Work was held back; `by` is the limit or the sign that did it, of a few.
    pub fn throttle_wait(&self, by: &'static str, waited: Duration) {
        self.throttle_wait.add(waited.as_secs_f64(), &[KeyValue::new("by", by)]);
    }

    /// How many operations of a kind have not ended.
    pub fn operations_running(&self, operation: OperationKind, count: u64) {
        self.operations_running.record(count, &[KeyValue::new("operation", operation.as_str())]);
    }

    /// An operation ended.
    pub fn operation_ended(&self, operation: OperationKind, outcome: OperationState) {
        self.operations_ended.add(1, &ended(operation, outcome));
    }

    /// Fences expired before their operations took them down.
    pub fn fences_swept(&self, fences: u64) {
        self.fences_swept.add(fences, &[]);
    }

    /// An event was tried to be delivered.
    pub fn webhook_delivery(&self, outcome: Delivery) {
        self.webhook_deliveries.add(1, &[KeyValue::new("outcome", outcome.label())]);
    }

    /// A request was answered. `route` is the pattern that matched, never the path.
    pub fn http_request(&self, route: &str, method: &'static str, status: u16, took: Duration) {
        let route = KeyValue::new("route", route.to_owned());
        self.http_request_duration.record(took.as_secs_f64(), std::slice::from_ref(&route));
        let labels = [route, KeyValue::new("method", method), KeyValue::new("status", i64::from(status))];
        self.http_requests.add(1, &labels);
    }
}

fn of_destination(kind: &'static str, outcome: &'static str) -> [KeyValue; 2] {
    [KeyValue::new("destination_kind", kind), KeyValue::new("outcome", outcome)]
}

fn ended(operation: OperationKind, outcome: OperationState) -> [KeyValue; 2] {
    [KeyValue::new("operation", operation.as_str()), KeyValue::new("outcome", outcome.as_str())]
}
