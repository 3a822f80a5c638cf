//! Chance that repeats itself: the same seed gives the same store on every machine.

use chrono::{DateTime, Duration, Utc};
use uuid::{Builder, Uuid};

/// A stream of pseudo-random numbers (SplitMix64: Steele, Lea and Flood, "Fast splittable pseudorandom number
/// generators", 2014).
#[derive(Debug, Clone)]
pub(super) struct Dice {
    state: u64,
}

impl Dice {
    /// The stream number `stream` of `seed`; streams do not depend on each other.
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        let mut dice = Self { state: seed };
        let start = dice.roll() ^ stream.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        Self { state: start }
    }

    /// The next 64 bits.
    pub(super) fn roll(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, which is not zero.
    pub(super) fn below(&mut self, limit: usize) -> usize {
        let rest = self.roll() % limit as u64;
        usize::try_from(rest).expect("smaller than a usize")
    }

    /// A number from `low` to `high`, both included.
    pub(super) fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high - low + 1)
    }

    /// True `percent` times out of a hundred.
    pub(super) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of `choices`, which are not empty.
    pub(super) fn pick<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[self.below(choices.len())]
    }

    /// `choices` in another order.
    pub(super) fn shuffled<T: Copy>(&mut self, choices: &[T]) -> Vec<T> {
        let mut deck = choices.to_vec();
        for last in (1..deck.len()).rev() {
            deck.swap(last, self.below(last + 1));
        }
        deck
    }

    /// `length` lower-case hexadecimal digits.
    pub(super) fn hex(&mut self, length: usize) -> String {
        let mut digits = String::with_capacity(length + 16);
        while digits.len() < length {
            digits.push_str(&format!("{:016x}", self.roll()));
        }
        digits.truncate(length);
        digits
    }

    /// `length` characters of `A-Z a-z 0-9`, as web services like them in ids.
    pub(super) fn token(&mut self, length: usize) -> String {
        const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        (0..length).map(|_| char::from(ALPHABET[self.below(ALPHABET.len())])).collect()
    }

    /// A version 4 UUID.
    pub(super) fn uuid(&mut self) -> Uuid {
        let bits = (u128::from(self.roll()) << 64) | u128::from(self.roll());
        Builder::from_random_bytes(bits.to_be_bytes()).into_uuid()
    }

    /// A second of the ten months before the store was captured.
    pub(super) fn moment(&mut self) -> DateTime<Utc> {
        let seconds = i64::try_from(self.below(300 * 24 * 3600)).expect("ten months in seconds");
        super::captured_at() - Duration::seconds(seconds + 3600)
    }

    /// A moment between `earlier` and `days` later, but not after the capture.
    pub(super) fn later(&mut self, earlier: DateTime<Utc>, days: usize) -> DateTime<Utc> {
        let seconds = i64::try_from(self.below(days * 24 * 3600)).expect("days in seconds");
        (earlier + Duration::seconds(seconds)).min(super::captured_at())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers_and_another_does_not() {
        let numbers = |seed, stream| {
            let mut dice = Dice::new(seed, stream);
            [dice.roll(), dice.roll(), dice.roll()]
        };
        assert_eq!(numbers(7, 1), numbers(7, 1));
        assert_ne!(numbers(7, 1), numbers(7, 2));
        assert_ne!(numbers(7, 1), numbers(8, 1));
    }

    #[test]
    fn shuffling_loses_nothing() {
        let mut deck = Dice::new(1, 1).shuffled(&[1, 2, 3, 4, 5, 6, 7, 8]);
        deck.sort_unstable();
        assert_eq!(deck, [1, 2, 3, 4, 5, 6, 7, 8]);
    }
}
