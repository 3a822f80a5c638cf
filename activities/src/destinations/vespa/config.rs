//! Settings of a slot: the layout of its profile, checked.

use proto::v1::vespa_field::{Type, Value as Source};
use proto::v1::vespa_layout::{Documents, Ids, Package};
use proto::v1::{VespaLayout, VespaRankProfiles};

use super::document_id::IdScheme;
use super::mapping::Mapping;
use super::schema::DocumentType;
use crate::error::{Error, ErrorKind, Result};

/// What a document is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grain {
    /// An entity; Vespa chunks and embeds.
    Entity,
    /// A chunk of one.
    Chunk,
}

/// The fields that deleting, counting and verifying need, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FieldNames {
    pub(super) entity_id: String,
    /// `None` where entities are documents.
    pub(super) chunk_index: Option<String>,
    pub(super) content_hash: String,
    pub(super) collection_id: String,
    pub(super) sync_id: String,
    pub(super) text: String,
    /// `None` where Vespa embeds.
    pub(super) dense: Option<String>,
}

/// Which fields there are.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Shape {
    /// Those of the platform's application packages.
    Platform(Grain, FieldNames),
    /// Those of a mapping.
    Custom(Mapping),
}

impl Shape {
    fn platform(grain: Grain) -> Self {
        let metadata = |name: &str| format!("airweave_system_metadata_{name}");
        let is_chunk = grain == Grain::Chunk;
        let names = FieldNames {
            entity_id: metadata("original_entity_id"),
            chunk_index: is_chunk.then(|| metadata("chunk_index")),
            content_hash: metadata("hash"),
            collection_id: metadata("collection_id"),
            sync_id: metadata("sync_id"),
            text: "textual_representation".to_owned(),
            dense: is_chunk.then(|| "dense_embedding".to_owned()),
        };
        Self::Platform(grain, names)
    }

    /// What a document is made of.
    pub(super) fn grain(&self) -> Grain {
        match self {
            Self::Platform(grain, _) => *grain,
            Self::Custom(mapping) => mapping.grain,
        }
    }

    /// The fields that everything but writing needs.
    pub(super) fn names(&self) -> &FieldNames {
        match self {
            Self::Platform(_, names) => names,
            Self::Custom(mapping) => &mapping.names,
        }
    }

    /// The document types of a slot.
    pub(super) fn document_types(&self) -> Vec<&str> {
        match self {
            Self::Platform(..) => DocumentType::ALL.map(DocumentType::name).to_vec(),
            Self::Custom(mapping) => vec![&mapping.document_type],
        }
    }
}

/// Settings of a slot.
#[derive(Debug, Clone, PartialEq)]
pub struct VespaSettings {
    pub(super) shape: Shape,
    pub(super) ids: IdScheme,
    pub(super) cluster: String,
    pub(super) namespace: String,
    /// Length of dense vectors; 0 where Vespa embeds.
    pub(super) dimensions: u32,
    pub(super) ranks: VespaRankProfiles,
}

impl VespaSettings {
    /// Reads a layout, with defaults for what it leaves out. `dimensions` is what the embedder makes.
    ///
    /// # Errors
    /// `InvalidInput` naming the field.
    pub fn from_layout(layout: &VespaLayout, dimensions: u32) -> Result<Self> {
        let mut layout = layout.clone();
        complete(&mut layout);
        let shape = match layout.documents() {
            Documents::Unspecified => {
                return Err(invalid(
                    "documents is missing; it decides who embeds: DOCUMENTS_RAW_ENTITY, DOCUMENTS_CHUNK or DOCUMENTS_CUSTOM",
                ));
            }
            Documents::RawEntity => Shape::platform(Grain::Entity),
            Documents::Chunk => Shape::platform(Grain::Chunk),
            Documents::Custom => {
                let mapping = layout.mapping.as_ref().ok_or_else(|| invalid("mapping is missing"))?;
                Shape::Custom(Mapping::new(mapping).map_err(|problem| invalid(&problem))?)
            }
        };
        if layout.documents() != Documents::Custom && layout.mapping.is_some() {
            return Err(invalid("mapping is only for DOCUMENTS_CUSTOM"));
        }
        if layout.documents() != Documents::Chunk && layout.package() != Package::Unspecified {
            return Err(invalid("package is only for DOCUMENTS_CHUNK"));
        }
        let ids = match layout.ids() {
            Ids::Unspecified | Ids::Platform => IdScheme::Platform,
            Ids::Scoped => IdScheme::Scoped,
        };
        for (field, name) in [("cluster", &layout.cluster), ("namespace", &layout.namespace)] {
            if !is_label(name) {
                return Err(invalid(&format!("{field} is not a name of letters, digits, '_', '-' and '.'")));
            }
        }
        let ranks = layout.rank_profiles.unwrap_or_default();
        for (field, name) in [
            ("semantic", &ranks.semantic),
            ("keyword", &ranks.keyword),
            ("hybrid", &ranks.hybrid),
            ("sparse_input", &ranks.sparse_input),
        ] {
            if !name.is_empty() && !is_label(name) {
                return Err(invalid(&format!(
                    "rank_profiles.{field} is not a name of letters, digits, '_', '-' and '.'"
                )));
            }
        }
        let dimensions = match shape.grain() {
            Grain::Entity => 0,
            Grain::Chunk if dimensions == 0 => return Err(invalid("dense vectors have no length")),
            Grain::Chunk => dimensions,
        };
        Ok(Self { shape, ids, cluster: layout.cluster, namespace: layout.namespace, dimensions, ranks })
    }
}

