//! Whether this worker is being stopped.
//!
//! A replay looks between two batches and hands over there, so a worker that is stopped writes nothing that the next one
//! writes again. Who is in the middle of a batch gets the grace period to end it; past that the attempt is cut off, and the
//! batch is settled as after a crash.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Result};

/// One per worker process.
#[derive(Debug, Default)]
pub(crate) struct Drain(AtomicBool);

impl Drain {
    /// From now on nothing new is begun.
    pub(crate) fn begin(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Asked where everything that was written is recorded.
    ///
    /// # Errors
    ///
    /// An interruption while the worker is being stopped.
    pub(crate) fn may_go_on(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) { Err(Error::interruption()) } else { Ok(()) }
    }
}
