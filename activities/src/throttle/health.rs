//! How the destinations of a worker are, one reading per connection, shared by every lane that writes to it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use uuid::Uuid;

use super::pressure::{Held, Pressure, Reading};

/// How often somebody who waits looks again, should nobody say that there is room.
const LOOK: Duration = Duration::from_millis(250);

/// Every destination this worker has written to, by connection.
#[derive(Debug, Default)]
pub(crate) struct Healths {
    known: Mutex<HashMap<Uuid, Arc<Health>>>,
}

impl Healths {
    /// Of the destination behind a connection.
    pub(crate) fn of(&self, connection_id: Uuid) -> Arc<Health> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry(connection_id).or_default())
    }
}

/// How one destination is.
#[derive(Debug, Default)]
pub(crate) struct Health {
    pressure: Mutex<Pressure>,
    changed: Notify,
}

/// The right to have one batch at work. Dropping it makes room.
#[derive(Debug)]
pub(crate) struct Permit {
    health: Arc<Health>,
}

impl Health {
    /// The right to have a batch at work, unless it has to wait.
    pub(crate) fn begin(self: &Arc<Self>) -> Result<Permit, Held> {
        self.lock().begin(Instant::now())?;
        Ok(Permit { health: Arc::clone(self) })
    }

    /// Returns when it is worth asking again.
    pub(crate) async fn pause(&self, held: &Held) {
        // What waits is polled as well: room may be made between the question and this.
        let _ = tokio::time::timeout(held.wait.unwrap_or(LOOK).min(LOOK), self.changed.notified()).await;
    }

    /// What a write that began then taught.
    pub(crate) fn read(&self, began: Instant, reading: Reading) {
        self.lock().read(began, Instant::now(), reading);
        self.changed.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, Pressure> {
        self.pressure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.health.lock().ended();
        self.health.changed.notify_waiters();
    }
}
