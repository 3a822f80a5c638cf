//! An entity as the raw store holds it.

use crate::json::{Object, PyString, Value};

use super::{Catalog, ClassInfo, EntityKind, FieldInfo, FieldType, python_str};

/// Why a JSON value is no entity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// It is no object.
    #[error("an entity must be a JSON object")]
    NotAnObject,
    /// A key that every entity has is missing or empty.
    #[error("the entity has no {0}")]
    Missing(&'static str),
    /// The value of a key that must be text is something else, or holds lone surrogates.
    #[error("{0} of the entity must be a string of valid Unicode")]
    NotText(&'static str),
}

/// An entity: identity, class, and every stored field.
///
/// The keys the raw store adds (`__entity_class__`, `__entity_module__`, `__captured_at__`, `__stored_file__`) and
/// `airweave_system_metadata` are kept apart from the fields. `textual_representation` is emptied: it belongs to chunks,
/// and what some stores hold there is a half-built text.
#[derive(Debug, Clone)]
pub struct Entity {
    class: String,
    module: String,
    kind: EntityKind,
    known_class: bool,
    entity_id: String,
    name: String,
    captured_at: Option<String>,
    stored_file: Option<String>,
    system_metadata: Option<Object>,
    /// Where in `fields` the system metadata belongs.
    pub(super) system_metadata_at: usize,
    pub(super) fields: Vec<Field>,
}

/// A stored field with what the catalogue says about it.
#[derive(Debug, Clone)]
pub(super) struct Field {
    pub(super) key: PyString,
    pub(super) value: Value,
    pub(super) field_type: FieldType,
    pub(super) unhashable: bool,
    /// Place among the embeddable fields, if it is one.
    pub(super) embeddable_at: Option<usize>,
}

impl Entity {
    /// Takes a stored entity apart.
    ///
    /// Of a class the catalogue knows, values are read as the platform's validation reads them (see
    /// [`FieldType::validated`]), and an empty `entity_id`, `name`, `created_at` or `updated_at` is filled from the
    /// field marked as its source. Fields the class does not have are kept: another version of the platform wrote them.
    ///
    /// Of an unknown class (see [`Entity::is_known_class`]) the kind is guessed from its fields and every text, number
    /// and boolean outside the base classes' fields is embeddable, in stored order. Its hash then differs from the
    /// platform's where the class has unhashable fields or date-times besides `created_at` and `updated_at`.
    ///
    /// # Errors
    /// [`TextError`] when it is no object, or class, module or id are missing or no valid Unicode.
    pub fn from_value(value: Value, catalog: &Catalog) -> Result<Self, TextError> {
        let Value::Object(object) = value else { return Err(TextError::NotAnObject) };
        let class = required_text(&object, "__entity_class__")?;
        let module = required_text(&object, "__entity_module__")?;
        let captured_at = optional_text(&object, "__captured_at__")?;
        let stored_file = optional_text(&object, "__stored_file__")?;
        let info = catalog.find(&module, &class);
        let kind = info.map_or_else(|| EntityKind::guess(&object), |info| info.kind);

        let mut entity = Self {
            class,
            module,
            kind,
            known_class: info.is_some(),
            entity_id: String::new(),
            name: String::new(),
            captured_at,
            stored_file,
            system_metadata: None,
            system_metadata_at: 0,
            fields: Vec::with_capacity(object.len()),
        };
        let mut metadata_at = None;
        for (key, value) in object {
            match key.as_str() {
                Some("__entity_class__" | "__entity_module__" | "__captured_at__" | "__stored_file__") => {}
                Some("airweave_system_metadata") => {
                    metadata_at = Some(entity.fields.len());
                    if let Value::Object(metadata) = value {
                        entity.system_metadata = Some(metadata);
                    }
                }
                Some("textual_representation") => entity.fields.push(Field::plain(key, Value::Null)),
                _ => {
                    let field = match info {
                        Some(class) => Field::of_class(key, value, class),
                        None => Field::of_unknown(key, value, entity.fields.len()),
                    };
                    entity.fields.push(field);
                }
            }
        }
        entity.system_metadata_at = metadata_at.unwrap_or(entity.fields.len());
        if let Some(class) = info {
            entity.fill_base_fields(class);
        }
        entity.entity_id = match entity.field("entity_id") {
            None | Some(Value::Null) => return Err(TextError::Missing("entity_id")),
            Some(id) => id.as_str().ok_or(TextError::NotText("entity_id"))?.to_owned(),
        };
        if entity.entity_id.is_empty() {
            return Err(TextError::Missing("entity_id"));
        }
        let mut name = String::new();
        python_str::write_str(&mut name, entity.field("name").unwrap_or(&Value::Null));
        entity.name = name;
        Ok(entity)
    }

    /// The id the source gave it, unique within the sync.
    #[must_use]
    pub fn entity_id(&self) -> &str {
        &self.entity_id
    }

    /// Class name, such as `SlackMessageEntity`.
    #[must_use]
    pub fn class(&self) -> &str {
        &self.class
    }

    /// Python module of the class.
    #[must_use]
    pub fn module(&self) -> &str {
        &self.module
    }

    /// `str(name)`: `None` when there is no name, as the platform prints it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What kind of thing it is.
    #[must_use]
    pub fn kind(&self) -> EntityKind {
        self.kind
    }

    /// Whether the catalogue knows the class; if not, text and hash are the best that can be done without it.
    #[must_use]
    pub fn is_known_class(&self) -> bool {
        self.known_class
    }

    /// Storage path of the blob, as the raw store wrote it.
    #[must_use]
    pub fn stored_file(&self) -> Option<&str> {
        self.stored_file.as_deref()
    }

    /// When the raw store captured it, as written there.
    #[must_use]
    pub fn captured_at(&self) -> Option<&str> {
        self.captured_at.as_deref()
    }

    /// The content hash the platform computed at capture.
    #[must_use]
    pub fn stored_hash(&self) -> Option<&str> {
        self.system_metadata("hash")
    }

    /// The job that captured it.
    #[must_use]
    pub fn stored_sync_job_id(&self) -> Option<&str> {
        self.system_metadata("sync_job_id")
    }

    /// A stored field by name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Value> {
        self.fields.iter().find(|field| field.key == *name).map(|field| &field.value)
    }

    /// The stored fields in order.
    pub fn fields(&self) -> impl Iterator<Item = (&PyString, &Value)> {
        self.fields.iter().map(|field| (&field.key, &field.value))
    }

    /// Where the platform kept the file when it captured the entity. Its extension decides how the file is converted.
    #[must_use]
    pub fn local_path(&self) -> Option<&str> {
        self.field("local_path").and_then(Value::as_str)
    }

    /// Replaces `local_path`, as the platform's own replay does with the path it restored the blob to. The path is part
    /// of payload and keyword text, not of the hash. Left alone, both hold what a live sync would have written.
    pub fn set_local_path(&mut self, path: &str) {
        self.set_field("local_path", path.into());
    }

    fn system_metadata(&self, key: &str) -> Option<&str> {
        self.system_metadata.as_ref()?.get(key)?.as_str()
    }

    /// Copies the marked fields into the base fields that are empty, before anything is built from them.
    fn fill_base_fields(&mut self, class: &ClassInfo) {
        type Marked = fn(&FieldInfo) -> bool;
        let targets: [(&str, Marked); 4] = [
            ("entity_id", |field| field.is_entity_id),
            ("name", |field| field.is_name),
            ("created_at", |field| field.is_created_at),
            ("updated_at", |field| field.is_updated_at),
        ];
        for (target, is_source) in targets {
            if !self.field(target).is_none_or(is_empty) {
                continue;
            }
            let source = class.fields().iter().find(|field| is_source(field));
            let Some(value) = source.and_then(|source| self.field(&source.name)).filter(|value| !is_empty(value))
            else {
                continue;
            };
            let value = match (target, value) {
                ("created_at" | "updated_at", value) | (_, value @ Value::String(_)) => value.clone(),
                (_, other) => {
                    let mut text = String::new();
                    python_str::write_str(&mut text, other);
                    Value::String(text.into())
                }
            };
            self.set_field(target, value);
        }
    }

    fn set_field(&mut self, key: &str, value: Value) {
        match self.fields.iter_mut().find(|field| field.key == *key) {
            Some(field) => field.value = value,
            None => self.fields.push(Field::plain(key.into(), value)),
        }
    }
}

