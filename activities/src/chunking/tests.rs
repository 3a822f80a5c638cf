//! Properties of chunking as a whole.

use std::ops::Range;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use rstest::rstest;

use super::*;

fn chunker(max_tokens: usize, overlap_tokens: usize) -> Chunker {
    Chunker::new(ChunkerSettings { max_tokens, overlap_tokens }).expect("valid settings")
}

fn visible(text: &str) -> String {
    text.chars().filter(|character| !character.is_whitespace()).collect()
}

/// Everything that must hold for the chunks of any text.
fn check(chunker: &Chunker, text: &str, language: Option<&str>) -> Vec<Range<usize>> {
    let (spans, _) = chunker.spans(text, language).expect("grammars load");
    let mut covered = 0;
    for (position, span) in spans.iter().enumerate() {
        let chunk = &text[span.clone()];
        assert!(!chunk.trim().is_empty(), "chunk {position} is blank");
        let tokens = count_tokens(chunk);
        assert!(tokens <= chunker.settings.max_tokens, "chunk {position} has {tokens} tokens");
        assert!(span.end > covered, "chunk {position} adds nothing");
        if chunker.settings.overlap_tokens == 0 {
            assert!(span.start >= covered, "chunk {position} repeats text without overlap being asked for");
        }
        if span.start > covered {
            assert!(text[covered..span.start].trim().is_empty(), "text before chunk {position} is lost");
        }
        covered = span.end;
    }
    assert!(text[covered..].trim().is_empty(), "text at the end is lost");
    if chunker.settings.overlap_tokens == 0 {
        let joined: String = spans.iter().map(|span| &text[span.clone()]).collect();
        assert_eq!(visible(&joined), visible(text));
    }
    assert_eq!(chunker.spans(text, language).expect("grammars load").0, spans, "the second time differs");
    spans
}

/// Fragments that have broken splitters and tokenisers before.
fn hostile_text() -> impl Strategy<Value = String> {
    let fragment = prop_oneof![
        4 => "[a-z]{1,12} ",
        2 => any::<String>(),
        1 => Just("\u{1F468}\u{200D}\u{1F469}\u{200D}\u{1F467}\u{200D}\u{1F466}\u{1F3FD}".to_owned()),
        1 => Just("漢字かな交じり文、句読点。".to_owned()),
        1 => Just("\u{202E}مرحبا بالعالم\u{202C} שלום ".to_owned()),
        1 => Just("<|endoftext|><|fim_prefix|>".to_owned()),
        1 => Just("\n\n# Heading\n\n* item\n  * nested\n\n```rust\nfn x() {}\n```\n".to_owned()),
        1 => Just("| a | b |\n|---|---|\n| 1 | 2 |\n".to_owned()),
        1 => Just("e\u{301}\u{302}\u{303}".repeat(40)),
        1 => Just("\r\n\r\n".to_owned()),
        1 => "[ \t\u{a0}\u{3000}]{1,80}",
        1 => (any::<char>(), 1..400usize).prop_map(|(character, times)| character.to_string().repeat(times)),
    ];
    prop::collection::vec(fragment, 0..40).prop_map(|fragments| fragments.concat())
}

proptest! {
    #[test]
    fn prose_is_neither_lost_nor_too_long(text in hostile_text(), max_tokens in 16..80usize) {
        check(&chunker(max_tokens, 0), &text, None);
    }

    #[test]
    fn overlap_repeats_but_never_loses(text in hostile_text(), max_tokens in 16..80usize, share in 0.0..0.5f64) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below 40")]
        let overlap = ((max_tokens as f64 * share) as usize).min((max_tokens - 1) / 2);
        check(&chunker(max_tokens, overlap), &text, None);
    }

    #[test]
    fn code_is_neither_lost_nor_too_long(
        text in hostile_text(),
        language in prop::sample::select(vec!["py", "rs", "js", "ts", "tsx", "go", "java", "c", "cpp", "rb", "php"]),
    ) {
        check(&chunker(24, 0), &text, Some(language));
    }
}

