//! Which trace a piece of work belongs to, as W3C Trace Context, from the header of a Temporal task to the headers of the
//! requests that the work makes.
//!
//! In Temporal the context is a JSON map of `traceparent` and `tracestate` under the header `_tracer-data`, which is where the
//! OpenTelemetry interceptors of Temporal's own SDKs put it: a caller that uses them starts a trace that goes on here. A caller
//! that does not is served all the same.
//!
//! How a context is written and read is the process-wide propagator's to say. Without one, and without a collector to send
//! spans to, everything here does nothing.

use std::collections::HashMap;

use opentelemetry::propagation::{Extractor, Injector};
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry::{Context, global};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use temporalio_common::protos::temporal::api::common::v1::Payload;
use tracing::{Instrument as _, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The header of Temporal that carries the context.
pub const TEMPORAL_HEADER: &str = "_tracer-data";

/// Most bytes of that header that are read.
const MAX_HEADER_BYTES: usize = 4096;

/// The context in the headers of a task; an empty one when there is none that reads.
#[must_use]
pub fn of_task(headers: &HashMap<String, Payload>) -> Context {
    let carried: HashMap<String, String> = headers
        .get(TEMPORAL_HEADER)
        .filter(|payload| payload.data.len() <= MAX_HEADER_BYTES)
        .and_then(|payload| serde_json::from_slice(&payload.data).ok())
        .unwrap_or_default();
    let carried = Carried(carried);
    global::get_text_map_propagator(|it| it.extract_with_context(&Context::new(), &carried))
}

/// The header that carries `context`; `None` when it is of no trace.
#[must_use]
pub fn to_task(context: &Context) -> Option<Payload> {
    let carried = written(context);
    let data = (!carried.is_empty()).then(|| serde_json::to_vec(&carried).ok()).flatten()?;
    let metadata = [("encoding".to_owned(), b"json/plain".to_vec())].into();
    Some(Payload { metadata, data, ..Payload::default() })
}

/// The current span's context as header names and values; nothing when it is of no trace.
#[must_use]
pub fn current() -> HashMap<String, String> {
    written(&Span::current().context())
}

/// The id of a context's trace, for logs; empty when it has none.
#[must_use]
pub fn trace_id(context: &Context) -> String {
    let span = context.span();
    if span.span_context().is_valid() { span.span_context().trace_id().to_string() } else { String::new() }
}

/// Does `work` in a span that ends with it, also when it is dropped.
///
/// A span that is only let go of ends when nobody holds it any more, and clients hold the one that was current when they opened
/// a connection for as long as that is open.
pub async fn within<T>(span: Span, work: impl Future<Output = T>) -> T {
    let _ending = Ending(span.clone());
    work.instrument(span).await
}

struct Ending(Span);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.context().span().end();
    }
}

/// Headers of an HTTP request that is made now.
pub(crate) fn http_headers() -> HeaderMap {
    current()
        .into_iter()
        .filter_map(|(name, value)| Some((HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?)))
        .collect()
}

fn written(context: &Context) -> HashMap<String, String> {
    let mut carried = Carried(HashMap::new());
    if context.span().span_context().is_valid() {
        global::get_text_map_propagator(|it| it.inject_context(context, &mut carried));
    }
    carried.0.retain(|_, value| !value.is_empty());
    carried.0
}

struct Carried(HashMap<String, String>);

impl Injector for Carried {
    fn set(&mut self, key: &str, value: String) {
        self.0.insert(key.to_owned(), value);
    }
}

impl Extractor for Carried {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }
}
