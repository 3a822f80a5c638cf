//! Queries: YQL and the answers to it.
//!
//! An answer is only exact when all nodes took part (`coverage.full`) and nothing went wrong on the way (`errors`); it is
//! complete when it holds as many hits as it counted. Comparing strings in a query disregards case, so who asks for
//! entities by id looks at the ids that come back.

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::body::Body;
use super::calls::wire_timeout;
use super::classify;
use super::connections::{Reply, Request};
use super::service::Vespa;
use crate::error::{Error, ErrorKind, Result};

/// Most hits a query may ask for, unless the application says otherwise.
pub(super) const MAX_HITS: u32 = 400;

/// Most that is read of an answer. A hit has a text at most.
const ANSWER_BYTES: usize = 256 << 20;

/// What a query found.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Found {
    /// How many documents match.
    pub(super) total: u64,
    /// Whether every document was looked at.
    pub(super) is_full: bool,
    pub(super) hits: Vec<FoundHit>,
}

/// A hit.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct FoundHit {
    #[serde(default)]
    pub(super) relevance: f64,
    #[serde(default)]
    pub(super) fields: Map<String, Value>,
}

impl FoundHit {
    /// A field with a text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.fields.get(name).and_then(Value::as_str)
    }

    /// A field with a number from 0.
    pub(super) fn number(&self, name: &str) -> Option<u32> {
        self.fields.get(name).and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok())
    }
}

#[derive(Debug, Deserialize)]
struct Answer {
    root: Root,
}

#[derive(Debug, Deserialize)]
struct Root {
    #[serde(default)]
    fields: RootFields,
    coverage: Option<Coverage>,
    #[serde(default)]
    errors: Vec<Problem>,
    #[serde(default)]
    children: Vec<FoundHit>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RootFields {
    total_count: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Coverage {
    #[serde(default)]
    full: bool,
}

#[derive(Debug, Deserialize)]
struct Problem {
    code: Option<i64>,
    #[serde(default)]
    summary: String,
    #[serde(default)]
    message: String,
}

impl Vespa {
    /// Asks. `parameters` come beside `yql` and `hits`.
    pub(super) async fn query(
        &self,
        doing: &str,
        yql: &str,
        hits: u32,
        parameters: Map<String, Value>,
    ) -> Result<Found> {
        let timeout = self.client.calls.limits.read_timeout;
        let mut body = parameters;
        body.insert("yql".to_owned(), yql.into());
        body.insert("hits".to_owned(), hits.into());
        body.insert("timeout".to_owned(), format!("{}ms", timeout.as_millis()).into());
        // Late hits are worth waiting for; the time limit above holds.
        body.insert("ranking.softtimeout.enable".to_owned(), false.into());
        let request = Request {
            method: Method::POST,
            target: "/search/".to_owned(),
            body: Some(Body::of(Value::Object(body).to_string().into())),
            timeout: wire_timeout(timeout),
            answer_bytes: ANSWER_BYTES,
        };
        read(doing, &self.client.calls.call(doing, &request).await?)
    }
}

impl Vespa {
    /// Whether all content nodes take part in queries; the fast count shows it.
    ///
    /// # Errors
    /// `Unavailable` when some do not.
    pub(super) async fn verify_coverage(&self) -> Result<()> {
        let yql = format!(
            "select * from sources {} where {}",
            self.settings.shape.document_types().join(", "),
            self.scope_in_yql()
        );
        let parameters = Map::from_iter([("ranking.profile".to_owned(), Value::from("unranked"))]);
        if self.query("count documents", &yql, 0, parameters).await?.is_full {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Unavailable,
            "Vespa cannot look at all documents: some content nodes are away or late",
        ))
    }
}

fn read(doing: &str, reply: &Reply) -> Result<Found> {
    let answer: Option<Answer> = serde_json::from_slice(&reply.body).ok();
    let Some(Answer { root }) = answer else {
        let is_success = reply.status == 200;
        return Err(if is_success {
            classify::broken(doing, "its answer to a query is none")
        } else {
            classify::unexpected(doing, reply)
        });
    };
    if let Some(problem) = root.errors.first() {
        return Err(failed(doing, problem));
    }
    if reply.status != 200 {
        return Err(classify::unexpected(doing, reply));
    }
    let total = root.fields.total_count.ok_or_else(|| classify::broken(doing, "its answer to a query has no count"))?;
    Ok(Found { total, is_full: root.coverage.is_some_and(|coverage| coverage.full), hits: root.children })
}

/// Codes: `com.yahoo.container.protect.Error`.
fn failed(doing: &str, problem: &Problem) -> Error {
    let unknown_profile = "does not contain requested rank profile";
    let (kind, words) = match problem.code {
        _ if problem.message.contains(unknown_profile) || problem.summary.contains(unknown_profile) => (
            ErrorKind::IncompatibleDestination,
            "the application has no rank profile of that name; check profile.vespa.rank_profiles",
        ),
        Some(12) => (ErrorKind::Timeout, "the query did not finish in time"),
        Some(3 | 4 | 17) => (
            ErrorKind::IncompatibleDestination,
            "the application does not take the query; check its fields and rank profiles",
        ),
        _ => (ErrorKind::Unavailable, "the query failed"),
    };
    let code = problem.code.unwrap_or_default();
    Error::new(kind, format!("Vespa could not {doing}: {words} (code {code})"))
}

/// A string of YQL.
pub(super) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '\\' => quoted.push_str("\\\\"),
            '"' => quoted.push_str("\\\""),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use rstest::rstest;

