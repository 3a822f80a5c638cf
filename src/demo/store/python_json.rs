//! JSON as the platform writes entities: `json.dumps(…, indent=2)`, that is ASCII with escapes, keys in the given order.

use activities::json::{Int, Object, PyString, Value, to_python};

/// A string.
pub(super) fn text(value: &str) -> Value {
    Value::from(value)
}

/// A string, or null.
pub(super) fn optional(value: Option<&str>) -> Value {
    value.map_or(Value::Null, text)
}

/// A number. Everything counted here is small.
pub(super) fn count(value: usize) -> Value {
    Value::Int(Int::Small(i64::try_from(value).unwrap_or(i64::MAX)))
}

/// A list of strings.
pub(super) fn texts<T: AsRef<str>>(values: &[T]) -> Value {
    Value::Array(values.iter().map(|value| text(value.as_ref())).collect())
}

/// A dict.
pub(super) fn object<const N: usize>(entries: [(&str, Value); N]) -> Value {
    from_entries(entries.into())
}

/// A dict of any number of entries.
pub(super) fn from_entries(entries: Vec<(&str, Value)>) -> Value {
    let entries = entries.into_iter().map(|(key, value)| (PyString::from(key), value)).collect();
    Value::Object(Object::from_entries(entries))
}

/// The text of a file.
pub(super) fn to_indented(value: &Value) -> String {
    let mut out = String::with_capacity(2048);
    write(&mut out, value, 0);
    out
}

fn write(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Array(items) if !items.is_empty() => {
            out.push('[');
            for (position, item) in items.iter().enumerate() {
                next_line(out, position > 0, depth + 1);
                write(out, item, depth + 1);
            }
            next_line(out, false, depth);
            out.push(']');
        }
        Value::Object(object) if !object.is_empty() => {
            out.push('{');
            for (position, (key, item)) in object.iter().enumerate() {
                next_line(out, position > 0, depth + 1);
                out.push_str(&to_python(&Value::String(key.clone()), false));
                out.push_str(": ");
                write(out, item, depth + 1);
            }
            next_line(out, false, depth);
            out.push('}');
        }
        flat => out.push_str(&to_python(flat, false)),
    }
}

fn next_line(out: &mut String, comma: bool, depth: usize) {
    if comma {
        out.push(',');
    }
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_looks_as_python_writes_it() {
        let value = object([
            ("name", text("Zoë 🌊 \"x\"")),
            ("none", Value::Null),
            ("empty", Value::Array(vec![])),
            ("dict", from_entries(vec![])),
            ("list", Value::Array(vec![count(1), object([("a", Value::Bool(true))])])),
        ]);
        // What Python 3.11 prints for json.dumps of the same value with indent=2.
        let expected = concat!(
            "{\n  \"name\": \"Zo\\u00eb \\ud83c\\udf0a \\\"x\\\"\",\n  \"none\": null,\n  \"empty\": [],\n  \"dict\": {},\n",
            "  \"list\": [\n    1,\n    {\n      \"a\": true\n    }\n  ]\n}"
        );
        assert_eq!(to_indented(&value), expected);
    }
}