impl Field {
    fn plain(key: PyString, value: Value) -> Self {
        Self { key, value, field_type: FieldType::Plain, unhashable: false, embeddable_at: None }
    }

    fn of_class(key: PyString, value: Value, class: &ClassInfo) -> Self {
        match key.as_str().and_then(|name| class.field(name)) {
            None => Self::plain(key, value),
            Some((at, info)) => Self {
                key,
                value: info.field_type.validated(value),
                field_type: info.field_type,
                unhashable: info.unhashable,
                embeddable_at: info.embeddable.then_some(at),
            },
        }
    }

    fn of_unknown(key: PyString, value: Value, at: usize) -> Self {
        let (field_type, base) = match key.as_str() {
            Some("created_at" | "updated_at") => (FieldType::DateTime, true),
            Some("breadcrumbs" | "access") => (FieldType::Model, true),
            Some("entity_id" | "name" | "url" | "web_url" | "size" | "file_type" | "mime_type" | "local_path") => {
                (FieldType::Plain, true)
            }
            Some("crawl_url" | "deletion_status" | "table_name" | "schema_name") => (FieldType::Plain, true),
            _ => (FieldType::Plain, false),
        };
        let scalar = matches!(value, Value::String(_) | Value::Bool(_) | Value::Int(_) | Value::Float(_));
        Self {
            key,
            value: field_type.validated(value),
            field_type,
            unhashable: false,
            embeddable_at: (scalar && !base).then_some(at),
        }
    }
}

/// What the platform takes for "not set" when it fills the base fields.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

fn required_text(object: &Object, key: &'static str) -> Result<String, TextError> {
    match optional_text(object, key)? {
        Some(text) if !text.is_empty() => Ok(text),
        _ => Err(TextError::Missing(key)),
    }
}

fn optional_text(object: &Object, key: &'static str) -> Result<Option<String>, TextError> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_str().map(|text| Some(text.to_owned())).ok_or(TextError::NotText(key)),
    }
}

#[cfg(test)]
mod tests;
