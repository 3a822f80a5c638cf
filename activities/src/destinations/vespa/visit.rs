//! Visits: every document of a type that a selection matches, page by page.
//!
//! A page ends with a token for the next one, and the visit is over when there is none. Pages may be empty in between,
//! and while buckets move between nodes a document may be seen twice. A removal by selection goes on in the same way.

use std::future::Future;

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::calls::wire_timeout;
use super::classify;
use super::connections::Request;
use super::document_id::{DocumentId, collection_path, encode};
use super::service::Vespa;
use crate::error::Result;

/// Documents a page may hold, more or less: pages end with buckets.
const PAGE_DOCUMENTS: u32 = 1_000;

/// Buckets that are visited side by side.
const CONCURRENCY: u32 = 8;

/// Most that is read of a page. Pages hold ids and short fields, but ids may have 64 KiB.
const PAGE_BYTES: usize = 256 << 20;

/// Pages in a row that may be empty and come with the token that led to them.
const MAX_STANDSTILL: u32 = 10;

/// A page.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Page {
    #[serde(default)]
    pub(super) documents: Vec<Visited>,
    /// How many documents it tells of: those above, or those removed.
    pub(super) document_count: Option<u64>,
    continuation: Option<String>,
}

/// A document as a visit tells of it.
#[derive(Debug, Deserialize)]
pub(super) struct Visited {
    pub(super) id: String,
    #[serde(default)]
    pub(super) fields: Map<String, Value>,
}

/// Where pages come from.
pub(super) trait PageSource {
    /// The first page, or the one that a token leads to.
    fn page(&self, continuation: Option<&str>) -> impl Future<Output = Result<Page>> + Send;
}

/// The pages of a visit, to the end.
#[derive(Debug)]
pub(super) struct Pages<S> {
    source: S,
    next: Next,
    standstill: u32,
}

#[derive(Debug)]
enum Next {
    First,
    At(String),
    End,
}

impl<S: PageSource> Pages<S> {
    pub(super) fn new(source: S) -> Self {
        Self { source, next: Next::First, standstill: 0 }
    }

    /// The next page, or `None` after the last one. A page that failed may be asked for again.
    pub(super) async fn next(&mut self) -> Result<Option<Page>> {
        let token = match &self.next {
            Next::First => None,
            Next::At(token) => Some(token.as_str()),
            Next::End => return Ok(None),
        };
        let mut page = self.source.page(token).await?;
        let stands_still = token.is_some() && page.continuation.as_deref() == token;
        self.standstill = if stands_still && page.document_count == Some(0) { self.standstill + 1 } else { 0 };
        if self.standstill > MAX_STANDSTILL {
            return Err(classify::broken("visit documents", "the visit does not get on"));
        }
        self.next = page.continuation.take().map_or(Next::End, Next::At);
        Ok(Some(page))
    }
}

/// A visit of one document type.
#[derive(Debug)]
pub(super) struct Visit<'a> {
    vespa: &'a Vespa,
    doing: &'static str,
    document_type: &'a str,
    method: Method,
    /// Path and query, but for the token.
    target: String,
}

impl Vespa {
    /// Documents of a type that match, with these fields; with their ids only when there are none.
    pub(super) fn visit<'a>(&'a self, document_type: &'a str, selection: &str, fields: &[&str]) -> Pages<Visit<'a>> {
        let field_set =
            if fields.is_empty() { "[id]".to_owned() } else { format!("{document_type}:{}", fields.join(",")) };
        let more =
            format!("&fieldSet={}&wantedDocumentCount={PAGE_DOCUMENTS}&concurrency={CONCURRENCY}", encode(&field_set));
        self.pages("visit documents", Method::GET, document_type, selection, &more)
    }

    /// Removes documents of a type that match; its pages count them.
    pub(super) fn remove_where<'a>(&'a self, document_type: &'a str, selection: &str) -> Pages<Visit<'a>> {
        self.pages("remove documents", Method::DELETE, document_type, selection, "")
    }

    fn pages<'a>(
        &'a self,
        doing: &'static str,
        method: Method,
        document_type: &'a str,
        selection: &str,
        more: &str,
    ) -> Pages<Visit<'a>> {
        let target = format!(
            "{}?cluster={}&selection={}&timeout={}ms{more}",
            collection_path(&self.settings.namespace, document_type),
            encode(&self.settings.cluster),
            encode(selection),
            self.client.calls.limits.visit_timeout.as_millis()
        );
        Pages::new(Visit { vespa: self, doing, document_type, method, target })
    }
}

