//! Results in Vespa's default JSON.

use serde_json::{Map, Value, json};

use super::matching::Corpus;
use super::ranking::Scored;
use super::{QueryError, not_modelled, refused};
use crate::vespa::cluster::Cluster;
use crate::vespa::reply::Reply;
use crate::vespa::schema::FieldType;
use crate::vespa::value::TensorFormat;

/// The hits of a query.
pub(super) fn result(
    cluster: &Cluster,
    corpus: &Corpus<'_>,
    fields: &[String],
    total: usize,
    hits: &[Scored],
    degraded: bool,
) -> Result<Reply, QueryError> {
    let children = hits.iter().map(|hit| child(cluster, corpus, fields, hit)).collect::<Result<Vec<_>, _>>()?;
    let percent = if degraded { 50 } else { 100 };
    let mut coverage = json!({
        "coverage": percent, "documents": corpus.documents.len(), "full": !degraded,
        "nodes": 1, "results": 1, "resultsFull": u8::from(!degraded),
    });
    if degraded {
        coverage["degraded"] = json!({ "timeout": true });
    }
    let mut root = json!({
        "id": "toplevel", "relevance": 1.0, "fields": { "totalCount": total }, "coverage": coverage,
    });
    if !children.is_empty() {
        root["children"] = Value::Array(children);
    }
    Ok(Reply::json(200, &json!({ "root": root })))
}

fn child(cluster: &Cluster, corpus: &Corpus<'_>, wanted: &[String], hit: &Scored) -> Result<Value, QueryError> {
    let (id, fields, document_type) = corpus.documents[hit.at];
    let asked = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    let mut summary = Map::new();
    for (name, automatic) in [("sddocname", json!(id.document_type)), ("documentid", json!(id.to_string()))] {
        if asked(name) {
            summary.insert(name.to_owned(), automatic);
        }
    }
    for name in wanted {
        match document_type.fields.get(name).map(|field| &field.field_type) {
            Some(FieldType::Tensor(_)) => return not_modelled(format!("the tensor '{name}' in a summary")),
            None if !matches!(name.as_str(), "sddocname" | "documentid") => {
                return refused(format!("Field '{name}' does not exist."));
            }
            _ => {}
        }
    }
    for (name, value) in fields.iter().filter(|(name, _)| asked(name)) {
        // The platform's tensors are attributes without a summary.
        if matches!(value, crate::vespa::value::FieldValue::Tensor(_)) {
            continue;
        }
        let rendered = value.render(TensorFormat::default());
        summary
            .insert(name.clone(), rendered.map_err(|refusal| QueryError::NotModelled(refusal.message().to_owned()))?);
    }
    // The id of a hit is the document's where the summary was filled from the document store.
    let filled = asked("documentid");
    let source = &cluster.options.cluster;
    let id = if filled { id.to_string() } else { format!("index:{source}/0/{:024x}", hit.at) };
    Ok(json!({ "id": id, "relevance": hit.relevance, "source": source, "fields": summary }))
}

/// A query that Vespa refuses.
pub(super) fn error(message: &str) -> Reply {
    let error = json!({ "code": 4, "summary": "Invalid query parameter", "message": message });
    let root = json!({ "id": "toplevel", "relevance": 1.0, "fields": { "totalCount": 0 }, "errors": [error] });
    Reply::json(400, &json!({ "root": root }))
}
