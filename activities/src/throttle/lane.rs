//! The waits of one attempt at a segment: for the limits, and for the destination.
//!
//! Waiting is looking again and again, so that a change counts at once and giving up costs nothing. Whoever waits for longer
//! than a moment notes it in the database, where operators see it. The workflow learns it from the attempt itself, which ends
//! early when what holds it back is something else than the workflow shows: a few attempts more for each change, and none for
//! a stop that lasts for days.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use proto::v1::Throttling;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::health::{Health, Permit};
use super::report_wait;
use crate::database::throttle_turn::{self, Answer, LANE_RENEWAL, Needs, Taker};
use crate::database::throttled::{self, ThrottledBy};
use crate::database::{Database, throttle_turn::release_lane};
use crate::error::Result;

/// The longest and the shortest time until somebody who waits looks again.
const LOOK: Duration = Duration::from_secs(1);
const GLANCE: Duration = Duration::from_millis(10);

/// Waits that are shorter than this are no news.
const MOMENT: Duration = Duration::from_millis(100);

/// After this time a wait is noted, and how often after that.
const NOTED_AFTER: Duration = Duration::from_secs(1);
const NOTED_EVERY: Duration = Duration::from_secs(2);

/// After this time the workflow is told.
const TOLD_AFTER: TimeDelta = TimeDelta::seconds(5);

/// How long an attempt lasts at least whose workflow shows something else already: who holds it back may change back and forth,
/// and a history must not grow by that.
const TOLD_ANEW_AFTER: Duration = Duration::from_secs(60);

/// What an attempt at a segment waits for, and has waited for.
pub(crate) struct Lane {
    database: Database,
    taker: Taker,
    /// What the workflow shows.
    shown: Option<Throttling>,
    began: Instant,
    state: Mutex<State>,
    told: watch::Sender<Option<Throttling>>,
}

#[derive(Debug, Default)]
struct State {
    /// What holds it back since when, and whether that is noted.
    standing: Option<Standing>,
    /// The present batch had to wait.
    has_waited: bool,
}

#[derive(Debug, Clone, PartialEq)]
struct Standing {
    by: ThrottledBy,
    why: String,
    since: DateTime<Utc>,
    is_noted: bool,
}

/// One wait.
struct Wait {
    began: Instant,
    noted: Option<Instant>,
    by: Option<ThrottledBy>,
}

/// The right to carry over one batch. Dropping it gives the lane back that it may hold.
pub(crate) struct Admission {
    renewal: Option<Renewal>,
}

struct Renewal {
    database: Database,
    taker: Taker,
    task: JoinHandle<()>,
}

impl Lane {
    pub(super) fn new(database: Database, taker: Taker, shown: Option<Throttling>) -> Self {
        let state = Mutex::default();
        Self { database, taker, shown, began: Instant::now(), state, told: watch::Sender::new(None) }
    }

    /// Waits until a batch of so many entities may be begun.
    ///
    /// # Errors
    ///
    /// Those of the database: then nobody knows whether it may.
    pub(crate) async fn entities(&self, count: usize) -> Result<Admission> {
        self.begin_batch().await?;
        let holds_lane = self.take(Needs::Entities(units(count))).await?;
        Ok(Admission { renewal: holds_lane.then(|| Renewal::begin(self.database.clone(), self.taker.clone())) })
    }

    /// Waits until so many chunks may be embedded.
    ///
    /// # Errors
    ///
    /// As [`Self::entities`].
    pub(super) async fn embeds(&self, count: usize) -> Result<()> {
        self.take(Needs::Embeds(units(count))).await.map(drop)
    }

    /// Waits until the destination bears another batch.
    ///
    /// # Errors
    ///
    /// Those of the database, where a long wait is noted.
    pub(crate) async fn destination(&self, health: &Arc<Health>) -> Result<Permit> {
        let mut wait = Wait::begin();
        loop {
            let held = match health.begin() {
                Ok(permit) => {
                    self.went(&wait);
                    return Ok(permit);
                }
                Err(held) => held,
            };
            let for_so_long = held.since.map(|since| since.elapsed()).unwrap_or_default();
            let since = Utc::now() - TimeDelta::from_std(for_so_long).unwrap_or_default();
            // The batch is made and paid for already: the next one tells.
            self.held(&mut wait, ThrottledBy::Destination, &held.why, since).await?;
            health.pause(&held).await;
        }
    }

