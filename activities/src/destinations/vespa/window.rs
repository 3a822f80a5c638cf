//! Keeps the number of writes in flight at what the throttler says.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{Semaphore, SemaphorePermit};

use super::throttler::Throttler;
use crate::error::{Error, ErrorKind, Result};

/// Places for writes, handed out in the order they are asked for.
#[derive(Debug)]
pub(super) struct Window {
    places: Semaphore,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    throttler: Throttler,
    /// Places there are, taken ones included. Follows the throttler's target; down only as places become free.
    granted: usize,
}

/// A place, given back when dropped.
#[derive(Debug)]
pub(super) struct Place<'a> {
    window: &'a Window,
    permit: Option<SemaphorePermit<'a>>,
}

impl Window {
    pub(super) fn new(connections: usize) -> Self {
        let throttler = Throttler::new(connections, Instant::now());
        let granted = throttler.target();
        Self { places: Semaphore::new(granted), state: Mutex::new(State { throttler, granted }) }
    }

    /// Waits for a place, and counts what is then sent.
    pub(super) async fn place(&self) -> Result<Place<'_>> {
        let permit = self.places.acquire().await.map_err(|error| {
            Error::new(ErrorKind::Internal, "the window of writes in flight is gone").with_source(error)
        })?;
        let place = Place { window: self, permit: Some(permit) };
        self.state().throttler.sent(Instant::now(), fastrand::f64);
        Ok(place)
    }

    /// How many may be in flight now.
    pub(super) fn target(&self) -> usize {
        self.state().throttler.target()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the places as many as the throttler wants, or as few as the taken ones allow.
    fn follow(&self, state: &mut State) {
        let target = state.throttler.target();
        if target > state.granted {
            self.places.add_permits(target - state.granted);
            state.granted = target;
        } else {
            state.granted -= self.places.forget_permits(state.granted - target);
        }
    }
}

impl Place<'_> {
    /// What was sent was answered well.
    pub(super) fn succeeded(&self) {
        self.window.state().throttler.succeeded();
    }

    /// What was sent was answered with 429.
    pub(super) fn throttled(&self) {
        let mut state = self.window.state();
        let in_flight = state.granted.saturating_sub(self.window.places.available_permits());
        state.throttler.throttled(in_flight);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.window.state();
        self.permit = None;
        self.window.follow(&mut state);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn no_more_places_than_the_target() {
        let window = Window::new(8);
        let mut taken = Vec::new();
        for _ in 0..16 {
            taken.push(window.place().now_or_never().expect("a free place").unwrap());
        }
        assert!(window.place().now_or_never().is_none(), "all are taken");
        taken.pop();
        assert!(window.place().now_or_never().is_some());
    }

    #[tokio::test]
    async fn places_follow_the_target_up_and_down() {
        let window = Window::new(8);
        // It looks around for the best number, and may come back to the least on the way.
        while window.target() <= 16 {
            window.place().await.unwrap().succeeded();
        }
        let grown = window.target();
        assert_eq!(window.places.available_permits(), grown, "all are free");
        let place = window.place().await.unwrap();
        place.throttled();
        drop(place);
        assert_eq!((window.target(), window.places.available_permits()), (16, 16));
    }

    #[tokio::test]
    async fn a_window_that_shrinks_under_load_shrinks_as_places_are_given_back() {
        let window = Window::new(8);
        while window.target() < 20 {
            window.place().await.unwrap().succeeded();
        }
        let all = window.target();
        let mut taken = Vec::new();
        for _ in 0..all {
            taken.push(window.place().await.unwrap());
        }
        taken[0].throttled();
        let target = window.target();
        assert!(target < all, "{target} of {all}");
        while taken.len() >= target {
            assert!(window.place().now_or_never().is_none(), "{} taken, {target} allowed", taken.len());
            taken.pop();
        }
        assert!(window.place().now_or_never().is_some());
    }
}
