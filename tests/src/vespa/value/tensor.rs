//! Tensors with at most one mapped and at most one indexed dimension, in each of the feed format's shapes.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::parse::{Misfit, kind, refused};
use crate::vespa::schema::{CellType, TensorType};

/// A tensor: a dense block under each label. Without a mapped dimension there is one block, under the empty label.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Its type.
    pub tensor_type: TensorType,
    /// Its blocks by label.
    pub blocks: BTreeMap<String, Vec<f32>>,
}

impl Tensor {
    /// Reads a tensor.
    ///
    /// # Errors
    /// When it does not have the type's dimensions, or has a shape that this server does not know.
    pub(super) fn parse(tensor_type: &TensorType, json: &Value) -> Result<Self, Misfit> {
        let blocks = match (&tensor_type.mapped, json) {
            (None, Value::Object(object)) => match object.get("values") {
                Some(values) => BTreeMap::from([(String::new(), block(tensor_type, values)?)]),
                None => return Err(Misfit::NotModelled("a dense tensor that is not given by its values")),
            },
            (None, values) => BTreeMap::from([(String::new(), block(tensor_type, values)?)]),
            (Some(dimension), Value::Object(object)) => mapped(tensor_type, dimension, object)?,
            (Some(_), other) => return refused(format!("Expected a tensor object, but got {}", kind(other))),
        };
        Ok(Self { tensor_type: tensor_type.clone(), blocks })
    }

    /// The one block of a dense tensor.
    #[must_use]
    pub fn dense(&self) -> Option<&[f32]> {
        self.blocks.get("").map(Vec::as_slice).filter(|_| self.tensor_type.mapped.is_none())
    }
}

/// `{"cells":…}` and `{"blocks":…}`, each as a list or as an object, or the object's inside alone.
fn mapped(
    tensor_type: &TensorType,
    dimension: &str,
    object: &Map<String, Value>,
) -> Result<BTreeMap<String, Vec<f32>>, Misfit> {
    let by_label = |entries: &Map<String, Value>| {
        let entry = |(label, value): (&String, &Value)| Ok((label.clone(), block_or_cell(tensor_type, value)?));
        entries.iter().map(entry).collect::<Result<BTreeMap<_, _>, Misfit>>()
    };
    let listed = |entries: &[Value], holds: &str| {
        let entry = |entry: &Value| {
            let label = entry.pointer(&format!("/address/{dimension}")).and_then(Value::as_str);
            match (label, entry.get(holds)) {
                (Some(label), Some(value)) => Ok((label.to_owned(), block_or_cell(tensor_type, value)?)),
                _ => refused(format!("Expected an address with the dimension '{dimension}' and '{holds}'")),
            }
        };
        entries.iter().map(entry).collect::<Result<BTreeMap<_, _>, Misfit>>()
    };
    match (object.get("cells"), object.get("blocks")) {
        (Some(Value::Array(cells)), None) if tensor_type.indexed.is_none() => listed(cells, "value"),
        (Some(Value::Object(cells)), None) if tensor_type.indexed.is_none() => by_label(cells),
        (None, Some(Value::Array(blocks))) => listed(blocks, "values"),
        (None, Some(Value::Object(blocks))) => by_label(blocks),
        (None, None) if !object.contains_key("type") && !object.contains_key("values") => by_label(object),
        _ => Err(Misfit::NotModelled("this shape of a mapped tensor")),
    }
}

fn block_or_cell(tensor_type: &TensorType, json: &Value) -> Result<Vec<f32>, Misfit> {
    match tensor_type.indexed {
        Some(_) => block(tensor_type, json),
        None => Ok(vec![cell(tensor_type.cells, json)?]),
    }
}

/// The values of a dense block, as a list or in hexadecimal.
fn block(tensor_type: &TensorType, json: &Value) -> Result<Vec<f32>, Misfit> {
    let size = tensor_type.block_size();
    let values = match json {
        Value::Array(values) => {
            values.iter().map(|value| cell(tensor_type.cells, value)).collect::<Result<Vec<_>, _>>()?
        }
        Value::String(digits) => hexadecimal(tensor_type.cells, digits)?,
        other => return refused(format!("Expected an array of values, but got {}", kind(other))),
    };
    if values.len() != size {
        return refused(format!("Expected {size} values, but got {}", values.len()));
    }
    Ok(values)
}

fn cell(cells: CellType, json: &Value) -> Result<f32, Misfit> {
    let number = match json {
        Value::Number(number) => number.as_f64(),
        // As Java's Double.parseDouble does, which knows these names and not Rust's others.
        Value::String(text) if matches!(text.as_str(), "NaN" | "Infinity" | "-Infinity") => text.parse().ok(),
        Value::String(text) if text.starts_with(|first: char| first.is_ascii_digit() || first == '-') => {
            text.parse().ok().filter(|number: &f64| number.is_finite())
        }
        _ => None,
    };
    #[expect(clippy::cast_possible_truncation, reason = "a double given for a float is rounded, as in Java")]
    match number {
        Some(number) => Ok(cells.stored(number as f32)),
        None => refused(format!("Expected a number, but got {json}")),
    }
}

/// Each cell's bytes, the highest first.
fn hexadecimal(cells: CellType, digits: &str) -> Result<Vec<f32>, Misfit> {
    let per_cell = match cells {
        CellType::Float => 8,
        CellType::Bfloat16 => 4,
    };
    if !digits.is_ascii() || !digits.len().is_multiple_of(per_cell) {
        return refused("Bad hexadecimal values");
    }
    let shift = 32 - 4 * u32::try_from(per_cell).expect("4 or 8");
    let read = |at: usize| {
        let bits = u32::from_str_radix(&digits[at..at + per_cell], 16);
        bits.map_or_else(|_| refused("Bad hexadecimal values"), |bits| Ok(f32::from_bits(bits << shift)))
    };
    (0..digits.len()).step_by(per_cell).map(read).collect()
}
