//! `/document/v1`: which operation a request is, and its answer.

use hyper::Method;

use super::cluster::Cluster;
use super::document_id::DocumentId;
use super::faults::{Fault, Kind, too_large};
use super::parameters::Parameters;
use super::queue::timed_out;
use super::reply::{Body, IGNORED_FIELDS, Refusal, Reply};
use super::route::{self, Resource, Verb};
use super::target::Target;
use super::value::TensorFormat;
use super::visit::{self, FieldSet};
use super::write::{self, Write};

/// A request for a resource of `/document/v1`.
#[derive(Debug)]
pub struct Exchange<'a> {
    /// What is asked for.
    pub resource: Resource,
    /// What is to be done with it.
    pub verb: Verb,
    /// Path and parameters.
    pub target: &'a Target,
    /// Uncompressed.
    pub body: &'a [u8],
    /// Header `Accept`.
    pub accept: Option<&'a str>,
}

impl<'a> Exchange<'a> {
    /// Finds out what a request is; the answer itself for OPTIONS.
    ///
    /// # Errors
    /// 404 and 405.
    pub fn new(
        method: &Method,
        target: &'a Target,
        body: &'a [u8],
        accept: Option<&'a str>,
    ) -> Result<Result<Self, Reply>, Refusal> {
        let resource = route::resource(target)?;
        if *method == Method::OPTIONS {
            let allowed = match resource {
                Resource::Root => "GET,POST,DELETE",
                _ => "GET,POST,PUT,DELETE",
            };
            return Ok(Err(Reply::new(204, "application/json; charset=UTF-8", "").with("allow", allowed)));
        }
        let verb = route::verb(method, &resource, &target.path)?;
        Ok(Ok(Self { resource, verb, target, body, accept }))
    }

    /// The document this is about.
    #[must_use]
    pub fn id(&self) -> Option<&DocumentId> {
        match &self.resource {
            Resource::Document(id) => Some(id),
            _ => None,
        }
    }

    /// What it is, as far as faults tell requests apart.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match (self.id().is_some(), self.verb) {
            (false, _) => Kind::Visit,
            (true, Verb::Get) => Kind::Get,
            (true, Verb::Post) => Kind::Put,
            (true, Verb::Put) => Kind::Update,
            (true, Verb::Delete) => Kind::Remove,
        }
    }

    /// Whether a full node would take it all the same.
    #[must_use]
    pub fn passes_no_space(&self, cluster: &Cluster) -> bool {
        let parameters = Parameters::of(self.target);
        match (self.kind(), self.id()) {
            (Kind::Update, Some(id)) => {
                Write::update(cluster, id, &parameters, self.body).is_ok_and(|write| write.assigns_numbers_only())
            }
            _ => false,
        }
    }

    /// Carries the request out. With `failure` the content cluster fails a visit before its first bucket.
    ///
    /// # Errors
    /// Everything that Vespa refuses, or this server does.
    pub async fn answer(&self, cluster: &Cluster, failure: Option<Fault>) -> Result<Reply, Refusal> {
        if !cluster.options.document_api {
            let message = "Document API is not configured in this cluster; add <document-api/> to its container";
            return Ok(Reply::json(404, &serde_json::json!({ "error-code": "NOT_FOUND", "message": message })));
        }
        let parameters = Parameters::of(self.target);
        let timeout = parameters.timeout()?;
        let (path, resource) = (&self.target.path, &self.resource);
        match (self.id(), self.verb) {
            (Some(id), Verb::Get) => self.get(cluster, id, &parameters).await,
            (Some(id), _) => self.write(cluster, id, &parameters).await,
            (None, Verb::Get) => {
                let failure = failure.and_then(|fault| Some(fault.refusal()?.message().to_owned()));
                visit::visit(cluster, resource, &parameters, path, self.accept, failure).await
            }
            (None, _) if timeout.is_zero() => Err(timed_out(timeout)),
            (None, Verb::Post) => visit::copy_where(cluster, resource, &parameters, path),
            (None, Verb::Put) => visit::update_where(cluster, resource, &parameters, path, self.body),
            (None, Verb::Delete) => visit::delete_where(cluster, resource, &parameters, path),
        }
    }

    async fn get(&self, cluster: &Cluster, id: &DocumentId, parameters: &Parameters) -> Result<Reply, Refusal> {
        parameters.forbid(&["dryRun"])?;
        cluster.check_parameter(parameters)?;
        write::document_type(cluster, id)?;
        let fields = FieldSet::parse(cluster, parameters.text("fieldSet")?)?;
        let format = TensorFormat::parse(parameters.text("format.tensors")?)?;
        cluster.queue.serve(0, parameters.timeout()?).await?;
        let stored = cluster.store().fields(id).cloned();
        let mut body = self.body_about(id, parameters)?;
        let status = if stored.is_some() { 200 } else { 404 };
        body.fields = stored.map(|stored| fields.render(id, &stored, format)).transpose()?;
        Ok(Reply::document(status, &body))
    }

    async fn write(&self, cluster: &Cluster, id: &DocumentId, parameters: &Parameters) -> Result<Reply, Refusal> {
        let limit = cluster.options.request_limit_bytes;
        if self.body.len() > limit {
            return Err(too_large(self.body.len(), limit));
        }
        let body = self.body_about(id, parameters)?;
        if parameters.flag("dryRun")? == Some(true) {
            // Answered before the body is even looked at.
            return Ok(Reply::document(200, &body));
        }
        let write = match self.verb {
            Verb::Post => Write::put(cluster, id, parameters, self.body),
            Verb::Put => Write::update(cluster, id, parameters, self.body),
            _ => Write::remove(cluster, id, parameters),
        }?;
        let ignored = write.ignored_fields;
        cluster.queue.serve(self.body.len(), parameters.timeout()?).await?;
        write.apply(&mut cluster.store_mut())?;
        let reply = Reply::document(200, &body);
        Ok(if ignored { reply.with(IGNORED_FIELDS, "true") } else { reply })
    }

    /// Path and id, and the trace when it is asked for.
    fn body_about(&self, id: &DocumentId, parameters: &Parameters) -> Result<Body, Refusal> {
        let trace = (parameters.trace_level()? > 0).then(|| serde_json::json!([{ "message": "by the test server" }]));
        Ok(Body { path_id: self.target.path.clone(), id: Some(id.to_string()), trace, ..Body::default() })
    }
}
