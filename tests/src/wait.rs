//! Waiting for a state, with a deadline. The only place where tests let time pass.

use std::future::Future;
use std::time::{Duration, Instant};

/// Between two looks.
const POLL: Duration = Duration::from_millis(20);

/// Waits until `state` holds.
///
/// # Panics
///
/// When it does not within `deadline`; `what` says what was waited for.
pub async fn until<F: Future<Output = bool>>(what: &str, deadline: Duration, mut state: impl FnMut() -> F) {
    until_some(what, deadline, || {
        let looking = state();
        async move { looking.await.then_some(()) }
    })
    .await;
}

/// Waits until `state` gives something, and returns it.
///
/// # Panics
///
/// When it does not within `deadline`; `what` says what was waited for.
pub async fn until_some<T, F: Future<Output = Option<T>>>(
    what: &str,
    deadline: Duration,
    mut state: impl FnMut() -> F,
) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = state().await {
            return value;
        }
        assert!(started.elapsed() < deadline, "waited {deadline:?} in vain: {what}");
        tokio::time::sleep(POLL).await;
    }
}
