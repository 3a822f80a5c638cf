//! The address of a request, decoded as Vespa's container does: first `java.net.URI`, then `URLDecoder` on each part.

use std::collections::BTreeMap;

use super::reply::Refusal;

/// Path and query of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The path as it was sent; replies repeat it as `pathId`.
    pub path: String,
    /// Its parts, decoded. A slash at the very end makes none.
    pub segments: Vec<String>,
    /// The query's parameters; of a repeated one the last.
    pub parameters: BTreeMap<String, String>,
}

impl Target {
    /// Reads what stands in the request line.
    ///
    /// # Errors
    /// A URL that RFC 2396 does not allow, refused by the web server, or a part that is empty, `.` or `..`, refused by
    /// the handler.
    pub fn parse(path: &str, query: Option<&str>) -> Result<Self, Refusal> {
        check_uri(path, is_path_byte)?;
        check_uri(query.unwrap_or_default(), is_query_byte)?;
        let mut raw: Vec<&str> = path.strip_prefix('/').unwrap_or(path).split('/').collect();
        if raw.last() == Some(&"") {
            raw.pop();
        }
        let segments: Vec<String> = raw.into_iter().map(form_decode).collect();
        if let Some(bad) = segments.iter().find(|segment| matches!(segment.as_str(), "" | "." | "..")) {
            return Err(Refusal::bad(format!(r#"path segments cannot be "", ".", or "..", but got: '{bad}'"#)));
        }
        Ok(Self { path: path.to_owned(), segments, parameters: parse_query(query.unwrap_or_default()) })
    }
}

/// Parameters of a query string, decoded.
#[must_use]
pub fn parse_query(query: &str) -> BTreeMap<String, String> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(k, v)| (form_decode(k), form_decode(v)))
        .collect()
}

/// `java.net.URLDecoder`: plus is a space, and bytes that are no UTF-8 become U+FFFD.
fn form_decode(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

fn check_uri(text: &str, allowed: fn(u8) -> bool) -> Result<(), Refusal> {
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        if *byte == b'%' {
            let digits = bytes.get(at + 1..at + 3);
            if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
                return Err(Refusal::not_a_uri(&format!("malformed escape pair at index {at}")));
            }
        } else if !allowed(*byte) {
            return Err(Refusal::not_a_uri(&format!("illegal character at index {at}")));
        }
    }
    Ok(())
}

fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.!~*'():@&=+$,;/".contains(&byte)
}

fn is_query_byte(byte: u8) -> bool {
    is_path_byte(byte) || b"?[]".contains(&byte)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// What follows `…/docid/`, and the parts it is taken as.
    #[rstest]
    #[case("a+b", &["a b"])]
    #[case("a%2Bb", &["a+b"])]
    #[case("a%20b", &["a b"])]
    #[case("a%2Fb", &["a/b"])]
    #[case("a/b", &["a", "b"])]
    #[case("a%2F%2Fb", &["a//b"])]
    #[case("trail/", &["trail"])]
    #[case("trail%2F", &["trail/"])]
    #[case(":@;=&!'(),*~$", &[":@;=&!'(),*~$"])]
    #[case("%FF", &["\u{fffd}"])]
    #[case("%F0%9F%A6%80", &["\u{1f980}"])]
    fn parts_are_decoded_as_forms(#[case] tail: &str, #[case] expected: &[&str]) {
        let target = Target::parse(&format!("/document/v1/ns/type/docid/{tail}"), None).expect("it is allowed");
        assert_eq!(target.segments[5..], *expected);
    }

    #[rstest]
    fn empty_and_dot_parts_are_refused_by_the_handler(
        #[values("a//b", ".", "..", "%2E", "%2e%2E", "a/./b", "a//")] tail: &str,
    ) {
        let refusal = Target::parse(&format!("/document/v1/ns/type/docid/{tail}"), None).expect_err("refused");
        assert!(refusal.message().contains("path segments cannot be"), "{refusal:?}");
    }

    #[rstest]
    fn what_is_no_uri_is_refused_by_the_web_server(
        #[values("a|b", "a^b", "a[b", "a]b", "a\"b", "a<b", "a`b", "a{b", "a\\b", "%zz", "%4", "%")] tail: &str,
    ) {
        let refusal = Target::parse(&format!("/document/v1/ns/type/docid/{tail}"), None).expect_err("refused");
        assert!(refusal.message().contains("RFC 2396"), "{refusal:?}");
    }

    #[test]
    fn queries_take_brackets_and_the_last_of_equals() {
        let target = Target::parse("/document/v1", Some("a=1&a=x+y%2B&fieldSet=[id]&empty=")).expect("it is allowed");
        let pairs: Vec<(&str, &str)> = target.parameters.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(pairs, [("a", "x y+"), ("empty", ""), ("fieldSet", "[id]")]);
        assert!(Target::parse("/document/v1", Some("selection=a<b")).is_err());
    }
}
