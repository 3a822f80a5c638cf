//! The layout of a slot, validated: nothing else in this folder sees an unchecked setting.
//!
//! What a layout leaves out is as the platform does it: its shared collection for vectors of this length, one graph per
//! tenant and none over all, `int8` quantisation, everything large on disk.

use proto::v1::{self, qdrant_layout};

use crate::error::{Error, ErrorKind, Result};

/// Most dimensions of a dense vector (Qdrant API reference, `VectorParams.size`).
const MAX_DIMENSIONS: u32 = 65_536;

/// Longest name of a collection or an alias, in bytes (Qdrant documentation, "Collections").
const MAX_NAME_BYTES: usize = 255;

/// Longest name of a vector: it becomes part of a file name.
const MAX_VECTOR_NAME_BYTES: usize = 200;

/// Most links per node. A limit of ours: with more, a graph outgrows its vectors.
const MAX_LINKS: u32 = 1_000;

/// Most candidates while a graph is built. A limit of ours.
const MAX_EF_CONSTRUCT: u32 = 10_000;

/// Most shards of a collection that is made. A limit of ours; a few per machine are usual.
const MAX_SHARDS: u32 = 1_000;

/// How the names of the platform's collections begin.
const PLATFORM_PREFIX: &str = "airweave_";

/// Name of the sparse vector when the layout names none.
pub(crate) const DEFAULT_SPARSE_VECTOR: &str = "bm25";

/// Parameters of the graphs when the layout says nothing: links per node over all points, links per node per tenant,
/// and candidates while building.
pub(crate) const DEFAULT_HNSW: (u32, u32, u32) = (0, 16, 100);

/// How two dense vectors are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distance {
    /// Cosine of the angle. Qdrant stores such vectors with length one.
    Cosine,
    /// Euclidean.
    Euclid,
    /// Inner product.
    Dot,
    /// Sum of absolute differences.
    Manhattan,
}

impl Distance {
    /// Turns what a query answers into a score where higher is better: distances are negated.
    pub(super) fn score(self, answer: f32) -> f64 {
        match self {
            Self::Cosine | Self::Dot => f64::from(answer),
            Self::Euclid | Self::Manhattan => -f64::from(answer),
        }
    }
}

/// What dense vectors are compressed to beside the originals, for searching.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantization {
    /// One byte per dimension, quantile 0.99, in memory.
    Int8,
    /// One bit per dimension, in memory.
    Binary,
    /// Nothing.
    None,
}

/// Parameters of the graphs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HnswSettings {
    /// Links per node of the graph over all points; 0 makes none.
    pub(super) m: u32,
    /// Links per node of the graphs per tenant; 0 makes none.
    pub(super) payload_m: u32,
    /// Candidates kept while building.
    pub(super) ef_construct: u32,
}

/// A valid layout of a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QdrantSettings {
    /// Length of every dense vector.
    pub(super) dimensions: u32,
    /// The physical collection.
    pub(super) collection: String,
    /// Whether the collection is the operator's own, and not one that the platform shares among its tenants.
    pub(super) own: bool,
    /// Name of the dense vector; empty is Qdrant's unnamed one.
    pub(super) dense: String,
    /// Name of the sparse vector.
    pub(super) sparse: String,
    /// How dense vectors are compared.
    pub(super) distance: Distance,
    /// The graphs.
    pub(super) hnsw: HnswSettings,
    /// Compressed copies of the dense vectors.
    pub(super) quantization: Quantization,
    /// Whether dense vectors are read from disk.
    pub(super) vectors_on_disk: bool,
    /// Whether payloads are read from disk.
    pub(super) payload_on_disk: bool,
    /// Shards, unless that is left to the server.
    pub(super) shards: Option<u32>,
    /// The alias that follows the active slot.
    pub(super) alias: Option<String>,
}

impl QdrantSettings {
    /// Reads the layout of a profile whose embedder answers with `dimensions` values; what is left out has the defaults
    /// that `qdrant_layout.proto` documents.
    ///
    /// # Errors
    /// `InvalidInput` naming the field that is out of range.
    pub fn from_layout(layout: &v1::QdrantLayout, dimensions: u32) -> Result<Self> {
        if !(1..=MAX_DIMENSIONS).contains(&dimensions) {
            return Err(invalid("dimensions", format!("{dimensions} is not in 1 to {MAX_DIMENSIONS}")));
        }
        let collection = collection(layout, dimensions)?;
        let dense = vector_name("dense_vector", &layout.dense_vector)?;
        let sparse = match vector_name("sparse_vector", &layout.sparse_vector)? {
            name if name.is_empty() => DEFAULT_SPARSE_VECTOR.to_owned(),
            name => name,
        };
        if dense == sparse {
            return Err(invalid("dense_vector", format!("{dense:?} is the name of the sparse vector too")));
        }
        let alias = (!layout.alias.is_empty()).then(|| layout.alias.clone());
        if let Some(alias) = &alias {
            check_name("alias", alias)?;
            if *alias == collection {
                return Err(invalid("alias", "an alias cannot have the name of its collection"));
            }
        }
        if layout.shards > MAX_SHARDS {
            return Err(invalid("shards", format!("{} is more than {MAX_SHARDS}", layout.shards)));
        }
        Ok(Self {
            dimensions,
            own: !collection.starts_with(PLATFORM_PREFIX),
            collection,
            dense,
            sparse,
            distance: distance(layout)?,
            hnsw: hnsw(layout.hnsw.unwrap_or_default())?,
            quantization: quantization(layout)?,
            vectors_on_disk: layout.vectors_on_disk.unwrap_or(true),
            payload_on_disk: layout.payload_on_disk.unwrap_or(true),
            shards: (layout.shards > 0).then_some(layout.shards),
            alias,
        })
    }

