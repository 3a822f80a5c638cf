//! Python's `str()` and `repr()` of the values JSON can hold.

use std::fmt::Write;

use crate::json::{Int, PyString, Value, write_float_repr};

use super::nonprintable::is_printable;

/// Appends `str(value)`. A string is itself, with U+FFFD for lone surrogates; anything else is as in [`write_repr`].
pub fn write_str(out: &mut String, value: &Value) {
    match value {
        Value::String(text) => out.push_str(&text.to_string_lossy()),
        other => write_repr(out, other),
    }
}

/// Appends `repr(value)`: `True`, `12.0`, `'O\'Neil'` as `"O'Neil"`, lists and dicts with their items' `repr`.
pub fn write_repr(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("None"),
        Value::Bool(true) => out.push_str("True"),
        Value::Bool(false) => out.push_str("False"),
        Value::Int(Int::Small(number)) => write!(out, "{number}").expect("writing to a String cannot fail"),
        Value::Int(Int::Big(digits)) => out.push_str(digits),
        Value::Float(float) if float.is_finite() => write_float_repr(out, *float),
        Value::Float(float) if float.is_nan() => out.push_str("nan"),
        Value::Float(float) => out.push_str(if *float > 0.0 { "inf" } else { "-inf" }),
        Value::String(text) => write_quoted(out, text),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                write_repr(out, item);
            }
            out.push(']');
        }
        Value::Object(object) => {
            out.push('{');
            for (index, (key, item)) in object.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                write_quoted(out, key);
                out.push_str(": ");
                write_repr(out, item);
            }
            out.push('}');
        }
    }
}

/// Single quotes, unless there are some inside and no double ones. What is not printable is escaped.
fn write_quoted(out: &mut String, text: &PyString) {
    let contains = |quote| text.parts().any(|(part, _)| part.contains(quote));
    let quote = if contains('\'') && !contains('"') { '"' } else { '\'' };
    out.push(quote);
    for (part, surrogate) in text.parts() {
        for character in part.chars() {
            write_character(out, character, quote);
        }
        if let Some(surrogate) = surrogate {
            write!(out, "\\u{surrogate:04x}").expect("writing to a String cannot fail");
        }
    }
    out.push(quote);
}

fn write_character(out: &mut String, character: char, quote: char) {
    let code = u32::from(character);
    let written = match character {
        '\n' => out.write_str("\\n"),
        '\r' => out.write_str("\\r"),
        '\t' => out.write_str("\\t"),
        '\\' => out.write_str("\\\\"),
        ' '..='~' if character == quote => write!(out, "\\{character}"),
        ' '..='~' => out.write_char(character),
        other if is_printable(other) => out.write_char(other),
        '\0'..='\u{FF}' => write!(out, "\\x{code:02x}"),
        '\u{100}'..='\u{FFFF}' => write!(out, "\\u{code:04x}"),
        _ => write!(out, "\\U{code:08x}"),
    };
    written.expect("writing to a String cannot fail");
}

#[cfg(test)]
mod tests;
