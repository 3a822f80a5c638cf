//! What operators allow.

use std::fmt;

use crate::error::{Error, ErrorKind, Result};

/// The most batches at a time that a limit of all operations may name; more is no limit.
pub const MAX_LANES: u32 = 10_000;

/// Limits in force; `None` is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Limits {
    /// Entities carried over per second; 0 stops.
    pub entities_per_second: Option<f64>,
    /// Chunks embedded per second; 0 stops embedding.
    pub embeds_per_second: Option<f64>,
    /// Batches at work at a time, of all operations together; 0 stops.
    pub lanes: Option<u32>,
}

/// What becomes of one limit.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum Setting<T> {
    /// It stays as it is.
    #[default]
    Keep,
    /// There is none any more.
    Lift,
    /// It is this from now on.
    To(T),
}

/// A change of limits.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Change {
    /// Of [`Limits::entities_per_second`].
    pub entities_per_second: Setting<f64>,
    /// Of [`Limits::embeds_per_second`].
    pub embeds_per_second: Setting<f64>,
    /// Of [`Limits::lanes`]; an operation's own lanes are its workflow's.
    pub lanes: Setting<u32>,
}

/// Who changes a limit, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// A person or a program.
    pub requested_by: String,
    /// For whoever finds the work held back.
    pub reason: String,
}

impl<T> Setting<T> {
    /// The limit after this.
    pub fn apply(self, before: Option<T>) -> Option<T> {
        match self {
            Self::Keep => before,
            Self::Lift => None,
            Self::To(limit) => Some(limit),
        }
    }
}

impl<T> From<Option<T>> for Setting<T> {
    fn from(limit: Option<T>) -> Self {
        limit.map_or(Self::Keep, Self::To)
    }
}

impl Change {
    /// Lifts every limit.
    pub const LIFT: Self =
        Self { entities_per_second: Setting::Lift, embeds_per_second: Setting::Lift, lanes: Setting::Lift };

    /// The limits after this.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a rate that is no number or negative, and for more than [`MAX_LANES`].
    pub fn apply(self, before: Limits) -> Result<Limits> {
        let after = Limits {
            entities_per_second: self.entities_per_second.apply(before.entities_per_second),
            embeds_per_second: self.embeds_per_second.apply(before.embeds_per_second),
            lanes: self.lanes.apply(before.lanes),
        };
        for (name, rate) in
            [("entities_per_second", after.entities_per_second), ("embeds_per_second", after.embeds_per_second)]
        {
            if let Some(rate) = rate.filter(|rate| !rate.is_finite() || *rate < 0.0) {
                return Err(Error::new(
                    ErrorKind::InvalidInput,
                    format!("{name} must be 0, which stops, or a positive number, got {rate}"),
                ));
            }
        }
        if let Some(lanes) = after.lanes.filter(|lanes| *lanes > MAX_LANES) {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("lanes of all operations must be at most {MAX_LANES}, got {lanes}"),
            ));
        }
        Ok(after)
    }
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rates = [("entities", self.entities_per_second), ("embeds", self.embeds_per_second)];
        let mut words: Vec<String> =
            rates.iter().filter_map(|(what, rate)| rate.map(|rate| format!("{rate} {what}/s"))).collect();
        words.extend(self.lanes.map(|lanes| format!("{lanes} lanes")));
        f.write_str(if words.is_empty() { "no limit" } else { "" })?;
        f.write_str(&words.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_named_stays() {
        let before = Limits { entities_per_second: Some(5.0), embeds_per_second: Some(7.0), lanes: None };
        let change = Change { entities_per_second: Setting::To(0.0), lanes: Setting::To(3), ..Change::default() };
        let after = change.apply(before).unwrap();
        assert_eq!(after, Limits { entities_per_second: Some(0.0), embeds_per_second: Some(7.0), lanes: Some(3) });
        assert_eq!(after.to_string(), "0 entities/s, 7 embeds/s, 3 lanes");
        assert_eq!(Change::LIFT.apply(after).unwrap().to_string(), "no limit");
    }

    #[test]
    fn what_is_no_limit_is_refused() {
        for rate in [-1.0, f64::NAN, f64::INFINITY] {
            let change = Change { embeds_per_second: Setting::To(rate), ..Change::default() };
            assert_eq!(change.apply(Limits::default()).unwrap_err().kind(), ErrorKind::InvalidInput, "{rate}");
        }
        let change = Change { lanes: Setting::To(MAX_LANES + 1), ..Change::default() };
        assert_eq!(change.apply(Limits::default()).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}
