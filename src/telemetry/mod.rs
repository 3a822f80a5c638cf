//! What the process says of itself: logs, traces, metrics.
//!
//! * Logs go to stderr, pretty for a terminal or as JSON for collectors; data goes to stdout. The ids that a line is about are
//!   fields of the spans around it. Texts of documents are never logged.
//! * Traces and metrics go to a collector by OTLP over gRPC when OpenTelemetry's own `OTEL_EXPORTER_OTLP_ENDPOINT` names one;
//!   its other variables (headers, sampling, intervals, resource attributes) hold as well. Without it there is no exporter.
//! * Metrics can also be read: [`prometheus_text`] is what `/metrics` answers.
//!
//! Start at [`init`]. [`propagation`] carries a trace through Temporal, [`http`] observes an API's requests, [`server`] answers
//! probes and scrapers of a worker.

pub mod http;
mod logs;
mod otlp;
mod prometheus_reader;
pub mod propagation;
pub mod server;

pub use logs::LogFormat;
pub use prometheus_reader::{PROMETHEUS_CONTENT_TYPE, prometheus_text};

use std::time::Duration;

use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;

/// How long the end of the process waits for the collector, for traces and for metrics each.
const FLUSH_LIMIT: Duration = Duration::from_secs(3);

/// What has to be sent before the process ends.
#[must_use = "what is not shut down loses its last spans"]
pub struct Telemetry {
    traces: Option<SdkTracerProvider>,
    metrics: Option<SdkMeterProvider>,
}

/// What a process is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Process {
    /// It does one thing and ends. What it counted is worth nothing afterwards, so it is not exported.
    Command,
    /// It runs until it is told to stop.
    Service,
}

/// Sets the process up. `filter` is a list such as `info,activities=debug`; `SYNCMUX_LOG` sets it. Call it once, inside the
/// runtime, before anything is counted.
///
/// What is not usable is said on stderr and left out: a command must not fail because a collector cannot be reached.
pub fn init(filter: &str, format: LogFormat, process: Process) -> Telemetry {
    let traces = otlp::traces();
    logs::install(filter, format, traces.as_ref());
    let collector = if process == Process::Service { otlp::metrics() } else { None };
    let metrics = prometheus_reader::install(collector);
    activities::metrics::metrics().begin_at_zero();
    Telemetry { traces, metrics }
}

/// Whether anybody is sent the metrics of a service.
#[must_use]
pub fn are_metrics_exported() -> bool {
    otlp::wants_metrics()
}

impl Telemetry {
    /// Sends what is left, for a bounded time. Blocks the thread; the runtime must be running.
    pub fn shut_down(self) {
        if let Some(traces) = self.traces
            && let Err(error) = traces.shutdown_with_timeout(FLUSH_LIMIT)
        {
            tracing::warn!(%error, "the last spans were not sent");
        }
        if let Some(metrics) = self.metrics
            && let Err(error) = metrics.shutdown_with_timeout(FLUSH_LIMIT)
        {
            tracing::warn!(%error, "the last metrics were not sent");
        }
    }
}
