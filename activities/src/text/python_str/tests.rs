use super::{write_repr, write_str};
use crate::json::{Value, parse};

/// JSON of a value and what Python prints as its `repr`.
#[rustfmt::skip]
const CASES: &[(&str, &str)] = &[
    ("\"\"", "''"),
    ("\"plain\"", "'plain'"),
    ("\"it's\"", "\"it's\""),
    ("\"say \\\"hi\\\"\"", "'say \"hi\"'"),
    ("\"it's \\\"both\\\"\"", "'it\\'s \"both\"'"),
    ("\"back\\\\slash\"", "'back\\\\slash'"),
    ("\"tab\\tnl\\ncr\\r\"", "'tab\\tnl\\ncr\\r'"),
    ("\"bell\\u0007esc\\u001b\"", "'bell\\x07esc\\x1b'"),
    ("\"\\u0000\\u007f\\u0080\\u009f\\u00a0\\u00ad\\u00ff\"", "'\\x00\\x7f\\x80\\x9f\\xa0\\xad\u{ff}'"),
    ("\"\\u00e9 \\u00fc \\u00df \\u00ff\"", "'\u{e9} \u{fc} \u{df} \u{ff}'"),
    ("\"\\u03b1\\u2192\\u03a9\"", "'\u{3b1}\u{2192}\u{3a9}'"),
    ("\"\\u4e2d\\u6587\\u5b57\"", "'\u{4e2d}\u{6587}\u{5b57}'"),
    ("\"\\u3000 \\u2028 \\u2029\"", "'\\u3000 \\u2028 \\u2029'"),
    ("\"\\u200b\\u200d\\ufeff\\u2060\"", "'\\u200b\\u200d\\ufeff\\u2060'"),
    ("\"\\ud83d\\ude00\\ud83d\\udc69\\u200d\\ud83d\\udc69\\u200d\\ud83d\\udc67\"", "'\u{1f600}\u{1f469}\\u200d\u{1f469}\\u200d\u{1f467}'"),
    ("\"e\\u0301\"", "'e\u{301}'"),
    ("\"\\ue000\\uf8ff\"", "'\\ue000\\uf8ff'"),
    ("\"\\ufffe\\uffff\"", "'\\ufffe\\uffff'"),
    ("\"\\udbff\\udfff\\udb40\\udc01\\udb80\\udc00\"", "'\\U0010ffff\\U000e0001\\U000f0000'"),
    ("\"\\ud800\"", "'\\ud800'"),
    ("\"a\\udfffb\"", "'a\\udfffb'"),
    ("\"\\udc00\\ud800\"", "'\\udc00\\ud800'"),
    ("\"\\u0378\\u0530\"", "'\\u0378\\u0530'"),
    ("\"\\u00b4\\u2019's\"", "\"\u{b4}\u{2019}'s\""),
    ("\"\\\\'\"", "\"\\\\'\""),
    ("\"'\\\"'\"", "'\\'\"\\''"),
    ("\"\\u202e rtl\"", "'\\u202e rtl'"),
    ("\"\\u0600\\u06dd\\u070f\"", "'\\u0600\\u06dd\\u070f'"),
    ("\"\\ud83e\\uddff\\ud83e\\uded0\"", "'\u{1f9ff}\u{1fad0}'"),
    ("\"\\ud840\\udc00\\ud869\\udede\"", "'\u{20000}\u{2a6de}'"),
    ("\"nul\\u0000end\"", "'nul\\x00end'"),
    ("\"\\u1680\\u2000\\u205f\"", "'\\u1680\\u2000\\u205f'"),
    ("\"'\"", "\"'\""),
    ("\"\\\"\"", "'\"'"),
    ("\"\\u00a0\"", "'\\xa0'"),
    ("null", "None"),
    ("true", "True"),
    ("false", "False"),
    ("0", "0"),
    ("-1", "-1"),
    ("1000000000000000000000000000000", "1000000000000000000000000000000"),
    ("-10000000000000000000000000", "-10000000000000000000000000"),
    ("1.0", "1.0"),
    ("-0.0", "-0.0"),
    ("1e+22", "1e+22"),
    ("1e-05", "1e-05"),
    ("0.1", "0.1"),
    ("NaN", "nan"),
    ("Infinity", "inf"),
    ("-Infinity", "-inf"),
    ("[]", "[]"),
    ("{}", "{}"),
    ("[null, true, \"x\", 1.5]", "[None, True, 'x', 1.5]"),
    ("{\"a\": null, \"b\": {\"c\": [\"it's\"]}}", "{'a': None, 'b': {'c': [\"it's\"]}}"),
    ("{\"k\\\"'\": \"v\"}", "{'k\"\\'': 'v'}"),
    ("{\"\": \"\"}", "{'': ''}"),
    ("[[[]], {}]", "[[[]], {}]"),
    ("{\"\\ud800\": \"\\ud83d\\ude00\"}", "{'\\ud800': '\u{1f600}'}"),
    ("{\"gid\": \"7\", \"name\": \"O'Neil\", \"x\": null}", "{'gid': '7', 'name': \"O'Neil\", 'x': None}"),
    ("[1e+16, 1.2345678901234568e+17, 1000000000000000.0]", "[1e+16, 1.2345678901234568e+17, 1000000000000000.0]"),
    ("{\"a\": 1, \"b\": 2, \"\\u00e9\": [NaN]}", "{'a': 1, 'b': 2, '\u{e9}': [nan]}"),
    ("[{\"name\": \"\\u03b1\"}, {\"name\": \"ops\"}]", "[{'name': '\u{3b1}'}, {'name': 'ops'}]"),
];

fn value(json: &str) -> Value {
    parse(json.as_bytes()).unwrap()
}

#[test]
fn repr_as_in_python() {
    for (json, expected) in CASES {
        let mut out = String::new();
        write_repr(&mut out, &value(json));
        assert_eq!(out, *expected, "{json}");
    }
}

#[test]
fn str_of_a_string_is_itself_and_of_anything_else_its_repr() {
    for (json, expected) in CASES {
        let mut out = String::new();
        match value(json) {
            Value::String(text) => {
                write_str(&mut out, &Value::String(text.clone()));
                assert_eq!(out, text.to_string_lossy(), "{json}");
            }
            other => {
                write_str(&mut out, &other);
                assert_eq!(out, *expected, "{json}");
            }
        }
    }
    let mut out = String::new();
    write_str(&mut out, &value(r#""it's \ud800""#));
    assert_eq!(out, "it's \u{FFFD}");
}
