//! JSON as Python's `json.dumps` writes it.
//!
//! Raw stores are written by Python: they hold `NaN`, `Infinity`, integers of any size and strings with lone
//! surrogates, none of which a strict parser takes. This module reads all of that into a [`Value`] without losing
//! anything, and writes it back either exactly as Python would (hashes and keyword vectors depend on the bytes) or as
//! strict JSON for databases.
//!
//! Start with [`parse()`], then [`Value`]; the writers are [`to_python`], [`to_compact_sorted`] and [`to_strict`].
//! Invariant: `parse(to_python(v)) == v` for every value whose numbers are not NaN.

mod float_repr;
mod parse;
mod py_string;
mod value;
mod write;

#[cfg(test)]
mod properties;

pub use float_repr::write_float_repr;
pub use parse::{MAX_DEPTH, ParseError, parse};
pub use py_string::{PyString, PyStringBuilder};
pub use value::{Int, Object, Value};
pub use write::{Format, Writer, to_compact_sorted, to_python, to_strict};