    /// What the workflow is to be told before the segment is done. Pending while there is nothing to tell; dropping the work
    /// when there is loses nothing.
    pub(crate) async fn untold(&self) -> Throttling {
        let mut told = self.told.subscribe();
        match told.wait_for(Option::is_some).await.map(|told| told.clone()) {
            Ok(Some(throttling)) => throttling,
            // The sender is here.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    /// What held the last batch back.
    ///
    /// # Errors
    ///
    /// Those of the database, when a note has to be taken back.
    pub(crate) async fn last(&self) -> Result<Option<Throttling>> {
        self.forget_what_is_over().await?;
        Ok(self.lock().standing.as_ref().map(Standing::told))
    }

    async fn begin_batch(&self) -> Result<()> {
        self.forget_what_is_over().await?;
        let standing = {
            let mut state = self.lock();
            state.has_waited = false;
            state.standing.clone()
        };
        match standing {
            Some(standing) => self.tell_if_due(&standing).await,
            None => Ok(()),
        }
    }

    /// A batch that did not have to wait ends what held those before it back.
    async fn forget_what_is_over(&self) -> Result<()> {
        let over = {
            let mut state = self.lock();
            if state.has_waited { None } else { state.standing.take() }
        };
        match over {
            Some(Standing { is_noted: true, .. }) => throttled::over(&self.database, &self.taker).await,
            Some(_) | None => Ok(()),
        }
    }

    async fn take(&self, needs: Needs) -> Result<bool> {
        let mut wait = Wait::begin();
        loop {
            match throttle_turn::take(&self.database, &self.taker, needs, None).await? {
                Answer::Go { lane } => {
                    self.went(&wait);
                    return Ok(lane);
                }
                Answer::Held { by, why, wait: least } => {
                    self.held(&mut wait, by, &why, Utc::now()).await?;
                    let standing = self.lock().standing.clone();
                    if let Some(standing) = standing.filter(|standing| standing.by == by) {
                        self.tell_if_due(&standing).await?;
                    }
                    let least = least.and_then(|least| least.to_std().ok()).unwrap_or(LOOK);
                    tokio::time::sleep(least.clamp(GLANCE, LOOK)).await;
                }
            }
        }
    }

    /// Somebody waits still. `since` is when it began to, as far as is known.
    async fn held(&self, wait: &mut Wait, by: ThrottledBy, why: &str, since: DateTime<Utc>) -> Result<()> {
        wait.by = Some(by);
        let waited = wait.began.elapsed();
        if waited < MOMENT {
            return Ok(());
        }
        let began = Utc::now() - TimeDelta::from_std(waited).unwrap_or_default();
        let standing = self.stands(by, why, since.min(began));
        if waited < NOTED_AFTER || wait.noted.is_some_and(|at| at.elapsed() < NOTED_EVERY) {
            return Ok(());
        }
        wait.noted = Some(Instant::now());
        let since = throttled::note(&self.database, &self.taker, by, why, standing.since).await?;
        let mut state = self.lock();
        if let Some(standing) = state.standing.as_mut().filter(|standing| standing.by == by) {
            (standing.since, standing.is_noted) = (since, true);
        }
        drop(state);
        if wait.noted.is_some() {
            tracing::debug!(by = by.as_str(), why, workflow_id = self.taker.workflow_id, "a batch is held back");
        }
        Ok(())
    }

    /// It stands that this holds the lane back; since when depends on whether it did so before.
    fn stands(&self, by: ThrottledBy, why: &str, since: DateTime<Utc>) -> Standing {
        let mut state = self.lock();
        state.has_waited = true;
        let standing = match state.standing.take() {
            Some(before) if before.by == by => {
                Standing { why: why.to_owned(), since: before.since.min(since), ..before }
            }
            _ => Standing { by, why: why.to_owned(), since, is_noted: false },
        };
        state.standing.insert(standing).clone()
    }

    /// A wait is over.
    fn went(&self, wait: &Wait) {
        let waited = wait.began.elapsed();
        if let Some(by) = wait.by.filter(|_| waited >= MOMENT) {
            let why = self.lock().standing.as_ref().filter(|it| it.by == by).map(|it| it.why.clone());
            let began = Utc::now() - TimeDelta::from_std(waited).unwrap_or_default();
            self.stands(by, &why.unwrap_or_else(|| format!("held back by a limit ({by})")), began);
            report_wait(by, waited);
        }
    }

    /// Ends the attempt, if the workflow should know.
    async fn tell_if_due(&self, standing: &Standing) -> Result<()> {
        let is_news = match self.shown.as_ref() {
            None => true,
            Some(shown) => shown.by != standing.by.as_str() && self.began.elapsed() >= TOLD_ANEW_AFTER,
        };
        if is_news && Utc::now() - standing.since >= TOLD_AFTER {
            self.told.send_replace(Some(standing.told()));
            // Whoever works on the segment stops here.
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Standing {
    fn told(&self) -> Throttling {
        Throttling {
            by: self.by.as_str().to_owned(),
            why: self.why.clone(),
            since_ms: u64::try_from(self.since.timestamp_millis()).unwrap_or_default(),
        }
    }
}

impl Wait {
    fn begin() -> Self {
        Self { began: Instant::now(), noted: None, by: None }
    }
}

impl Admission {
    /// Gives the lane back, and waits until that is done.
    pub(crate) async fn end(mut self) -> Result<()> {
        match self.renewal.take() {
            Some(renewal) => {
                renewal.task.abort();
                release_lane(&renewal.database, &renewal.taker).await
            }
            None => Ok(()),
        }
    }
}

impl Renewal {
    fn begin(database: Database, taker: Taker) -> Self {
        let (of_task, who) = (database.clone(), taker.clone());
        let task = tokio::spawn(async move {
            loop {
                tokio::time::sleep(LANE_RENEWAL).await;
                if let Err(error) = throttle_turn::renew_lane(&of_task, &who).await {
                    tracing::warn!(%error, "a lane could not be renewed; trying again before it expires");
                }
            }
        });
        Self { database, taker, task }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        // The batch was given up: nobody waits, but others may have the lane. Should this fail, it expires.
        if let Some(renewal) = self.renewal.take() {
            renewal.task.abort();
            tokio::spawn(async move { release_lane(&renewal.database, &renewal.taker).await });
        }
    }
}

fn units(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
