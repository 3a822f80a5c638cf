//! What operators tell a running workflow: pause, resume, throttle.

use proto::v1::Throttle;

/// The most segments worked on at a time.
pub(crate) const MAX_LANES: u32 = 64;

/// The number of lanes a throttle asks for.
///
/// # Errors
///
/// When it is not between 1 and [`MAX_LANES`].
pub(crate) fn lanes(throttle: &Throttle) -> Result<u32, String> {
    if (1..=MAX_LANES).contains(&throttle.lanes) {
        Ok(throttle.lanes)
    } else {
        Err(format!("lanes must be between 1 and {MAX_LANES}, got {}", throttle.lanes))
    }
}

/// The most syncs of a collection forked at a time.
pub(crate) const MAX_CONCURRENCY: u32 = 16;

/// The number of syncs at a time that a throttle asks for.
///
/// # Errors
///
/// When it is not between 1 and [`MAX_CONCURRENCY`].
pub(crate) fn concurrency(throttle: &Throttle) -> Result<u32, String> {
    if (1..=MAX_CONCURRENCY).contains(&throttle.lanes) {
        Ok(throttle.lanes)
    } else {
        Err(format!("lanes must be between 1 and {MAX_CONCURRENCY} syncs, got {}", throttle.lanes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_have_bounds() {
        for (asked, answer) in [(0, false), (1, true), (64, true), (65, false), (u32::MAX, false)] {
            assert_eq!(lanes(&Throttle { lanes: asked }).is_ok(), answer, "{asked}");
        }
        for (asked, answer) in [(0, false), (1, true), (16, true), (17, false)] {
            assert_eq!(concurrency(&Throttle { lanes: asked }).is_ok(), answer, "{asked} syncs");
        }
    }
}
