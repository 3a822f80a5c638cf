//! Which port a server gets.

use std::net::TcpListener;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep};

use super::LOOPBACK;

/// Below Linux's range for outgoing connections, so that a server that is killed finds its port free again.
const RANGE: std::ops::Range<u32> = 20_000..30_000;

/// How long a server waits for the port that it had before.
const KEEP_PATIENCE: Duration = Duration::from_secs(3);

/// How a server's port is chosen.
#[derive(Debug, Clone, Copy)]
pub(super) enum PortChoice {
    /// This one, or any other when it is taken.
    Prefer(u16),
    /// This one, which the server had before: whoever held it may be on the way out, so it is waited for a little.
    Keep(u16),
    /// This one; whoever asks has told it to others already.
    Exactly(u16),
}

impl PortChoice {
    /// The port to try first.
    pub(super) async fn first(self) -> Result<u16> {
        let (port, patience) = match self {
            Self::Exactly(port) => return Ok(port),
            Self::Prefer(port) => (port, Duration::ZERO),
            Self::Keep(port) => (port, KEEP_PATIENCE),
        };
        let deadline = Instant::now() + patience;
        loop {
            if is_free(port) {
                return Ok(port);
            }
            if Instant::now() >= deadline {
                return free_port();
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// The port to try after `taken` turned out not to be free.
    pub(super) fn next(self, taken: u16) -> Result<u16> {
        match self {
            Self::Exactly(_) => Ok(taken),
            Self::Prefer(_) | Self::Keep(_) => free_port(),
        }
    }
}

/// A port of 127.0.0.1 that nothing listens on at the moment. Two calls in one process give two different ports.
///
/// # Errors
/// When none of ten thousand ports is free.
pub fn free_port() -> Result<u16> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Processes that start together begin at different places.
    let offset = process::id().wrapping_mul(37);
    for _ in RANGE {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = RANGE.start + offset.wrapping_add(step) % (RANGE.end - RANGE.start);
        if let Ok(port) = u16::try_from(port)
            && is_free(port)
        {
            return Ok(port);
        }
    }
    bail!("no free port between {} and {} on 127.0.0.1", RANGE.start, RANGE.end - 1)
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((LOOPBACK, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_is_replaced_only_when_it_was_a_preference() {
        let holder = TcpListener::bind((LOOPBACK, 0)).expect("bind");
        let taken = holder.local_addr().expect("address").port();
        assert_ne!(PortChoice::Prefer(taken).first().await.expect("port"), taken);
        assert_eq!(PortChoice::Exactly(taken).first().await.expect("port"), taken);
        assert_eq!(PortChoice::Exactly(taken).next(taken).expect("port"), taken);
    }

    #[tokio::test]
    async fn a_kept_port_is_waited_for() {
        let holder = TcpListener::bind((LOOPBACK, 0)).expect("bind");
        let kept = holder.local_addr().expect("address").port();
        let choosing = tokio::spawn(PortChoice::Keep(kept).first());
        tokio::task::yield_now().await;
        drop(holder);
        assert_eq!(choosing.await.expect("task").expect("port"), kept);
    }

    #[test]
    fn two_calls_give_two_ports_below_the_ephemeral_range() {
        let (one, two) = (free_port().expect("port"), free_port().expect("port"));
        assert_ne!(one, two);
        assert!([one, two].iter().all(|port| RANGE.contains(&u32::from(*port))));
    }
}
