//! How fast work goes: what operators allow, and what a destination bears.
//!
//! | file | owns |
//! |---|---|
//! | [`limits`] | what operators set: rates and lanes, of one operation and of all together |
//! | `rate` | when the next batch is due at a rate (pure) |
//! | `pressure` | how many batches a destination is given at a time (pure) |
//! | `health` | the pressure of every destination of this worker |
//! | `gauged` | a destination that tells how its writes go |
//! | `lane` | the waits of one attempt at a segment, and what is told about them |
//! | `embedder` | an embedder that waits for its lane |
//!
//! Limits are asked of the database before every batch ([`crate::database::throttle_turn`]), so they hold over all workers, count
//! at once, and outlive every process. Health is known to each worker for itself: every one finds its share.
//!
//! Invariants kept here: without an answer about the limits nothing is written; a destination nothing is known about gets one
//! batch at a time; whoever waits for more than a moment says for whom, why and since when. Nobody waits while it keeps plans
//! out or holds a place at the destination.

mod embedder;
pub(crate) mod gauged;
pub(crate) mod health;
mod lane;
pub mod limits;
pub(crate) mod pressure;
pub(crate) mod rate;

use std::sync::Arc;
use std::time::Duration;

use proto::v1::Throttling;
use tokio::sync::Semaphore;
use uuid::Uuid;

pub(crate) use embedder::Paced;
pub(crate) use lane::{Lane, Word};
pub use limits::{Author, Change, Limits, MAX_LANES, Setting};

use crate::database::Database;
use crate::database::throttle_turn::Taker;
use crate::database::throttled::ThrottledBy;
use crate::metrics::metrics;
use health::Healths;

/// What the lanes of a worker share.
#[derive(Debug)]
pub(crate) struct Throttle {
    database: Database,
    pub(crate) healths: Healths,
    /// Places for who waits long, fewer than there are slots for activities.
    seats: Arc<Semaphore>,
}

impl Throttle {
    /// For a worker that runs so many activities at a time.
    pub(crate) fn new(database: Database, activity_slots: usize) -> Self {
        Self { database, healths: Healths::default(), seats: Arc::new(Semaphore::new(activity_slots / 2)) }
    }

    /// For one attempt at a segment; `shown` is what its workflow shows as holding it back.
    pub(crate) fn lane(
        &self,
        organization_id: Uuid,
        workflow_id: &str,
        holder: Uuid,
        shown: Option<Throttling>,
    ) -> Arc<Lane> {
        let taker = Taker { organization_id, workflow_id: workflow_id.to_owned(), holder };
        Arc::new(Lane::new(self.database.clone(), Arc::clone(&self.seats), taker, shown))
    }
}

/// Somebody was held back for so long.
fn report_wait(by: ThrottledBy, waited: Duration) {
    metrics().throttle_wait(by.as_str(), waited);
    tracing::debug!(by = by.as_str(), waited_seconds = waited.as_secs_f64(), "a batch was held back");
}
