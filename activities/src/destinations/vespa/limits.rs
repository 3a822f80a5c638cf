//! How long things may take and how much may be under way.

use std::time::Duration;

/// Limits of one worker process towards one Vespa. The defaults are for production; tests take shorter ones.
#[derive(Debug, Clone, Copy)]
pub struct VespaLimits {
    /// HTTP/2 connections; the official clients use 8.
    pub connections: usize,
    /// How long Vespa may work on one write. The connection is given a little more.
    pub write_timeout: Duration,
    /// How long Vespa may work on one read or query.
    pub read_timeout: Duration,
    /// How long Vespa may work on one page of a visit or of a removal by selection.
    pub visit_timeout: Duration,
    /// How often a request whose outcome is not known (no answer, 500, 502, 503, 504) is sent in all.
    pub attempts: u32,
    /// Wait before the second attempt; doubled each time, up to [`VespaLimits::MAX_DELAY`].
    pub first_delay: Duration,
    /// How long Vespa may go on saying 429 to everything before that is an error.
    pub stall: Duration,
    /// How long nothing may succeed before requests go one at a time.
    pub grace: Duration,
    /// How long nothing may succeed before requests fail at once.
    pub doom: Duration,
    /// While Vespa has no space: time between two tries.
    pub space_probe: Duration,
    /// How long a write waits for space before that is an error.
    pub space_wait: Duration,
}

impl VespaLimits {
    /// Longest wait between two attempts at the same request.
    pub const MAX_DELAY: Duration = Duration::from_secs(10);

    /// Wait before repeating something for the `repeated`-th time, from 0: half of it certain, half random, so that
    /// those who wait do not come back together.
    pub(super) fn delay(&self, repeated: u32) -> Duration {
        let longest = self.first_delay.saturating_mul(1 << repeated.min(16)).min(Self::MAX_DELAY);
        longest.mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}

impl Default for VespaLimits {
    fn default() -> Self {
        Self {
            connections: 8,
            write_timeout: Duration::from_secs(60),
            read_timeout: Duration::from_secs(20),
            visit_timeout: Duration::from_secs(120),
            attempts: 5,
            first_delay: Duration::from_millis(50),
            stall: Duration::from_secs(120),
            grace: Duration::from_secs(10),
            doom: Duration::from_secs(60),
            space_probe: Duration::from_secs(5),
            space_wait: Duration::from_secs(120),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_and_are_bounded() {
        let limits = VespaLimits::default();
        for _ in 0..100 {
            for (repeated, longest) in [(0, 50), (1, 100), (4, 800), (8, 10_000), (u32::MAX, 10_000)] {
                let (delay, longest) = (limits.delay(repeated), Duration::from_millis(longest));
                assert!(delay >= longest / 2 && delay <= longest, "{delay:?} of {longest:?}");
            }
        }
    }
}
