//! Pages as JSON, or as a line of JSON per document.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::Progress;
use crate::vespa::cluster::Cluster;
use crate::vespa::reply::{Body, Refusal, Reply};

/// What one request of a visit gives.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) documents: Vec<Value>,
    pub(super) continuation: Option<Progress>,
    /// What went wrong, with the status it would have.
    pub(super) message: Option<(u16, String)>,
    pub(super) trace: Option<Value>,
}

impl Page {
    /// A stream has sent its status, 200, before anything can go wrong.
    pub(super) fn into_document(self, path: &str, stream: bool) -> Reply {
        let status = self.message.as_ref().map_or(200, |(status, _)| if stream { 200 } else { *status });
        let body = Body {
            path_id: path.to_owned(),
            document_count: Some(self.documents.len()),
            documents: Some(self.documents),
            message: self.message.map(|(_, message)| message),
            continuation: self.continuation.map(Progress::token),
            trace: self.trace,
            ..Body::default()
        };
        Reply::document(status, &body)
    }

    /// `application/jsonl`: documents, what was told, how many, and where to go on; complete when that has no token.
    #[expect(clippy::cast_precision_loss, reason = "there are few buckets")]
    pub(super) fn into_lines(self, cluster: &Cluster) -> Reply {
        let mut lines = String::new();
        let mut line = |value: &Value| writeln!(lines, "{value}").expect("a string takes everything");
        for document in &self.documents {
            match document.get("id") {
                Some(id) => line(&json!({ "put": id, "fields": document["fields"] })),
                None => line(document),
            }
        }
        if let Some((_, text)) = &self.message {
            line(&json!({ "message": { "text": text, "severity": "error" } }));
        }
        line(&json!({ "sessionStats": { "documentCount": self.documents.len() } }));
        match self.continuation {
            None => line(&json!({ "continuation": { "percentFinished": 100.0 } })),
            Some(progress) => {
                let done = f64::from(progress.bucket) * 100.0 / cluster.options.buckets as f64;
                line(&json!({ "continuation": { "token": progress.token(), "percentFinished": done } }));
            }
        }
        Reply::new(200, "application/jsonl; charset=UTF-8", lines)
    }
}

/// Whether the client likes lines at least as much as one object.
///
/// # Errors
/// 400 for a header that is none.
pub(super) fn wants_lines(accept: Option<&str>) -> Result<bool, Refusal> {
    let Some(accept) = accept else { return Ok(false) };
    let unparsable = || Refusal::bad(format!("Unparseable Accept header '{accept}'"));
    let (mut object, mut lines) = (None, None);
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let media = parts.next().filter(|media| media.split('/').count() == 2).ok_or_else(unparsable)?;
        let mut quality = 1.0;
        for part in parts {
            let (name, value) = part.split_once('=').ok_or_else(unparsable)?;
            if name == "q" {
                quality = value.parse::<f64>().map_err(|_| unparsable())?;
            }
        }
        match media {
            "application/jsonl" => lines = Some(quality),
            "application/json" => object = Some(quality),
            _ => {}
        }
    }
    Ok(lines.is_some_and(|lines| lines > 0.0 && lines >= object.unwrap_or(0.0)))
}
