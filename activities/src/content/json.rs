//! JSON, indented by two spaces inside a Markdown fence.
//!
//! The text is laid out again token by token instead of through a value, so key order, repeated keys and numbers of any
//! size stay as they are. Strings are decoded and written again with only the escapes JSON needs, so a word written as
//! `\u00e9t\u00e9` becomes readable. Text that is not JSON (Python's `NaN` included) is fenced as it is: a broken file
//! still holds words to search for.

use serde::de::IgnoredAny;

use super::output::Output;
use super::{ContentError, Format, utf8};

/// The fenced text; `None` for an empty file.
pub(super) fn convert(bytes: &[u8]) -> Result<Option<String>, ContentError> {
    let text = utf8::decode_ignoring_errors(bytes);
    let text = utf8::strip(utf8::without_byte_order_mark(&text));
    if text.is_empty() {
        return Ok(None);
    }
    let mut output = Output::new(Format::Json);
    output.push("```json\n")?;
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(_) => write_indented(&mut output, text)?,
        Err(_) => output.push(text)?,
    }
    output.push("\n```")?;
    Ok(output.finish())
}

/// Lays out `json`, which the caller has checked: so tokens are found by their first byte alone.
fn write_indented(output: &mut Output, json: &str) -> Result<(), ContentError> {
    let bytes = json.as_bytes();
    let mut depth = 0_usize;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b' ' | b'\t' | b'\n' | b'\r' => at += 1,
            open @ (b'{' | b'[') => {
                let close = at + 1 + bytes[at + 1..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
                if matches!(bytes.get(close), Some(b'}' | b']')) {
                    output.push(if open == b'{' { "{}" } else { "[]" })?;
                    at = close + 1;
                } else {
                    output.push(if open == b'{' { "{" } else { "[" })?;
                    depth += 1;
                    new_line(output, depth)?;
                    at += 1;
                }
            }
            close @ (b'}' | b']') => {
                depth = depth.saturating_sub(1);
                new_line(output, depth)?;
                output.push(if close == b'}' { "}" } else { "]" })?;
                at += 1;
            }
            b',' => {
                output.push(",")?;
                new_line(output, depth)?;
                at += 1;
            }
            b':' => {
                output.push(": ")?;
                at += 1;
            }
            b'"' => {
                let end = string_end(bytes, at);
                write_string(output, &json[at..end])?;
                at = end;
            }
            _ => {
                let length = bytes[at..]
                    .iter()
                    .take_while(|byte| !byte.is_ascii_whitespace() && !matches!(byte, b',' | b'}' | b']'))
                    .count();
                output.push(&json[at..at + length])?;
                at += length;
            }
        }
    }
    Ok(())
}

fn new_line(output: &mut Output, depth: usize) -> Result<(), ContentError> {
    output.push("\n")?;
    (0..depth).try_for_each(|_| output.push("  "))
}

/// Index after the closing quote of the string that starts at `start`.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

/// Writes a string literal with the fewest escapes. One with a lone surrogate has no decoded form and stays as it is.
fn write_string(output: &mut Output, literal: &str) -> Result<(), ContentError> {
    if !literal.contains('\\') {
        return output.push(literal);
    }
    match serde_json::from_str::<String>(literal) {
        Ok(value) => output.push(&serde_json::Value::String(value).to_string()),
        Err(_) => output.push(literal),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(
        br#"{"b":1,"a":[true,null,{}],"b":12345678901234567890123.10,"t":"\u00e9t\u00e9 \"q\"\n", "e":[ ]}"#,
        "```json\n{\n  \"b\": 1,\n  \"a\": [\n    true,\n    null,\n    {}\n  ],\n  \"b\": 12345678901234567890123.10,\n  \
         \"t\": \"\u{e9}t\u{e9} \\\"q\\\"\\n\",\n  \"e\": []\n}\n```"
    )]
    #[case("\u{feff} \"caf\u{e9}\" ".as_bytes(), "```json\n\"caf\u{e9}\"\n```")]
    #[case(br#"["\ud800","a\\"]"#, "```json\n[\n  \"\\ud800\",\n  \"a\\\\\"\n]\n```")]
    #[case(b"[1,2", "```json\n[1,2\n```")]
    #[case(b"{\"a\": NaN}\n", "```json\n{\"a\": NaN}\n```")]
    fn json_is_indented_and_anything_else_kept(#[case] bytes: &[u8], #[case] expected: &str) {
        assert_eq!(convert(bytes).unwrap().as_deref(), Some(expected));
    }

    #[test]
    fn an_empty_file_has_no_text() {
        assert_eq!(convert(b" \n").unwrap(), None);
    }

    #[test]
    fn indentation_cannot_blow_up_the_text() {
        let nested = [b"[".repeat(20_000), b"]".repeat(20_000)].concat();
        assert!(matches!(convert(&nested), Err(ContentError::TooLarge { what: "bytes of text", .. })));
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<String>().prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 64, 8, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..8).prop_map(Into::into),
                proptest::collection::btree_map(any::<String>(), inner, 0..8)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// The layout is that of serde_json's own pretty printer, reached without parsing into a value.
        #[test]
        fn layout_is_the_usual_one(value in any_json()) {
            let expected = format!("```json\n{}\n```", serde_json::to_string_pretty(&value).unwrap());
            prop_assert_eq!(convert(value.to_string().as_bytes()).unwrap(), Some(expected));
        }
    }
}
