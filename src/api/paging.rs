//! Pages of a list: a limit, and a cursor that says where the next page begins.

use serde::Serialize;
use utoipa::ToSchema;

use super::problem::Problem;

/// Items of a page when the request does not say how many.
const DEFAULT_LIMIT: u32 = 50;

/// Items of the largest page.
pub(super) const MAX_LIMIT: u32 = 200;

/// Some items of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    /// Hand it over as `cursor` to get the next page; absent on the last one.
    pub(super) next_cursor: Option<String>,
}

/// How many items are wanted.
pub(super) fn limit(asked: Option<u32>) -> Result<u32, Problem> {
    super::fork::within("limit", asked, 1..=MAX_LIMIT)?;
    Ok(asked.unwrap_or(DEFAULT_LIMIT))
}

/// A cursor that is none.
pub(super) fn wrong_cursor() -> Problem {
    Problem::field("cursor", "is not one that a page ended with; leave it out to begin anew")
}
