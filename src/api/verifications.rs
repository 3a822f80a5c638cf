//! What was compared between the raw store and a slot, and what differed.

use std::sync::Arc;

use activities::database::{slots, verifications};
use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Api;
use super::caller::Caller;
use super::dead_letters::PageQuery;
use super::destinations::SlotPath;
use super::extract::{Filters, Ids};
use super::paging::{self, Page};
use super::problem::Problem;

/// A verification of a slot.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Verification {
    verification_id: Uuid,
    /// The operation it was part of.
    operation_id: Uuid,
    /// Whether the slot was right.
    passed: bool,
    /// What was compared and what differed, as the workflow has it: proto3 JSON, in which 64-bit numbers are text.
    #[schema(value_type = Object)]
    result: Value,
    verified_at: DateTime<Utc>,
}

/// List the verifications of a slot, newest first.
#[utoipa::path(get, path = "/destinations/{slot_id}/verifications", tag = "destinations", params(SlotPath, PageQuery),
    responses((status = 200, body = Page<Verification>)))]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Ids(path): Ids<SlotPath>,
    Filters(query): Filters<PageQuery>,
) -> Result<Json<Page<Verification>>, Problem> {
    let limit = paging::limit(query.limit)?;
    let after = query.cursor.map(|cursor| Uuid::try_parse(&cursor).map_err(|_| paging::wrong_cursor())).transpose()?;
    let scope = path.scope(&caller);
    if slots::get(&api.database, &scope).await?.built.is_none() {
        return Ok(Json(Page { items: Vec::new(), next_cursor: None }));
    }
    let mut listed = verifications::page(&api.database, &scope, after, limit + 1).await?;
    let length = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = listed.len() > length;
    listed.truncate(length);
    let next_cursor = listed.last().filter(|_| more).map(|last| last.verification_id.to_string());
    let items = listed.into_iter().map(|it| Verification {
        verification_id: it.verification_id,
        operation_id: it.operation_id,
        passed: it.passed,
        result: it.result,
        verified_at: it.verified_at,
    });
    Ok(Json(Page { items: items.collect(), next_cursor }))
}
