//! Put, update and remove of one document, with their conditions.

use std::sync::Arc;

use super::body::{WriteBody, parse_write};
use super::cluster::Cluster;
use super::document_id::DocumentId;
use super::parameters::Parameters;
use super::reply::Refusal;
use super::schema::DocumentType;
use super::selection::{Selection, SelectionError};
use super::store::{Entry, Fields, Store};
use super::update;
use super::value::parse_put;

/// A write that is checked and waits for its turn.
#[derive(Debug)]
pub struct Write {
    id: DocumentId,
    change: Change,
    condition: Option<Selection>,
    create: bool,
    /// Whether fields were dropped that the type does not have.
    pub ignored_fields: bool,
}

#[derive(Debug)]
enum Change {
    Put(Fields),
    Update(Vec<update::Operation>),
    Remove,
}

impl Write {
    /// Reads a put.
    ///
    /// # Errors
    /// 400 for whatever of it is wrong.
    pub fn put(cluster: &Cluster, id: &DocumentId, parameters: &Parameters, body: &[u8]) -> Result<Self, Refusal> {
        let document_type = document_type(cluster, id)?;
        let body = parse_write(body)?;
        let ignore = cluster.options.ignore_undefined_fields;
        let parsed = parse_put(&id.to_string(), document_type, &body.fields, ignore)?;
        Self::new(cluster, id, parameters, Some(&body), Change::Put(parsed.fields), parsed.ignored)
    }

    /// Reads an update.
    ///
    /// # Errors
    /// 400 for whatever of it is wrong.
    pub fn update(cluster: &Cluster, id: &DocumentId, parameters: &Parameters, body: &[u8]) -> Result<Self, Refusal> {
        let document_type = document_type(cluster, id)?;
        let body = parse_write(body)?;
        let ignore = cluster.options.ignore_undefined_fields;
        let (operations, ignored) = update::parse(&id.to_string(), document_type, &body.fields, ignore)?;
        Self::new(cluster, id, parameters, Some(&body), Change::Update(operations), ignored)
    }

    /// Reads a remove, which has no body.
    ///
    /// # Errors
    /// 400 for a bad condition.
    pub fn remove(cluster: &Cluster, id: &DocumentId, parameters: &Parameters) -> Result<Self, Refusal> {
        document_type(cluster, id)?;
        Self::new(cluster, id, parameters, None, Change::Remove, false)
    }

    fn new(
        cluster: &Cluster,
        id: &DocumentId,
        parameters: &Parameters,
        body: Option<&WriteBody>,
        change: Change,
        ignored_fields: bool,
    ) -> Result<Self, Refusal> {
        parameters.text("route")?;
        let create = parameters.flag("create")?.or(body.and_then(|body| body.create)).unwrap_or(false);
        let condition = parameters.text("condition")?.or(body.and_then(|body| body.condition.as_deref()));
        let condition =
            condition.map(|text| Selection::parse(text, &cluster.schemas)).transpose().map_err(bad_condition)?;
        Ok(Self { id: id.clone(), change, condition, create, ignored_fields })
    }

    /// Whether nothing but numbers is assigned, which a full node still takes.
    #[must_use]
    pub fn assigns_numbers_only(&self) -> bool {
        matches!(&self.change, Change::Update(operations) if operations.iter().all(update::Operation::assigns_a_number))
    }

    /// Carries the write out.
    ///
    /// # Errors
    /// 412 when the condition does not hold.
    pub fn apply(self, store: &mut Store) -> Result<(), Refusal> {
        let present = store.fields(&self.id).cloned();
        if let Some(condition) = &self.condition {
            match &present {
                Some(fields) => {
                    let entry = Entry { id: self.id.clone(), timestamp_us: 0, fields: Some(fields.clone()) };
                    if !condition.matches(&entry).map_err(bad_condition)? {
                        return Err(condition_failed("Condition did not match document"));
                    }
                }
                None if self.create => {}
                None => return Err(condition_failed("Document does not exist")),
            }
        }
        match self.change {
            Change::Put(fields) => store.put(self.id, fields),
            Change::Remove => {
                store.remove(self.id);
            }
            Change::Update(operations) => {
                if present.is_none() && !self.create {
                    return Ok(());
                }
                let mut fields = present.map(Arc::unwrap_or_clone).unwrap_or_default();
                update::apply(&operations, &mut fields)?;
                store.put(self.id, fields);
            }
        }
        Ok(())
    }
}

/// The type of a document.
///
/// # Errors
/// 400 when there is no such type.
pub fn document_type<'a>(cluster: &'a Cluster, id: &DocumentId) -> Result<&'a DocumentType, Refusal> {
    let missing = || Refusal::bad(format!("Document type {} does not exist", id.document_type));
    cluster.schemas.get(&id.document_type).ok_or_else(missing)
}

fn condition_failed(why: &str) -> Refusal {
    Refusal::backend(
        412,
        format!(
            "[UNKNOWN(251013) @ tcp/vespa:19112/default]: \
             ReturnCode(TEST_AND_SET_CONDITION_FAILED, {why} nodeIndex=0 bucket=20000000000000c4 ) "
        ),
    )
}

/// The content node finds a condition unreadable, and the container has no status for that.
fn bad_condition(error: SelectionError) -> Refusal {
    match error {
        SelectionError::Malformed(why) => Refusal::backend(
            500,
            format!(
                "[UNKNOWN(100003) @ tcp/vespa:19112/default]: \
                 ReturnCode(ILLEGAL_PARAMETERS, Failed to parse test and set condition: {why}) "
            ),
        ),
        not_modelled @ SelectionError::NotModelled(_) => not_modelled.into_refusal(),
    }
}
