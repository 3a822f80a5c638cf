//! Python's `repr` of a finite float.

use std::fmt::Write;

/// Appends a finite float as Python's `repr` writes it: the shortest digits that read back to the same float,
/// positional from 1e-04 up to below 1e+16 (`1.0`, `0.0001`), otherwise with a signed exponent of two digits or more
/// (`1e-05`, `1e+22`).
///
/// The caller handles NaN and the infinities: their names differ between `repr` and JSON.
pub fn write_float_repr(out: &mut String, float: f64) {
    // `{:?}` has the same limits of positional notation, and the same digits but for ties.
    let start = out.len();
    write!(out, "{float:?}").expect("writing to a String cannot fail");
    let exponent = out[start..].find('e').map(|at| start + at);
    if let Some(at) = odd_tie(float, &out[start..exponent.unwrap_or(out.len())]) {
        let at = start + at;
        let odd = char::from(out.as_bytes()[at]);
        let even = char::from(out.as_bytes()[at] - 1);
        out.replace_range(at..=at, even.encode_utf8(&mut [0; 4]));
        // Below a power of two floats are closer, so the lesser text may belong to the next one.
        if out[start..].parse() != Ok(float) {
            out.replace_range(at..=at, odd.encode_utf8(&mut [0; 4]));
        }
    }
    let Some(exponent) = exponent else { return };
    let digits = exponent + 1;
    if !out[digits..].starts_with('-') {
        out.insert(digits, '+');
    }
    if out.len() - digits < 3 {
        out.insert(digits + 1, '0');
    }
}

/// Two shortest texts can be equally near to a float, as 0.2 and 0.3 are to 0.25. Python takes the one that ends in an
/// even digit, Rust the greater one. Returns where the last digit is when it is odd and must be one less.
fn odd_tie(float: f64, mantissa: &str) -> Option<usize> {
    /// Digits after the first that say a float exactly.
    const EXACT: usize = 766;
    // Leading zeros (`0.0001`) are no significant digits.
    let significant = mantissa.trim_start_matches(['-', '0', '.']).bytes().filter(u8::is_ascii_digit).count();
    // With fewer digits the last one is coarser than the spacing of floats, and two texts cannot both read back.
    if significant < 16 || mantissa.bytes().next_back().is_none_or(|last| (last - b'0').is_multiple_of(2)) {
        return None;
    }
    let is_half = |precision: usize| {
        let text = format!("{float:.precision$e}");
        let digits = text.split('e').next().unwrap_or_default().bytes().filter(u8::is_ascii_digit);
        let mut beyond = digits.skip(significant);
        beyond.next() == Some(b'5') && beyond.all(|digit| digit == b'0')
    };
    let tie = is_half(significant + 1) && is_half(EXACT);
    tie.then(|| mantissa.len() - 1)
}

#[cfg(test)]
mod tests;
