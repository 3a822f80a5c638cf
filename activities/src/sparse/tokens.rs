//! From text to stems, step by step as fastembed does it.

use rust_stemmers::{Algorithm, Stemmer};
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

use super::stop_words;

/// Tokens of more characters are dropped: keys, hashes, encoded data.
const MAX_CHARACTERS: usize = 40;

/// The stems of `text`, in order and with repetitions.
///
/// Steps: everything but word characters becomes a space; lower case; the same again, for what lower case made of a
/// character; cut at white space; stop words and long tokens go; what is left is stemmed as English, whatever the
/// language is.
pub(super) fn stems(text: &str) -> Vec<String> {
    let stemmer = Stemmer::create(Algorithm::English);
    // Lower case of a capital sigma depends on its neighbours, so words must be apart before.
    let lower = blank_out(text, |character| is_word(character) || character.is_whitespace()).to_lowercase();
    blank_out(&lower, is_word)
        .split(' ')
        .filter(|token| !token.is_empty())
        // The underscore is the only punctuation among the word characters. Alone it is not a word.
        .filter(|token| *token != "_" && !stop_words::contains(token))
        .filter(|token| token.chars().count() <= MAX_CHARACTERS)
        .map(|token| stemmer.stem(token).into_owned())
        .filter(|stem| !stem.is_empty())
        .collect()
}

fn blank_out(text: &str, keep: impl Fn(char) -> bool) -> String {
    text.chars().map(|character| if keep(character) { character } else { ' ' }).collect()
}

/// Python's `\w`: letters, numbers and the underscore. Unlike in other regular expressions, marks are not among them,
/// so that for example Devanagari words fall apart at their vowel signs.
fn is_word(character: char) -> bool {
    match character {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '_' => true,
        '\0'..='\x7f' => false,
        _ => {
            matches!(character.general_category_group(), GeneralCategoryGroup::Letter | GeneralCategoryGroup::Number)
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::stop_words("To be, or NOT to be: that is the question", &["question"])]
    #[case::apostrophes("don't Sarah's", &["sarah"])]
    #[case::underscores("_ snake_case __", &["snake_cas", "__"])]
    #[case::repeated("run runs running", &["run", "run", "run"])]
    #[case::marks("\u{915}\u{93f}\u{924}", &["\u{915}", "\u{924}"])]
    #[case::lower_case_of_two("\u{130}zmir", &["zmir"])]
    #[case::nothing("... --- ...", &[])]
    fn texts_become_stems(#[case] text: &str, #[case] expected: &[&str]) {
        assert_eq!(stems(text), expected);
    }

    #[test]
    fn forty_characters_are_the_limit_whatever_their_bytes() {
        let (longest, too_long) = ("\u{e9}".repeat(40), "\u{e9}".repeat(41));
        assert_eq!(stems(&format!("{longest} {too_long}")), [longest]);
    }
}