#[test]
fn a_short_text_is_one_chunk() {
    let chunks = chunker(512, 0).chunk("# Metadata\n\n**Name**: x\n", None).expect("chunks");
    assert_eq!(chunks, Chunks { texts: vec!["# Metadata\n\n**Name**: x".to_owned()], grammar_missing: false });
}

#[rstest]
#[case::empty("")]
#[case::blank(" \n\t\r\n\u{2003}")]
fn a_blank_text_has_no_chunk(#[case] text: &str) {
    assert_eq!(chunker(512, 0).chunk(text, None).expect("chunks").texts, Vec::<String>::new());
}

#[test]
fn headings_start_chunks() {
    let section = "Words that fill a paragraph until it is rather long. ".repeat(4);
    let text = format!("# One\n\n{section}\n\n# Two\n\n{section}\n\n# Three\n\n{section}\n");
    let chunks = chunker(64, 0).chunk(&text, None).expect("chunks").texts;
    assert_eq!(chunks.len(), 3, "{chunks:#?}");
    for (chunk, heading) in chunks.iter().zip(["# One", "# Two", "# Three"]) {
        assert!(chunk.starts_with(heading), "{chunk}");
    }
}

#[rstest]
#[case::python("py", "def f_(a):\n    b = a + 1\n    return b * 2\n\n\n")]
#[case::rust("rs", "fn f_(a: u32) -> u32 {\n    let b = a + 1;\n    b * 2\n}\n\n")]
#[case::javascript(".JS", "function f_(a) {\n  const b = a + 1;\n  return b * 2;\n}\n\n")]
#[case::typescript("ts", "function f_(a: number): number {\n  return (a + 1) * 2;\n}\n\n")]
#[case::tsx("tsx", "function f_(p: P) {\n  return <b>{p.name} and more</b>;\n}\n\n")]
#[case::go("go", "func f_(a int) int {\n\tb := a + 1\n\treturn b * 2\n}\n\n")]
#[case::java("java", "class f_ {\n  int g(int a) {\n    return (a + 1) * 2;\n  }\n}\n\n")]
#[case::c("c", "int f_(int a) {\n  int b = a + 1;\n  return b * 2;\n}\n\n")]
#[case::cpp("hpp", "auto f_(auto a) -> int {\n  auto b = a + 1;\n  return b * 2;\n}\n\n")]
#[case::ruby("rb", "def f_(a)\n  b = a + 1\n  b * 2 + 7\nend\n\n")]
fn code_is_cut_between_definitions(#[case] language: &str, #[case] definition: &str) {
    let text = definition.repeat(30);
    let chunker = chunker(60, 0);
    let spans = check(&chunker, &text, Some(language));
    let first_line = definition.lines().next().expect("a line");
    assert!(spans.len() > 5);
    for span in &spans {
        assert!(text[span.clone()].starts_with(first_line), "{}", &text[span.clone()]);
    }
    assert!(!chunker.chunk(&text, Some(language)).expect("chunks").grammar_missing);
}

#[test]
fn php_is_cut_between_definitions() {
    let text = format!("<?php\n{}", "function f_($a) {\n  $b = $a + 1;\n  return $b * 2;\n}\n\n".repeat(30));
    let spans = check(&chunker(60, 0), &text, Some("php"));
    assert!(spans.iter().skip(1).all(|span| text[span.clone()].starts_with("function")));
}

#[test]
fn a_language_without_grammar_is_cut_as_prose_and_reported() {
    let text = "resource \"a\" \"b\" {\n  c = 1\n}\n".repeat(50);
    let chunker = chunker(64, 0);
    let chunks = chunker.chunk(&text, Some("tf")).expect("chunks");
    assert!(chunks.grammar_missing);
    assert_eq!(chunks.texts, chunker.chunk(&text, None).expect("chunks").texts);
    assert!(chunker.chunk("x", Some("tf")).expect("chunks").grammar_missing);
}

