//! Values of fields: read from the JSON of a feed, checked against the schema, and written back.

mod parse;
mod render;
mod tensor;

use std::collections::BTreeMap;

pub use parse::{parse_field, parse_put};
pub use render::TensorFormat;
pub use tensor::Tensor;

/// A value that fits its field.
#[derive(Debug, Clone, PartialEq)]
pub enum FieldValue {
    /// Text.
    String(String),
    /// 32 bits.
    Int(i32),
    /// 64 bits.
    Long(i64),
    /// 32 bits, floating.
    Float(f32),
    /// 64 bits, floating.
    Double(f64),
    /// True or false.
    Bool(bool),
    /// Values of one type.
    Array(Vec<FieldValue>),
    /// Values by key.
    Map(BTreeMap<String, FieldValue>),
    /// Values by field name.
    Struct(BTreeMap<String, FieldValue>),
    /// A tensor.
    Tensor(Tensor),
}

impl FieldValue {
    /// Whether Vespa takes the value for none: it is then written nowhere and never read back.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::String(text) => text.is_empty(),
            Self::Array(values) => values.is_empty(),
            Self::Map(values) | Self::Struct(values) => values.is_empty(),
            _ => false,
        }
    }

    /// The value as a number, if it is one.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "comparisons of longs above 2^53 are no concern of the tests")]
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Self::Int(value) => Some(f64::from(*value)),
            Self::Long(value) => Some(*value as f64),
            Self::Float(value) => Some(f64::from(*value)),
            Self::Double(value) => Some(*value),
            _ => None,
        }
    }
}
