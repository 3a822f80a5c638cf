//! Reads a JSON object into a type, and names the field that is wrong.
//!
//! `serde_json` says where in the text an error is; callers want to know which field it is. So the object is parsed first, and
//! its fields are then handed over one by one.

use std::cell::RefCell;
use std::fmt;

use serde::Deserializer;
use serde::de::value::StringDeserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, IntoDeserializer as _, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::problem::FieldError;

/// Reads every field of an object.
///
/// # Errors
///
/// The first field that is missing, unknown, or of the wrong type or value.
pub(super) fn read<T: DeserializeOwned>(object: Map<String, Value>) -> Result<T, FieldError> {
    let at = RefCell::new(None);
    T::deserialize(Object { entries: object.into_iter(), value: None, at: &at }).map_err(|error| {
        let field = error.field.or_else(|| at.take()).unwrap_or_default();
        FieldError { field, detail: error.detail }
    })
}

struct Object<'a> {
    entries: serde_json::map::IntoIter,
    value: Option<Value>,
    /// The field that is read at present.
    at: &'a RefCell<Option<String>>,
}

#[derive(Debug)]
struct Wrong {
    /// When it is another field than the one that is read.
    field: Option<String>,
    detail: String,
}

impl<'de> Deserializer<'de> for Object<'_> {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_map(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de> MapAccess<'de> for Object<'_> {
    type Error = Wrong;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Wrong> {
        let Some((key, value)) = self.entries.next() else {
            *self.at.borrow_mut() = None;
            return Ok(None);
        };
        *self.at.borrow_mut() = Some(key.clone());
        self.value = Some(value);
        let key: StringDeserializer<Wrong> = key.into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Wrong> {
        let value = self.value.take().unwrap_or_default();
        seed.deserialize(value).map_err(|error| Wrong { field: None, detail: error.to_string() })
    }
}

impl serde::de::Error for Wrong {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { field: None, detail: message.to_string() }
    }

    fn missing_field(field: &'static str) -> Self {
        Self { field: Some(field.to_owned()), detail: "is missing".to_owned() }
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let detail = match expected {
            [] => "is not known; this request takes no fields".to_owned(),
            known => format!("is not known; known are {}", known.join(", ")),
        };
        Self { field: Some(field.to_owned()), detail }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Wrong {}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        id: uuid::Uuid,
        lanes: Option<u32>,
        #[serde(default)]
        force: bool,
    }

    fn of(value: Value) -> Result<Body, FieldError> {
        let Value::Object(object) = value else { panic!("an object") };
        read(object)
    }

    #[test]
    fn a_wrong_field_is_named() {
        let id = uuid::Uuid::nil();
        assert_eq!(of(json!({"id": id, "lanes": null})).unwrap(), Body { id, lanes: None, force: false });
        assert_eq!(of(json!({"id": id, "force": true, "lanes": 3})).unwrap(), Body { id, lanes: Some(3), force: true });
        for (value, field, words) in [
            (json!({}), "id", "is missing"),
            (json!({"id": "x"}), "id", "UUID"),
            (json!({"id": id, "lanes": -1}), "lanes", "-1"),
            (json!({"id": id, "lanes": {"a": 1}}), "lanes", "invalid type"),
            (json!({"id": id, "lane": 1}), "lane", "known are id, lanes, force"),
        ] {
            let error = of(value).unwrap_err();
            assert_eq!(error.field, field);
            assert!(error.detail.contains(words), "{error:?}");
        }
    }
}
