//! Python's `repr` of a finite float.

use std::fmt::Write;

/// Appends a finite float as Python's `repr` writes it: the shortest digits that read back to the same float,
/// positional from 1e-04 up to below 1e+16 (`1.0`, `0.0001`), otherwise with a signed exponent of two digits or more
/// (`1e-05`, `1e+22`).
///
/// The caller handles NaN and the infinities: their names differ between `repr` and JSON.
pub fn write_float_repr(out: &mut String, float: f64) {
    // `{:?}` has the same digits and the same limits of positional notation; only the exponent looks different.
    let start = out.len();
    write!(out, "{float:?}").expect("writing to a String cannot fail");
    let Some(at) = out[start..].find('e') else { return };
    let exponent_at = start + at + 1;
    let negative = out[exponent_at..].starts_with('-');
    if !negative {
        out.insert(exponent_at, '+');
    }
    if out.len() - exponent_at < 3 {
        out.insert(exponent_at + 1, '0');
    }
}

#[cfg(test)]
mod tests;