impl Visit<'_> {
    fn read(&self, body: &[u8]) -> Result<Page> {
        let mut page: Page = serde_json::from_slice(body)
            .map_err(|_| classify::broken(self.doing, "its answer is no page of a visit"))?;
        let count = page.document_count.ok_or_else(|| classify::broken(self.doing, "a page has no count"))?;
        if self.method == Method::GET && u64::try_from(page.documents.len()) != Ok(count) {
            return Err(classify::broken(self.doing, "a page holds other documents than it counts"));
        }
        // Documents of inheriting types are theirs, and seen when those are visited.
        let namespace = self.vespa.settings.namespace.as_str();
        page.documents.retain(|visited| {
            DocumentId::parse(&visited.id)
                .is_some_and(|id| id.document_type() == self.document_type && id.namespace() == namespace)
        });
        Ok(page)
    }
}

impl PageSource for Visit<'_> {
    async fn page(&self, continuation: Option<&str>) -> Result<Page> {
        let mut target = self.target.clone();
        if let Some(token) = continuation {
            target.push_str(&format!("&continuation={}", encode(token)));
        }
        let request = Request {
            method: self.method.clone(),
            target,
            body: None,
            timeout: wire_timeout(self.vespa.client.calls.limits.visit_timeout),
            answer_bytes: PAGE_BYTES,
        };
        let reply = self.vespa.client.calls.call(self.doing, &request).await?;
        if reply.status != 200 {
            return Err(classify::unexpected(self.doing, &reply));
        }
        self.read(&reply.body)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::error::{Error, ErrorKind};

    /// Pages by the token that leads to them.
    struct Script {
        pages: Vec<(Option<&'static str>, u64, Option<&'static str>)>,
        failures: Mutex<u32>,
    }

    impl PageSource for Script {
        async fn page(&self, continuation: Option<&str>) -> Result<Page> {
            let mut failures = self.failures.lock().unwrap();
            if *failures > 0 {
                *failures -= 1;
                return Err(Error::new(ErrorKind::Unavailable, "again"));
            }
            let page = self.pages.iter().find(|(token, ..)| *token == continuation).expect("a token that was given");
            Ok(Page { documents: Vec::new(), document_count: Some(page.1), continuation: page.2.map(str::to_owned) })
        }
    }

    async fn sum(script: Script) -> Result<(u64, u32)> {
        let mut pages = Pages::new(script);
        let (mut sum, mut count) = (0, 0);
        while let Some(page) = pages.next().await? {
            sum += page.document_count.unwrap_or_default();
            count += 1;
            assert!(count < 100, "there is an end");
        }
        assert!(pages.next().await?.is_none(), "and it stays the end");
        Ok((sum, count))
    }

    fn script(pages: &[(Option<&'static str>, u64, Option<&'static str>)]) -> Script {
        Script { pages: pages.to_vec(), failures: Mutex::new(0) }
    }

    #[tokio::test]
    async fn pages_are_followed_to_the_end_also_through_empty_ones() {
        assert_eq!(sum(script(&[(None, 0, None)])).await.unwrap(), (0, 1));
        let pages = [(None, 5, Some("a")), (Some("a"), 0, Some("b")), (Some("b"), 7, Some("c")), (Some("c"), 0, None)];
        assert_eq!(sum(script(&pages)).await.unwrap(), (12, 4));
    }

    #[tokio::test]
    async fn a_page_that_failed_can_be_asked_for_again() {
        let mut pages =
            Pages::new(Script { pages: vec![(None, 3, Some("a")), (Some("a"), 4, None)], failures: Mutex::new(1) });
        pages.next().await.unwrap_err();
        assert_eq!(pages.next().await.unwrap().unwrap().document_count, Some(3));
        *pages.source.failures.lock().unwrap() = 1;
        pages.next().await.unwrap_err();
        assert_eq!(pages.next().await.unwrap().unwrap().document_count, Some(4));
        assert!(pages.next().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_visit_that_does_not_get_on_ends_with_an_error() {
        let error = sum(script(&[(None, 1, Some("a")), (Some("a"), 0, Some("a"))])).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal);
    }
}
