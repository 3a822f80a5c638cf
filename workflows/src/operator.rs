//! What operators tell a running workflow: pause, resume, throttle.

use proto::v1::Throttle;

/// The most segments worked on at a time.
pub(crate) const MAX_LANES: u32 = 64;

/// The number of lanes a throttle asks for; `None` when it is about rates alone.
///
/// # Errors
///
/// When it is not between 1 and [`MAX_LANES`], or a rate is none.
pub(crate) fn lanes(throttle: &Throttle) -> Result<Option<u32>, String> {
    for (name, rate) in
        [("entities_per_second", throttle.entities_per_second), ("embeds_per_second", throttle.embeds_per_second)]
    {
        if let Some(rate) = rate.filter(|rate| !rate.is_finite() || *rate < 0.0) {
            return Err(format!("{name} must be 0, which stops, or a positive number, got {rate}"));
        }
    }
    match throttle.lanes {
        0 if has_rates(throttle) => Ok(None),
        lanes @ 1..=MAX_LANES => Ok(Some(lanes)),
        lanes => Err(format!("lanes must be between 1 and {MAX_LANES}, got {lanes}")),
    }
}

/// Whether a throttle is about rates at all.
pub(crate) fn has_rates(throttle: &Throttle) -> bool {
    throttle.entities_per_second.is_some() || throttle.embeds_per_second.is_some() || throttle.unlimited
}

/// The most syncs of a collection forked at a time.
pub(crate) const MAX_CONCURRENCY: u32 = 16;

/// The number of syncs at a time that a throttle asks for.
///
/// # Errors
///
/// When it is not between 1 and [`MAX_CONCURRENCY`], or it is about rates, which each fork has of its own.
pub(crate) fn concurrency(throttle: &Throttle) -> Result<u32, String> {
    if has_rates(throttle) {
        return Err("rates are those of each sync's fork: throttle the forks, or all operations together".to_owned());
    }
    if (1..=MAX_CONCURRENCY).contains(&throttle.lanes) {
        Ok(throttle.lanes)
    } else {
        Err(format!("lanes must be between 1 and {MAX_CONCURRENCY} syncs, got {}", throttle.lanes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(lanes: u32) -> Throttle {
        Throttle { lanes, ..Throttle::default() }
    }

    #[test]
    fn lanes_have_bounds() {
        for (count, answer) in [(0, false), (1, true), (64, true), (65, false), (u32::MAX, false)] {
            assert_eq!(lanes(&asked(count)).is_ok(), answer, "{count}");
        }
        for (count, answer) in [(0, false), (1, true), (16, true), (17, false)] {
            assert_eq!(concurrency(&asked(count)).is_ok(), answer, "{count} syncs");
        }
    }

    #[test]
    fn rates_may_come_alone_and_have_bounds() {
        let rate = |rate| Throttle { entities_per_second: Some(rate), ..Throttle::default() };
        assert_eq!(lanes(&rate(0.0)), Ok(None));
        assert_eq!(lanes(&Throttle { lanes: 3, ..rate(2.5) }), Ok(Some(3)));
        assert_eq!(lanes(&Throttle { unlimited: true, ..Throttle::default() }), Ok(None));
        for wrong in [-1.0, f64::NAN, f64::INFINITY] {
            assert!(lanes(&rate(wrong)).is_err(), "{wrong}");
        }
        assert!(lanes(&Throttle { lanes: 65, ..rate(1.0) }).is_err());
        assert!(concurrency(&Throttle { lanes: 2, ..rate(1.0) }).is_err());
    }
}
