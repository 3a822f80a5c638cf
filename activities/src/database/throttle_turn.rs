//! Taking what a batch needs of the limits, before it works.
//!
//! One question per batch: whoever may go has paid, in the same transaction, so that a rate holds over all workers. Nothing is
//! reserved for who waits; it asks again, and so a limit that is changed or lifted counts at once. Without an answer of the
//! database nobody works.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::Database;
use super::classify::During;
use super::throttle::{ALL, Row};
use super::throttled::ThrottledBy;
use crate::error::Result;
use crate::throttle::rate::{Bucket, Turn};

/// How long a lane counts that its holder does not renew: its worker is gone.
const LANE_LASTS: Duration = Duration::from_secs(60);

/// How often a holder renews its lane.
pub(crate) const LANE_RENEWAL: Duration = Duration::from_secs(20);

const DOING: &str = "asking whether the limits allow another batch (nothing is written before that is known)";

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taker {
    /// The tenant.
    pub organization_id: Uuid,
    /// The workflow it works for.
    pub workflow_id: String,
    /// The attempt, as an id that no other has.
    pub holder: Uuid,
}

/// What a batch needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// To carry over so many entities, and a lane to do it in.
    Entities(u32),
    /// To embed so many chunks, in the lane it has.
    Embeds(u32),
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It may go, and has paid.
    Go {
        /// It holds one of the lanes of all operations, which is to be renewed and given back.
        lane: bool,
    },
    /// It has to wait.
    Held {
        /// For whom.
        by: ThrottledBy,
        /// In words.
        why: String,
        /// How long at least; `None` until somebody changes something.
        wait: Option<TimeDelta>,
    },
}

/// Takes what a batch needs, all of it or nothing. `now` is the database's clock when absent.
///
/// # Errors
/// Those of the database: then it is not known whether the batch may work, so it may not.
pub async fn take(database: &Database, taker: &Taker, needs: Needs, now: Option<DateTime<Utc>>) -> Result<Answer> {
    let rows = read(database.pool(), taker, now, "").await?;
    if !rows.iter().any(|row| is_limited(row, needs)) {
        return Ok(Answer::Go { lane: false });
    }
    let mut transaction = database.pool().begin().await.during(DOING)?;
    let rows = read(&mut *transaction, taker, now, "FOR UPDATE").await?;
    let at_work = match (rows.first().and_then(|row| row.lanes), needs) {
        (Some(_), Needs::Entities(_)) => Some(lanes_at_work(&mut transaction, taker).await?),
        _ => None,
    };
    let paid = match decide(&rows, needs, at_work) {
        Ok(paid) => paid,
        Err(held) => return Ok(held),
    };
    for (subject, next_at) in paid {
        let statement = match needs {
            Needs::Entities(_) => "UPDATE sync_multiplexer.throttle SET entities_next_at = $2 WHERE subject = $1",
            Needs::Embeds(_) => "UPDATE sync_multiplexer.throttle SET embeds_next_at = $2 WHERE subject = $1",
        };
        sqlx::query(statement).bind(subject).bind(next_at).execute(&mut *transaction).await.during(DOING)?;
    }
    if at_work.is_some() {
        hold_lane(&mut transaction, taker).await?;
    }
    transaction.commit().await.during(DOING)?;
    Ok(Answer::Go { lane: at_work.is_some() })
}

async fn read(
    executor: impl PgExecutor<'_>,
    taker: &Taker,
    now: Option<DateTime<Utc>>,
    lock: &'static str,
) -> Result<Vec<Row>> {
    // 'all' comes first, for whoever locks and for who reads the lanes.
    let statement = match lock {
        "" => {
            "SELECT *, coalesce($3::timestamptz, clock_timestamp()) AS now
             FROM sync_multiplexer.throttle
             WHERE subject = 'all' OR (subject = $1 AND organization_id = $2)
             ORDER BY subject <> 'all'"
        }
        _ => {
            "SELECT *, coalesce($3::timestamptz, clock_timestamp()) AS now
             FROM sync_multiplexer.throttle
             WHERE subject = 'all' OR (subject = $1 AND organization_id = $2)
             ORDER BY subject <> 'all'
             FOR UPDATE"
        }
    };
    sqlx::query_as(statement)
        .bind(&taker.workflow_id)
        .bind(taker.organization_id)
        .bind(now)
        .fetch_all(executor)
        .await
        .during(DOING)
}

