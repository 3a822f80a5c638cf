//! The span around an attempt of an activity: what its log lines and its trace are found by.
//!
//! Ids are fields of the span, and so of every line that is logged inside it. Nothing else of the input is: that may be a
//! name somebody gave, and texts never come this way.

use serde::Serialize;
use serde_json::Value;
use temporalio_sdk::activities::ActivityContext;
use tracing::Span;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::trace_context;

/// The span of this attempt, within the trace that its task names.
pub(crate) fn of(ctx: &ActivityContext, input: &impl Serialize) -> Span {
    let info = ctx.info();
    let parent = trace_context::of_task(ctx.headers());
    let ids = Ids::of(input);
    // An error by level only, so that ids are logged whatever is filtered out.
    let span = tracing::error_span!(
        "activity",
        otel.name = format!("activity {}", info.activity_type),
        activity = info.activity_type,
        attempt = info.attempt,
        workflow_id = info.workflow_id,
        run_id = info.workflow_run_id,
        operation_id = Empty,
        sync_id = Empty,
        trace_id = Empty,
        otel.status_code = Empty,
        error_kind = Empty,
    );
    for (field, id) in [
        ("operation_id", ids.operation),
        ("sync_id", ids.sync),
        ("trace_id", Some(trace_context::trace_id(&parent)).filter(|id| !id.is_empty())),
    ] {
        if let Some(id) = id {
            span.record(field, id);
        }
    }
    // Refused only when the span is recorded nowhere.
    let _ = span.set_parent(parent);
    span
}

/// What a step is about, as far as its input says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Ids {
    operation: Option<String>,
    sync: Option<String>,
}

impl Ids {
    /// Inputs name the two themselves, in the slot they are about, or in the first of their members or requests.
    fn of(input: &impl Serialize) -> Self {
        // Small references: no input is larger than a few kilobytes.
        let Ok(input) = serde_json::to_value(input) else { return Self::default() };
        let inner = |key: &str| input.get(key).unwrap_or(&Value::Null);
        let first = inner("members").get(0).unwrap_or(&Value::Null);
        let places =
            [&input, inner("slot"), inner("request"), inner("sync"), first, first.get("slot").unwrap_or(&Value::Null)];
        let find = |key: &str| {
            let found = places.iter().filter_map(|place| place.get(key)).filter_map(Value::as_str);
            found.map(str::to_owned).find(|id| !id.is_empty())
        };
        Self { operation: find("operation_id"), sync: find("sync_id") }
    }
}

#[cfg(test)]
mod tests {
    use proto::v1::{EndOperationInput, PlanReplayInput, SlotRef};

    use super::*;

    #[test]
    fn ids_are_found_where_inputs_have_them() {
        let slot = SlotRef { operation_id: "o".into(), sync_id: "s".into(), ..SlotRef::default() };
        let both = Ids { operation: Some("o".into()), sync: Some("s".into()) };
        assert_eq!(Ids::of(&PlanReplayInput { slot: Some(slot), ..PlanReplayInput::default() }), both);
        let ends = EndOperationInput { operation_id: "o".into(), ..EndOperationInput::default() };
        assert_eq!(Ids::of(&ends), Ids { operation: Some("o".into()), sync: None });
        assert_eq!(Ids::of(&PlanReplayInput::default()), Ids::default());
    }
}
