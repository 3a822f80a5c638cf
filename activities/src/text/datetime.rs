//! Date-times: pydantic's JSON form in, Python's `isoformat()` and `str()` out.

use std::fmt::Write;

use chrono::NaiveDate;

/// A date-time as Python's `datetime` holds it: microseconds, and an optional offset from UTC in minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DateTime {
    year: u16,
    month: u8,
    day: u8,
    hour: u8,
    minute: u8,
    second: u8,
    microsecond: u32,
    /// `None` when naive.
    offset_minutes: Option<i16>,
}

impl DateTime {
    /// Reads the strings pydantic takes for a `datetime`: `YYYY-MM-DD`, optionally a separator (`T`, `t`, `_`, space)
    /// and `HH:MM[:SS[.fraction]]`, optionally `Z` or `±HH[:]MM`. Digits beyond microseconds are cut off. Not read:
    /// numbers (seconds since the epoch), which pydantic takes but never writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut reader = Reader { rest: text };
        let year = reader.number(4)?;
        let month = reader.after("-")?.number(2)?;
        let day = reader.after("-")?.number(2)?;
        if year == 0 || month == 0 || month > 12 || day == 0 || day > days_in_month(year, month) {
            return None;
        }
        let mut parsed = Self {
            year,
            month: u8::try_from(month).ok()?,
            day: u8::try_from(day).ok()?,
            hour: 0,
            minute: 0,
            second: 0,
            microsecond: 0,
            offset_minutes: None,
        };
        if reader.rest.is_empty() {
            return Some(parsed);
        }
        reader.after_any("Tt _")?;
        parsed.hour = reader.below(24)?;
        parsed.minute = reader.after(":")?.below(60)?;
        if reader.after(":").is_some() {
            parsed.second = reader.below(60)?;
            if reader.after_any(".,").is_some() {
                parsed.microsecond = reader.fraction()?;
            }
        }
        parsed.offset_minutes = reader.offset()?;
        Some(parsed)
    }

    /// `datetime.isoformat()`: `2024-01-15T10:30:00.123000+00:00`.
    #[must_use]
    pub fn to_isoformat(self) -> String {
        self.format('T', "+00:00")
    }

    /// `str(datetime)`: `2024-01-15 10:30:00.123000+00:00`.
    #[must_use]
    pub fn to_str(self) -> String {
        self.format(' ', "+00:00")
    }

    /// As pydantic writes it to JSON: like `isoformat()`, but `Z` for UTC.
    #[must_use]
    pub fn to_json(self) -> String {
        self.format('T', "Z")
    }

    /// `int(datetime.timestamp())`: seconds since 1970, fractions cut off. One without an offset counts as UTC, as on the
    /// platform's machines.
    #[must_use]
    pub fn epoch_seconds(self) -> i64 {
        let date = NaiveDate::from_ymd_opt(i32::from(self.year), u32::from(self.month), u32::from(self.day));
        let time = date.and_then(|it| it.and_hms_opt(self.hour.into(), self.minute.into(), self.second.into()));
        let local = time.map_or(0, |time| time.and_utc().timestamp());
        let seconds = local - i64::from(self.offset_minutes.unwrap_or(0)) * 60;
        if seconds < 0 && self.microsecond > 0 { seconds + 1 } else { seconds }
    }

    fn format(self, separator: char, utc: &str) -> String {
        let Self { year, month, day, hour, minute, second, .. } = self;
        let mut out = String::with_capacity(32);
        let written = write!(out, "{year:04}-{month:02}-{day:02}{separator}{hour:02}:{minute:02}:{second:02}");
        written.expect("writing to a String cannot fail");
        if self.microsecond != 0 {
            write!(out, ".{:06}", self.microsecond).expect("writing to a String cannot fail");
        }
        match self.offset_minutes {
            None => {}
            Some(0) => out.push_str(utc),
            Some(minutes) => {
                let sign = if minutes < 0 { '-' } else { '+' };
                let (hours, minutes) = (minutes.abs() / 60, minutes.abs() % 60);
                write!(out, "{sign}{hours:02}:{minutes:02}").expect("writing to a String cannot fail");
            }
        }
        out
    }
}

fn days_in_month(year: u16, month: u16) -> u16 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    /// A number of exactly `digits` digits.
    fn number(&mut self, digits: usize) -> Option<u16> {
        let (number, rest) = self.rest.split_at_checked(digits)?;
        if !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        self.rest = rest;
        number.parse().ok()
    }

    /// A number of two digits below `limit`.
    fn below(&mut self, limit: u16) -> Option<u8> {
        let number = self.number(2)?;
        if number < limit { u8::try_from(number).ok() } else { None }
    }

    fn after(&mut self, prefix: &str) -> Option<&mut Self> {
        self.rest = self.rest.strip_prefix(prefix)?;
        Some(self)
    }

    fn after_any(&mut self, characters: &str) -> Option<char> {
        let first = self.rest.chars().next().filter(|first| characters.contains(*first))?;
        self.rest = &self.rest[first.len_utf8()..];
        Some(first)
    }

    /// Digits after the decimal point, as microseconds.
    fn fraction(&mut self) -> Option<u32> {
        let digits = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        let (fraction, rest) = self.rest.split_at(digits);
        self.rest = rest;
        let kept = &fraction[..digits.min(6)];
        let scale = 10_u32.pow(6 - u32::try_from(kept.len()).ok()?);
        kept.parse::<u32>().ok().map(|number| number * scale)
    }

    /// What remains must be an offset, or nothing.
    fn offset(&mut self) -> Option<Option<i16>> {
        if self.rest.is_empty() {
            return Some(None);
        }
        // U+2212 is the minus sign proper; pydantic takes it as well.
        let sign = match self.after_any("Zz+-\u{2212}")? {
            'Z' | 'z' => return self.rest.is_empty().then_some(Some(0)),
            '+' => 1,
            _ => -1,
        };
        let hours = i16::from(self.below(24)?);
        self.after(":");
        let minutes = i16::from(self.below(60)?);
        self.rest.is_empty().then_some(Some(sign * (hours * 60 + minutes)))
    }
}

#[cfg(test)]
mod tests;
