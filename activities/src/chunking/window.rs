//! Feeds a splitter a large text window by window, and holds its chunks to the limit.
//!
//! The splitters look at everything that remains for each chunk they cut, so on its own a text of a few megabytes
//! would take minutes. In a window that work is bounded. The last chunk of a window is not kept: the next window starts
//! where it started, so a border between windows is not a border between chunks, and overlap works across it.

use std::ops::Range;

use super::tokens;

/// The chunks that `splitter` cuts, as ranges of `text`. `splitter` returns the pieces of a window with their offsets.
pub(super) fn split<'text>(
    text: &'text str,
    window_bytes: usize,
    splitter: impl Fn(&'text str) -> Vec<(usize, &'text str)>,
) -> Vec<Range<usize>> {
    let mut spans = Vec::new();
    let mut start = 0;
    while start < text.len() {
        let end = text.floor_char_boundary(start.saturating_add(window_bytes));
        let mut pieces = splitter(&text[start..end]);
        let mut next = end;
        if end < text.len()
            && pieces.len() > 1
            && let Some((offset, _)) = pieces.pop()
        {
            // Not the first piece, so the offset is not 0 and the loop advances.
            next = start + offset;
        }
        spans.extend(pieces.into_iter().map(|(offset, piece)| start + offset..start + offset + piece.len()));
        start = next;
    }
    spans
}

/// Adds `span` without white space around it, in halves when it has too many tokens, or not at all when it is blank.
///
/// The splitters keep to the limit by themselves, as far as is known; the limit does not depend on that.
pub(super) fn push_bounded(text: &str, span: Range<usize>, max_tokens: usize, spans: &mut Vec<Range<usize>>) {
    let mut pending = vec![span];
    while let Some(span) = pending.pop() {
        let inner = trimmed(&text[span.clone()]);
        let span = span.start + inner.start..span.start + inner.end;
        if span.is_empty() {
            continue;
        }
        let middle = text.floor_char_boundary(span.start + span.len() / 2);
        if middle == span.start || tokens::fits(&text[span.clone()], max_tokens) {
            spans.push(span);
        } else {
            pending.push(middle..span.end);
            pending.push(span.start..middle);
        }
    }
}

/// The part of `text` without blank lines before it and white space after it. The indentation of the first line stays
/// when more lines follow, because in code and Markdown it has a meaning there.
pub(super) fn trimmed(text: &str) -> Range<usize> {
    let end = text.trim_end().len();
    let first_visible = text.len() - text.trim_start().len();
    if first_visible >= end {
        return 0..0;
    }
    let several_lines = text[first_visible..end].contains(['\n', '\r']);
    let line_start = text[..first_visible].rfind(['\n', '\r']).map_or(0, |newline| newline + 1);
    if several_lines { line_start..end } else { first_visible..end }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::nothing("", "")]
    #[case::blank(" \n\t\u{3000} ", "")]
    #[case::one_line("  a b \n", "a b")]
    #[case::indented("\n\n    if x:\n        y\n", "    if x:\n        y")]
    fn white_space_around_goes_indentation_stays(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(&text[trimmed(text)], expected);
    }

    #[test]
    fn a_span_over_the_limit_is_halved_until_it_fits() {
        let text = "\u{1F469}\u{200D}\u{1F467} ".repeat(100);
        let mut spans = Vec::new();
        push_bounded(&text, 0..text.len(), 16, &mut spans);
        assert!(spans.len() > 10);
        assert!(spans.iter().all(|span| tokens::count_tokens(&text[span.clone()]) <= 16));
        let kept: String = spans.iter().map(|span| &text[span.clone()]).collect();
        assert_eq!(kept.replace(' ', ""), text.replace(' ', ""));
    }

    #[test]
    fn windows_do_not_show_in_the_pieces() {
        let words: Vec<String> = (0..200).map(|number| format!("w{number}")).collect();
        let text = words.join(" ");
        let spans = split(&text, 64, |window| {
            let base = window.as_ptr().addr();
            window.split(' ').map(|word| (word.as_ptr().addr() - base, word)).collect()
        });
        let found: Vec<&str> = spans.into_iter().map(|span| &text[span]).collect();
        assert_eq!(found, words);
    }

    #[test]
    fn a_window_of_one_piece_is_kept_whole() {
        let spans = split("aaaaaaaaaa", 4, |window| vec![(0, window)]);
        assert_eq!(spans, [0..4, 4..8, 8..10]);
    }
}
