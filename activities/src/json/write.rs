//! The writers: Python's `json.dumps` byte for byte, and strict JSON for databases. All output is ASCII.

use std::fmt::Write as _;

use super::{Int, Object, PyString, Value, write_float_repr};

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    between_items: &'static str,
    after_key: &'static str,
    sort_keys: bool,
    strict: bool,
}

impl Format {
    /// `json.dumps(x)`.
    pub const PYTHON: Self = Self { between_items: ", ", after_key: ": ", sort_keys: false, strict: false };
    /// `json.dumps(x)` for other JSON parsers than Python's: as [`Self::STRICT`], but spaced as Python does.
    pub const PYTHON_STRICT: Self = Self { strict: true, ..Self::PYTHON };
    /// `json.dumps(x, sort_keys=True)`: keys by code points.
    pub const PYTHON_SORTED: Self = Self { sort_keys: true, ..Self::PYTHON };
    /// `json.dumps(x, sort_keys=True, separators=(",", ":"))`.
    pub const COMPACT_SORTED: Self = Self { between_items: ",", after_key: ":", sort_keys: true, strict: false };
    /// Compact JSON that every parser takes: NaN and the infinities become `null`, lone surrogates U+FFFD. Keys that
    /// differ in lone surrogates only come out equal.
    pub const STRICT: Self = Self { between_items: ",", after_key: ":", sort_keys: false, strict: true };
}

/// `json.dumps(value, sort_keys=sort_keys)`.
#[must_use]
pub fn to_python(value: &Value, sort_keys: bool) -> String {
    to_string(value, if sort_keys { Format::PYTHON_SORTED } else { Format::PYTHON })
}

/// `json.dumps(value, sort_keys=True, separators=(",", ":"))`.
#[must_use]
pub fn to_compact_sorted(value: &Value) -> String {
    to_string(value, Format::COMPACT_SORTED)
}

/// Strict JSON for databases, see [`Format::STRICT`].
#[must_use]
pub fn to_strict(value: &Value) -> String {
    to_string(value, Format::STRICT)
}

fn to_string(value: &Value, format: Format) -> String {
    let mut writer = Writer::new(format);
    writer.value(value);
    writer.finish()
}

/// Writes JSON piece by piece, for texts that are put together from parts.
///
/// Between [`Self::begin_object`] and [`Self::end_object`] every [`Self::key`] is followed by one value, and the caller
/// gives the keys in the order they shall have: only whole [`Value`]s are sorted by the writer.
#[derive(Debug)]
pub struct Writer {
    out: String,
    format: Format,
    first: bool,
}

impl Writer {
    /// An empty text.
    #[must_use]
    pub fn new(format: Format) -> Self {
        Self::with_capacity(format, 0)
    }

    /// An empty text with room for `bytes`.
    #[must_use]
    pub fn with_capacity(format: Format, bytes: usize) -> Self {
        Self { out: String::with_capacity(bytes), format, first: true }
    }

    /// The text.
    #[must_use]
    pub fn finish(self) -> String {
        self.out
    }

    /// Opens an object.
    pub fn begin_object(&mut self) {
        self.out.push('{');
        self.first = true;
    }

    /// Closes the object opened last.
    pub fn end_object(&mut self) {
        self.out.push('}');
        self.first = false;
    }

    /// A key; its value comes next.
    pub fn key(&mut self, key: &PyString) {
        self.separate();
        self.py_string(key);
        self.out.push_str(self.format.after_key);
    }

    /// A key that is known to be ordinary text; its value comes next.
    pub fn str_key(&mut self, key: &str) {
        self.separate();
        self.str(key);
        self.out.push_str(self.format.after_key);
    }

    /// A string.
    pub fn str(&mut self, text: &str) {
        self.out.push('"');
        escape(&mut self.out, text);
        self.out.push('"');
    }

