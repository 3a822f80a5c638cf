//! The operations of an organisation, newest first, page by page.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use uuid::Uuid;
use workflows::collection_switch_workflow_id;

use super::classify::During;
use super::operations::{Operation, OperationKind, OperationState};
use super::{Database, collection, sync_lock};
use crate::error::{Error, ErrorKind, Result};

/// The most operations of one page.
pub const MAX_PAGE: u32 = 200;

/// Which operations are meant; what is left out means all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Filter {
    /// About this sync.
    pub sync_id: Option<Uuid>,
    /// About this collection as a whole; of a switch, those of its syncs.
    pub collection_id: Option<Uuid>,
    /// Of this kind.
    pub kind: Option<OperationKind>,
    /// In this state.
    pub state: Option<OperationState>,
}

/// Some operations, and where the next ones begin.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// Newest first.
    pub operations: Vec<Operation>,
    /// Absent when there are no more.
    pub next: Option<Cursor>,
}

/// A place in the list: behind one operation. What begins meanwhile is before it, so no operation is listed twice or left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    started_at: DateTime<Utc>,
    operation_id: Uuid,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.started_at.timestamp_micros(), self.operation_id.simple())
    }
}

impl FromStr for Cursor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let read = || {
            let (micros, operation_id) = text.split_once('-')?;
            let started_at = DateTime::from_timestamp_micros(micros.parse().ok()?)?;
            Some(Self { started_at, operation_id: Uuid::try_parse(operation_id).ok()? })
        };
        read().ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidInput,
                "the cursor is not one that a page ended with; leave it out to begin anew",
            )
        })
    }
}

/// One page of at most `limit` operations, from 1 to [`MAX_PAGE`].
///
/// # Errors
/// `InvalidInput` for another limit; `NotFound` when the organisation has no such sync or collection.
pub async fn page(
    database: &Database,
    organization_id: Uuid,
    filter: &Filter,
    after: Option<&Cursor>,
    limit: u32,
) -> Result<Page> {
    const DOING: &str = "listing operations";
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            format!("limit must be between 1 and {MAX_PAGE}, got {limit}"),
        ));
    }
    let mut connection = database.pool().acquire().await.during(DOING)?;
    if let Some(sync_id) = filter.sync_id {
        sync_lock::require_sync(&mut connection, organization_id, sync_id).await?;
    }
    if let Some(collection_id) = filter.collection_id {
        collection::require(&mut connection, organization_id, collection_id).await?;
    }
    let mut operations: Vec<Operation> = sqlx::query_as(
        "SELECT * FROM sync_multiplexer.operation
         WHERE organization_id = $1
           AND ($2::uuid IS NULL OR sync_id = $2)
           AND ($3::uuid IS NULL OR collection_id = $3 OR workflow_id = $9)
           AND ($4::text IS NULL OR kind = $4)
           AND ($5::text IS NULL OR state = $5)
           AND ($6::timestamptz IS NULL OR (started_at, operation_id) < ($6, $7::uuid))
         ORDER BY started_at DESC, operation_id DESC
         LIMIT $8",
    )
    .bind(organization_id)
    .bind(filter.sync_id)
    .bind(filter.collection_id)
    .bind(filter.kind.map(OperationKind::as_str))
    .bind(filter.state.map(OperationState::as_str))
    .bind(after.map(|cursor| cursor.started_at))
    .bind(after.map(|cursor| cursor.operation_id))
    .bind(i64::from(limit) + 1)
    .bind(filter.collection_id.map(|id| collection_switch_workflow_id(&id.to_string())))
    .fetch_all(&mut *connection)
    .await
    .during(DOING)?;
    let more = operations.len() > usize::try_from(limit).unwrap_or(usize::MAX);
    if more {
        operations.pop();
    }
    let last = operations.last().filter(|_| more);
    let next = last.map(|it| Cursor { started_at: it.started_at, operation_id: it.operation_id });
    Ok(Page { operations, next })
}
