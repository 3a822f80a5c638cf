//! How fast operations may be: one of them, or, for the platform itself, all together.

use std::sync::Arc;

use activities::database::throttle::{self, Limited};
use activities::throttle::{Author, Change, Limits as Rates, MAX_LANES, Setting};
use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use proto::v1;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use workflows::domain::ErrorKind;

use super::Api;
use super::caller::Caller;
use super::extract::{Body, Ids, text};
use super::fork::within;
use super::operations::OperationPath;
use super::problem::Problem;
use super::switch::needs_reason;

/// What is to be limited; what is not named stays as it is.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ThrottleBody {
    /// Segments worked on at a time; of a collection, syncs forked at a time.
    #[schema(minimum = 1, maximum = 64)]
    lanes: Option<u32>,
    /// Entities carried over per second, by all workers together; 0 stops.
    #[schema(minimum = 0.0)]
    entities_per_second: Option<f64>,
    /// Chunks embedded per second; 0 stops embedding.
    #[schema(minimum = 0.0)]
    embeds_per_second: Option<f64>,
    /// Lift the rates that are not named.
    unlimited: bool,
    /// Why, for whoever finds the work held back.
    #[schema(max_length = 1000)]
    reason: Option<String>,
}

/// What is to be limited of all operations together; what is not named stays as it is.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ThrottleAllBody {
    /// Batches at work at a time; 0 stops.
    #[schema(minimum = 0, maximum = 10000)]
    lanes: Option<u32>,
    /// Entities carried over per second; 0 stops.
    #[schema(minimum = 0.0)]
    entities_per_second: Option<f64>,
    /// Chunks embedded per second; 0 stops embedding.
    #[schema(minimum = 0.0)]
    embeds_per_second: Option<f64>,
    /// Lift every limit that is not named.
    unlimited: bool,
    /// Why, for whoever finds the work held back; needed.
    #[schema(max_length = 1000)]
    reason: Option<String>,
}

/// Limits in force; one that is absent does not limit, or is not known here.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Limits {
    lanes: Option<u32>,
    entities_per_second: Option<f64>,
    embeds_per_second: Option<f64>,
}

/// Limits in force, and who set them.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct InForce {
    limits: Limits,
    requested_by: String,
    reason: String,
    since: DateTime<Utc>,
}

/// Change how fast an operation may be; answers with what is in force.
#[utoipa::path(post, path = "/{operation_id}/throttle", tag = "operations", params(OperationPath),
    request_body = ThrottleBody, responses((status = 200, body = Limits)))]
pub(super) async fn one(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Ids(path): Ids<OperationPath>,
    Body(body): Body<ThrottleBody>,
) -> Result<Json<Limits>, Problem> {
    within("lanes", body.lanes, 1..=64)?;
    let asked = v1::Throttle {
        lanes: body.lanes.unwrap_or_default(),
        entities_per_second: body.entities_per_second,
        embeds_per_second: body.embeds_per_second,
        unlimited: body.unlimited,
        requested_by: caller.requested_by(),
        reason: text("reason", body.reason)?,
    };
    let in_force = api.operations().await?.throttle(caller.organization_id, path.operation_id, &asked).await?;
    Ok(Json(Limits {
        lanes: Some(in_force.lanes).filter(|lanes| *lanes > 0),
        entities_per_second: in_force.entities_per_second,
        embeds_per_second: in_force.embeds_per_second,
    }))
}

/// The limits of all operations together; for the platform itself.
#[utoipa::path(get, path = "/", tag = "operations", responses((status = 200, body = Option<InForce>)))]
pub(super) async fn show(State(api): State<Arc<Api>>, caller: Caller) -> Result<Json<Option<InForce>>, Problem> {
    require_backend(&caller)?;
    let limited = throttle::in_force(&api.database, None).await?;
    let of_all = limited.into_iter().find(|limited| limited.workflow_id.is_none());
    Ok(Json(of_all.map(|Limited { limits, requested_by, reason, since, .. }| InForce {
        limits: message(limits),
        requested_by,
        reason,
        since,
    })))
}

/// Change how fast all operations together may be, whose-ever they are; for the platform itself.
#[utoipa::path(post, path = "/", tag = "operations", request_body = ThrottleAllBody,
    responses((status = 200, body = Limits)))]
pub(super) async fn all(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Body(body): Body<ThrottleAllBody>,
) -> Result<Json<Limits>, Problem> {
    require_backend(&caller)?;
    within("lanes", body.lanes, 0..=MAX_LANES)?;
    let reason = text("reason", body.reason)?;
    needs_reason(true, &reason)?;
    let rest = if body.unlimited { Change::LIFT } else { Change::default() };
    let change = Change {
        entities_per_second: body.entities_per_second.map_or(rest.entities_per_second, Setting::To),
        embeds_per_second: body.embeds_per_second.map_or(rest.embeds_per_second, Setting::To),
        lanes: body.lanes.map_or(rest.lanes, Setting::To),
    };
    let author = Author { requested_by: caller.requested_by(), reason };
    Ok(Json(message(throttle::limit_all(&api.database, change, &author).await?)))
}

fn message(limits: Rates) -> Limits {
    let Rates { lanes, entities_per_second, embeds_per_second } = limits;
    Limits { lanes, entities_per_second, embeds_per_second }
}

/// What concerns every tenant is no tenant's to change.
fn require_backend(caller: &Caller) -> Result<(), Problem> {
    if caller.is_backend() {
        return Ok(());
    }
    Err(Problem::new(ErrorKind::Forbidden, "all operations together are the platform's: use the internal token"))
}
