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

    /// Takes a place back, and makes the places as many as the throttler wants, or as few as the taken ones allow. A place too
    /// many is not handed to who waits for one: while somebody waits, and under load somebody always does, none is free.
    fn take_back(&self, permit: SemaphorePermit<'_>) {
        let mut state = self.state();
        let target = state.throttler.target();
        if state.granted > target {
            permit.forget();
            state.granted -= 1;
            state.granted -= self.places.forget_permits(state.granted - target);
        } else {
            drop(permit);
            self.places.add_permits(target - state.granted);
            state.granted = target;
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
        if let Some(permit) = self.permit.take() {
            self.window.take_back(permit);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    /// All places of a window that nobody uses yet.
    async fn all_places(window: &Window) -> Vec<Place<'_>> {
        let mut taken = Vec::new();
        for _ in 0..window.target() {
            taken.push(window.place().await.unwrap());
        }
        taken
    }

    #[tokio::test]
    async fn no_more_places_than_the_target() {
        let window = Window::new(8);
        let mut taken = all_places(&window).await;
        assert_eq!(taken.len(), window.target());
        assert!(window.place().now_or_never().is_none(), "all are taken");
        taken.pop();
        assert!(window.place().now_or_never().is_some());
    }

    #[tokio::test]
    async fn places_follow_the_target_up_and_down() {
        let window = Window::new(8);
        let beginning = window.target();
        // It looks around for the best number, and may come back on the way.
        while window.target() <= beginning {
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
    async fn a_window_that_shrinks_gives_nobody_a_place_until_it_has() {
        let window = Window::new(8);
        let mut taken = all_places(&window).await;
        let all = taken.len();
        // While somebody waits, a place that is given back is his at once.
        let mut waiting: Vec<_> = (0..all).map(|_| Box::pin(window.place())).collect();
        assert!(waiting.iter_mut().all(|place| place.now_or_never().is_none()));
        taken[0].throttled();
        let target = window.target();
        assert!(target < all, "{target} of {all}");
        while taken.len() > target {
            taken.pop();
            assert!(waiting[0].as_mut().now_or_never().is_none(), "{} taken, {target} allowed", taken.len());
        }
        taken.pop();
        let _his = waiting[0].as_mut().now_or_never().expect("a place that is not too many");
        assert!(waiting[1].as_mut().now_or_never().is_none());
    }
}
