//! From values to the JSON of an answer.

use serde_json::{Map, Value, json};

use super::{FieldValue, Tensor};
use crate::vespa::reply::Refusal;
use crate::vespa::schema::CellType;

/// The parameter `format.tensors`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TensorFormat {
    /// Cells with their whole addresses, instead of the shortest form.
    long: bool,
    /// Dense blocks in hexadecimal.
    hexadecimal: bool,
    /// The value alone, without the type.
    bare: bool,
}

impl TensorFormat {
    /// Reads the parameter; `short` when it is absent.
    ///
    /// # Errors
    /// 400 for an unknown name.
    pub fn parse(name: Option<&str>) -> Result<Self, Refusal> {
        let short = Self::default();
        match name.unwrap_or("short") {
            "short" => Ok(short),
            "short-value" => Ok(Self { bare: true, ..short }),
            "long" => Ok(Self { long: true, ..short }),
            "long-value" => Ok(Self { long: true, bare: true, ..short }),
            "hex" => Ok(Self { hexadecimal: true, ..short }),
            "hex-value" => Ok(Self { hexadecimal: true, bare: true, ..short }),
            other => Err(Refusal::bad(format!(
                "format.tensors must be one of short, short-value, long, long-value, hex and hex-value, not '{other}'"
            ))),
        }
    }
}

impl FieldValue {
    /// The value in JSON.
    ///
    /// # Errors
    /// 501 for a tensor with a cell that is no number.
    pub fn render(&self, format: TensorFormat) -> Result<Value, Refusal> {
        let all = |values: &std::collections::BTreeMap<String, FieldValue>| {
            let entry = |(name, value): (&String, &FieldValue)| Ok((name.clone(), value.render(format)?));
            Ok::<_, Refusal>(Value::Object(values.iter().map(entry).collect::<Result<_, Refusal>>()?))
        };
        match self {
            Self::String(text) => Ok(json!(text)),
            Self::Int(value) => Ok(json!(value)),
            Self::Long(value) => Ok(json!(value)),
            Self::Float(value) => Ok(shortest(*value)),
            Self::Double(value) => Ok(json!(value)),
            Self::Bool(value) => Ok(json!(value)),
            Self::Array(values) => values.iter().map(|value| value.render(format)).collect(),
            Self::Map(values) | Self::Struct(values) => all(values),
            Self::Tensor(tensor) => tensor.render(format),
        }
    }
}

impl Tensor {
    fn render(&self, format: TensorFormat) -> Result<Value, Refusal> {
        if !self.blocks.values().flatten().all(|value| value.is_finite()) {
            return Err(Refusal::not_modelled("how Vespa writes a tensor cell that is no finite number"));
        }
        let (key, value) = if format.long { ("cells", self.cells()) } else { self.blocks_by_label(format.hexadecimal) };
        if format.bare {
            return Ok(value);
        }
        Ok(json!({ "type": self.tensor_type.name(), key: value }))
    }

    /// Every cell with its whole address.
    fn cells(&self) -> Value {
        let mut cells = Vec::new();
        for (label, block) in &self.blocks {
            for (at, value) in block.iter().enumerate() {
                let mut address = Map::new();
                if let Some(mapped) = &self.tensor_type.mapped {
                    address.insert(mapped.clone(), json!(label));
                }
                if let Some((indexed, _)) = &self.tensor_type.indexed {
                    address.insert(indexed.clone(), json!(at.to_string()));
                }
                cells.push(json!({ "address": address, "value": shortest(*value) }));
            }
        }
        Value::Array(cells)
    }

    /// The shortest form there is for the type, and the key it stands under.
    fn blocks_by_label(&self, hexadecimal: bool) -> (&'static str, Value) {
        let block = |values: &[f32]| match hexadecimal {
            true => json!(values.iter().map(|value| digits(self.tensor_type.cells, *value)).collect::<String>()),
            false => values.iter().map(|value| shortest(*value)).collect(),
        };
        match (&self.tensor_type.mapped, &self.tensor_type.indexed) {
            (None, _) => ("values", self.dense().map_or(Value::Null, block)),
            (Some(_), Some(_)) => {
                let blocks: Map<String, Value> =
                    self.blocks.iter().map(|(k, values)| (k.clone(), block(values))).collect();
                ("blocks", Value::Object(blocks))
            }
            (Some(_), None) => {
                let cells: Map<String, Value> =
                    self.blocks.iter().map(|(label, cell)| (label.clone(), shortest(cell[0]))).collect();
                ("cells", Value::Object(cells))
            }
        }
    }
}

/// A float with no more digits than tell it from its neighbours.
fn shortest(value: f32) -> Value {
    // The shortest decimal of the float, read as a double, prints as itself; the float widened would not.
    let double: f64 = value.to_string().parse().expect("a float prints as a number");
    json!(double)
}

fn digits(cells: CellType, value: f32) -> String {
    match cells {
        CellType::Float => format!("{:08X}", value.to_bits()),
        CellType::Bfloat16 => format!("{:04X}", value.to_bits() >> 16),
    }
}