fn is_limited(row: &Row, needs: Needs) -> bool {
    match needs {
        Needs::Entities(_) => row.entities_per_second.is_some() || row.lanes.is_some(),
        Needs::Embeds(_) => row.embeds_per_second.is_some(),
    }
}

/// What everybody has been paid when the batch goes, or who holds it back: of several, who does so for longest.
fn decide(rows: &[Row], needs: Needs, at_work: Option<i64>) -> Result<Vec<(&str, DateTime<Utc>)>, Answer> {
    let (mut paid, mut held): (_, Option<(TimeDelta, &Row, String)>) = (Vec::new(), None);
    for row in rows {
        let (bucket, units, rate): (Bucket, _, _) = match needs {
            Needs::Entities(units) => (row.entities(), units, "entities/s"),
            Needs::Embeds(units) => (row.embeds(), units, "embeds/s"),
        };
        let limit = format!("{} {rate}", bucket.per_second.unwrap_or_default());
        let mut hold = |wait, limit| {
            if held.as_ref().is_none_or(|(longest, ..)| wait > *longest) {
                held = Some((wait, row, limit));
            }
        };
        match bucket.ask(units, row.now) {
            Turn::Go(next_at) => paid.push((row.subject.as_str(), next_at)),
            Turn::Wait(wait) => hold(wait, limit),
            Turn::Stopped => hold(TimeDelta::MAX, limit),
        }
        if let Some((lanes, at_work)) = row.lanes.zip(at_work)
            && at_work >= i64::from(lanes)
        {
            hold(TimeDelta::MAX, format!("{lanes} lanes"));
        }
    }
    let Some((wait, row, limit)) = held else { return Ok(paid) };
    let (by, whose) = match row.subject.as_str() {
        ALL => (ThrottledBy::Global, "all operations together"),
        _ => (ThrottledBy::Operation, "this operation"),
    };
    let reason = if row.reason.is_empty() { String::new() } else { format!(": {}", row.reason) };
    Err(Answer::Held {
        by,
        why: format!("{limit} for {whose}, set by {}{reason}", row.requested_by),
        wait: Some(wait).filter(|wait| *wait != TimeDelta::MAX),
    })
}

/// Other batches at work, with those forgotten whose worker is gone. The row of all operations is locked, so nobody else looks
/// at the same time.
async fn lanes_at_work(connection: &mut PgConnection, taker: &Taker) -> Result<i64> {
    sqlx::query("DELETE FROM sync_multiplexer.lane WHERE expires_at < now()")
        .execute(&mut *connection)
        .await
        .during(DOING)?;
    sqlx::query_scalar("SELECT count(*) FROM sync_multiplexer.lane WHERE holder <> $1")
        .bind(taker.holder)
        .fetch_one(connection)
        .await
        .during(DOING)
}

async fn hold_lane(connection: &mut PgConnection, taker: &Taker) -> Result<()> {
    sqlx::query(
        "INSERT INTO sync_multiplexer.lane (holder, organization_id, workflow_id, expires_at)
         VALUES ($1, $2, $3, now() + make_interval(secs => $4))
         ON CONFLICT (holder) DO UPDATE SET expires_at = excluded.expires_at",
    )
    .bind(taker.holder)
    .bind(taker.organization_id)
    .bind(&taker.workflow_id)
    .bind(LANE_LASTS.as_secs_f64())
    .execute(connection)
    .await
    .during(DOING)?;
    Ok(())
}

/// Says that the holder of a lane is still at work.
///
/// # Errors
/// Those of the database.
pub async fn renew_lane(database: &Database, taker: &Taker) -> Result<()> {
    let mut connection = database.pool().acquire().await.during(DOING)?;
    hold_lane(&mut connection, taker).await
}

/// Gives a lane back.
///
/// # Errors
/// Those of the database; the lane is free when it expires.
pub async fn release_lane(database: &Database, taker: &Taker) -> Result<()> {
    sqlx::query("DELETE FROM sync_multiplexer.lane WHERE holder = $1 AND organization_id = $2")
        .bind(taker.holder)
        .bind(taker.organization_id)
        .execute(database.pool())
        .await
        .during("giving a lane back")?;
    Ok(())
}
