//! Properties of reader and writers over arbitrary input.

use proptest::prelude::*;

use super::{Int, Object, PyString, PyStringBuilder, Value, parse, to_compact_sorted, to_python, to_strict};

fn any_string() -> impl Strategy<Value = PyString> {
    // Code units from a few interesting ranges, so that pairs and lone surrogates both come up often.
    let unit = prop_oneof![0u16..0x80, 0xD7F0u16..0xE010, any::<u16>()];
    prop::collection::vec(unit, 0..8).prop_map(|units| {
        let mut builder = PyStringBuilder::default();
        units.into_iter().for_each(|unit| builder.push_code_unit(unit));
        builder.finish()
    })
}

fn any_value() -> impl Strategy<Value = Value> {
    let big = (any::<bool>(), "[1-9][0-9]{19,40}").prop_map(|(negative, digits)| {
        Value::Int(Int::Big(format!("{}{digits}", if negative { "-" } else { "" }).into()))
    });
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(|number| Value::Int(Int::Small(number))),
        big,
        any::<f64>().prop_filter("NaN equals nothing", |float| !float.is_nan()).prop_map(Value::Float),
        any_string().prop_map(Value::String),
    ];
    leaf.prop_recursive(4, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            prop::collection::vec((any_string(), inner), 0..6)
                .prop_map(|entries| Value::Object(Object::from_entries(entries))),
        ]
    })
}

/// Text that looks like JSON often enough to get deep into the reader.
fn jsonish() -> impl Strategy<Value = Vec<u8>> {
    let token = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\\",
        "\\u",
        "\\ud83d",
        "\\ude00",
        "d800",
        "a",
        "1",
        "-",
        ".",
        "e",
        "+",
        "0",
        "NaN",
        "Infinity",
        "-Infinity",
        "null",
        "tru",
        "false",
        " ",
        "\n",
        "\u{1}",
        "é",
        "😀",
        "\"k\":",
        "\"s\"",
    ]);
    prop::collection::vec(token, 0..24).prop_map(|tokens| tokens.concat().into_bytes())
}

proptest! {
    #[test]
    fn any_bytes_are_answered(bytes in prop_oneof![prop::collection::vec(any::<u8>(), 0..64), jsonish()]) {
        match parse(&bytes) {
            Ok(value) => {
                let text = to_python(&value, false);
                prop_assert_eq!(to_python(&parse(text.as_bytes()).unwrap(), false), text);
            },
            Err(error) => prop_assert!(error.offset() <= bytes.len()),
        }
    }

    #[test]
    fn what_is_written_reads_back_equal(value in any_value()) {
        for text in [to_python(&value, false), to_python(&value, true), to_compact_sorted(&value)] {
            prop_assert!(text.is_ascii());
            prop_assert_eq!(&parse(text.as_bytes()).unwrap(), &value);
        }
    }

    #[test]
    fn strict_output_is_strict(value in any_value()) {
        let text = to_strict(&value);
        prop_assert!(serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok(), "{}", text);
        // Keys that differ in lone surrogates only become equal, and reading keeps the last of them.
        let again = to_strict(&parse(text.as_bytes()).unwrap());
        prop_assert_eq!(to_strict(&parse(again.as_bytes()).unwrap()), again);
    }

    #[test]
    fn every_proper_beginning_of_an_object_is_truncated(value in any_value(), cut in any::<prop::sample::Index>()) {
        let text = to_python(&Value::Object(Object::from_entries(vec![("k".into(), value)])), false);
        let error = parse(&text.as_bytes()[..cut.index(text.len())]).unwrap_err();
        prop_assert!(error.is_truncated(), "{}", error);
    }

    #[test]
    fn strings_order_as_their_code_points(one in any_string(), two in any_string()) {
        prop_assert_eq!(one.cmp(&two), one.code_points().cmp(two.code_points()));
        prop_assert_eq!(one == two, one.code_points().eq(two.code_points()));
    }
}
