//! Quoting the platform: what it says is data for people, never more than a line of it, and never a secret.

use serde_json::Value;

/// Characters of a quotation.
const CHARACTERS: usize = 300;

/// Names before `=` whose value is nobody's business.
const SECRETIVE: [&str; 5] = ["key", "token", "secret", "password", "signature"];

/// The words of a refusal: its `detail`, or the whole when that is a list of what is wrong with the request.
pub(super) fn detail(body: &[u8]) -> Option<String> {
    match serde_json::from_slice(body).ok()? {
        Value::Object(mut fields) => match fields.remove("detail")? {
            Value::String(words) => Some(words),
            other => Some(other.to_string()),
        },
        list @ Value::Array(_) => Some(list.to_string()),
        _ => None,
    }
}

/// `text` as one line, cut short. Of addresses only scheme and host are left; `secrets`, and what looks like one, are
/// not.
pub(super) fn quote(text: &str, secrets: &[&str]) -> String {
    let mut text = text.to_owned();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        text = text.replace(secret, "***");
    }
    let mut line = String::new();
    let mut after_bearer = false;
    for word in text.split(|character: char| character.is_whitespace() || character.is_control()) {
        if word.is_empty() {
            continue;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&if after_bearer { "***".to_owned() } else { harmless(word) });
        after_bearer = word.eq_ignore_ascii_case("bearer");
    }
    match line.char_indices().nth(CHARACTERS) {
        None => line,
        Some((end, _)) => format!("{}…", &line[..end]),
    }
}

fn harmless(word: &str) -> String {
    if let Some((scheme, rest)) = word.split_once("://") {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let host = authority.rsplit('@').next().unwrap_or_default();
        let cut = if host.len() == rest.len() { "" } else { "/…" };
        return format!("{scheme}://{host}{cut}");
    }
    match word.split_once('=') {
        Some((name, _)) if SECRETIVE.iter().any(|it| name.to_lowercase().contains(it)) => format!("{name}=***"),
        _ => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("as it is", "as it is")]
    #[case("two\n  lines\u{0}and a NUL", "two lines and a NUL")]
    #[case("with s3cret inside (s3cret)", "with *** inside (***)")]
    #[case("GET https://user:pw@api.example/v1?sig=1 failed", "GET https://api.example/… failed")]
    #[case("at postgres://host", "at postgres://host")]
    #[case("header Bearer abc.def refused", "header Bearer *** refused")]
    #[case("api_key=abc&x=1 n=5", "api_key=*** n=5")]
    fn quotations_are_harmless(#[case] text: &str, #[case] quoted: &str) {
        assert_eq!(quote(text, &["s3cret", ""]), quoted);
    }

    #[test]
    fn quotations_are_short() {
        let quoted = quote(&"ä ".repeat(10_000), &[]);
        assert_eq!(quoted.chars().count(), CHARACTERS + 1);
        assert!(quoted.ends_with('…'));
    }

    #[rstest]
    #[case(r#"{"detail": "no"}"#, Some("no"))]
    #[case(r#"{"detail": [{"loc": 1}]}"#, Some(r#"[{"loc":1}]"#))]
    #[case(r#"[{"body.a": "b"}]"#, Some(r#"[{"body.a":"b"}]"#))]
    #[case(r#"{"message": "no"}"#, None)]
    #[case("<html>", None)]
    #[case("7", None)]
    fn the_words_of_a_refusal_are_found(#[case] body: &str, #[case] words: Option<&str>) {
        assert_eq!(detail(body.as_bytes()).as_deref(), words);
    }
}
