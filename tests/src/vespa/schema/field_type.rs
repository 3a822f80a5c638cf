//! Types of fields, read from the notation of a schema.

use std::collections::BTreeMap;

/// What a field may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldType {
    /// Text.
    String,
    /// 32 bits.
    Int,
    /// 64 bits.
    Long,
    /// 32 bits, floating.
    Float,
    /// 64 bits, floating.
    Double,
    /// True or false.
    Bool,
    /// `array<…>`
    Array(Box<FieldType>),
    /// `map<string,…>`
    Map(Box<FieldType>),
    /// `struct{name:type,…}`; a schema gives it a name instead.
    Struct(BTreeMap<String, FieldType>),
    /// `tensor<…>(…)`
    Tensor(TensorType),
}

/// Type of a tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorType {
    /// Type of its cells.
    pub cells: CellType,
    /// Name of its mapped dimension, if it has one.
    pub mapped: Option<String>,
    /// Name and size of its indexed dimension, if it has one.
    pub indexed: Option<(String, usize)>,
}

/// Type of a tensor's cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CellType {
    /// 32 bits.
    Float,
    /// The upper half of a float.
    Bfloat16,
}

impl FieldType {
    /// Reads the notation of a schema; nothing for what is not modelled.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let inside = |prefix: &str, end: char| text.strip_prefix(prefix)?.strip_suffix(end);
        match text {
            "string" => return Some(Self::String),
            "int" => return Some(Self::Int),
            "long" => return Some(Self::Long),
            "float" => return Some(Self::Float),
            "double" => return Some(Self::Double),
            "bool" => return Some(Self::Bool),
            _ => {}
        }
        if let Some(inner) = inside("array<", '>') {
            return Some(Self::Array(Box::new(Self::parse(inner)?)));
        }
        if let Some(inner) = inside("map<string,", '>') {
            return Some(Self::Map(Box::new(Self::parse(inner)?)));
        }
        if let Some(inner) = inside("struct{", '}') {
            let field = |pair: &str| {
                let (name, kind) = pair.split_once(':')?;
                Some((name.to_owned(), Self::parse(kind)?))
            };
            return Some(Self::Struct(inner.split(',').map(field).collect::<Option<_>>()?));
        }
        TensorType::parse(text).map(Self::Tensor)
    }

    /// In the words of Vespa's messages.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::String => "string".into(),
            Self::Int => "int".into(),
            Self::Long => "long".into(),
            Self::Float => "float".into(),
            Self::Double => "double".into(),
            Self::Bool => "bool".into(),
            Self::Array(inner) => format!("Array<{}>", inner.name()),
            Self::Map(inner) => format!("Map<string,{}>", inner.name()),
            Self::Struct(_) => "struct".into(),
            Self::Tensor(tensor) => tensor.name(),
        }
    }
}

impl TensorType {
    fn parse(text: &str) -> Option<Self> {
        let (cells, dimensions) = text.strip_prefix("tensor<")?.strip_suffix(')')?.split_once(">(")?;
        let cells = match cells {
            "float" => CellType::Float,
            "bfloat16" => CellType::Bfloat16,
            _ => return None,
        };
        let mut tensor = Self { cells, mapped: None, indexed: None };
        for dimension in dimensions.split(',') {
            if let Some(name) = dimension.strip_suffix("{}") {
                if tensor.mapped.replace(name.to_owned()).is_some() {
                    return None;
                }
            } else {
                let (name, size) = dimension.strip_suffix(']')?.split_once('[')?;
                if tensor.indexed.replace((name.to_owned(), size.parse().ok()?)).is_some() {
                    return None;
                }
            }
        }
        Some(tensor)
    }

    /// As a schema writes it, such as `tensor<bfloat16>(x[8])`.
    #[must_use]
    pub fn name(&self) -> String {
        let cells = match self.cells {
            CellType::Float => "float",
            CellType::Bfloat16 => "bfloat16",
        };
        let mapped = self.mapped.iter().map(|name| format!("{name}{{}}"));
        let indexed = self.indexed.iter().map(|(name, size)| format!("{name}[{size}]"));
        format!("tensor<{cells}>({})", mapped.chain(indexed).collect::<Vec<_>>().join(","))
    }

    /// Cells of one dense block.
    #[must_use]
    pub fn block_size(&self) -> usize {
        self.indexed.as_ref().map_or(1, |(_, size)| *size)
    }
}

impl CellType {
    /// What is left of a value that is stored in such a cell. bfloat16 cuts the lower half off and does not round.
    #[must_use]
    pub fn stored(self, value: f32) -> f32 {
        match self {
            Self::Float => value,
            Self::Bfloat16 => f32::from_bits(value.to_bits() & 0xffff_0000),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("tensor<bfloat16>(x[8])", "tensor<bfloat16>(x[8])")]
    #[case("tensor<float>(token{})", "tensor<float>(token{})")]
    #[case("tensor<float>(chunk{},x[96])", "tensor<float>(chunk{},x[96])")]
    #[case("array<string>", "Array<string>")]
    fn notations_are_read(#[case] text: &str, #[case] name: &str) {
        assert_eq!(FieldType::parse(text).expect("it is modelled").name(), name);
    }

    #[rstest]
    fn what_is_not_modelled_is_not_read(
        #[values("raw", "weightedset<string>", "tensor<int8>(x[2])", "tensor(x[2])", "tensor<float>(a{},b{})")]
        text: &str,
    ) {
        assert_eq!(FieldType::parse(text), None);
    }

    #[test]
    fn bfloat16_is_cut_and_not_rounded() {
        // 1 + 127/128 + a bit: the nearest bfloat16 would be 2.
        let value = f32::from_bits(0x3fff_ffff);
        assert_eq!(CellType::Bfloat16.stored(value).to_bits(), 0x3fff_0000);
    }
}
