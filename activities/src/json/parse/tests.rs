use rstest::rstest;

use super::*;
use crate::json::to_python;

#[rstest]
#[case(r#" {"a" : [ 1 , -2.5e3, "x" ] , "b":{} } "#, r#"{"a": [1, -2500.0, "x"], "b": {}}"#)]
#[case("[NaN, Infinity, -Infinity, null, true, false]", "[NaN, Infinity, -Infinity, null, true, false]")]
#[case("[0, -0, -0.0, 0e0, 1E400, -1e-400]", "[0, 0, -0.0, 0.0, Infinity, -0.0]")]
#[case("123456789012345678901234567890", "123456789012345678901234567890")]
#[case("-123456789012345678901234567890", "-123456789012345678901234567890")]
#[case(r#""\u00e9\ud83d\ude00\"\\\/\b\f\n\r\t\u0000""#, r#""\u00e9\ud83d\ude00\"\\/\b\f\n\r\t\u0000""#)]
#[case(r#""\ud800x\udc00\udbff""#, r#""\ud800x\udc00\udbff""#)]
#[case(r#""\uD83D\uDE00 😀""#, r#""\ud83d\ude00 \ud83d\ude00""#)]
#[case(r#"{"k":1,"other":2,"k":3}"#, r#"{"k": 3, "other": 2}"#)]
#[case("[]", "[]")]
#[case(r#""""#, r#""""#)]
fn reads_what_python_writes(#[case] input: &str, #[case] expected: &str) {
    assert_eq!(to_python(&parse(input.as_bytes()).unwrap(), false), expected);
}

#[rstest]
#[case("")]
#[case("  ")]
#[case("{")]
#[case("{\"a\"")]
#[case("{\"a\":")]
#[case("{\"a\":1")]
#[case("{\"a\":1,")]
#[case("[1,")]
#[case("\"abc")]
#[case("\"abc\\")]
#[case("\"abc\\u12")]
#[case("tru")]
#[case("-")]
#[case("-Inf")]
#[case("1.")]
#[case("1e")]
#[case("1e+")]
fn tells_a_cut_text(#[case] input: &str) {
    assert_eq!(parse(input.as_bytes()), Err(ParseError::Truncated { offset: input.len() }));
}

#[rstest]
#[case("{'a':1}", 1)]
#[case("[1 2]", 3)]
#[case("[1,]", 3)]
#[case("{\"a\":1,}", 7)]
#[case("{\"a\" 1}", 5)]
#[case("01", 1)]
#[case("+1", 0)]
#[case(".5", 0)]
#[case("1.x", 2)]
#[case("1ex", 2)]
#[case("-x", 1)]
#[case("nul!", 3)]
#[case("nan", 1)]
#[case("\"\\x\"", 2)]
#[case("\"\\u12g4\"", 5)]
#[case("\"a\nb\"", 2)]
#[case("{} {}", 3)]
#[case("\u{feff}{}", 0)]
fn tells_where_it_is_malformed(#[case] input: &str, #[case] offset: usize) {
    let error = parse(input.as_bytes()).unwrap_err();
    assert!(matches!(error, ParseError::Malformed { .. }), "{error}");
    assert_eq!(error.offset(), offset, "{error}");
    assert!(!error.is_truncated());
}

#[test]
fn broken_utf8_is_malformed_and_cut_utf8_truncated() {
    assert_eq!(parse(b"\"a\xff\""), Err(ParseError::Malformed { offset: 2, expected: "UTF-8" }));
    assert_eq!(parse(b"\"a\xed\xa0\x80\""), Err(ParseError::Malformed { offset: 2, expected: "UTF-8" }));
    assert!(parse(b"\"a\xe2\x82").unwrap_err().is_truncated());
}

#[test]
fn depth_is_bounded() {
    let nest = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(parse(nest(MAX_DEPTH).as_bytes()).is_ok());
    assert_eq!(parse(nest(MAX_DEPTH + 1).as_bytes()), Err(ParseError::TooDeep { offset: MAX_DEPTH }));
    // Depth is nesting, not the number of lists.
    assert!(parse(format!("[{}1]", "[],".repeat(1000)).as_bytes()).is_ok());
}

#[test]
fn messages_say_what_to_look_at() {
    assert_eq!(
        parse(b"{\"a\":").unwrap_err().to_string(),
        "JSON ends too early, at byte 5: the text was cut, or read while it was being written"
    );
    assert_eq!(parse(b"[1;").unwrap_err().to_string(), "malformed JSON at byte 2: expected ',' or ']'");
}
