//! Payloads: a chunk's JSON as Qdrant's values, and what is read out of stored ones.
//!
//! What a payload says in JSON is stored as it is. Qdrant's numbers are 64 bits wide: a longer integer becomes the
//! nearest double, as in any JSON reader, and what no double holds becomes null, as the platform writes what is no
//! number. A lone surrogate, which no UTF-8 has, becomes U+FFFD. U+0000 stays.

use std::collections::HashMap;

use qdrant_client::qdrant::value::Kind;
use qdrant_client::qdrant::{ListValue, NullValue, PointId, Struct, Value, point_id};

use super::schema::{CHUNK_ID, ENTITY, HASH, INDEX, METADATA, SYNC, TENANT, TEXT};
use crate::destinations::{Chunk, EntityDocument, Scope};
use crate::error::{Error, ErrorKind, Result};
use crate::json::{self, Int};

/// A payload as it travels.
pub(super) type Payload = HashMap<String, Value>;

/// How many messages may lie within each other around a value of a payload. Protobuf decoders give up at 100; three are
/// the request, the point and the entry, and some are left for what a cluster wraps around a request it passes on.
const MAX_NESTING: u32 = 90;

/// Messages that an object adds around each of its values: the object, the entry, the value.
const OBJECT_NESTING: u32 = 3;

/// Messages that a list adds around each of its values: the list, the value.
const LIST_NESTING: u32 = 2;

/// The payload of a chunk: its JSON, and over it what identifies the point, so that no field of a source can forge
/// that.
///
/// # Errors
/// Says in words why Qdrant cannot take it.
pub(super) fn payload(scope: &Scope, document: &EntityDocument, chunk: &Chunk) -> Result<Payload, String> {
    let Ok(json::Value::Object(stored)) = json::parse(chunk.payload.as_bytes()) else {
        return Err("its payload is no JSON object".to_owned());
    };
    let mut payload = object(stored, MAX_NESTING)?;
    let mut identify = |key: &str, value: Kind| payload.insert(key.to_owned(), Value { kind: Some(value) });
    identify(TENANT, string(scope.collection_id));
    identify(CHUNK_ID, Kind::StringValue(document.entity.chunk_id(chunk.index)));
    identify(TEXT, Kind::StringValue(chunk.text.clone()));
    let mut metadata = match payload.remove(METADATA) {
        Some(Value { kind: Some(Kind::StructValue(metadata)) }) => metadata.fields,
        _ => Payload::new(),
    };
    let mut identify = |key: &str, value: Kind| metadata.insert(key.to_owned(), Value { kind: Some(value) });
    identify(SYNC, string(scope.sync_id));
    identify(ENTITY, Kind::StringValue(document.entity.0.clone()));
    identify(INDEX, Kind::IntegerValue(i64::from(chunk.index)));
    identify(HASH, Kind::StringValue(document.content_hash.clone()));
    payload.insert(METADATA.to_owned(), Value { kind: Some(Kind::StructValue(Struct { fields: metadata })) });
    Ok(payload)
}

fn string(id: uuid::Uuid) -> Kind {
    Kind::StringValue(id.to_string())
}

fn object(object: json::Object, nesting: u32) -> Result<Payload, String> {
    object.into_iter().map(|(key, item)| Ok((key.into_string_lossy(), value(item, nesting)?))).collect()
}

fn value(json: json::Value, nesting: u32) -> Result<Value, String> {
    let within = |cost: u32| {
        nesting.checked_sub(cost).ok_or_else(|| "its payload nests deeper than Qdrant's protocol takes".to_owned())
    };
    let kind = match json {
        json::Value::Null => Kind::NullValue(NullValue::NullValue.into()),
        json::Value::Bool(value) => Kind::BoolValue(value),
        json::Value::Int(Int::Small(value)) => Kind::IntegerValue(value),
        json::Value::Int(value @ Int::Big(_)) => double(value.to_f64()),
        json::Value::Float(value) => double(value),
        json::Value::String(text) => Kind::StringValue(text.into_string_lossy()),
        json::Value::Array(items) => {
            let within = within(LIST_NESTING)?;
            let values = items.into_iter().map(|item| value(item, within)).collect::<Result<_, _>>()?;
            Kind::ListValue(ListValue { values })
        }
        json::Value::Object(members) => Kind::StructValue(Struct { fields: object(members, within(OBJECT_NESTING)?)? }),
    };
    Ok(Value { kind: Some(kind) })
}

fn double(value: f64) -> Kind {
    if value.is_finite() { Kind::DoubleValue(value) } else { Kind::NullValue(NullValue::NullValue.into()) }
}

/// What is read out of a stored point.
pub(super) struct Stored<'a> {
    id: Option<&'a PointId>,
    payload: &'a Payload,
}

impl<'a> Stored<'a> {
    pub(super) fn new(id: Option<&'a PointId>, payload: &'a Payload) -> Self {
        Self { id, payload }
    }

    /// The id of the entity it is a chunk of.
    pub(super) fn entity(&self) -> Result<&'a str> {
        self.metadata(ENTITY).and_then(text).ok_or_else(|| self.lacks(ENTITY))
    }

    /// Its position in the entity.
    pub(super) fn index(&self) -> Result<u32> {
        match self.metadata(INDEX) {
            Some(Value { kind: Some(Kind::IntegerValue(index)) }) => u32::try_from(*index).ok(),
            _ => None,
        }
        .ok_or_else(|| self.lacks(INDEX))
    }

    /// The content hash it was written with; none when it has none.
    pub(super) fn hash(&self) -> Option<&'a str> {
        self.metadata(HASH).and_then(text)
    }

    /// Its text.
    pub(super) fn text(&self) -> Result<&'a str> {
        self.payload.get(TEXT).and_then(text).ok_or_else(|| self.lacks(TEXT))
    }

    fn metadata(&self, key: &str) -> Option<&'a Value> {
        match self.payload.get(METADATA) {
            Some(Value { kind: Some(Kind::StructValue(metadata)) }) => metadata.fields.get(key),
            _ => None,
        }
    }

    fn lacks(&self, key: &str) -> Error {
        let id = match self.id.and_then(|id| id.point_id_options.as_ref()) {
            Some(point_id::PointIdOptions::Uuid(id)) => id.clone(),
            Some(point_id::PointIdOptions::Num(id)) => id.to_string(),
            None => "without an id".to_owned(),
        };
        let problem = format!("Qdrant holds a point of this sync, {id}, whose {key} is missing or not of its type");
        Error::new(ErrorKind::IncompatibleDestination, format!("{problem}; something else wrote it"))
    }
}

fn text(value: &Value) -> Option<&str> {
    match &value.kind {
        Some(Kind::StringValue(text)) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
