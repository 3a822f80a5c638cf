//! Which characters Vespa takes, and texts without the others.
//!
//! Vespa refuses a document for a single character it does not take, in a value, in a key of a map or in the id. The
//! platform leaves such characters out, and so do we; an id is never changed, because two might become one.
//!
//! Source: Vespa's `Text.isTextCharacter`, and the limits of `LinguisticsAnnotator` for what looks like binary data.

use std::borrow::Cow;

/// Replacement characters from which on an indexed text may count as binary data.
const MAX_REPLACEMENTS: usize = 5_000;

/// Whether Vespa takes a character in a text: tab, line feed and carriage return, everything from the space on but the
/// first 16 noncharacters of U+FDD0 and the last two code points of each plane. A `char` is never a surrogate.
pub(super) fn is_legal(character: char) -> bool {
    match character {
        '\t' | '\n' | '\r' => true,
        '\0'..' ' | '\u{fdd0}'..='\u{fddf}' => false,
        _ => u32::from(character) & 0xfffe != 0xfffe,
    }
}

/// `text` without the characters that Vespa does not take.
pub(super) fn sanitise(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_legal) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.chars().filter(|character| is_legal(*character)).collect())
    }
}

/// Whether Vespa would take an indexed text for binary data: more than 5,000 replacement characters that are also more
/// than a quarter of it. Length is in UTF-16 units, as Java counts.
pub(super) fn looks_binary(text: &str) -> bool {
    let replacements = text.chars().filter(|character| *character == char::REPLACEMENT_CHARACTER).count();
    replacements > MAX_REPLACEMENTS && replacements * 4 > text.encode_utf16().count()
}

/// A character by its number, for messages.
pub(super) fn name_of(character: char) -> String {
    format!("U+{:04X}", u32::from(character))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_rule_at_its_edges() {
        let legal = [
            0x9, 0xa, 0xd, 0x20, 0x7f, 0x80, 0x9f, 0xd7ff, 0xe000, 0xfdcf, 0xfde0, 0xfdef, 0xfffd, 0x1_0000, 0x1_fffd,
            0x10_fffd,
        ];
        let illegal =
            [0x0, 0x8, 0xb, 0xc, 0xe, 0x1f, 0xfdd0, 0xfddf, 0xfffe, 0xffff, 0x1_fffe, 0x1_ffff, 0x10_fffe, 0x10_ffff];
        for (code_points, expected) in [(&legal[..], true), (&illegal[..], false)] {
            for code_point in code_points {
                let character = char::from_u32(*code_point).expect("no surrogate");
                assert_eq!(is_legal(character), expected, "{}", name_of(character));
            }
        }
        // 29 controls, 16 of U+FDD0.., two at the end of each of 17 planes.
        assert_eq!(('\0'..=char::MAX).filter(|character| !is_legal(*character)).count(), 29 + 16 + 34);
    }

    #[test]
    fn illegal_characters_go_and_nothing_else() {
        assert_eq!(sanitise("a\u{0}b\u{8}\tc\u{fdd5}\u{1f980}\u{1ffff}\u{fdef}\n"), "ab\tc\u{1f980}\u{fdef}\n");
        assert!(matches!(sanitise("tëxt"), Cow::Borrowed("tëxt")));
    }

    #[test]
    fn only_many_and_a_large_share_together_look_binary() {
        let text = |replacements: usize, others: usize| "\u{fffd}".repeat(replacements) + &"x".repeat(others);
        assert!(!looks_binary(&text(5_000, 0)), "not more than 5,000");
        assert!(looks_binary(&text(5_001, 0)));
        assert!(looks_binary(&text(5_001, 15_002)), "just above a quarter");
        assert!(!looks_binary(&text(5_001, 15_003)), "exactly a quarter");
        assert!(!looks_binary(&text(10, 0)), "the platform drops such texts, Vespa takes them");
        assert!(!looks_binary(&("\u{1f980}".repeat(7_502) + &text(5_001, 0))), "two units each");
    }

    proptest! {
        #[test]
        fn what_is_left_is_legal_and_in_order(text in any::<String>()) {
            let clean = sanitise(&text);
            prop_assert!(clean.chars().all(is_legal));
            let mut rest = text.chars();
            prop_assert!(clean.chars().all(|kept| rest.any(|character| character == kept)));
            prop_assert_eq!(sanitise(&clean), clean.as_ref());
        }
    }
}
