//! How many batches a destination is given at a time: found by trying, without a clock of its own.
//!
//! Additive increase, multiplicative decrease. A destination nothing is known about gets one batch; each that goes well makes
//! room for one more, until the first sign of trouble halves what was at work. From there it grows slowly. At one batch and
//! still in trouble, there are pauses between batches, each twice as long as the one before. What was learned long ago is no
//! knowledge: then it starts from one again.
//!
//! Several batches that end badly together are one episode: only those that began after the last step down lead to another.

use std::fmt;
use std::time::{Duration, Instant};

/// The most batches at a time; more than the lanes of any worker.
const MOST: f64 = 256.0;

/// The first and the longest pause. The longest is that of a step which is tried again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// After this time without a batch nothing is known any more.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(300);

/// A batch is slow when each of its documents took so many times as long as usual, and the batch as a whole [`SLOW`].
const SLOWER: f64 = 4.0;

/// Batches that take less are never called slow: their time says more about this machine than about the destination.
const SLOW: Duration = Duration::from_secs(10);

/// How much a new measurement counts for what is usual.
const SMOOTHING: f64 = 0.1;

/// A sign that a destination has too much to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It asked to be given less, or nothing for so long.
    RateLimited(Option<Duration>),
    /// It has no space.
    NoSpace,
    /// It is not there, or says it cannot.
    Away,
    /// It did not answer in time.
    Timeout,
    /// It takes far longer than it did.
    Slow,
    /// It asked for less, and its client sees to that within a batch.
    Busy,
}

impl Trouble {
    /// Whether one batch at a time may be too much as well.
    fn needs_pauses(self) -> bool {
        match self {
            Self::RateLimited(_) | Self::NoSpace | Self::Away | Self::Timeout => true,
            Self::Slow | Self::Busy => false,
        }
    }
}

/// What a batch taught.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// So many documents were taken.
    Well(usize),
    Troubled(Trouble),
    /// Nothing about the destination.
    Nothing,
}

/// Why a batch has to wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) why: String,
    /// When the destination was first found in trouble; `None` when it only is not known well enough.
    pub(crate) since: Option<Instant>,
    /// How long at least; `None` until a batch ends.
    pub(crate) wait: Option<Duration>,
}

/// The state of one destination.
#[derive(Debug, Default)]
pub(crate) struct Pressure {
    /// Batches at a time, beyond the first.
    room: f64,
    working: u32,
    /// Somebody was refused since the last batch began.
    wanted: bool,
    read_at: Option<Instant>,
    episode: Option<Episode>,
    pause: Duration,
    resume_at: Option<Instant>,
    /// Seconds that a document usually takes.
    usual: Option<f64>,
}

/// Trouble, and how it goes.
#[derive(Debug, Clone, Copy)]
struct Episode {
    since: Instant,
    trouble: Trouble,
    /// The last step down.
    lowered_at: Instant,
    /// Batches at a time before it began: with as many as that it is over.
    before: f64,
}

