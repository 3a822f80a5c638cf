//! Document types: which fields a document may have, of which type, and how each is indexed.
//!
//! The platform's schemas are data, in `platform`; a test may add types of its own in the same notation.

mod field_type;
mod platform;

use std::collections::BTreeMap;

pub use field_type::{CellType, FieldType, TensorType};
pub use platform::{Generation, tables as platform_tables};

/// All document types of a cluster.
#[derive(Debug, Clone)]
pub struct Schemas {
    types: BTreeMap<String, DocumentType>,
}

/// One document type.
#[derive(Debug, Clone)]
pub struct DocumentType {
    /// Its name, such as `web_entity`.
    pub name: String,
    /// Its fields, those it inherits included.
    pub fields: BTreeMap<String, Field>,
}

/// One field.
#[derive(Debug, Clone)]
pub struct Field {
    /// Its type.
    pub field_type: FieldType,
    /// How it can be searched.
    pub indexing: Indexing,
}

/// How a field can be searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Indexing {
    /// Values are matched as a whole, without regard to case.
    Attribute,
    /// Texts are cut into words.
    Index,
    /// Not at all.
    SummaryOnly,
}

/// A field in the notation of tables: name, type, indexing.
pub type FieldRow = (&'static str, &'static str, Indexing);

impl Schemas {
    /// The platform's five types.
    #[must_use]
    pub fn platform(generation: Generation, dimensions: u32) -> Self {
        let mut schemas = Self { types: BTreeMap::new() };
        for (name, rows) in platform::tables(generation) {
            schemas.add(name, &rows, dimensions);
        }
        schemas
    }

    /// Adds a type. `DIM` in a tensor type stands for `dimensions`.
    ///
    /// # Panics
    /// When a row names a type that this server does not know.
    pub fn add(&mut self, name: &str, rows: &[FieldRow], dimensions: u32) {
        let field = |(name, kind, indexing): &FieldRow| {
            let kind = kind.replace("DIM", &dimensions.to_string());
            let field_type = FieldType::parse(&kind).unwrap_or_else(|| panic!("{kind} of {name} is not modelled"));
            ((*name).to_owned(), Field { field_type, indexing: *indexing })
        };
        let fields = rows.iter().map(field).collect();
        self.types.insert(name.to_owned(), DocumentType { name: name.to_owned(), fields });
    }

    /// The type of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&DocumentType> {
        self.types.get(name)
    }

    /// Names of all types.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.types.keys().map(String::as_str)
    }
}
