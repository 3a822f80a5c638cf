//! Which documents a visit takes, and which fields of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::vespa::cluster::Cluster;
use crate::vespa::document_id::DocumentId;
use crate::vespa::parameters::Parameters;
use crate::vespa::reply::Refusal;
use crate::vespa::route::Resource;
use crate::vespa::selection::{Selection, SelectionError};
use crate::vespa::store::{Entry, Fields};
use crate::vespa::value::TensorFormat;

/// What the path and the parameters ask for, all of it at once.
#[derive(Debug)]
pub struct Filter {
    resource: Resource,
    selection: Option<Selection>,
    slice: Option<(usize, usize)>,
    from_us: u64,
    to_us: u64,
    nothing: bool,
}

impl Filter {
    /// Reads what concerns the choice of documents.
    ///
    /// # Errors
    /// 400 for what is wrong with it.
    pub fn parse(cluster: &Cluster, resource: &Resource, parameters: &Parameters) -> Result<Self, Refusal> {
        if let Resource::Collection { document_type, .. } = resource
            && cluster.schemas.get(document_type).is_none()
        {
            let message =
                format!("Document type '{document_type}' in cluster '{}' is unknown", cluster.options.cluster);
            return Err(Refusal::bad(message));
        }
        let selection = parameters.text("selection")?.map(|text| Selection::parse(text, &cluster.schemas));
        let nothing = match (resource, parameters.text("bucketSpace")?) {
            (Resource::Root, Some("global")) => true,
            (Resource::Root, Some(other)) if other != "default" => {
                return Err(Refusal::bad(format!("Bucket space '{other}' is not known")));
            }
            _ => false,
        };
        let time = |name: &str| -> Result<Option<u64>, Refusal> {
            Ok(parameters.number(name)?.map(|time| u64::try_from(time).unwrap_or_default()))
        };
        let (from_us, to_us) = (time("fromTimestamp")?.unwrap_or(0), time("toTimestamp")?.unwrap_or(u64::MAX));
        if from_us > to_us {
            return Err(Refusal::bad("toTimestamp must be greater than, or equal to, fromTimestamp"));
        }
        Ok(Self {
            resource: resource.clone(),
            selection: selection.transpose().map_err(SelectionError::into_refusal)?,
            slice: slice(parameters)?,
            from_us,
            to_us,
            nothing,
        })
    }

    /// The buckets that are to be visited, from this one on.
    #[must_use]
    pub fn buckets(&self, cluster: &Cluster, first: u32) -> Vec<usize> {
        let first = usize::try_from(first).unwrap_or(usize::MAX);
        let all = first..cluster.store().bucket_count();
        match self.slice {
            _ if self.nothing => Vec::new(),
            None => all.collect(),
            Some((slices, slice)) => all.filter(|bucket| bucket % slices == slice).collect(),
        }
    }

    /// Whether a document or tombstone is wanted.
    ///
    /// # Errors
    /// 400 when the selection needs what is not modelled.
    pub fn takes(&self, entry: &Entry) -> Result<bool, Refusal> {
        let here = match &self.resource {
            Resource::Collection { namespace, document_type, location } => {
                entry.id.namespace == *namespace
                    && entry.id.document_type == *document_type
                    && (location.is_none() || entry.id.location == *location)
            }
            Resource::Root | Resource::Document(_) => true,
        };
        if !here || entry.timestamp_us < self.from_us || entry.timestamp_us > self.to_us {
            return Ok(false);
        }
        self.selection
            .as_ref()
            .map_or(Ok(true), |selection| selection.matches(entry).map_err(SelectionError::into_refusal))
    }
}

fn slice(parameters: &Parameters) -> Result<Option<(usize, usize)>, Refusal> {
    let slices = parameters.positive("slices")?;
    let id = parameters.number("sliceId")?;
    match (slices, id) {
        (None, None) => Ok(None),
        (Some(slices), Some(id)) => {
            let slices = usize::try_from(slices).unwrap_or(usize::MAX);
            match usize::try_from(id) {
                Ok(id) if id < slices => Ok(Some((slices, id))),
                _ => Err(Refusal::bad("sliceId must be at least 0 and below slices")),
            }
        }
        _ => Err(Refusal::bad("slices and sliceId must be specified together")),
    }
}

/// Which fields are given.
#[derive(Debug)]
pub enum FieldSet {
    /// None, only the id.
    Id,
    /// All of the document.
    Document,
    /// These of one type.
    Named {
        /// Document type.
        document_type: String,
        /// Names of its fields.
        fields: BTreeSet<String>,
    },
}

impl FieldSet {
    /// Reads the parameter; the whole document when it is absent.
    ///
    /// # Errors
    /// 400 for a type or a field that does not exist.
    pub fn parse(cluster: &Cluster, text: Option<&str>) -> Result<Self, Refusal> {
        let (document_type, fields) = match text {
            None | Some("[document]" | "[all]") => return Ok(Self::Document),
            Some("[id]" | "[none]") => return Ok(Self::Id),
            Some(text) => {
                text.split_once(':').ok_or_else(|| Refusal::bad(format!("Cannot parse field set '{text}'")))?
            }
        };
        let Some(known) = cluster.schemas.get(document_type) else {
            return Err(Refusal::bad(format!("Field set names the unknown document type '{document_type}'")));
        };
        match fields {
            "[document]" | "[all]" => return Ok(Self::Document),
            "[id]" | "[none]" => return Ok(Self::Id),
            _ => {}
        }
        let fields: BTreeSet<String> = fields.split(',').map(|name| name.trim().to_owned()).collect();
        if let Some(unknown) = fields.iter().find(|name| !known.fields.contains_key(*name)) {
            return Err(Refusal::bad(format!("No such field '{unknown}' in document type '{document_type}'")));
        }
        Ok(Self::Named { document_type: document_type.to_owned(), fields })
    }

    /// The wanted fields of a document, in JSON.
    ///
    /// # Errors
    /// 501 for a value whose JSON is not modelled.
    pub fn render(&self, id: &DocumentId, fields: &Arc<Fields>, format: TensorFormat) -> Result<Value, Refusal> {
        let wanted = |name: &str| match self {
            Self::Id => false,
            Self::Document => true,
            Self::Named { document_type, fields } => *document_type == id.document_type && fields.contains(name),
        };
        let mut rendered = Map::new();
        for (name, value) in fields.iter().filter(|(name, _)| wanted(name)) {
            rendered.insert(name.clone(), value.render(format)?);
        }
        Ok(Value::Object(rendered))
    }
}
