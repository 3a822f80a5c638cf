//! The entity classes of the platform: what a raw store does not say about itself.
//!
//! The built-in catalogue was exported from the classes' own JSON schemas, in two generations of the platform; where
//! both know a class the newer one counts. Its asset is JSON with one class a line: `base` holds the fields of each
//! kind's base class, `classes` per module and class the kind followed by the fields that differ from the base or are
//! added to it, in the notation of [`FieldInfo`] (name, space, letters).

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use crate::json::{self, Value};

use super::{EntityKind, FieldInfo};

/// A catalogue that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    /// No JSON.
    #[error("the entity catalogue is no JSON")]
    Json(#[from] json::ParseError),
    /// Not of the documented shape.
    #[error("the entity catalogue is wrong at {0}")]
    Shape(String),
}

/// A class of entities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassInfo {
    /// Python module, such as `airweave.platform.entities.slack`.
    pub module: Box<str>,
    /// Name, such as `SlackMessageEntity`.
    pub name: Box<str>,
    /// Which base class it derives from.
    pub kind: EntityKind,
    fields: Vec<FieldInfo>,
    positions: HashMap<Box<str>, usize>,
}

impl ClassInfo {
    fn new(module: &str, name: &str, kind: EntityKind, fields: Vec<FieldInfo>) -> Self {
        let positions = fields.iter().enumerate().map(|(at, field)| (field.name.clone(), at)).collect();
        Self { module: module.into(), name: name.into(), kind, fields, positions }
    }

    /// The fields in model order; computed ones are not among them.
    #[must_use]
    pub fn fields(&self) -> &[FieldInfo] {
        &self.fields
    }

    /// A field and its place in model order.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<(usize, &FieldInfo)> {
        self.positions.get(name).map(|at| (*at, &self.fields[*at]))
    }
}

/// Entity classes by module and name.
#[derive(Debug, Default)]
pub struct Catalog {
    /// All classes of a name; nearly always one.
    by_name: HashMap<Box<str>, Vec<Arc<ClassInfo>>>,
}

impl Catalog {
    /// The classes of the reference platform.
    #[must_use]
    pub fn builtin() -> &'static Self {
        static BUILTIN: LazyLock<Catalog> = LazyLock::new(|| {
            Catalog::parse(include_bytes!("../../assets/entity_catalog.json"))
                .expect("the asset is part of the program and read by a test")
        });
        &BUILTIN
    }

    /// Reads a catalogue.
    ///
    /// # Errors
    /// [`CatalogError`] when it is no JSON or not of the documented shape.
    pub fn parse(bytes: &[u8]) -> Result<Self, CatalogError> {
        let catalog = json::parse(bytes)?;
        if catalog.get("format").and_then(Value::as_i64) != Some(1) {
            return Err(shape("format"));
        }
        let base_module = catalog.get("base_module").and_then(Value::as_str).ok_or_else(|| shape("base_module"))?;
        let mut parsed = Self::default();
        let mut bases = HashMap::new();
        for (name, fields) in entries(catalog.get("base"), "base")? {
            let kind = EntityKind::from_base_class(name).ok_or_else(|| shape(name))?;
            let fields = merge(&[], fields.as_array().ok_or_else(|| shape(name))?)?;
            parsed.insert(ClassInfo::new(base_module, name, kind, fields.clone()));
            bases.insert(name, fields);
        }
        for (module, classes) in entries(catalog.get("classes"), "classes")? {
            for (name, class) in entries(Some(classes), module)? {
                let (base, own) = class.as_array().and_then(<[Value]>::split_first).ok_or_else(|| shape(name))?;
                let base = base.as_str().ok_or_else(|| shape(name))?;
                let kind = EntityKind::from_base_class(base).ok_or_else(|| shape(name))?;
                let inherited = bases.get(base).ok_or_else(|| shape(name))?;
                parsed.insert(ClassInfo::new(module, name, kind, merge(inherited, own)?));
            }
        }
        Ok(parsed)
    }

    /// The class, by module and name, or by name alone when its module is not known (modules get moved) and only one
    /// class has that name.
    #[must_use]
    pub fn find(&self, module: &str, name: &str) -> Option<&Arc<ClassInfo>> {
        let candidates = self.by_name.get(name)?;
        match candidates.as_slice() {
            [only] => Some(only),
            several => several.iter().find(|class| &*class.module == module),
        }
    }

    /// How many classes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_name.values().map(Vec::len).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    fn insert(&mut self, class: ClassInfo) {
        self.by_name.entry(class.name.clone()).or_default().push(Arc::new(class));
    }
}

