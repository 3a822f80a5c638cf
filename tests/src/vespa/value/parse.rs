//! From the JSON of a feed to values, with Vespa's messages for what does not fit.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{FieldValue, Tensor};
use crate::vespa::reply::Refusal;
use crate::vespa::schema::{DocumentType, Field, FieldType, Indexing};
use crate::vespa::text_rule::{illegal_code_point, looks_binary};

/// Fields of a put.
#[derive(Debug, Clone, Default)]
pub struct ParsedFields {
    /// Values that are there: neither null nor empty.
    pub fields: BTreeMap<String, FieldValue>,
    /// Whether unknown fields were dropped.
    pub ignored: bool,
}

/// Reads the fields of a put. With `ignore_undefined`, unknown fields are dropped instead of refused.
///
/// # Errors
/// 400 for a field that the type does not have or a value that does not fit.
pub fn parse_put(
    id: &str,
    document_type: &DocumentType,
    fields: &Map<String, Value>,
    ignore_undefined: bool,
) -> Result<ParsedFields, Refusal> {
    let mut parsed = ParsedFields::default();
    for (name, json) in fields {
        let Some(field) = document_type.fields.get(name) else {
            if ignore_undefined {
                parsed.ignored = true;
                continue;
            }
            let kind = &document_type.name;
            return Err(Refusal::bad(format!(
                "In document '{id}': Field '{name}' is not defined in document type '{kind}'"
            )));
        };
        if let Some(value) = parse_field(id, name, field, json)? {
            parsed.fields.insert(name.clone(), value);
        }
    }
    Ok(parsed)
}

/// Reads one value; none when it is null or empty.
///
/// # Errors
/// 400 when it does not fit.
pub fn parse_field(id: &str, name: &str, field: &Field, json: &Value) -> Result<Option<FieldValue>, Refusal> {
    if json.is_null() {
        return Ok(None);
    }
    let value = read(&field.field_type, json).map_err(|misfit| match misfit {
        Misfit::Refused(why) => {
            let kind = field.field_type.name();
            Refusal::bad(format!("In document '{id}': Could not parse field '{name}' of type {kind}: {why}"))
        }
        Misfit::NotModelled(what) => Refusal::not_modelled(&format!("{what} for the field '{name}'")),
    })?;
    if let (FieldValue::String(text), Indexing::Index) = (&value, field.indexing)
        && looks_binary(text)
    {
        return Err(Refusal::bad(format!("In document '{id}': field '{name}' seems to hold binary data")));
    }
    Ok(Some(value).filter(|value| !value.is_empty()))
}

/// Why a value cannot be taken.
#[derive(Debug)]
pub(super) enum Misfit {
    /// Vespa refuses it.
    Refused(String),
    /// Vespa does something with it that this server does not know.
    NotModelled(&'static str),
}

pub(super) fn refused<T>(why: impl Into<String>) -> Result<T, Misfit> {
    Err(Misfit::Refused(why.into()))
}

fn read(field_type: &FieldType, json: &Value) -> Result<FieldValue, Misfit> {
    match (field_type, json) {
        (FieldType::String, Value::String(text)) => Ok(FieldValue::String(text_of(text)?)),
        (FieldType::String, Value::Number(_) | Value::Bool(_)) => Err(Misfit::NotModelled("a number as a string")),
        (FieldType::Bool, Value::Bool(value)) => Ok(FieldValue::Bool(*value)),
        (FieldType::Int, Value::Number(_)) => match json.as_i64().and_then(|value| i32::try_from(value).ok()) {
            Some(value) => Ok(FieldValue::Int(value)),
            None => refused(format!("For input string: \"{json}\"")),
        },
        (FieldType::Long, Value::Number(_)) => match json.as_i64() {
            Some(value) => Ok(FieldValue::Long(value)),
            None => refused(format!("For input string: \"{json}\"")),
        },
        #[expect(clippy::cast_possible_truncation, reason = "a double given for a float is rounded, as in Java")]
        (FieldType::Float, Value::Number(number)) => Ok(FieldValue::Float(number.as_f64().unwrap_or(f64::NAN) as f32)),
        (FieldType::Double, Value::Number(number)) => Ok(FieldValue::Double(number.as_f64().unwrap_or(f64::NAN))),
        (
            FieldType::Int | FieldType::Long | FieldType::Float | FieldType::Double | FieldType::Bool,
            Value::String(_),
        ) => Err(Misfit::NotModelled("a string as a number")),
        (FieldType::Array(inner), Value::Array(values)) => {
            let present = values.iter().filter(|value| !value.is_null());
            Ok(FieldValue::Array(present.map(|value| read(inner, value)).collect::<Result<_, _>>()?))
        }
        (FieldType::Map(inner), Value::Object(entries)) => {
            let entry = |(key, value): (&String, &Value)| Ok((text_of(key)?, read(inner, value)?));
            Ok(FieldValue::Map(entries.iter().map(entry).collect::<Result<_, Misfit>>()?))
        }
        (FieldType::Struct(fields), Value::Object(entries)) => {
            let mut values = BTreeMap::new();
            for (name, value) in entries.iter().filter(|(_, value)| !value.is_null()) {
                let Some(inner) = fields.get(name) else {
                    return refused(format!("No field '{name}' in the structure"));
                };
                let value = read(inner, value)?;
                if !value.is_empty() {
                    values.insert(name.clone(), value);
                }
            }
            Ok(FieldValue::Struct(values))
        }
        (FieldType::Tensor(tensor), json) => Ok(FieldValue::Tensor(Tensor::parse(tensor, json)?)),
        (expected, json) => refused(format!("Expected a value of type {}, but got {}", expected.name(), kind(json))),
    }
}

fn text_of(text: &str) -> Result<String, Misfit> {
    match illegal_code_point(text) {
        None => Ok(text.to_owned()),
        Some(code) => refused(format!("The string field value contains illegal code point 0x{code:X}")),
    }
}

pub(super) fn kind(json: &Value) -> &'static str {
    match json {
        Value::Null => "VALUE_NULL",
        Value::Bool(true) => "VALUE_TRUE",
        Value::Bool(false) => "VALUE_FALSE",
        Value::Number(_) => "VALUE_NUMBER",
        Value::String(_) => "VALUE_STRING",
        Value::Array(_) => "START_ARRAY",
        Value::Object(_) => "START_OBJECT",
    }
}
