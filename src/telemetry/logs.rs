//! The subscriber: log lines, and spans for the collector.

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Metadata;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::FilterFn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt};

use super::propagation::LOG_ONLY;

/// How logs look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One readable line per event.
    Text,
    /// One JSON object per event.
    Json,
}

/// Installs the subscriber of the process.
pub(super) fn install(filter: &str, format: LogFormat, traces: Option<&SdkTracerProvider>) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|error| {
        eprintln!("syncmux: the log filter is not understood ({error}); using \"info\"");
        EnvFilter::new("info")
    });
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Text => lines.with_target(false).with_filter(filter).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_filter(filter).boxed(),
    };
    // What is logged does not decide what is traced.
    let spans = traces.map(|traces| {
        tracing_opentelemetry::layer()
            .with_tracer(traces.tracer("syncmux"))
            .with_location(false)
            .with_threads(false)
            .with_filter(FilterFn::new(is_traced))
    });
    tracing_subscriber::registry().with(spans).with(lines).init();
}

/// Spans of this program. Its log lines are no part of a trace: they would carry words to another system.
fn is_traced(metadata: &Metadata<'_>) -> bool {
    let is_ours =
        ["activities", "workflows", "sync_multiplexer"].iter().any(|room| metadata.target().starts_with(room));
    metadata.is_span() && is_ours && *metadata.level() <= LevelFilter::INFO && metadata.target() != LOG_ONLY
}
