//! Carries a trace through Temporal: from whoever starts a workflow, through the workflow, to its activities and children.
//!
//! The context travels in a header of Temporal ([`TEMPORAL_HEADER`]), which no caller has to know: a workflow that is started
//! without it gets a trace of its own. A workflow cannot choose ids at random, because it is run again from its history, so the
//! id of its span is derived from its run id; activities name that span as their parent while the workflow runs, and the span
//! itself is recorded when it has ended.
//!
//! None of this is part of a history that replays: headers are not compared.

use std::cell::RefCell;
use std::collections::HashMap;
use std::convert::Infallible;
use std::time::SystemTime;

use activities::trace_context::{self, TEMPORAL_HEADER};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use opentelemetry::trace::{
    Span as _, SpanContext, SpanId, SpanKind, TraceContextExt as _, TraceFlags, TraceId, TraceState, Tracer as _,
};
use opentelemetry::{Context, KeyValue, global};
use sha2::{Digest as _, Sha256};
use temporalio_client::errors::WorkflowStartError;
use temporalio_client::interceptors::{ClientInterceptor, Next, StartWorkflowInput, StartWorkflowOutput};
use temporalio_common::protos::temporal::api::common::v1::Payload;
use temporalio_sdk::WorkflowContextView;
use temporalio_sdk::workflow_interceptors::{
    CancellableWorkflowOutboundFuture, ContinueAsNewInput, ContinueAsNewResult, ExecuteWorkflowInput,
    ExecuteWorkflowResult, InitializeWorkflowInput, InitializeWorkflowOutput, ScheduleActivityInput,
    ScheduleActivityResult, StartChildWorkflowInput, StartChildWorkflowResult, SyncWorkflowInterceptorContext,
    WorkflowInterceptor, WorkflowInterceptorConstructor, WorkflowInterceptorContext, WorkflowInterceptorFuture,
    WorkflowNext,
};
use tracing::Instrument as _;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::otlp;

/// Target of spans that give ids to log lines and are no part of a trace.
pub(super) const LOG_ONLY: &str = "sync_multiplexer::workflow_log";

/// Puts the current trace into every workflow that a client starts.
pub struct TraceStarts;

impl ClientInterceptor for TraceStarts {
    fn start_workflow<'a>(
        &'a self,
        mut input: StartWorkflowInput,
        next: Next<'a, StartWorkflowInput, BoxFuture<'a, Result<StartWorkflowOutput, WorkflowStartError>>>,
    ) -> BoxFuture<'a, Result<StartWorkflowOutput, WorkflowStartError>> {
        let span = tracing::info_span!(
            "start",
            otel.name = format!("start {}", input.workflow_type),
            otel.kind = "client",
            workflow_id = input.options.workflow_id,
        );
        if let Some(carried) = trace_context::to_task(&span.context()) {
            input.options.header.get_or_insert_default().fields.insert(TEMPORAL_HEADER.to_owned(), carried);
        }
        trace_context::within(span, async move { next.run(input).await }).boxed()
    }
}

/// For `WorkerOptions`: carries the trace of each workflow on.
#[must_use]
pub fn through_workflows() -> WorkflowInterceptorConstructor {
    WorkflowInterceptorConstructor::new(|view: &WorkflowContextView| ThroughWorkflow {
        run_id: view.run_id().to_owned(),
        place: RefCell::default(),
    })
}

/// Of one run of a workflow.
struct ThroughWorkflow {
    run_id: String,
    place: RefCell<Option<Place>>,
}

/// Where a run is in its trace.
#[derive(Clone)]
struct Place {
    /// Whoever started it; empty when they have no trace.
    parent: Context,
    /// The run itself.
    own: Context,
}

impl Place {
    fn of(run_id: &str, headers: &HashMap<String, Payload>) -> Self {
        let parent = trace_context::of_task(headers);
        let digest: [u8; 32] = Sha256::digest(run_id.as_bytes()).into();
        let (mut trace_id, mut span_id) = ([0; 16], [0; 8]);
        trace_id.copy_from_slice(&digest[..16]);
        span_id.copy_from_slice(&digest[16..24]);
        let (trace_id, flags, state) = {
            let span = parent.span();
            let above = span.span_context();
            if above.is_valid() {
                (above.trace_id(), above.trace_flags(), above.trace_state().clone())
            } else {
                (TraceId::from_bytes(trace_id), TraceFlags::SAMPLED, TraceState::default())
            }
        };
        let own = SpanContext::new(trace_id, SpanId::from_bytes(span_id), flags, true, state);
        Self { parent, own: Context::new().with_remote_span_context(own) }
    }