/// The fields of a class: the inherited ones, redefined in place where the class does so, then its own.
fn merge(inherited: &[FieldInfo], own: &[Value]) -> Result<Vec<FieldInfo>, CatalogError> {
    let mut fields = inherited.to_vec();
    for notation in own {
        let notation = notation.as_str().ok_or_else(|| shape("a field that is no string"))?;
        let field = FieldInfo::parse(notation).ok_or_else(|| shape(notation))?;
        match fields.iter_mut().find(|other| other.name == field.name) {
            Some(other) => *other = field,
            None => fields.push(field),
        }
    }
    Ok(fields)
}

fn entries<'a>(value: Option<&'a Value>, place: &str) -> Result<Vec<(&'a str, &'a Value)>, CatalogError> {
    let object = value.and_then(Value::as_object).ok_or_else(|| shape(place))?;
    object.iter().map(|(key, value)| key.as_str().map(|key| (key, value)).ok_or_else(|| shape(place))).collect()
}

fn shape(place: &str) -> CatalogError {
    CatalogError::Shape(place.to_owned())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::text::FieldType;

    const BASE: &str = r#""format":1,"base_module":"base","base":{"BaseEntity":["entity_id","name","created_at d"]}"#;

    #[test]
    fn the_builtin_catalogue_is_complete() {
        let catalog = Catalog::builtin();
        // 265 classes of the newer generation, 3 only the older one has, 7 base classes.
        assert_eq!(catalog.len(), 275);
        let slack = catalog.find("airweave.platform.entities.slack", "SlackMessageEntity").unwrap();
        assert_eq!(slack.kind, EntityKind::Base);
        assert_eq!(slack.field("message_time").unwrap().1.field_type, FieldType::DateTime);
        assert!(slack.field("text").unwrap().1.embeddable);
        assert!(slack.field("ts").unwrap().1.is_entity_id);
        assert!(slack.field("web_url").is_none(), "computed");
        for class in catalog.by_name.values().flatten() {
            let sources = |is: fn(&FieldInfo) -> bool| class.fields().iter().filter(|field| is(field)).count();
            assert!(sources(|field| field.is_entity_id) <= 1 && sources(|field| field.is_name) <= 1, "{}", class.name);
            assert_eq!(class.field("name").unwrap().0, 2, "{}", class.name);
        }
        assert!(catalog.find("airweave.platform.entities.excel", "ExcelTableEntity").is_some(), "older generation");
    }

    #[test]
    fn a_redefined_field_keeps_its_place() {
        let text = format!(r#"{{{BASE},"classes":{{"m":{{"C":["BaseEntity","own e","name eN"]}}}}}}"#);
        let catalog = Catalog::parse(text.as_bytes()).unwrap();
        let class = catalog.find("m", "C").unwrap();
        let names: Vec<_> = class.fields().iter().map(|field| &*field.name).collect();
        assert_eq!(names, ["entity_id", "name", "created_at", "own"]);
        assert!(class.field("name").unwrap().1.is_name);
    }

    #[test]
    fn a_moved_class_is_found_unless_its_name_is_ambiguous() {
        let text = format!(
            r#"{{{BASE},"classes":{{"one":{{"A":["BaseEntity"],"B":["BaseEntity"]}},"two":{{"B":["BaseEntity"]}}}}}}"#
        );
        let catalog = Catalog::parse(text.as_bytes()).unwrap();
        assert_eq!(&*catalog.find("elsewhere", "A").unwrap().module, "one");
        assert_eq!(&*catalog.find("two", "B").unwrap().module, "two");
        assert!(catalog.find("elsewhere", "B").is_none());
        assert!(catalog.find("one", "C").is_none());
    }

    #[rstest]
    #[case("{", "the entity catalogue is no JSON")]
    #[case("{}", "the entity catalogue is wrong at format")]
    #[case(r#"{"format":1}"#, "the entity catalogue is wrong at base_module")]
    #[case(r#"{"format":1,"base_module":"b","base":{"Odd":[]}}"#, "the entity catalogue is wrong at Odd")]
    #[case(r#"{"format":1,"base_module":"b","base":{}}"#, "the entity catalogue is wrong at classes")]
    #[case(
        r#"{"format":1,"base_module":"b","base":{},"classes":{"m":{"C":["BaseEntity"]}}}"#,
        "the entity catalogue is wrong at C"
    )]
    #[case(r#"{"format":1,"base_module":"b","base":{"BaseEntity":["a ?"]}}"#, "the entity catalogue is wrong at a ?")]
    fn a_broken_catalogue_is_refused(#[case] text: &str, #[case] message: &str) {
        assert_eq!(Catalog::parse(text.as_bytes()).unwrap_err().to_string(), message);
    }
}
