//! Which texts Vespa takes, in fields, map keys and document ids alike.

/// The first code point of `text` that Vespa refuses.
///
/// Taken are TAB, LF, CR, U+0020–U+FDCF without surrogates, U+FDE0–U+FFFD, and of every other plane all but the last two.
#[must_use]
pub fn illegal_code_point(text: &str) -> Option<u32> {
    text.chars().map(u32::from).find(|code| !is_text(*code))
}

fn is_text(code: u32) -> bool {
    match code {
        0x9 | 0xa | 0xd => true,
        0..0x20 | 0xfdd0..0xfde0 => false,
        _ => code & 0xffff < 0xfffe,
    }
}

/// Whether an indexed text is refused as binary data: more than 5,000 *and* more than a quarter of it are U+FFFD.
#[must_use]
pub fn looks_binary(text: &str) -> bool {
    let replaced = text.chars().filter(|letter| *letter == char::REPLACEMENT_CHARACTER).count();
    replaced > 5_000 && replaced * 4 > text.encode_utf16().count()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(
        "\t\r\n ~\u{7f}\u{80}\u{9f}\u{d7ff}\u{e000}\u{fdcf}\u{fde0}\u{fdef}\u{fffd}\u{10000}\u{1fffd}\u{10fffd}",
        None
    )]
    #[case("a\u{8}", Some(0x8))]
    #[case("\0", Some(0))]
    #[case("\u{1f}", Some(0x1f))]
    #[case("\u{fdd0}", Some(0xfdd0))]
    #[case("\u{fddf}", Some(0xfddf))]
    #[case("\u{fffe}", Some(0xfffe))]
    #[case("\u{1ffff}", Some(0x1_ffff))]
    #[case("\u{10fffe}", Some(0x10_fffe))]
    fn the_refused_code_points_are_these(#[case] text: &str, #[case] refused: Option<u32>) {
        assert_eq!(illegal_code_point(text), refused);
    }

    #[test]
    fn few_replacement_characters_are_never_binary() {
        assert!(!looks_binary(&"\u{fffd}".repeat(5_000)), "all of it, but not more than 5,000");
        assert!(looks_binary(&"\u{fffd}".repeat(5_001)));
        let mixed = format!("{}{}", "\u{fffd}".repeat(6_000), "a".repeat(18_000));
        assert!(!looks_binary(&mixed), "a quarter, but not more");
    }
}