    /// A whole value.
    pub fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.out.push_str("null"),
            Value::Bool(true) => self.out.push_str("true"),
            Value::Bool(false) => self.out.push_str("false"),
            Value::Int(Int::Small(number)) => self.integer(*number),
            Value::Int(Int::Big(digits)) => self.out.push_str(digits),
            Value::Float(float) => self.float(*float),
            Value::String(text) => self.py_string(text),
            Value::Array(items) => self.array(items),
            Value::Object(object) => self.object(object),
        }
    }

    /// A list, with `write` called for each item.
    pub fn list<T>(&mut self, items: impl IntoIterator<Item = T>, mut write: impl FnMut(&mut Self, T)) {
        self.out.push('[');
        for (index, item) in items.into_iter().enumerate() {
            if index > 0 {
                self.out.push_str(self.format.between_items);
            }
            write(self, item);
        }
        self.out.push(']');
    }

    /// An integer.
    pub fn integer(&mut self, number: i64) {
        write!(self.out, "{number}").expect("writing to a String cannot fail");
    }

    fn separate(&mut self) {
        if !self.first {
            self.out.push_str(self.format.between_items);
        }
        self.first = false;
    }

    fn array(&mut self, items: &[Value]) {
        self.list(items, Self::value);
    }

    fn object(&mut self, object: &Object) {
        self.begin_object();
        if self.format.sort_keys && !object.iter().is_sorted_by_key(|(key, _)| key) {
            let mut entries: Vec<_> = object.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| key);
            entries.into_iter().for_each(|entry| self.entry(entry));
        } else {
            object.iter().for_each(|entry| self.entry(entry));
        }
        self.end_object();
    }

    fn entry(&mut self, (key, value): &(PyString, Value)) {
        self.key(key);
        self.value(value);
    }

    fn py_string(&mut self, text: &PyString) {
        self.out.push('"');
        for (part, surrogate) in text.parts() {
            escape(&mut self.out, part);
            if let Some(surrogate) = surrogate {
                push_code_unit(&mut self.out, if self.format.strict { 0xFFFD } else { surrogate });
            }
        }
        self.out.push('"');
    }

    fn float(&mut self, float: f64) {
        if float.is_finite() {
            write_float_repr(&mut self.out, float);
        } else if self.format.strict {
            self.out.push_str("null");
        } else if float.is_nan() {
            self.out.push_str("NaN");
        } else {
            self.out.push_str(if float > 0.0 { "Infinity" } else { "-Infinity" });
        }
    }
}

/// The bytes that do not stand for themselves in output: all but printable ASCII, quote and backslash.
const ESCAPED: [bool; 256] = {
    let mut escaped = [true; 256];
    let mut byte = b' ';
    while byte <= b'~' {
        escaped[byte as usize] = byte == b'"' || byte == b'\\';
        byte += 1;
    }
    escaped
};

/// Appends text as the inside of a JSON string, everything but printable ASCII escaped.
fn escape(out: &mut String, text: &str) {
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| ESCAPED[usize::from(byte)]) {
        out.push_str(&rest[..at]);
        let mut characters = rest[at..].chars();
        match characters.next() {
            Some('"') => out.push_str("\\\""),
            Some('\\') => out.push_str("\\\\"),
            Some('\n') => out.push_str("\\n"),
            Some('\r') => out.push_str("\\r"),
            Some('\t') => out.push_str("\\t"),
            Some('\u{8}') => out.push_str("\\b"),
            Some('\u{c}') => out.push_str("\\f"),
            Some(other) => other.encode_utf16(&mut [0; 2]).iter().for_each(|unit| push_code_unit(out, *unit)),
            None => {}
        }
        rest = characters.as_str();
    }
    out.push_str(rest);
}

/// Appends `\uXXXX`.
fn push_code_unit(out: &mut String, unit: u16) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |shift: u16| char::from(DIGITS[usize::from(unit >> shift & 0xF)]);
    out.push_str("\\u");
    out.extend([digit(12), digit(8), digit(4), digit(0)]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::parse;

    const SAMPLE: &str =
        r#"{"b": [1.0, NaN, {"z": "\ud800é\u007f", "a": -Infinity}], "😀": 1e22, "\uffff": [], "a": {}}"#;

    #[test]
    fn each_format_as_documented() {
        let value = parse(SAMPLE.as_bytes()).unwrap();
        assert_eq!(
            to_python(&value, false),
            r#"{"b": [1.0, NaN, {"z": "\ud800\u00e9\u007f", "a": -Infinity}], "\ud83d\ude00": 1e+22, "\uffff": [], "a": {}}"#
        );
        // Sorted by code points: U+FFFF before U+1F600, although its UTF-16 code unit is greater.
        assert_eq!(
            to_python(&value, true),
            r#"{"a": {}, "b": [1.0, NaN, {"a": -Infinity, "z": "\ud800\u00e9\u007f"}], "\uffff": [], "\ud83d\ude00": 1e+22}"#
        );
        assert_eq!(
            to_compact_sorted(&value),
            r#"{"a":{},"b":[1.0,NaN,{"a":-Infinity,"z":"\ud800\u00e9\u007f"}],"\uffff":[],"\ud83d\ude00":1e+22}"#
        );
        let strict = to_strict(&value);
        assert_eq!(
            strict,
            r#"{"b":[1.0,null,{"z":"\ufffd\u00e9\u007f","a":null}],"\ud83d\ude00":1e+22,"\uffff":[],"a":{}}"#
        );
        assert!(serde_json::from_str::<serde_json::Value>(&strict).is_ok());
    }

    #[test]
    fn pieces_make_an_object() {
        let mut writer = Writer::with_capacity(Format::PYTHON, 64);
        writer.begin_object();
        writer.str_key("a");
        writer.begin_object();
        writer.end_object();
        writer.str_key("b");
        writer.list([1, 2], Writer::integer);
        writer.key(&"c".into());
        writer.value(&parse(br#"{"x": [{}]}"#).unwrap());
        writer.str_key("d");
        writer.str("\u{1}\"");
        writer.end_object();
        assert_eq!(writer.finish(), r#"{"a": {}, "b": [1, 2], "c": {"x": [{}]}, "d": "\u0001\""}"#);
    }
}