/// Many windows of prose without a border to stop at.
fn endless_sentence() -> String {
    (0..11_000).map(|number| format!("word{number} ")).collect()
}

#[test]
fn overlap_repeats_the_end_of_each_chunk_within_its_limit() {
    let text = endless_sentence();
    let spans = check(&chunker(64, 16), &text, None);
    for pair in spans.windows(2) {
        let repeated = &text[pair[1].start..pair[0].end];
        assert!((1..=16).contains(&count_tokens(repeated)), "{} tokens are repeated", count_tokens(repeated));
    }
}

#[rstest]
fn windows_leave_no_trace_in_prose(#[values(0, 16)] overlap: usize) {
    let text = endless_sentence();
    let chunker = chunker(64, overlap);
    assert!(text.len() > 3 * chunker.window_bytes());
    let at_once = window::split(&text, text.len(), |window| chunker.markdown.chunk_indices(window).collect());
    assert_eq!(check(&chunker, &text, None), at_once);
}

#[test]
fn special_tokens_are_ordinary_text() {
    assert!(count_tokens("<|endoftext|>") > 1);
    let text = "<|endoftext|>".repeat(100);
    assert!(check(&chunker(32, 0), &text, None).len() > 10);
}

/// Each would take minutes with work that grows with the square of the length.
#[rstest]
#[case::no_space("x".repeat(1 << 20), None)]
#[case::base64("QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo0NTY3ODkw+/".repeat(1 << 12), None)]
#[case::blanks(format!("a{}b", " ".repeat(1 << 20)), None)]
#[case::blank_lines(format!("a{}b", "\n".repeat(1 << 20)), None)]
#[case::ideographs("漢字".repeat(1 << 15), None)]
#[case::marks(format!("a{}", "\u{301}".repeat(1 << 17)), None)]
#[case::list("* item with words\n".repeat(1 << 13), None)]
#[case::nested(">".repeat(1 << 17), None)]
#[case::brackets("[".repeat(1 << 17), Some("js"))]
#[case::minified("a=b(c,d);".repeat(1 << 14), Some("js"))]
fn a_hostile_text_takes_linear_time(
    #[case] text: String,
    #[case] language: Option<&str>,
    #[values(512, ABSOLUTE_MAX_TOKENS)] max_tokens: usize,
) {
    let started = Instant::now();
    let chunker = chunker(max_tokens, 0);
    let (spans, _) = chunker.spans(&text, language).expect("grammars load");
    let elapsed = started.elapsed();
    let joined: String = spans.iter().map(|span| &text[span.clone()]).collect();
    assert!(visible(&joined) == visible(&text), "text is lost");
    assert!(spans.iter().all(|span| count_tokens(&text[span.clone()]) <= max_tokens));
    assert!(elapsed < Duration::from_secs(60), "{} bytes took {elapsed:?}", text.len());
}

#[rstest]
#[case::too_small(15, 0, "max_tokens")]
#[case::too_large(8193, 0, "max_tokens")]
#[case::half(16, 8, "overlap_tokens")]
#[case::huge(512, u32::MAX, "overlap_tokens")]
fn settings_out_of_range_name_the_field(#[case] max_tokens: u32, #[case] overlap_tokens: u32, #[case] field: &str) {
    let message = proto::v1::Chunker { max_tokens, overlap_tokens };
    let error = ChunkerSettings::from_profile(Some(&message)).expect_err("out of range");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.message().contains(field), "{error}");
}

#[test]
fn zeros_mean_the_defaults() {
    let zeros = proto::v1::Chunker::default();
    assert_eq!(ChunkerSettings::from_profile(Some(&zeros)).expect("valid"), ChunkerSettings::default());
    assert_eq!(ChunkerSettings::from_profile(None).expect("valid").max_tokens, 512);
}