    /// Length of every dense vector.
    #[must_use]
    pub fn dimensions(&self) -> u32 {
        self.dimensions
    }

    /// The physical collection.
    #[must_use]
    pub fn collection(&self) -> &str {
        &self.collection
    }
}

/// The physical collection: the one that is named, or the platform's for vectors of this length.
fn collection(layout: &v1::QdrantLayout, dimensions: u32) -> Result<String> {
    use qdrant_layout::SharedNames;
    let shared_names = SharedNames::try_from(layout.shared_names)
        .map_err(|_| invalid("shared_names", format!("{} is not a known way of naming", layout.shared_names)))?;
    if !layout.collection.is_empty() {
        check_name("collection", &layout.collection)?;
        return Ok(layout.collection.clone());
    }
    match (shared_names, dimensions) {
        (SharedNames::Unspecified | SharedNames::ByLength, _) => Ok(format!("airweave_vectors_{dimensions}")),
        (SharedNames::ByModel, 3_072) => Ok("airweave_shared_text_embedding_3_large".to_owned()),
        (SharedNames::ByModel, 1_536) => Ok("airweave_shared_text_embedding_3_small".to_owned()),
        (SharedNames::ByModel, 384) => Ok("airweave_shared_minilm_l6_v2".to_owned()),
        (SharedNames::ByModel, _) => Err(invalid(
            "shared_names",
            format!(
                "no model of the platform has vectors of length {dimensions}, only 384, 1536 and 3072; name a \
                 collection, or name shared ones by length"
            ),
        )),
    }
}

fn distance(layout: &v1::QdrantLayout) -> Result<Distance> {
    use qdrant_layout::Distance as Wire;
    match Wire::try_from(layout.distance) {
        Ok(Wire::Unspecified | Wire::Cosine) => Ok(Distance::Cosine),
        Ok(Wire::Euclid) => Ok(Distance::Euclid),
        Ok(Wire::Dot) => Ok(Distance::Dot),
        Ok(Wire::Manhattan) => Ok(Distance::Manhattan),
        Err(_) => Err(invalid("distance", format!("{} is not a known distance", layout.distance))),
    }
}

fn quantization(layout: &v1::QdrantLayout) -> Result<Quantization> {
    use qdrant_layout::Quantization as Wire;
    match Wire::try_from(layout.quantization) {
        Ok(Wire::Unspecified | Wire::Int8) => Ok(Quantization::Int8),
        Ok(Wire::Binary) => Ok(Quantization::Binary),
        Ok(Wire::None) => Ok(Quantization::None),
        Err(_) => Err(invalid("quantization", format!("{} is not a known quantisation", layout.quantization))),
    }
}

fn hnsw(hnsw: v1::QdrantHnsw) -> Result<HnswSettings> {
    let (m, payload_m, ef_construct) = DEFAULT_HNSW;
    let settings = HnswSettings {
        m: hnsw.m.unwrap_or(m),
        payload_m: hnsw.payload_m.unwrap_or(payload_m),
        ef_construct: hnsw.ef_construct.unwrap_or(ef_construct),
    };
    for (field, links) in [("hnsw.m", settings.m), ("hnsw.payload_m", settings.payload_m)] {
        if links > MAX_LINKS {
            return Err(invalid(field, format!("{links} is not in 0 to {MAX_LINKS}")));
        }
    }
    // The lower bound is the server's (Qdrant API reference, `HnswConfig.ef_construct`).
    if !(4..=MAX_EF_CONSTRUCT).contains(&settings.ef_construct) {
        let problem = format!("{} is not in 4 to {MAX_EF_CONSTRUCT}", settings.ef_construct);
        return Err(invalid("hnsw.ef_construct", problem));
    }
    Ok(settings)
}

fn vector_name(field: &str, name: &str) -> Result<String> {
    if name.len() > MAX_VECTOR_NAME_BYTES {
        return Err(invalid(field, format!("the name has more than {MAX_VECTOR_NAME_BYTES} bytes")));
    }
    check_characters(field, name)?;
    Ok(name.to_owned())
}

fn check_name(field: &str, name: &str) -> Result<()> {
    if name.len() > MAX_NAME_BYTES {
        return Err(invalid(field, format!("the name has more than {MAX_NAME_BYTES} bytes")));
    }
    if name == "." || name == ".." {
        return Err(invalid(field, "the name would be a directory's own or its parent's"));
    }
    check_characters(field, name)
}

/// Qdrant makes directories of these names, and refuses what some file system does not take.
fn check_characters(field: &str, name: &str) -> Result<()> {
    let forbidden = |character: char| character.is_control() || r#"<>:"/\|?*"#.contains(character);
    match name.chars().find(|character| forbidden(*character)) {
        Some(character) => Err(invalid(field, format!("Qdrant takes no {character:?} in a name"))),
        None => Ok(()),
    }
}

fn invalid(field: &str, problem: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("qdrant layout, {field}: {problem}"))
}

#[cfg(test)]
mod tests;
