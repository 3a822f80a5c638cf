//! Deletes, updates and copies with a selection: a visit that writes. Each request works off a few buckets and gives a
//! continuation while there are more, whether or not anything is left in them.

use super::{Filter, Progress};
use crate::vespa::cluster::Cluster;
use crate::vespa::document_id::DocumentId;
use crate::vespa::faults::{Fault, Kind};
use crate::vespa::parameters::Parameters;
use crate::vespa::reply::{Body, IGNORED_FIELDS, Refusal, Reply};
use crate::vespa::route::Resource;
use crate::vespa::store::Entry;
use crate::vespa::write::Write;

/// Removes every document of the selection.
///
/// # Errors
/// 400 for bad parameters.
pub fn delete_where(
    cluster: &Cluster,
    resource: &Resource,
    parameters: &Parameters,
    path: &str,
) -> Result<Reply, Refusal> {
    parameters.forbid(&["concurrency", "dryRun", "fieldSet", "route", "wantedDocumentCount"])?;
    parameters.required("selection")?;
    cluster.check_name(parameters.required("cluster")?)?;
    let none = Parameters::none(path);
    sweep(cluster, resource, parameters, path, Kind::Remove, |id| Write::remove(cluster, id, &none))
}

/// Updates every document of the selection.
///
/// # Errors
/// 400 for bad parameters or a bad body.
pub fn update_where(
    cluster: &Cluster,
    resource: &Resource,
    parameters: &Parameters,
    path: &str,
    body: &[u8],
) -> Result<Reply, Refusal> {
    parameters.forbid(&["concurrency", "dryRun", "fieldSet", "route", "wantedDocumentCount"])?;
    parameters.required("selection")?;
    cluster.check_name(parameters.required("cluster")?)?;
    let none = Parameters::none(path);
    sweep(cluster, resource, parameters, path, Kind::Update, |id| Write::update(cluster, id, &none, body))
}

/// Copies every document of the selection. There is one cluster, so the documents are already where they are to go.
///
/// # Errors
/// 400 for bad parameters.
pub fn copy_where(
    cluster: &Cluster,
    resource: &Resource,
    parameters: &Parameters,
    path: &str,
) -> Result<Reply, Refusal> {
    parameters.forbid(&["concurrency", "dryRun", "fieldSet", "route", "wantedDocumentCount"])?;
    cluster.check_name(parameters.required("destinationCluster")?)?;
    cluster.check_name(parameters.required("cluster")?)?;
    let none = Parameters::none(path);
    // An update of nothing writes the document over itself.
    sweep(cluster, resource, parameters, path, Kind::Put, |id| Write::update(cluster, id, &none, br#"{"fields":{}}"#))
}

fn sweep(
    cluster: &Cluster,
    resource: &Resource,
    parameters: &Parameters,
    path: &str,
    kind: Kind,
    write: impl Fn(&DocumentId) -> Result<Write, Refusal>,
) -> Result<Reply, Refusal> {
    let filter = Filter::parse(cluster, resource, parameters)?;
    parameters.duration("timeChunk")?;
    let mut progress = parameters.text("continuation")?.map_or(Ok(Progress::default()), Progress::parse)?;
    progress.pages += 1;
    let buckets = filter.buckets(cluster, progress.bucket);
    let (mut count, mut ignored, mut failure) = (0, false, None);
    let mut store = cluster.store_mut();
    'buckets: for at in buckets.iter().take(cluster.options.buckets_per_sweep) {
        let entries: Vec<Entry> = store.bucket(*at).filter(|entry| entry.fields.is_some()).cloned().collect();
        for entry in entries {
            if !filter.takes(&entry)? {
                continue;
            }
            let change = write(&entry.id)?;
            ignored |= change.ignored_fields;
            let struck = cluster.faults.strike(kind, Some(&entry.id), change.assigns_numbers_only());
            if let Some(refusal) = struck.as_ref().and_then(Fault::refusal) {
                failure = Some(refusal.message().to_owned());
                break 'buckets;
            }
            change.apply(&mut store)?;
            count += 1;
        }
        progress.bucket = u32::try_from(at + 1).unwrap_or(u32::MAX);
    }
    let more = buckets.len() > cluster.options.buckets_per_sweep && failure.is_none();
    let body = Body {
        path_id: path.to_owned(),
        document_count: Some(count),
        continuation: more.then(|| progress.token()),
        message: failure,
        ..Body::default()
    };
    let reply = Reply::document(if body.message.is_some() { 500 } else { 200 }, &body);
    Ok(if ignored { reply.with(IGNORED_FIELDS, "true") } else { reply })
}
