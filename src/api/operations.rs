//! Operations: listed, looked at, waited for, and steered while they run.

use std::sync::Arc;
use std::time::{Duration, Instant};

use activities::database::operation_list::{Cursor, Filter};
use activities::database::operations::{Operation as Record, OperationKind, OperationState};
use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::Api;
use super::caller::Caller;
use super::extract::{Body, Filters, Ids, NewOperation, text};
use super::paging::{self, Page};
use super::problem::Problem;
use super::started::{Accepted, Begun, Links};
use crate::operations::OperationView;

/// Seconds that a request may wait for an end.
const MAX_WAIT_SECONDS: u32 = 30;

/// Between two looks at an operation that is waited for.
pub(super) const LOOK: Duration = Duration::from_millis(500);

/// The operation of a path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct OperationPath {
    /// The operation
    pub(super) operation_id: Uuid,
}

/// Which operations are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// About this sync
    sync_id: Option<Uuid>,
    /// About this collection
    collection_id: Option<Uuid>,
    /// Of this kind
    #[param(inline)]
    kind: Option<Kind>,
    /// In this state
    #[param(inline)]
    state: Option<StateWord>,
    /// Operations of a page; 50 when left out
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// Where the page before ended
    #[param(max_length = 200)]
    cursor: Option<String>,
}

/// How long to wait.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct WaitQuery {
    /// Seconds to wait for the end of an operation that runs
    #[param(minimum = 0, maximum = 30)]
    wait: Option<u32>,
}

/// What was asked for.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    /// Add a shadow and fill it.
    Fork,
    /// Promote a ready slot.
    Switch,
    /// Go back to a slot.
    Rollback,
    /// Make the platform pull everything again.
    Resync,
    /// Compare a slot with the raw store.
    Verify,
    /// Remove a slot.
    Retire,
    /// Keep slots caught up.
    Follow,
}

/// How far an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum StateWord {
    /// It has not ended.
    Running,
    /// It did what was asked.
    Completed,
    /// It ended with an error.
    Failed,
    /// It ended because somebody asked it to.
    Cancelled,
}

/// An operation.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Operation {
    operation_id: Uuid,
    kind: Kind,
    state: StateWord,
    /// The step it is at, or was at when it ended.
    phase: String,
    /// The sync it is about; absent when it is about a collection.
    sync_id: Option<Uuid>,
    /// The collection it is about; absent when it is about one sync.
    collection_id: Option<Uuid>,
    slot_id: Option<Uuid>,
    workflow_id: String,
    requested_by: String,
    /// What was asked for.
    #[schema(value_type = Object)]
    request: Value,
    /// What it failed with.
    error: Option<OperationError>,
    /// What it did, once it completed, as the workflow answers it.
    #[schema(value_type = Option<Object>)]
    result: Option<Value>,
    /// Where it is just now, as its workflow answers the query `progress`: proto3 JSON, in which 64-bit numbers are text.
    #[schema(value_type = Option<Object>)]
    progress: Option<Value>,
    /// Why there is no progress although it runs.
    silent: Option<String>,
    started_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    ended_at: Option<DateTime<Utc>>,
    links: Links,
}

/// Why an operation failed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OperationError {
    /// Name of the error kind.
    kind: String,
    message: String,
}

/// That something was asked of a running operation.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Asked {
    operation_id: Uuid,
    /// What was asked for; `GET` the operation to see it done.
    asked: &'static str,
}

/// Why an operation is to end.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct CancelBody {
    /// Why, for the record.
    #[schema(max_length = 1000)]
    reason: Option<String>,
}

/// A request without content.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Nothing {}

/// List operations, newest first.
#[utoipa::path(get, path = "/", tag = "operations", params(ListQuery),
    responses((status = 200, body = Page<Operation>)))]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Filters(query): Filters<ListQuery>,
) -> Result<Json<Page<Operation>>, Problem> {
    let limit = paging::limit(query.limit)?;
    let after = query.cursor.map(|text| text.parse::<Cursor>()).transpose().map_err(|_| paging::wrong_cursor())?;
    let filter = Filter {
        sync_id: query.sync_id,
        collection_id: query.collection_id,
        kind: query.kind.map(Kind::of_record),
        state: query.state.map(StateWord::of_record),
    };
    let page = api.operations().await?.list(caller.organization_id, &filter, after.as_ref(), limit).await?;
    let view = |record| Operation::new(OperationView { record, progress: None, silent: None });
    let items = page.operations.into_iter().map(view).collect::<Result<_, _>>()?;
    Ok(Json(Page { items, next_cursor: page.next.map(|cursor| cursor.to_string()) }))
}

/// One operation, with its progress while it runs. With `wait` the answer comes when it has ended, or the time is over.
#[utoipa::path(get, path = "/{operation_id}", tag = "operations", params(OperationPath, WaitQuery),
    responses((status = 200, body = Operation)))]
pub(super) async fn get(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Ids(path): Ids<OperationPath>,
    Filters(query): Filters<WaitQuery>,
) -> Result<Json<Operation>, Problem> {
    super::fork::within("wait", query.wait, 0..=MAX_WAIT_SECONDS)?;
    let wait = Duration::from_secs(query.wait.unwrap_or_default().into());
    let operations = api.operations().await?;
    let began = Instant::now();
    // With everybody's place taken the answer comes at once, which is no error: the caller asks again.
    let place = if wait.is_zero() { None } else { api.limits.watcher() };
    let mut stopping = api.stopping.clone();
    loop {
        let view = operations.get(caller.organization_id, path.operation_id).await?;
        let is_over = view.record.state != OperationState::Running || began.elapsed() >= wait;
        if is_over || place.is_none() || *stopping.borrow() {
            return Operation::new(view).map(Json);
        }
        // A shutdown ends the wait; the last look is the answer then.
        let _ = tokio::time::timeout(LOOK, stopping.changed()).await;
    }
}

