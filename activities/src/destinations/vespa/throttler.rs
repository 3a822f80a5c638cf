//! How many requests may be under way: found by trying, as Vespa's own clients do.
//!
//! Throughput is measured for the number in flight it was reached with, in 128 steps of a logarithmic scale, and the next
//! number is drawn around the one that is best so far, where latency counts against throughput. Each 429 halves a bound
//! above that, which each success lifts again by a tenth.
//!
//! The algorithm and its numbers are those of `DynamicThrottler` in Vespa's feed client. As its `initialInflightFactor` can, we
//! begin above the least: what is measured there stays known, and a feed of a few thousand documents is over before it has
//! grown from the least.

use std::time::{Duration, Instant};

/// Steps of the scale.
const BUCKETS: usize = 128;

/// How many times the least number in flight the greatest is.
const SPAN: f64 = 256.0;

/// How many times the least number in flight it begins with.
const BEGINNING: f64 = 4.0;

/// How much throughput weighs against latency.
const WEIGHT: f64 = 0.7;

/// Finds the best number of requests in flight.
#[derive(Debug)]
pub(super) struct Throttler {
    min: f64,
    max: f64,
    target: f64,
    /// Ten times the bound that 429s move.
    bound_times_ten: f64,
    /// Requests per second by step; 0 where nothing was measured yet.
    throughputs: [f64; BUCKETS],
    sent: u32,
    ok: u32,
    since: Instant,
}

impl Throttler {
    /// For so many connections.
    pub(super) fn new(connections: usize, now: Instant) -> Self {
        let min = 2.0 * f64::from(u16::try_from(connections.max(1)).unwrap_or(u16::MAX));
        Self {
            min,
            max: SPAN * min,
            target: BEGINNING * min,
            bound_times_ten: 10.0 * SPAN * min,
            throughputs: [0.0; BUCKETS],
            sent: 0,
            ok: 0,
            since: now,
        }
    }

    /// How many requests may be in flight now.
    pub(super) fn target(&self) -> usize {
        let target = self.max.min((self.bound_times_ten / 10.0).floor()).min(self.target);
        truncate(target)
    }

    /// A request was answered well.
    pub(super) fn succeeded(&mut self) {
        self.bound_times_ten += 1.0;
        self.ok += 1;
    }

    /// A request was answered with 429 while so many were in flight.
    pub(super) fn throttled(&mut self, in_flight: usize) {
        let in_flight = f64::from(u32::try_from(in_flight).unwrap_or(u32::MAX));
        self.bound_times_ten = (5.0 * in_flight).max(10.0 * self.min);
    }

    /// A request is sent. `random` gives numbers from 0 to 1.
    pub(super) fn sent(&mut self, now: Instant, mut random: impl FnMut() -> f64) {
        let in_flight = f64::from(u32::try_from(self.target()).unwrap_or(u32::MAX));
        self.sent += 1;
        if f64::from(self.sent).powi(3) < 1_000.0 * in_flight.powi(2) {
            return;
        }
        let elapsed = now.saturating_duration_since(self.since).max(Duration::from_micros(1));
        let share = (in_flight / self.min).clamp(1.0, SPAN - 1.0).ln() / SPAN.ln();
        let bucket = truncate(share * 128.0).min(BUCKETS - 1);
        self.throughputs[bucket] = f64::from(self.ok) / elapsed.as_secs_f64();
        self.sent = 0;
        self.ok = 0;
        self.since = now;
        let (best, is_highest) = self.best();
        let mut target = (0.84 + 0.4 * random()) * self.in_flight_of(best) + 4.0 * random() - 1.0;
        if is_highest && best + 1 < BUCKETS {
            // Nothing above is known yet: look there.
            target = 1.0 + self.in_flight_of(best + 1);
        }
        self.target = target.floor().clamp(self.min, self.max);
    }

