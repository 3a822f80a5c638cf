//! Partial updates: `assign` on any field, arithmetic on numbers, `add` on arrays. Other operations and paths into a
//! field are refused with 501.

use serde_json::{Map, Value};

use super::reply::Refusal;
use super::schema::{DocumentType, FieldType};
use super::store::Fields;
use super::value::{FieldValue, parse_field};

/// One operation on one field.
#[derive(Debug, Clone)]
pub struct Operation {
    field: String,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Assign(Option<FieldValue>),
    Add(Vec<FieldValue>),
    Calculate(fn(f64, f64) -> f64, f64),
}

impl Operation {
    /// Whether this puts a number in a field and does nothing else.
    #[must_use]
    pub fn assigns_a_number(&self) -> bool {
        matches!(&self.kind, Kind::Assign(Some(value)) if value.as_number().is_some())
    }
}

/// Reads the operations of an update; also whether unknown fields were dropped.
///
/// # Errors
/// 400 for what does not fit the type, 501 for what is not modelled.
pub fn parse(
    id: &str,
    document_type: &DocumentType,
    fields: &Map<String, Value>,
    ignore_undefined: bool,
) -> Result<(Vec<Operation>, bool), Refusal> {
    let (mut operations, mut ignored) = (Vec::new(), false);
    for (name, json) in fields {
        if name.contains(['{', '[', '.']) {
            return Err(Refusal::not_modelled("an update of a path into a field"));
        }
        let Some(field) = document_type.fields.get(name) else {
            if ignore_undefined {
                ignored = true;
                continue;
            }
            return Err(Refusal::bad(format!("No field named {name} in document type {}", document_type.name)));
        };
        let Value::Object(wanted) = json else {
            return Err(Refusal::bad(format!("Expected an object with operations for the field '{name}'")));
        };
        for (operation, operand) in wanted {
            let calculate = |by: fn(f64, f64) -> f64| match (&field.field_type, operand.as_f64()) {
                (FieldType::Int | FieldType::Long | FieldType::Float | FieldType::Double, Some(operand)) => {
                    Ok(Kind::Calculate(by, operand))
                }
                _ => Err(Refusal::bad(format!("'{operation}' needs a number, and the field '{name}' to be one"))),
            };
            let kind = match operation.as_str() {
                "assign" => Kind::Assign(parse_field(id, name, field, operand)?),
                "increment" => calculate(|left, right| left + right)?,
                "decrement" => calculate(|left, right| left - right)?,
                "multiply" => calculate(|left, right| left * right)?,
                "divide" => calculate(|left, right| left / right)?,
                "add" => match parse_field(id, name, field, operand)? {
                    Some(FieldValue::Array(values)) => Kind::Add(values),
                    None => Kind::Add(Vec::new()),
                    Some(_) => return Err(Refusal::not_modelled("'add' on anything but an array")),
                },
                "remove" | "match" | "modify" => {
                    return Err(Refusal::not_modelled(&format!("the update operation '{operation}'")));
                }
                other => return Err(Refusal::bad(format!("Unknown update operation '{other}' on the field '{name}'"))),
            };
            operations.push(Operation { field: name.clone(), kind });
        }
    }
    Ok((operations, ignored))
}

/// Carries the operations out.
///
/// # Errors
/// 501 for arithmetic on a field without a value.
pub fn apply(operations: &[Operation], fields: &mut Fields) -> Result<(), Refusal> {
    for Operation { field, kind } in operations {
        match kind {
            Kind::Assign(Some(value)) => {
                fields.insert(field.clone(), value.clone());
            }
            Kind::Assign(None) => {
                fields.remove(field);
            }
            Kind::Add(values) if values.is_empty() => {}
            Kind::Add(values) => match fields.entry(field.clone()).or_insert_with(|| FieldValue::Array(Vec::new())) {
                FieldValue::Array(present) => present.extend(values.iter().cloned()),
                other => *other = FieldValue::Array(values.clone()),
            },
            Kind::Calculate(by, operand) => {
                let value = fields.get_mut(field);
                let value = value.ok_or_else(|| Refusal::not_modelled("arithmetic on a field without a value"))?;
                calculate(value, *by, *operand);
            }
        }
    }
    Ok(())
}

#[expect(clippy::cast_possible_truncation, reason = "arithmetic on a float gives a float")]
fn calculate(value: &mut FieldValue, by: fn(f64, f64) -> f64, operand: f64) {
    let Some(result) = value.as_number().map(|number| by(number, operand)) else { return };
    match value {
        FieldValue::Int(value) => *value = result as i32,
        FieldValue::Long(value) => *value = result as i64,
        FieldValue::Float(value) => *value = result as f32,
        FieldValue::Double(value) => *value = result,
        _ => {}
    }
}