/// Writes the defaults of a layout out, so that equal layouts are equal messages.
pub(crate) fn complete(layout: &mut VespaLayout) {
    if layout.ids() == Ids::Unspecified {
        layout.set_ids(Ids::Platform);
    }
    for name in [&mut layout.cluster, &mut layout.namespace] {
        if name.is_empty() {
            "airweave".clone_into(name);
        }
    }
    if layout.documents() == Documents::Chunk && layout.package() == Package::Unspecified {
        layout.set_package(Package::Current);
    }
    let [semantic, keyword, hybrid, sparse_input] = match (layout.documents(), layout.package()) {
        // The package in which Vespa embeds has this one only.
        (Documents::RawEntity, _) => ["hybrid-rrf", "hybrid-rrf", "hybrid-rrf", ""],
        (Documents::Chunk, Package::January2026) => ["semantic-only", "keyword-only", "hybrid-rrf", ""],
        (Documents::Chunk, Package::Own) => ["semantic", "keyword", "hybrid", ""],
        (Documents::Chunk, _) => ["semantic", "keyword", "hybrid", "q_sparse"],
        (Documents::Custom | Documents::Unspecified, _) => [""; 4],
    };
    let ranks = layout.rank_profiles.get_or_insert_default();
    for (name, default) in [
        (&mut ranks.semantic, semantic),
        (&mut ranks.keyword, keyword),
        (&mut ranks.hybrid, hybrid),
        (&mut ranks.sparse_input, sparse_input),
    ] {
        if name.is_empty() {
            default.clone_into(name);
        }
    }
    if let Some(mapping) = &mut layout.mapping {
        mapping.fields.sort_by(|left, right| left.name.cmp(&right.name));
        for field in &mut mapping.fields {
            if matches!(field.value, Some(Source::EntityField(_))) && field.r#type() == Type::Unspecified {
                field.set_type(Type::String);
            }
        }
    }
}

/// Whether it can name a document type or a field.
pub(super) fn is_name(name: &str) -> bool {
    name.len() <= 255
        && name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|character| character.is_ascii_alphanumeric() || character == '_')
}

/// Whether it can name a cluster, a namespace or a rank profile.
fn is_label(name: &str) -> bool {
    (1..=255).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '_')
        && name.chars().all(|character| character.is_ascii_alphanumeric() || matches!(character, '_' | '-' | '.'))
}

fn invalid(problem: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("profile.vespa.{problem}"))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn layout(documents: Documents) -> VespaLayout {
        VespaLayout { documents: documents.into(), ..VespaLayout::default() }
    }

    #[test]
    fn an_empty_layout_is_the_platforms() {
        let settings = VespaSettings::from_layout(&layout(Documents::Chunk), 8).unwrap();
        assert_eq!((settings.cluster.as_str(), settings.namespace.as_str()), ("airweave", "airweave"));
        assert_eq!((settings.ids, settings.dimensions), (IdScheme::Platform, 8));
        assert_eq!(settings.ranks.hybrid, "hybrid");
        assert_eq!(settings.shape.document_types().len(), 5);
        let raw = VespaSettings::from_layout(&layout(Documents::RawEntity), 8).unwrap();
        assert_eq!((raw.dimensions, raw.ranks.semantic.as_str()), (0, "hybrid-rrf"));
        assert_eq!((raw.shape.names().dense.as_ref(), raw.shape.names().chunk_index.as_ref()), (None, None));
    }

    #[test]
    fn packages_decide_the_rank_profiles_unless_they_are_named() {
        let mut january = layout(Documents::Chunk);
        january.set_package(Package::January2026);
        january.rank_profiles = Some(VespaRankProfiles { keyword: "mine".into(), ..VespaRankProfiles::default() });
        let ranks = VespaSettings::from_layout(&january, 8).unwrap().ranks;
        assert_eq!([&*ranks.semantic, &*ranks.keyword, &*ranks.hybrid], ["semantic-only", "mine", "hybrid-rrf"]);
    }

    #[rstest]
    #[case(|l: &mut VespaLayout| l.documents = 0, "documents is missing")]
    #[case(|l: &mut VespaLayout| l.documents = 3, "mapping is missing")]
    #[case(|l: &mut VespaLayout| l.mapping = Some(proto::v1::VespaMapping::default()), "mapping is only for")]
    #[case(|l: &mut VespaLayout| { l.documents = 1; l.package = 1; }, "package is only for")]
    #[case(|l: &mut VespaLayout| l.namespace = "a:b".into(), "namespace is not a name")]
    #[case(|l: &mut VespaLayout| l.namespace = "..".into(), "namespace is not a name")]
    #[case(|l: &mut VespaLayout| l.cluster = "a/b".into(), "cluster is not a name")]
    #[case(|l: &mut VespaLayout| l.rank_profiles = Some(VespaRankProfiles { keyword: "a b".into(), ..VespaRankProfiles::default() }), "rank_profiles.keyword")]
    fn what_is_wrong_is_named(#[case] spoil: fn(&mut VespaLayout), #[case] words: &str) {
        let mut layout = layout(Documents::Chunk);
        spoil(&mut layout);
        let error = VespaSettings::from_layout(&layout, 8).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.message().starts_with("profile.vespa.") && error.message().contains(words), "{error}");
    }
}
