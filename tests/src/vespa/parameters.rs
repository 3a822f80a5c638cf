//! Parameters of a request: how Vespa reads each kind, and what it says of a bad one.

use std::collections::BTreeMap;
use std::time::Duration;

use super::reply::Refusal;
use super::target::Target;

/// How long an operation may take when the request does not say.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(180);

/// The parameters of one request. Those that are never asked for are ignored, as Vespa does.
#[derive(Debug, Clone)]
pub struct Parameters {
    path: String,
    values: BTreeMap<String, String>,
}

impl Parameters {
    /// Of this request.
    #[must_use]
    pub fn of(target: &Target) -> Self {
        Self { path: target.path.clone(), values: target.parameters.clone() }
    }

    /// Of a request to this path without any.
    #[must_use]
    pub fn none(path: &str) -> Self {
        Self { path: path.to_owned(), values: BTreeMap::new() }
    }

    /// The value of a parameter.
    ///
    /// # Errors
    /// When it is there without a value.
    pub fn text(&self, name: &str) -> Result<Option<&str>, Refusal> {
        match self.values.get(name).map(String::as_str) {
            Some("") => Err(Refusal::bad(format!("Expected non-empty value for request property '{name}'"))),
            value => Ok(value),
        }
    }

    /// A parameter without which the operation is refused.
    ///
    /// # Errors
    /// When it is absent or empty.
    pub fn required(&self, name: &str) -> Result<&str, Refusal> {
        let missing = || Refusal::bad(format!("Must specify '{name}' at '{}'", self.path));
        self.text(name)?.ok_or_else(missing)
    }

    /// Refuses parameters that this operation does not take.
    ///
    /// # Errors
    /// When one of them is there.
    pub fn forbid(&self, names: &[&str]) -> Result<(), Refusal> {
        match names.iter().find(|name| self.values.contains_key(**name)) {
            Some(name) => Err(Refusal::bad(format!("May not specify '{name}' at '{}'", self.path))),
            None => Ok(()),
        }
    }

    /// `true` in any case is true, anything else is false.
    ///
    /// # Errors
    /// When it is there without a value.
    pub fn flag(&self, name: &str) -> Result<Option<bool>, Refusal> {
        Ok(self.text(name)?.map(|value| value.eq_ignore_ascii_case("true")))
    }

    /// A whole number.
    ///
    /// # Errors
    /// When it is none.
    pub fn number(&self, name: &str) -> Result<Option<i64>, Refusal> {
        let Some(value) = self.text(name)? else { return Ok(None) };
        let unparsable =
            |_| Refusal::bad(format!("Failed to parse request property '{name}': For input string: \"{value}\""));
        value.parse().map(Some).map_err(unparsable)
    }

    /// A whole number above zero.
    ///
    /// # Errors
    /// When it is none.
    pub fn positive(&self, name: &str) -> Result<Option<u64>, Refusal> {
        match self.number(name)? {
            None => Ok(None),
            Some(value) => match u64::try_from(value) {
                Ok(value) if value > 0 => Ok(Some(value)),
                _ => Err(Refusal::bad(format!("{name} must be positive"))),
            },
        }
    }

    /// A time: a number with `ks`, `s`, `ms` or `µs`; seconds with any other unit and with none.
    ///
    /// # Errors
    /// When it does not begin with a number.
    pub fn duration(&self, name: &str) -> Result<Option<Duration>, Refusal> {
        let Some(value) = self.text(name)? else { return Ok(None) };
        let digits = value.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(value.len());
        let (number, unit) = value.split_at(digits);
        let scale = match unit.trim() {
            "ks" => 1e3,
            "ms" => 1e-3,
            "µs" | "us" => 1e-6,
            _ => 1.0,
        };
        let seconds = number.parse::<f64>().ok().map(|number| number * scale);
        let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        duration
            .map(Some)
            .ok_or_else(|| Refusal::bad(format!("Failed to parse request property '{name}': Invalid number '{value}'")))
    }

    /// How long the operation may take.
    ///
    /// # Errors
    /// When it is not readable.
    pub fn timeout(&self) -> Result<Duration, Refusal> {
        Ok(self.duration("timeout")?.unwrap_or(DEFAULT_TIMEOUT))
    }

    /// How much is to be told about the way of the operation: 0 to 9.
    ///
    /// # Errors
    /// When it is no number.
    pub fn trace_level(&self) -> Result<i64, Refusal> {
        Ok(self.number("tracelevel")?.unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn timeout(value: &str) -> Result<Duration, Refusal> {
        let query = format!("timeout={value}");
        Parameters::of(&Target::parse("/document/v1", Some(&query)).expect("a URI")).timeout()
    }

    #[rstest]
    #[case("1", 1_000_000)]
    #[case("2.5", 2_500_000)]
    #[case("60000ms", 60_000_000)]
    #[case("1ks", 1_000_000_000)]
    #[case("7%C2%B5s", 7)]
    #[case("1e1s", 1_000_000)]
    fn times_have_units(#[case] value: &str, #[case] micros: u64) {
        assert_eq!(timeout(value).expect("it is a time"), Duration::from_micros(micros));
    }

    #[rstest]
    fn a_time_without_number_is_refused(#[values("", "ms", "s1", "1.2.3")] value: &str) {
        timeout(value).expect_err("it is no time");
    }
}
