//! Entities that could not be carried over to a slot.

use std::sync::Arc;

use activities::database::{dead_letters, slots};
use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::caller::Caller;
use super::destinations::SlotPath;
use super::extract::{Filters, Ids};
use super::paging::{self, Page};
use super::problem::Problem;

/// Which page is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PageQuery {
    /// Items of a page; 50 when left out
    #[param(minimum = 1, maximum = 200)]
    pub(super) limit: Option<u32>,
    /// Where the page before ended
    #[param(max_length = 4096)]
    pub(super) cursor: Option<String>,
}

/// An entity that could not be carried over, with the reason.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeadLetter {
    /// Key of the object in the raw store.
    object_key: String,
    /// Empty when the object could not be decoded far enough to know.
    entity_id: String,
    /// The step that gave up: read, decode, text, chunk, embed or write.
    stage: &'static str,
    /// Name of the error kind.
    kind: &'static str,
    message: String,
    /// How often it failed.
    attempts: u32,
    first_seen: DateTime<Utc>,
    last_seen: DateTime<Utc>,
}

/// List the dead letters of a slot, by the key of the object.
#[utoipa::path(get, path = "/destinations/{slot_id}/dead-letters", tag = "destinations", params(SlotPath, PageQuery),
    responses((status = 200, body = Page<DeadLetter>)))]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Ids(path): Ids<SlotPath>,
    Filters(query): Filters<PageQuery>,
) -> Result<Json<Page<DeadLetter>>, Problem> {
    let limit = paging::limit(query.limit)?;
    let after = query.cursor.map(|cursor| decode(&cursor).ok_or_else(paging::wrong_cursor)).transpose()?;
    let scope = path.scope(&caller);
    if slots::get(&api.database, &scope).await?.built.is_none() {
        return Ok(Json(Page { items: Vec::new(), next_cursor: None }));
    }
    let mut letters = dead_letters::page(&api.database, &scope, after.as_deref(), limit + 1).await?;
    let length = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = letters.len() > length;
    letters.truncate(length);
    let next_cursor = letters.last().filter(|_| more).map(|last| hex::encode(&last.letter.object_key));
    let items = letters.into_iter().map(|it| DeadLetter {
        object_key: it.letter.object_key,
        entity_id: it.letter.entity_id,
        stage: it.letter.stage.as_str(),
        kind: it.letter.kind.name(),
        message: it.letter.message,
        attempts: it.attempts,
        first_seen: it.first_seen,
        last_seen: it.last_seen,
    });
    Ok(Json(Page { items: items.collect(), next_cursor }))
}

/// The object key in a cursor.
fn decode(cursor: &str) -> Option<String> {
    String::from_utf8(hex::decode(cursor).ok()?).ok().filter(|key| !key.contains('\0'))
}
