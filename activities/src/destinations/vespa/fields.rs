//! Values of a document's fields, and the JSON they are fed as.

use bytes::Bytes;
use serde::Serialize;
use serde::ser::{SerializeMap, SerializeStruct, Serializer};

use super::sanitise::sanitise;
use crate::destinations::SparseVector;

/// The value of a field.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum FieldValue {
    Text(String),
    Long(i64),
    Double(f64),
    Bool(bool),
    Texts(Vec<String>),
    /// An array of structs of strings.
    Structs(Vec<Vec<(&'static str, String)>>),
    /// An indexed tensor. Vespa cuts the last 16 bits of each value off, so that every finite one is held.
    Dense(Vec<f32>),
    /// A mapped tensor over `token`.
    Sparse(SparseVector),
}

impl FieldValue {
    /// A text, without what Vespa does not take.
    pub(super) fn text(text: &str) -> Self {
        Self::Text(sanitise(text).into_owned())
    }
}

impl Serialize for FieldValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(value) => serializer.serialize_str(value),
            Self::Long(value) => serializer.serialize_i64(*value),
            Self::Double(value) => serializer.serialize_f64(*value),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Texts(values) => values.serialize(serializer),
            Self::Structs(structs) => serializer.collect_seq(structs.iter().map(|fields| Struct(fields))),
            Self::Dense(values) => {
                let mut tensor = serializer.serialize_struct("Dense", 1)?;
                tensor.serialize_field("values", values)?;
                tensor.end()
            }
            Self::Sparse(vector) => {
                let mut tensor = serializer.serialize_struct("Sparse", 1)?;
                tensor.serialize_field("cells", &Cells(vector))?;
                tensor.end()
            }
        }
    }
}

struct Struct<'a>(&'a [(&'static str, String)]);

impl Serialize for Struct<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

struct Cells<'a>(&'a SparseVector);

#[derive(Serialize)]
struct Cell {
    address: Address,
    value: f32,
}

#[derive(Serialize)]
struct Address {
    token: String,
}

impl Serialize for Cells<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let cells = self.0.indices.iter().zip(&self.0.values);
        serializer.collect_seq(
            cells.map(|(token, value)| Cell { address: Address { token: token.to_string() }, value: *value }),
        )
    }
}

/// Fields of a document by name, in the order they are fed. A name occurs once.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Fields(Vec<(String, FieldValue)>);

impl Fields {
    /// Adds a field.
    pub(super) fn push(&mut self, name: &str, value: FieldValue) {
        self.0.push((name.to_owned(), value));
    }

    /// Adds a text. An empty one is the same as none to Vespa, and left out.
    pub(super) fn push_text(&mut self, name: &str, text: &str) {
        let value = sanitise(text);
        if !value.is_empty() {
            self.push(name, FieldValue::Text(value.into_owned()));
        }
    }

    /// The body of a put.
    pub(super) fn to_put(&self) -> Result<Bytes, serde_json::Error> {
        #[derive(Serialize)]
        struct Put<'a> {
            fields: &'a Fields,
        }
        serde_json::to_vec(&Put { fields: self }).map(Bytes::from)
    }
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_the_form_vespa_reads() {
        let mut fields = Fields::default();
        fields.push_text("name", "a\u{8}b");
        fields.push_text("empty", "\u{1}");
        fields.push("n", FieldValue::Long(-7));
        fields.push("share", FieldValue::Double(0.5));
        fields.push("access_is_public", FieldValue::Bool(true));
        fields.push("access_viewers", FieldValue::Texts(vec![]));
        fields.push("breadcrumbs", FieldValue::Structs(vec![vec![("entity_id", "1".into()), ("name", "n".into())]]));
        fields.push("dense_embedding", FieldValue::Dense(vec![0.25, -1.0, 1e-30]));
        let sparse = SparseVector { indices: vec![3, u32::MAX], values: vec![0.1, 2.0] };
        fields.push("sparse_embedding", FieldValue::Sparse(sparse));
        let body = fields.to_put().unwrap();
        assert_eq!(
            std::str::from_utf8(&body).unwrap(),
            concat!(
                r#"{"fields":{"name":"ab","n":-7,"share":0.5,"access_is_public":true,"access_viewers":[],"#,
                r#""breadcrumbs":[{"entity_id":"1","name":"n"}],"dense_embedding":{"values":[0.25,-1.0,1e-30]},"#,
                r#""sparse_embedding":{"cells":[{"address":{"token":"3"},"value":0.1},"#,
                r#"{"address":{"token":"4294967295"},"value":2.0}]}}}"#
            )
        );
    }
}
