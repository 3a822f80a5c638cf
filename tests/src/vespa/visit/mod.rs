//! Visits: every document of a selection, page by page.
//!
//! A page ends with a bucket, so it may hold more documents than were wanted; it ends early, so it may hold fewer; every
//! third page is empty although more follow; and the last page with documents may give a continuation behind which there
//! is nothing. Buckets come in an order that no id explains. All of this is allowed by the contract, and a client has to
//! bear it.

mod continuation;
mod filter;
mod reply;
mod sweep;

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

pub use continuation::Progress;
pub use filter::{FieldSet, Filter};
pub use sweep::{copy_where, delete_where, update_where};

use super::cluster::Cluster;
use super::parameters::Parameters;
use super::reply::{Refusal, Reply};
use super::route::Resource;
use super::store::Entry;
use super::value::TensorFormat;
use reply::Page;

/// Buckets after which a page with documents ends.
const BUCKETS_PER_PAGE: usize = 10;
/// What is kept of the request's time to write the answer.
const TIME_TO_ANSWER: Duration = Duration::from_secs(5);
/// Most documents of a page that can be wanted.
const LARGEST_PAGE: u64 = 1 << 10;

/// Answers a visit. With `failure` the content cluster fails before the first bucket.
///
/// # Errors
/// 400 for bad parameters, 504 when no bucket was visited in time.
pub async fn visit(
    cluster: &Cluster,
    resource: &Resource,
    parameters: &Parameters,
    path: &str,
    accept: Option<&str>,
    failure: Option<String>,
) -> Result<Reply, Refusal> {
    let request = VisitRequest::parse(cluster, resource, parameters)?;
    let lines = request.stream && reply::wants_lines(accept)?;
    let mut page = Page { continuation: Some(request.progress), ..Page::default() };
    match failure {
        Some(message) => page.message = Some((500, message)),
        None => request.fill(cluster, &mut page).await?,
    }
    if parameters.trace_level()? > 0 {
        page.trace = Some(serde_json::json!([{ "message": "visited by the test server" }]));
    }
    if !request.stream && page.message.is_some() {
        page.continuation = None;
    }
    Ok(if lines { page.into_lines(cluster) } else { page.into_document(path, request.stream) })
}

struct VisitRequest {
    filter: Filter,
    fields: FieldSet,
    format: TensorFormat,
    progress: Progress,
    wanted: usize,
    concurrency: usize,
    stream: bool,
    removes: bool,
    timeout: Duration,
}

impl VisitRequest {
    fn parse(cluster: &Cluster, resource: &Resource, parameters: &Parameters) -> Result<Self, Refusal> {
        parameters.forbid(&["dryRun"])?;
        if *resource == Resource::Root {
            cluster.check_name(parameters.required("cluster")?)?;
        }
        cluster.check_parameter(parameters)?;
        let stream = parameters.flag("stream")?.unwrap_or(false);
        let wanted = match parameters.positive("wantedDocumentCount")? {
            Some(wanted) => Some(wanted.min(LARGEST_PAGE)),
            None => (!stream).then_some(1),
        };
        let concurrency = parameters.positive("concurrency")?.unwrap_or(1).min(100);
        Ok(Self {
            filter: Filter::parse(cluster, resource, parameters)?,
            fields: FieldSet::parse(cluster, parameters.text("fieldSet")?)?,
            format: TensorFormat::parse(parameters.text("format.tensors")?)?,
            progress: parameters.text("continuation")?.map_or(Ok(Progress::default()), Progress::parse)?,
            wanted: wanted.map_or(usize::MAX, |wanted| usize::try_from(wanted).unwrap_or(usize::MAX)),
            concurrency: usize::try_from(concurrency).expect("at most 100"),
            stream,
            removes: parameters.flag("includeRemoves")?.unwrap_or(false),
            timeout: parameters.timeout()?.saturating_sub(TIME_TO_ANSWER).max(Duration::from_millis(1)),
        })
    }

    /// Visits bucket after bucket until the page is full, the time is over, or there are no more.
    async fn fill(&self, cluster: &Cluster, page: &mut Page) -> Result<(), Refusal> {
        let mut progress = self.progress;
        progress.pages += 1;
        if !self.stream && progress.pages.is_multiple_of(3) {
            page.continuation = Some(progress);
            return Ok(());
        }
        let buckets = self.filter.buckets(cluster, progress.bucket);
        let deadline = Instant::now() + self.timeout;
        for (visited, at) in buckets.iter().enumerate() {
            if !cluster.options.bucket_time.is_zero() {
                let until = Instant::now() + cluster.options.bucket_time;
                if until > deadline {
                    tokio::time::sleep_until(deadline).await;
                    if visited == 0 {
                        return self.too_late(page);
                    }
                    page.continuation = Some(progress);
                    return Ok(());
                }
                tokio::time::sleep_until(until).await;
            }
            self.visit_bucket(cluster, *at, page)?;
            progress.bucket = u32::try_from(at + 1).unwrap_or(u32::MAX);
            let together = (visited + 1).is_multiple_of(self.concurrency);
            let ends_early = !self.stream && visited + 1 >= BUCKETS_PER_PAGE && !page.documents.is_empty();
            if together && page.documents.len() >= self.wanted || ends_early {
                page.continuation = Some(progress);
                return Ok(());
            }
        }
        page.continuation = None;
        Ok(())
    }

    fn visit_bucket(&self, cluster: &Cluster, at: usize, page: &mut Page) -> Result<(), Refusal> {
        let entries: Vec<Entry> = cluster.store().bucket(at).cloned().collect();
        for entry in entries {
            let wanted = entry.fields.is_some() || self.removes;
            if wanted && self.filter.takes(&entry)? {
                page.documents.push(self.render(&entry)?);
            }
        }
        Ok(())
    }

    fn render(&self, entry: &Entry) -> Result<Value, Refusal> {
        let id = entry.id.to_string();
        match &entry.fields {
            None => Ok(serde_json::json!({ "remove": id })),
            Some(fields) => {
                let fields = self.fields.render(&entry.id, fields, self.format)?;
                Ok(serde_json::json!({ "id": id, "fields": fields }))
            }
        }
    }

    fn too_late(&self, page: &mut Page) -> Result<(), Refusal> {
        let time = self.timeout.as_millis();
        let message = format!("No buckets visited within timeout of {time}ms (request timeout -5s)");
        if !self.stream {
            return Err(Refusal::handler(504, message));
        }
        page.message = Some((504, message));
        Ok(())
    }
}