    /// Records the span of the run, under the ids that its activities were told.
    fn record(&self, name: String, attributes: Vec<KeyValue>, began: SystemTime, ended: SystemTime) {
        let tracer = global::tracer("syncmux");
        let builder =
            tracer.span_builder(name).with_kind(SpanKind::Internal).with_start_time(began).with_attributes(attributes);
        let span = self.own.span();
        let own = span.span_context();
        let mut span =
            otlp::with_ids(own.trace_id(), own.span_id(), || tracer.build_with_context(builder, &self.parent));
        span.end_with_timestamp(ended);
    }
}

impl ThroughWorkflow {
    fn place(&self, headers: Option<&HashMap<String, Payload>>) -> Place {
        let none = HashMap::new();
        let mut place = self.place.borrow_mut();
        place.get_or_insert_with(|| Place::of(&self.run_id, headers.unwrap_or(&none))).clone()
    }

    /// Tells a task of this run where it belongs.
    fn tell(&self, headers: &mut HashMap<String, Payload>) {
        if let Some(carried) = trace_context::to_task(&self.place(None).own) {
            headers.insert(TEMPORAL_HEADER.to_owned(), carried);
        }
    }
}

impl WorkflowInterceptor for ThroughWorkflow {
    fn initialize_workflow(
        &self,
        _: WorkflowContextView,
        input: InitializeWorkflowInput,
        next: WorkflowNext<'_, InitializeWorkflowInput, InitializeWorkflowOutput>,
    ) -> InitializeWorkflowOutput {
        self.place(Some(input.headers()));
        next.run(input)
    }

    fn execute<'a>(
        &'a self,
        ctx: WorkflowInterceptorContext,
        input: ExecuteWorkflowInput,
        next: WorkflowNext<'a, ExecuteWorkflowInput, WorkflowInterceptorFuture<'a, ExecuteWorkflowResult>>,
    ) -> WorkflowInterceptorFuture<'a, ExecuteWorkflowResult> {
        let place = self.place(Some(input.headers()));
        let began = ctx.workflow_time();
        // An error by level only, so that ids are logged whatever is filtered out.
        let log = tracing::error_span!(
            target: LOG_ONLY,
            "workflow",
            workflow_id = ctx.workflow_id(),
            run_id = ctx.run_id(),
            trace_id = trace_context::trace_id(&place.own),
        );
        let run = async move {
            let result = next.run(input).await;
            if let (false, Some(began), Some(ended)) = (ctx.is_replaying(), began, ctx.workflow_time()) {
                let attributes = vec![
                    KeyValue::new("workflow_id", ctx.workflow_id().to_owned()),
                    KeyValue::new("run_id", ctx.run_id().to_owned()),
                ];
                place.record(format!("workflow {}", ctx.workflow_type()), attributes, began, ended);
            }
            result
        };
        WorkflowInterceptorFuture::new(run.instrument(log))
    }

    fn schedule_activity(
        &self,
        _: WorkflowInterceptorContext,
        mut input: ScheduleActivityInput,
        next: WorkflowNext<'static, ScheduleActivityInput, CancellableWorkflowOutboundFuture<ScheduleActivityResult>>,
    ) -> CancellableWorkflowOutboundFuture<ScheduleActivityResult> {
        self.tell(input.headers_mut());
        next.run(input)
    }

    fn start_child_workflow(
        &self,
        _: WorkflowInterceptorContext,
        mut input: StartChildWorkflowInput,
        next: WorkflowNext<
            'static,
            StartChildWorkflowInput,
            CancellableWorkflowOutboundFuture<StartChildWorkflowResult>,
        >,
    ) -> CancellableWorkflowOutboundFuture<StartChildWorkflowResult> {
        self.tell(input.headers_mut());
        next.run(input)
    }

    /// The next run stands beside this one when somebody started them, and under it otherwise: it is the same trace.
    fn continue_as_new(
        &self,
        _: SyncWorkflowInterceptorContext,
        mut input: ContinueAsNewInput,
        next: WorkflowNext<'static, ContinueAsNewInput, ContinueAsNewResult>,
    ) -> Result<Infallible, temporalio_sdk::WorkflowTermination> {
        let Place { parent, own } = self.place(None);
        if let Some(carried) = trace_context::to_task(&parent).or_else(|| trace_context::to_task(&own)) {
            input.headers_mut().insert(TEMPORAL_HEADER.to_owned(), carried);
        }
        next.run(input)
    }
}