    /// The step with the best balance of throughput and latency, and whether none above it was measured. Smooths what
    /// was measured on the way.
    fn best(&mut self) -> (usize, bool) {
        let known: Vec<usize> = (0..BUCKETS).filter(|bucket| self.throughputs[*bucket] > 0.0).collect();
        let mut choice = (0, -1.0);
        for bucket in &known {
            let objective = self.throughputs[*bucket] * self.in_flight_of(*bucket).powf(WEIGHT - 1.0);
            if objective > choice.1 {
                choice = (*bucket, objective);
            }
        }
        let measured: Vec<f64> = known.iter().map(|bucket| self.throughputs[*bucket]).collect();
        for at in 1..known.len().saturating_sub(1) {
            self.throughputs[known[at]] = (18.0 * measured[at] + measured[at - 1] + measured[at + 1]) / 20.0;
        }
        (choice.0, known.last() == Some(&choice.0))
    }

    /// The number in flight in the middle of a step.
    fn in_flight_of(&self, bucket: usize) -> f64 {
        let bucket = f64::from(u8::try_from(bucket).unwrap_or(u8::MAX));
        self.min * SPAN.powf((bucket + 0.5) / 128.0)
    }
}

/// The whole part of a small number that is not negative.
fn truncate(value: f64) -> usize {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 256 times twice 65,535")]
    let whole = value as u32;
    usize::try_from(whole).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(throttler: &mut Throttler, now: &mut Instant, requests: u32) {
        for _ in 0..requests {
            *now += Duration::from_millis(5);
            throttler.sent(*now, || 0.5);
            throttler.succeeded();
        }
    }

    /// The numbers of `throttler_test.go`, which begins with the least.
    #[test]
    fn the_numbers_of_vespas_own_test() {
        let mut now = Instant::now();
        let mut throttler = Throttler::new(8, now);
        assert_eq!(throttler.target(), 64);
        throttler.target = throttler.min;
        assert_eq!(throttler.target(), 16);
        run(&mut throttler, &mut now, 65);
        assert_eq!(throttler.target(), 18);
        throttler.throttled(34);
        assert_eq!(throttler.target(), 17);
    }

    #[test]
    fn the_least_number_is_the_floor() {
        let mut throttler = Throttler::new(8, Instant::now());
        throttler.throttled(1);
        assert_eq!(throttler.target(), 16);
        throttler.throttled(10_000);
        assert_eq!(throttler.target(), 64, "the target itself has not grown yet");
    }

    #[test]
    fn successes_lift_the_bound_again() {
        let mut now = Instant::now();
        let mut throttler = Throttler::new(8, now);
        throttler.target = 100.0;
        throttler.throttled(40);
        assert_eq!(throttler.target(), 20);
        for _ in 0..100 {
            throttler.succeeded();
        }
        assert_eq!(throttler.target(), 30);
        run(&mut throttler, &mut now, 1);
    }

    /// Against a server that answers so many requests at a time in the same time, the number grows to about that many
    /// and stays near.
    #[test]
    fn it_finds_what_the_server_can_do() {
        let (mut now, seed) = (Instant::now(), 7);
        let mut random = fastrand::Rng::with_seed(seed);
        let mut throttler = Throttler::new(8, now);
        let capacity = 200.0;
        let mut seen = Vec::new();
        for _ in 0..300_000 {
            let in_flight = throttler.target() as f64;
            let per_second = in_flight.min(capacity) / 0.05;
            now += Duration::from_secs_f64(1.0 / per_second);
            throttler.sent(now, || random.f64());
            throttler.succeeded();
            seen.push(in_flight);
        }
        let late = &seen[200_000..];
        let mean = late.iter().sum::<f64>() / late.len() as f64;
        assert!((120.0..320.0).contains(&mean), "{mean} in flight for a server of {capacity}");
    }

    #[test]
    fn one_that_only_hears_429_stays_at_the_floor() {
        let mut now = Instant::now();
        let mut throttler = Throttler::new(8, now);
        for _ in 0..10_000 {
            now += Duration::from_millis(1);
            throttler.sent(now, || 0.9);
            throttler.throttled(throttler.target());
        }
        assert_eq!(throttler.target(), 16);
    }
}
