//! Holds all puts while a content node has no space, and lets one through now and then to see.
//!
//! Vespa blocks external feed when a disk or the memory of a node is filled beyond a limit (507), and takes puts again
//! a little below it. Removes still pass: they are what makes room.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::limits::VespaLimits;
use crate::error::{Error, ErrorKind, Result};

/// Whether puts are held, and since when.
#[derive(Debug)]
pub(super) struct Hold {
    probe_every: Duration,
    wait: Duration,
    state: Mutex<Option<Held>>,
    changed: Notify,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    since: Instant,
    next_probe: Instant,
    is_probing: bool,
}

/// Leave to send a put.
#[derive(Debug)]
pub(super) struct Leave<'a> {
    /// The hold, when this is the one put that is let through.
    probing: Option<&'a Hold>,
}

enum Admission {
    Go,
    Probe,
    Wait(Option<Duration>),
    Refuse(Duration),
}

impl Hold {
    pub(super) fn new(limits: &VespaLimits) -> Self {
        Self {
            probe_every: limits.space_probe,
            wait: limits.space_wait,
            state: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// Returns when a put may be sent whose write began at `began`.
    ///
    /// # Errors
    /// `OutOfSpace` when there has been no space for long since then.
    pub(super) async fn leave(&self, began: Instant) -> Result<Leave<'_>> {
        loop {
            let changed = self.changed.notified();
            match self.admission(began, Instant::now()) {
                Admission::Go => return Ok(Leave { probing: None }),
                Admission::Probe => return Ok(Leave { probing: Some(self) }),
                Admission::Wait(None) => changed.await,
                Admission::Wait(Some(delay)) => {
                    // Either way it is looked at again.
                    let _ = tokio::time::timeout(delay, changed).await;
                }
                Admission::Refuse(held) => {
                    return Err(Error::new(
                        ErrorKind::OutOfSpace,
                        format!(
                            "Vespa has had no space for {} seconds: a content node is above its limit of disk or memory; \
                             add nodes, or remove documents",
                            held.as_secs()
                        ),
                    ));
                }
            }
        }
    }

    /// Whether leave that was given when nothing was held is over, because now puts are.
    pub(super) fn has_ended(&self, leave: &Leave<'_>) -> bool {
        leave.probing.is_none() && self.lock().is_some()
    }

    /// A put was answered with 507.
    pub(super) fn no_space(&self) {
        let now = Instant::now();
        let next_probe = now + self.probe_every;
        let mut state = self.lock();
        let since = state.map_or(now, |held| held.since);
        let is_probing = state.is_some_and(|held| held.is_probing);
        *state = Some(Held { since, next_probe, is_probing });
    }

    /// A put was taken.
    pub(super) fn space(&self) {
        if self.lock().take().is_some() {
            self.changed.notify_waiters();
        }
    }

    fn admission(&self, began: Instant, now: Instant) -> Admission {
        let mut state = self.lock();
        let Some(held) = state.as_mut() else { return Admission::Go };
        let since = now.saturating_duration_since(held.since.max(began));
        if held.is_probing {
            Admission::Wait(None)
        } else if now >= held.next_probe {
            held.is_probing = true;
            Admission::Probe
        } else if since >= self.wait {
            Admission::Refuse(since)
        } else {
            Admission::Wait(Some((held.next_probe - now).min(self.wait - since)))
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Held>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        if let Some(hold) = self.probing {
            if let Some(held) = hold.lock().as_mut() {
                held.is_probing = false;
            }
            hold.changed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn hold(probe_every: Duration, wait: Duration) -> Hold {
        Hold::new(&VespaLimits { space_probe: probe_every, space_wait: wait, ..VespaLimits::default() })
    }

    const LONG: Duration = Duration::from_secs(3_600);

    #[tokio::test]
    async fn one_put_tries_and_the_others_wait_for_it() {
        let (hold, now) = (hold(Duration::ZERO, LONG), Instant::now());
        let late = hold.leave(now).await.unwrap();
        assert!(late.probing.is_none() && !hold.has_ended(&late), "nothing is held");
        hold.no_space();
        assert!(hold.has_ended(&late), "nobody sends on what was true before");
        let probe = hold.leave(now).now_or_never().expect("the probe may go").unwrap();
        assert!(probe.probing.is_some() && !hold.has_ended(&probe));
        let mut other = Box::pin(hold.leave(now));
        assert!(other.as_mut().now_or_never().is_none(), "the others wait");
        hold.space();
        drop(probe);
        assert!(other.await.unwrap().probing.is_none(), "all may go");
    }

    #[tokio::test]
    async fn a_probe_that_is_given_up_makes_way_for_another() {
        let (hold, now) = (hold(Duration::ZERO, LONG), Instant::now());
        hold.no_space();
        drop(hold.leave(now).await.unwrap());
        assert!(hold.leave(now).now_or_never().expect("the next probe").unwrap().probing.is_some());
    }

    #[test]
    fn who_has_waited_long_is_refused_and_who_comes_later_waits_anew() {
        let (hold, now) = (hold(Duration::from_secs(5), Duration::from_secs(120)), Instant::now());
        hold.no_space();
        if let Some(held) = hold.lock().as_mut() {
            (held.since, held.next_probe) = (now, now + LONG);
        }
        let late = now + Duration::from_secs(120);
        assert!(matches!(hold.admission(now, late), Admission::Refuse(held) if held.as_secs() == 120));
        assert!(matches!(hold.admission(late, late), Admission::Wait(Some(delay)) if delay.as_secs() == 120));
        assert!(matches!(hold.admission(now, now + LONG), Admission::Probe), "somebody has to try");
    }
}
