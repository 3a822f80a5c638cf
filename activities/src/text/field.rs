//! What is known about a field of an entity class.

use crate::json::{Int, Value};

use super::DateTime;

/// The type of a field, as far as it changes how the stored JSON is understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FieldType {
    /// A date-time, stored as a string.
    DateTime,
    /// A float.
    Float,
    /// An integer.
    Int,
    /// A nested model, or a list of them: its absent values are left out of hash and payload, as the model's own are.
    Model,
    /// Anything else: the JSON says it all.
    #[default]
    Plain,
}

impl FieldType {
    /// The value as the platform holds it after it validated the stored one: integers in float fields become floats,
    /// integral floats in integer fields integers, and date-times take their canonical form. Anything the platform
    /// would refuse stays as it is.
    #[must_use]
    pub fn validated(self, value: Value) -> Value {
        match (self, value) {
            (Self::Float, Value::Int(number)) => Value::Float(number.to_f64()),
            (Self::Int, Value::Float(float)) if float.fract() == 0.0 && float.abs() < 9e15 =>
            {
                #[expect(clippy::cast_possible_truncation, reason = "integral and in range")]
                Value::Int(Int::Small(float as i64))
            }
            (Self::DateTime, Value::String(text)) => {
                let canonical = text.as_str().and_then(|stored| {
                    let json = DateTime::parse(stored)?.to_json();
                    (json != stored).then_some(json)
                });
                Value::String(canonical.map_or(text, Into::into))
            }
            (_, value) => value,
        }
    }
}

/// A field of a class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldInfo {
    /// Its name.
    pub name: Box<str>,
    /// Its type.
    pub field_type: FieldType,
    /// Whether it has a line in the metadata section.
    pub embeddable: bool,
    /// Whether it is left out of the hash.
    pub unhashable: bool,
    /// Whether `entity_id` is a copy of it.
    pub is_entity_id: bool,
    /// Whether `name` is a copy of it.
    pub is_name: bool,
    /// Whether `created_at` is a copy of it.
    pub is_created_at: bool,
    /// Whether `updated_at` is a copy of it.
    pub is_updated_at: bool,
}

impl FieldInfo {
    /// Reads the catalogue's notation: the name, then after a space one letter per property: `d` date-time, `f` float,
    /// `i` integer, `m` model; `e` embeddable, `u` unhashable; `I`, `N`, `C`, `U` for the source of `entity_id`,
    /// `name`, `created_at`, `updated_at`. `None` when there is another letter.
    pub(super) fn parse(notation: &str) -> Option<Self> {
        let (name, letters) = notation.split_once(' ').unwrap_or((notation, ""));
        if !letters.chars().all(|letter| "dfimeuINCU".contains(letter)) {
            return None;
        }
        let has = |letter: char| letters.contains(letter);
        let field_type = match () {
            () if has('d') => FieldType::DateTime,
            () if has('f') => FieldType::Float,
            () if has('i') => FieldType::Int,
            () if has('m') => FieldType::Model,
            () => FieldType::Plain,
        };
        Some(Self {
            name: name.into(),
            field_type,
            embeddable: has('e'),
            unhashable: has('u'),
            is_entity_id: has('I'),
            is_name: has('N'),
            is_created_at: has('C'),
            is_updated_at: has('U'),
        })
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::json::{parse, to_python};

    #[rstest]
    #[case(FieldType::Float, "3", "3.0")]
    #[case(FieldType::Float, "100000000000000000000", "1e+20")]
    #[case(FieldType::Float, "\"3\"", "\"3\"")]
    #[case(FieldType::Int, "3.0", "3")]
    #[case(FieldType::Int, "-0.0", "0")]
    #[case(FieldType::Int, "3.5", "3.5")]
    #[case(FieldType::Int, "NaN", "NaN")]
    #[case(FieldType::DateTime, "\"2024-01-15T10:30:00+00:00\"", "\"2024-01-15T10:30:00Z\"")]
    #[case(FieldType::DateTime, "\"2024-01-15T10:30:00.5+02:00\"", "\"2024-01-15T10:30:00.500000+02:00\"")]
    #[case(FieldType::DateTime, "\"yesterday\"", "\"yesterday\"")]
    #[case(FieldType::DateTime, "null", "null")]
    #[case(FieldType::Plain, "\"2024-01-15T10:30:00+00:00\"", "\"2024-01-15T10:30:00+00:00\"")]
    fn stored_values_are_validated_as_by_the_platform(
        #[case] field_type: FieldType,
        #[case] stored: &str,
        #[case] expected: &str,
    ) {
        let value = field_type.validated(parse(stored.as_bytes()).unwrap());
        assert_eq!(to_python(&value, false), expected);
    }

    #[test]
    fn notation() {
        let field = FieldInfo::parse("created deC").unwrap();
        assert_eq!((&*field.name, field.field_type), ("created", FieldType::DateTime));
        assert!(field.embeddable && field.is_created_at && !field.unhashable && !field.is_updated_at);
        assert_eq!(FieldInfo::parse("plain").unwrap().field_type, FieldType::Plain);
        assert_eq!(FieldInfo::parse("plain x"), None);
    }
}