    use super::*;

    fn reply(status: u16, body: &str) -> Reply {
        Reply { status, ignored_operation: false, ignored_fields: false, body: Bytes::copy_from_slice(body.as_bytes()) }
    }

    #[test]
    fn an_answer_is_read() {
        let body = r#"{"root":{"id":"toplevel","relevance":1.0,"fields":{"totalCount":7},
            "coverage":{"coverage":100,"documents":9,"full":true,"nodes":1,"results":1,"resultsFull":1},
            "children":[{"id":"index:airweave/0/x","relevance":0.5,"source":"airweave","fields":{"documentid":"id:a:b::c","n":3}}]}}"#;
        let found = read("search", &reply(200, body)).unwrap();
        assert_eq!((found.total, found.is_full, found.hits.len()), (7, true, 1));
        assert_eq!((found.hits[0].text("documentid"), found.hits[0].number("n")), (Some("id:a:b::c"), Some(3)));
        assert_eq!((found.hits[0].number("documentid"), found.hits[0].text("absent")), (None, None));
    }

    #[rstest]
    #[case(200, r#"{"root":{"fields":{"totalCount":0}}}"#)]
    #[case(200, r#"{"root":{"fields":{"totalCount":0},"coverage":{"coverage":50,"full":false}}}"#)]
    fn coverage_is_full_only_when_it_says_so(#[case] status: u16, #[case] body: &str) {
        assert!(!read("search", &reply(status, body)).unwrap().is_full);
    }

    #[rstest]
    #[case(200, "<html>", ErrorKind::Internal)]
    #[case(200, r#"{"root":{}}"#, ErrorKind::Internal)]
    #[case(
        200,
        r#"{"root":{"fields":{"totalCount":0},"errors":[{"code":12,"summary":"Timed out"}]}}"#,
        ErrorKind::Timeout
    )]
    #[case(200, r#"{"root":{"errors":[{"code":10,"summary":"Backend communication error"}]}}"#, ErrorKind::Unavailable)]
    #[case(400, r#"{"root":{"errors":[{"code":4,"message":"secret"}]}}"#, ErrorKind::IncompatibleDestination)]
    #[case(
        400,
        r#"{"root":{"errors":[{"code":8,"message":"schema[base_entity] does not contain requested rank profile 'x'"}]}}"#,
        ErrorKind::IncompatibleDestination
    )]
    #[case(403, "", ErrorKind::DestinationDenied)]
    #[case(404, "{}", ErrorKind::InvalidInput)]
    fn what_went_wrong_has_a_kind(#[case] status: u16, #[case] body: &str, #[case] kind: ErrorKind) {
        let error = read("search", &reply(status, body)).unwrap_err();
        assert_eq!(error.kind(), kind);
        assert!(!error.chain().contains("secret"), "{}", error.chain());
    }

    #[test]
    fn strings_are_escaped() {
        assert_eq!(quote("it's \"a\\b\"\n"), r#""it's \"a\\b\"\n""#);
    }
}
