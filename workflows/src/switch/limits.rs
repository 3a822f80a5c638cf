//! How long a switch may take and wait.

use std::time::Duration;

use proto::v1::SwitchRequest;

use crate::domain::ErrorKind;
use crate::stop::Stop;

/// From raising the fence to the flip, when the request says nothing, and the most that can be asked for, in seconds.
const DEFAULT_TIME_LIMIT: u32 = 30;
const MAX_TIME_LIMIT: u32 = 600;

/// For jobs and other fences, likewise.
const DEFAULT_JOB_WAIT: u32 = 600;
const MAX_JOB_WAIT: u32 = 7200;

/// The limits of one switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// From raising the fence to the flip.
    pub behind_fence: Duration,
    /// For what is in the way of the fence, all in all.
    pub waiting: Duration,
}

impl Limits {
    pub(super) fn of(request: &SwitchRequest) -> Result<Self, Stop> {
        let behind_fence = match request.time_limit_seconds {
            0 => DEFAULT_TIME_LIMIT,
            seconds => at_most("time_limit_seconds", seconds, MAX_TIME_LIMIT)?,
        };
        let waiting = request.job_wait_seconds.unwrap_or(DEFAULT_JOB_WAIT);
        let waiting = at_most("job_wait_seconds", waiting, MAX_JOB_WAIT)?;
        Ok(Self {
            behind_fence: Duration::from_secs(behind_fence.into()),
            waiting: Duration::from_secs(waiting.into()),
        })
    }

    /// What a forced switch spends on proving a slot before it goes on without: enough of the limit is left for the flip.
    pub(super) fn for_proof(self) -> Duration {
        self.behind_fence * 2 / 3
    }
}

fn at_most(name: &str, seconds: u32, most: u32) -> Result<u32, Stop> {
    if seconds <= most {
        Ok(seconds)
    } else {
        Err(Stop::failed(ErrorKind::InvalidInput, format!("{name} must be at most {most}, got {seconds}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_have_defaults_and_bounds() {
        let of = |time_limit_seconds, job_wait_seconds| {
            Limits::of(&SwitchRequest { time_limit_seconds, job_wait_seconds, ..SwitchRequest::default() })
        };
        let seconds = |limits: Limits| (limits.behind_fence.as_secs(), limits.waiting.as_secs());
        assert_eq!(seconds(of(0, None).expect("the defaults")), (30, 600));
        assert_eq!(seconds(of(600, Some(0)).expect("within the bounds")), (600, 0));
        for (time_limit, job_wait) in [(601, None), (0, Some(7201))] {
            assert!(matches!(of(time_limit, job_wait), Err(Stop::Failed { kind: ErrorKind::InvalidInput, .. })));
        }
        assert_eq!(of(30, None).expect("a limit").for_proof().as_secs(), 20);
    }
}