impl Pressure {
    /// Batches at a time.
    pub(crate) fn limit(&self) -> u32 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and 256")]
        let limit = self.allowed().floor() as u32;
        limit
    }

    fn allowed(&self) -> f64 {
        (1.0 + self.room).clamp(1.0, MOST)
    }

    /// Whether another batch may begin. Who may, has begun, and says when it has [ended](Self::ended).
    pub(crate) fn begin(&mut self, now: Instant) -> Result<(), Held> {
        let forgotten = self.read_at.is_none_or(|at| now.saturating_duration_since(at) >= FORGOTTEN_AFTER);
        if forgotten && self.working == 0 {
            *self = Self { usual: self.usual, ..Self::default() };
        }
        let pause = self.resume_at.map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        if !pause.is_zero() {
            return Err(self.held(Some(pause)));
        }
        if self.working >= self.limit() {
            self.wanted = true;
            return Err(self.held(None));
        }
        self.wanted = false;
        self.working += 1;
        Ok(())
    }

    /// A batch that began has ended.
    pub(crate) fn ended(&mut self) {
        self.working = self.working.saturating_sub(1);
    }

    /// What was learned from a write that began then, with the batch still at work.
    pub(crate) fn read(&mut self, began: Instant, now: Instant, reading: Reading) {
        match reading {
            Reading::Nothing => {}
            Reading::Troubled(trouble) => self.step_down(began, now, trouble),
            Reading::Well(documents) => {
                let took = now.saturating_duration_since(began);
                if self.is_slow(documents, took) {
                    self.step_down(began, now, Trouble::Slow);
                } else {
                    self.step_up(began, now);
                }
            }
        }
    }

    fn is_slow(&mut self, documents: usize, took: Duration) -> bool {
        let documents = u32::try_from(documents).unwrap_or(u32::MAX).max(1);
        let each = took.as_secs_f64() / f64::from(documents);
        let usual = *self.usual.get_or_insert(each);
        let is_slow = took >= SLOW && each >= SLOWER * usual;
        self.usual = Some(usual + SMOOTHING * (each.min(SLOWER * usual) - usual));
        is_slow
    }

    fn step_up(&mut self, began: Instant, now: Instant) {
        self.read_at = Some(now);
        self.resume_at = None;
        self.pause = if self.pause > PAUSES.0 { self.pause / 2 } else { Duration::ZERO };
        match self.episode {
            // It went well before the trouble began.
            Some(episode) if began < episode.lowered_at => return,
            Some(_) => self.room += 1.0 / self.allowed(),
            // Room that nobody uses is not known to be there.
            None if self.wanted => self.room += 1.0,
            None => {}
        }
        self.room = self.room.min(MOST - 1.0);
        if self.episode.is_some_and(|episode| self.allowed() >= episode.before) {
            self.episode = None;
        }
    }

    fn step_down(&mut self, began: Instant, now: Instant, trouble: Trouble) {
        self.read_at = Some(now);
        if let Trouble::RateLimited(Some(asked)) = trouble {
            self.resume_at = self.resume_at.max(Some(now + asked.min(PAUSES.1)));
        }
        if self.episode.is_some_and(|episode| began < episode.lowered_at) {
            return;
        }
        let at_work = self.allowed().min(f64::from(self.working.max(1)));
        let (since, before) = self.episode.map_or((now, at_work), |episode| (episode.since, episode.before));
        if at_work <= 1.0 && trouble.needs_pauses() {
            self.pause = (self.pause * 2).clamp(PAUSES.0, PAUSES.1);
            self.resume_at = self.resume_at.max(Some(now + self.pause));
        }
        self.room = (at_work / 2.0 - 1.0).max(0.0);
        self.episode = Some(Episode { since, trouble, lowered_at: now, before: before.max(2.0) });
    }

    fn held(&self, wait: Option<Duration>) -> Held {
        let limit = match self.limit() {
            1 => "one batch".to_owned(),
            limit => format!("{limit} batches"),
        };
        let why = match self.episode {
            Some(Episode { trouble, .. }) => format!("the destination {trouble}: {limit} at a time"),
            None => format!("the destination's health is not known well enough yet: {limit} at a time"),
        };
        Held { why, since: self.episode.map(|episode| episode.since), wait }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RateLimited(_) | Self::Busy => "asked to be given less",
            Self::NoSpace => "has no space left",
            Self::Away => "is away or overloaded",
            Self::Timeout => "did not answer in time",
            Self::Slow => "takes far longer than it did",
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TROUBLE: Reading = Reading::Troubled(Trouble::RateLimited(None));

    /// A destination and somebody who always has batches for it.
    struct Scene {
        pressure: Pressure,
        now: Instant,
        working: Vec<Instant>,
    }

    impl Scene {
        fn new() -> Self {
            Self { pressure: Pressure::default(), now: Instant::now(), working: Vec::new() }
        }

        /// Begins as many as may be.
        fn fill(&mut self, most: usize) -> usize {
            while self.working.len() < most && self.pressure.begin(self.now).is_ok() {
                self.working.push(self.now);
            }
            self.working.len()
        }

        /// All that work end a moment later, with the same reading.
        fn end(&mut self, reading: Reading) {
            self.now += Duration::from_millis(20);
            for began in std::mem::take(&mut self.working) {
                self.pressure.read(began, self.now, reading);
                self.pressure.ended();
            }
        }

        fn settle(&mut self, most: usize) {
            for _ in 0..20 {
                self.fill(most);
                self.end(Reading::Well(10));
            }
        }
    }

    #[test]
    fn what_is_not_known_gets_one_and_what_goes_well_gets_more() {
        let mut scene = Scene::new();
        assert_eq!(scene.fill(64), 1);
        let held = scene.pressure.begin(scene.now).unwrap_err();
        assert_eq!((held.since, held.wait), (None, None));
        assert!(held.why.contains("not known well enough yet: one batch at a time"), "{}", held.why);
        for expected in [2, 4, 8] {
            scene.end(Reading::Well(10));
            assert_eq!(scene.fill(64), expected);
        }
        scene.end(Reading::Well(10));
        scene.settle(4);
        assert!(scene.pressure.limit() < 20, "room that nobody uses is not made");
    }

    #[test]
    fn trouble_halves_once_and_is_told_until_it_is_over() {
        let mut scene = Scene::new();
        scene.settle(8);
        assert_eq!(scene.fill(8), 8);
        scene.end(TROUBLE);
        assert_eq!(scene.pressure.limit(), 4, "eight that ended badly together are one episode");
        let since = scene.now;
        assert_eq!(scene.fill(8), 4);
        let held = scene.pressure.begin(scene.now).unwrap_err();
        assert_eq!(held.since, Some(since));
        assert_eq!(held.why, "the destination asked to be given less: 4 batches at a time");
        scene.end(TROUBLE);
        assert_eq!((scene.pressure.limit(), scene.fill(8)), (2, 2));
        assert_eq!(scene.pressure.begin(scene.now).unwrap_err().since, Some(since), "it is still the same trouble");
        scene.end(Reading::Well(1));
        scene.settle(8);
        assert_eq!(scene.fill(8), 8, "it recovers");
        assert!(scene.pressure.episode.is_none());
    }

    #[test]
    fn at_one_batch_there_are_pauses_which_grow_and_end() {
        let mut scene = Scene::new();
        let mut pauses = Vec::new();
        for _ in 0..9 {
            assert_eq!(scene.fill(8), 1);
            scene.end(Reading::Troubled(Trouble::NoSpace));
            let pause = scene.pressure.begin(scene.now).unwrap_err().wait.unwrap();
            pauses.push(pause.as_millis());
            scene.now += pause;
        }
        assert_eq!(pauses, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
        scene.settle(1);
        assert_eq!(scene.pressure.pause, Duration::ZERO);
    }

    #[test]
    fn the_destination_is_given_the_time_it_asks_for() {
        let mut scene = Scene::new();
        scene.settle(4);
        scene.fill(4);
        scene.end(Reading::Troubled(Trouble::RateLimited(Some(Duration::from_secs(7)))));
        assert_eq!(scene.pressure.begin(scene.now).unwrap_err().wait, Some(Duration::from_secs(7)));
        scene.now += Duration::from_secs(7);
        assert_eq!(scene.fill(8), 2);
    }

    #[test]
    fn what_was_learned_long_ago_is_no_knowledge() {
        let mut scene = Scene::new();
        scene.settle(8);
        assert_eq!(scene.fill(8), 8);
        scene.end(Reading::Well(1));
        scene.now += FORGOTTEN_AFTER;
        assert_eq!(scene.fill(8), 1);
        scene.end(Reading::Nothing);
        assert_eq!(scene.fill(8), 1, "a batch that teaches nothing makes no room");
    }

    #[test]
    fn only_what_is_far_slower_than_usual_and_slow_at_all_counts() {
        let mut scene = Scene::new();
        scene.settle(4);
        let read = |scene: &mut Scene, seconds| {
            scene.fill(4);
            scene.now += Duration::from_secs(seconds);
            scene.end(Reading::Well(10));
        };
        read(&mut scene, 9);
        assert!(scene.pressure.episode.is_none(), "nine seconds are not slow");
        scene.settle(4);
        read(&mut scene, 40);
        assert_eq!(scene.pressure.episode.map(|it| it.trouble), Some(Trouble::Slow));
        assert_eq!((scene.pressure.limit(), scene.pressure.resume_at), (2, None));
    }

    proptest! {
        /// Whatever happens: at least one and never more than it says, and trouble never makes room.
        #[test]
        fn it_stays_within_bounds(steps in proptest::collection::vec((0_u8..6, 0_u64..20_000), 1..300)) {
            let mut scene = Scene::new();
            for (what, pause_ms) in steps {
                let limit = scene.pressure.limit();
                match what {
                    0 | 1 => {
                        let at_work = scene.working.len();
                        scene.fill(at_work + 1);
                        let limit = usize::try_from(scene.pressure.limit()).unwrap();
                        prop_assert!(scene.working.len() == at_work || scene.working.len() <= limit);
                    }
                    2 => scene.now += Duration::from_millis(pause_ms),
                    _ => {
                        let Some(began) = scene.working.pop() else { continue };
                        let reading = match what {
                            3 => Reading::Well(5),
                            4 => TROUBLE,
                            _ => Reading::Troubled(Trouble::Away),
                        };
                        scene.pressure.read(began, scene.now, reading);
                        scene.pressure.ended();
                        prop_assert!(what == 3 || scene.pressure.limit() <= limit);
                    }
                }
                prop_assert!(scene.pressure.limit() >= 1 && scene.pressure.limit() <= 256);
                prop_assert_eq!(usize::try_from(scene.pressure.working).unwrap(), scene.working.len());
            }
            // However it went, once all goes well it recovers, and without anybody who pushes it.
            scene.working.clear();
            scene.pressure.working = 0;
            for _ in 0..400 {
                scene.now += PAUSES.1;
                scene.fill(8);
                scene.end(Reading::Well(5));
            }
            prop_assert!(scene.fill(8) >= 4, "{:?}", scene.pressure);
        }
    }
}