/// Stop an operation before its next step.
#[utoipa::path(post, path = "/{operation_id}/pause", tag = "operations", params(OperationPath),
    request_body = Option<Nothing>, responses((status = 202, body = Asked)))]
pub(super) async fn pause(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Ids(path): Ids<OperationPath>,
    _empty: Body<Nothing>,
) -> Result<Accepted<Asked>, Problem> {
    api.operations().await?.pause(caller.organization_id, path.operation_id).await?;
    Ok(asked(path.operation_id, "pause"))
}

/// Go on after a pause.
#[utoipa::path(post, path = "/{operation_id}/resume", tag = "operations", params(OperationPath),
    request_body = Option<Nothing>, responses((status = 202, body = Asked)))]
pub(super) async fn resume(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Ids(path): Ids<OperationPath>,
    _empty: Body<Nothing>,
) -> Result<Accepted<Asked>, Problem> {
    api.operations().await?.resume(caller.organization_id, path.operation_id).await?;
    Ok(asked(path.operation_id, "resume"))
}

/// Ask an operation to end; what it made is taken back. Its state says when that is done.
#[utoipa::path(post, path = "/{operation_id}/cancel", tag = "operations", params(OperationPath),
    request_body = Option<CancelBody>, responses((status = 202, body = Asked)))]
pub(super) async fn cancel(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Ids(path): Ids<OperationPath>,
    Body(body): Body<CancelBody>,
) -> Result<Accepted<Asked>, Problem> {
    let reason = match text("reason", body.reason)? {
        reason if reason.is_empty() => format!("asked by {}", caller.requested_by()),
        reason => format!("{reason} ({})", caller.requested_by()),
    };
    api.operations().await?.cancel(caller.organization_id, path.operation_id, &reason).await?;
    Ok(asked(path.operation_id, "cancel"))
}

/// Begin a failed or cancelled operation again, as a new one that goes on from what the first one left.
#[utoipa::path(post, path = "/{operation_id}/retry", tag = "operations", params(OperationPath),
    request_body = Option<Nothing>, responses((status = 202, body = Begun)))]
pub(super) async fn retry(
    State(api): State<Arc<Api>>,
    caller: Caller,
    NewOperation(new_id): NewOperation,
    Ids(path): Ids<OperationPath>,
    _empty: Body<Nothing>,
) -> Result<Accepted<Begun>, Problem> {
    let operations = api.operations().await?;
    let by = caller.requested_by();
    let retried = operations.retry(caller.organization_id, path.operation_id, Some(new_id), &by).await?;
    let begun = Begun::new(retried.operation_id, retried.workflow_id);
    let location = begun.links.operation.clone();
    Ok(Accepted(begun, location))
}

fn asked(operation_id: Uuid, asked: &'static str) -> Accepted<Asked> {
    Accepted(Asked { operation_id, asked }, format!("/operations/{operation_id}"))
}

impl Operation {
    pub(super) fn new(view: OperationView) -> Result<Self, Problem> {
        let Record { operation_id, kind, state, error_kind, error_message, .. } = view.record;
        let error = error_kind.map(|kind| OperationError { kind, message: error_message.unwrap_or_default() });
        Ok(Self {
            operation_id,
            kind: Kind::new(kind),
            state: StateWord::new(state),
            phase: view.record.phase,
            sync_id: view.record.sync_id,
            collection_id: view.record.collection_id,
            slot_id: view.record.slot_id,
            workflow_id: view.record.workflow_id,
            requested_by: view.record.requested_by,
            request: view.record.options,
            error,
            result: view.record.result,
            progress: view.progress.map(serde_json::to_value).transpose()?,
            silent: view.silent,
            started_at: view.record.started_at,
            updated_at: view.record.updated_at,
            ended_at: view.record.ended_at,
            links: Links::of(operation_id),
        })
    }

    pub(super) fn is_running(&self) -> bool {
        self.state == StateWord::Running
    }
}

impl Kind {
    fn new(kind: OperationKind) -> Self {
        match kind {
            OperationKind::Fork => Self::Fork,
            OperationKind::Switch => Self::Switch,
            OperationKind::Rollback => Self::Rollback,
            OperationKind::Resync => Self::Resync,
            OperationKind::Verify => Self::Verify,
            OperationKind::Retire => Self::Retire,
            OperationKind::Follow => Self::Follow,
        }
    }

    fn of_record(self) -> OperationKind {
        match self {
            Self::Fork => OperationKind::Fork,
            Self::Switch => OperationKind::Switch,
            Self::Rollback => OperationKind::Rollback,
            Self::Resync => OperationKind::Resync,
            Self::Verify => OperationKind::Verify,
            Self::Retire => OperationKind::Retire,
            Self::Follow => OperationKind::Follow,
        }
    }
}

impl StateWord {
    fn new(state: OperationState) -> Self {
        match state {
            OperationState::Running => Self::Running,
            OperationState::Completed => Self::Completed,
            OperationState::Failed => Self::Failed,
            OperationState::Cancelled => Self::Cancelled,
        }
    }

    fn of_record(self) -> OperationState {
        match self {
            Self::Running => OperationState::Running,
            Self::Completed => OperationState::Completed,
            Self::Failed => OperationState::Failed,
            Self::Cancelled => OperationState::Cancelled,
        }
    }
}
