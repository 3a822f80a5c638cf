//! Metrics for whoever comes to read them, in the text format of Prometheus.

use std::sync::OnceLock;

use opentelemetry::global;
use opentelemetry_otlp::MetricExporter;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use prometheus::{Registry, TextEncoder};

use super::otlp;

/// The media type of [`prometheus_text`].
pub const PROMETHEUS_CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

static REGISTRY: OnceLock<Registry> = OnceLock::new();

/// Makes the process-wide meter: it can be read, and a reader of its own sends to a collector.
pub(super) fn install(collector: Option<PeriodicReader<MetricExporter>>) -> Option<SdkMeterProvider> {
    let registry = Registry::new();
    let reader = opentelemetry_prometheus::exporter()
        .with_registry(registry.clone())
        .without_scope_info()
        .without_target_info()
        .build()
        .map_err(|error| eprintln!("syncmux: metrics are not kept: {error}"))
        .ok()?;
    let builder = SdkMeterProvider::builder().with_resource(otlp::resource()).with_reader(reader);
    let provider = match collector {
        Some(collector) => builder.with_reader(collector),
        None => builder,
    }
    .build();
    global::set_meter_provider(provider.clone());
    // A second call has made a meter of its own, and this is its registry no more than it is ours.
    let _ = REGISTRY.set(registry);
    Some(provider)
}

/// Every metric of this process as it is now.
///
/// # Errors
///
/// When two metrics contradict each other, which is a bug.
pub fn prometheus_text() -> Result<String, prometheus::Error> {
    let families = REGISTRY.get().map(Registry::gather).unwrap_or_default();
    TextEncoder::new().encode_to_string(&families)
}
