//! How long the next batch has to wait for its rate: the generic cell rate algorithm, over a clock that is given.
//!
//! What was taken is remembered as the time until which it lasts. A batch begins when that time has come, whatever its size,
//! and pays afterwards: so an entity may be larger than a second's worth, and over any span of time no more begins than the
//! rate allows, [`CREDIT`] and one batch.

use chrono::{DateTime, TimeDelta, Utc};

/// How late somebody may come and still find what was due meanwhile. Whoever waits looks every so often; without this, every
/// look that came late would be lost, and the rate with it.
pub(crate) const CREDIT: TimeDelta = TimeDelta::seconds(1);

/// Longest time that one batch lasts, whatever the rate.
const LONGEST: TimeDelta = TimeDelta::days(365);

/// A rate, and what was taken of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bucket {
    /// Units per second; `None` is no limit, 0 lets nothing through.
    pub(crate) per_second: Option<f64>,
    /// When what was taken is used up.
    pub(crate) next_at: DateTime<Utc>,
}

/// Whether a batch may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Now; what it takes lasts until then.
    Go(DateTime<Utc>),
    /// Not before so much time has passed.
    Wait(TimeDelta),
    /// Not until somebody changes the limit.
    Stopped,
}

impl Bucket {
    /// Whether a batch of so many units may begin.
    pub(crate) fn ask(&self, units: u32, now: DateTime<Utc>) -> Turn {
        match self.per_second {
            None => Turn::Go(self.next_at),
            Some(rate) if rate > 0.0 => {
                let wait = self.next_at - now;
                if wait > TimeDelta::zero() {
                    Turn::Wait(wait)
                } else {
                    Turn::Go(self.next_at.max(now - CREDIT) + lasting(f64::from(units) / rate))
                }
            }
            Some(_) => Turn::Stopped,
        }
    }

    /// When what was taken is used up at another rate. What is owed stays owed, or changing a limit would be a way around it.
    pub(crate) fn at_rate(&self, per_second: Option<f64>, now: DateTime<Utc>) -> DateTime<Utc> {
        let owed = (self.next_at - now).max(TimeDelta::zero());
        match (self.per_second, per_second) {
            (Some(old), Some(new)) if old > 0.0 && new > 0.0 => now + lasting(seconds(owed) * old / new),
            // No rate to count it in.
            _ => now,
        }
    }
}

fn lasting(seconds: f64) -> TimeDelta {
    #[expect(clippy::cast_possible_truncation, reason = "at most a year, in microseconds")]
    let micros = (seconds.min(seconds_of_longest()) * 1e6) as i64;
    TimeDelta::microseconds(micros)
}

fn seconds_of_longest() -> f64 {
    seconds(LONGEST)
}

fn seconds(delta: TimeDelta) -> f64 {
    delta.as_seconds_f64()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn start() -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000, 0).unwrap()
    }

    fn bucket(per_second: Option<f64>) -> Bucket {
        Bucket { per_second, next_at: start() }
    }

    #[test]
    fn a_batch_begins_and_pays_afterwards() {
        let mut it = bucket(Some(10.0));
        let Turn::Go(next_at) = it.ask(50, start()) else { panic!("the first may go") };
        assert_eq!(next_at, start() + TimeDelta::seconds(5));
        it.next_at = next_at;
        assert_eq!(it.ask(1, start() + TimeDelta::seconds(2)), Turn::Wait(TimeDelta::seconds(3)));
        assert!(matches!(it.ask(1, start() + TimeDelta::seconds(5)), Turn::Go(_)));
    }

    #[test]
    fn no_limit_and_a_stop() {
        assert_eq!(bucket(None).ask(u32::MAX, start()), Turn::Go(start()));
        assert_eq!(bucket(Some(0.0)).ask(1, start() + TimeDelta::days(9)), Turn::Stopped);
        assert!(matches!(bucket(Some(1e-300)).ask(u32::MAX, start()), Turn::Go(_)), "no rate is too small to count");
    }

    #[test]
    fn a_change_of_the_rate_forgives_nothing() {
        let owing = Bucket { per_second: Some(10.0), next_at: start() + TimeDelta::seconds(6) };
        assert_eq!(owing.at_rate(Some(20.0), start()), start() + TimeDelta::seconds(3));
        assert_eq!(owing.at_rate(Some(1.0), start()), start() + TimeDelta::seconds(60));
        assert_eq!(owing.at_rate(None, start()), start());
        assert_eq!(owing.at_rate(Some(0.0), start()), start());
    }

    proptest! {
        /// However takers come, and whatever they take: in any span from a beginning on, no more begins than allowed.
        #[test]
        fn the_rate_holds(
            rate in 0.5_f64..500.0,
            takes in proptest::collection::vec((1_u32..200, 0_i64..3_000), 1..200),
        ) {
            let (mut it, mut now, mut begun) = (bucket(Some(rate)), start(), Vec::new());
            for (units, pause_ms) in takes {
                now += TimeDelta::milliseconds(pause_ms);
                if let Turn::Go(next_at) = it.ask(units, now) {
                    it.next_at = next_at;
                    begun.push((now, units));
                }
            }
            for from in 0..begun.len() {
                let mut sum = 0.0;
                for (at, units) in &begun[from..] {
                    let span = seconds(*at - begun[from].0) + seconds(CREDIT);
                    prop_assert!(sum <= rate * span + 1e-3, "{sum} before the last batch, in {span} s at {rate}/s");
                    sum += f64::from(*units);
                }
            }
        }

        /// Takers that are never more than the credit late lose nothing of the rate.
        #[test]
        fn the_rate_is_reached(rate in 1.0_f64..500.0, lates in proptest::collection::vec(0_i64..1_000, 50..200)) {
            let (mut it, mut sum, mut last) = (bucket(Some(rate)), 0.0, start());
            for late in lates {
                last = it.next_at.max(last) + TimeDelta::milliseconds(late);
                let Turn::Go(next_at) = it.ask(20, last) else { panic!("it was due") };
                it.next_at = next_at;
                sum += 20.0;
            }
            prop_assert!(sum >= rate * seconds(it.next_at - start()) - 1e-3, "{sum}");
        }
    }
}
