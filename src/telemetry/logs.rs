//! The subscriber: log lines, and spans for the collector.

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Metadata;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing_subscriber::layer::{Context, Filter, SubscriberExt as _};
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
        LogFormat::Text => lines.with_target(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let Some(traces) = traces else {
        return tracing_subscriber::registry().with(lines).with(filter).init();
    };
    let spans = tracing_opentelemetry::layer()
        .with_tracer(traces.tracer("syncmux"))
        .with_location(false)
        .with_threads(false)
        .with_filter(Traced);
    // What is logged does not decide what is traced, so each has a filter of its own.
    tracing_subscriber::registry().with(lines.with_filter(filter)).with(spans).init();
}

/// Spans of this program. Its log lines are no part of a trace: they would carry words to another system.
///
/// It is asked anew for each span. What filters decided is kept per thread, and a library that asks whether something would be
/// logged, as sqlx does for each statement, leaves its answer behind: a span that nobody is asked about would be lost by it.
struct Traced;

impl<S> Filter<S> for Traced {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        let is_ours =
            ["activities", "workflows", "sync_multiplexer"].iter().any(|it| metadata.target().starts_with(it));
        metadata.is_span() && is_ours && *metadata.level() <= LevelFilter::INFO && metadata.target() != LOG_ONLY
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if metadata.is_span() { Interest::sometimes() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::INFO)
    }
}
