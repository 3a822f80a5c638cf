//! When to strike: chance that repeats itself.

use uuid::Uuid;

/// A variable that repeats the moments of an earlier run.
const SEED: &str = "SYNCMUX_DRILL_SEED";

/// A stream of pseudo-random numbers (SplitMix64).
pub(crate) struct Moments {
    state: u64,
}

impl Moments {
    /// Moments of this run; the seed is printed, and shown when the test fails.
    pub(crate) fn new(drill: &str) -> Self {
        let state = std::env::var(SEED).map_or_else(
            |_| Uuid::new_v4().as_u64_pair().0,
            |seed| seed.parse().unwrap_or_else(|_| panic!("{SEED} is not a number: {seed:?}")),
        );
        eprintln!("{drill}: {SEED}={state}");
        Self { state }
    }

    /// A number from `range`.
    pub(crate) fn pick(&mut self, range: std::ops::Range<u64>) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        range.start + (mixed ^ (mixed >> 31)) % (range.end - range.start)
    }
}
