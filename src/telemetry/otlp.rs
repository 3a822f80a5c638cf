//! Exporters to a collector, by OpenTelemetry's own environment variables.

use std::cell::Cell;
use std::sync::LazyLock;

use opentelemetry::trace::{SpanId, TraceId};
use opentelemetry::{KeyValue, global};
use opentelemetry_otlp::tonic_types::transport::ClientTlsConfig;
use opentelemetry_otlp::{MetricExporter, SpanExporter, WithTonicConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::PeriodicReader;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator, SdkTracerProvider};
use uuid::Uuid;

/// A variable that names a collector, for everything or for one signal.
fn is_wanted(signal: &str) -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let disabled = std::env::var("OTEL_SDK_DISABLED").is_ok_and(|value| value.eq_ignore_ascii_case("true"));
    !disabled && (is_set("OTEL_EXPORTER_OTLP_ENDPOINT") || is_set(&format!("OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")))
}

/// Who sends: the service name is `OTEL_SERVICE_NAME`'s to say, or ours. Each process is an instance of its own, because each
/// counts for itself.
pub(super) fn resource() -> Resource {
    static INSTANCE: LazyLock<String> = LazyLock::new(|| Uuid::new_v4().to_string());
    let builder = Resource::builder();
    let builder =
        if std::env::var_os("OTEL_SERVICE_NAME").is_some() { builder } else { builder.with_service_name("syncmux") };
    builder
        .with_attributes([
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", INSTANCE.as_str()),
        ])
        .build()
}

/// Sends spans in batches, when a collector is configured. Contexts of other processes are understood only then.
pub(super) fn traces() -> Option<SdkTracerProvider> {
    if !is_wanted("TRACES") {
        return None;
    }
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_tls_config(ClientTlsConfig::new().with_native_roots())
        .build()
        .map_err(|error| eprintln!("syncmux: traces are not exported: {error}"))
        .ok()?;
    global::set_text_map_propagator(TraceContextPropagator::new());
    let provider = SdkTracerProvider::builder()
        .with_resource(resource())
        .with_id_generator(ChosenIds::default())
        .with_batch_exporter(exporter)
        .build();
    global::set_tracer_provider(provider.clone());
    Some(provider)
}

/// Whether a collector of metrics is configured.
pub(super) fn wants_metrics() -> bool {
    is_wanted("METRICS")
}

/// Sends metrics now and then, when a collector is configured.
pub(super) fn metrics() -> Option<PeriodicReader<MetricExporter>> {
    if !wants_metrics() {
        return None;
    }
    let exporter = MetricExporter::builder()
        .with_tonic()
        .with_tls_config(ClientTlsConfig::new().with_native_roots())
        .build()
        .map_err(|error| eprintln!("syncmux: metrics are not exported: {error}"))
        .ok()?;
    Some(PeriodicReader::builder(exporter).build())
}

/// Random ids, except for a span whose ids others have been told before it was recorded.
#[derive(Debug, Default)]
struct ChosenIds(RandomIdGenerator);

thread_local! {
    static CHOSEN: Cell<Option<(TraceId, SpanId)>> = const { Cell::new(None) };
}

/// Runs `make`, in which one span is made, which gets these ids; the trace id counts only where it has no parent.
pub(super) fn with_ids<T>(trace_id: TraceId, span_id: SpanId, make: impl FnOnce() -> T) -> T {
    CHOSEN.set(Some((trace_id, span_id)));
    let made = make();
    CHOSEN.set(None);
    made
}

impl IdGenerator for ChosenIds {
    fn new_trace_id(&self) -> TraceId {
        CHOSEN.get().map_or_else(|| self.0.new_trace_id(), |(trace_id, _)| trace_id)
    }

    fn new_span_id(&self) -> SpanId {
        CHOSEN.get().map_or_else(|| self.0.new_span_id(), |(_, span_id)| span_id)
    }
}
