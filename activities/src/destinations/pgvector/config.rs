//! The layout of a slot, validated: nothing else in this folder sees an unchecked setting.

use proto::v1::{self, pgvector_layout};
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};

/// Most dimensions a column of either type can have (pgvector README, "vector type" and "halfvec type").
const MAX_DIMENSIONS: u32 = 16_000;

/// How dense vectors are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VectorType {
    /// Four bytes per dimension.
    Vector,
    /// Two bytes per dimension: IEEE 754 binary16, about three decimal digits, up to 65,504.
    Halfvec,
}

impl VectorType {
    /// The name of the type in SQL.
    pub(super) const fn sql(self) -> &'static str {
        match self {
            Self::Vector => "vector",
            Self::Halfvec => "halfvec",
        }
    }

    /// Most dimensions an HNSW index takes (pgvector README, "HNSW").
    const fn max_indexed_dimensions(self) -> u32 {
        match self {
            Self::Vector => 2_000,
            Self::Halfvec => 4_000,
        }
    }
}

/// How two dense vectors are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Distance {
    /// One minus the cosine of the angle.
    Cosine,
    /// Euclidean.
    L2,
    /// Inner product; greater is nearer.
    InnerProduct,
}

impl Distance {
    /// The operator that orders by nearness, ascending.
    pub(super) const fn operator(self) -> &'static str {
        match self {
            Self::Cosine => "<=>",
            Self::L2 => "<->",
            Self::InnerProduct => "<#>",
        }
    }

    /// The operator class of an index that serves [`Self::operator`].
    pub(super) fn operator_class(self, vector_type: VectorType) -> String {
        let metric = match self {
            Self::Cosine => "cosine",
            Self::L2 => "l2",
            Self::InnerProduct => "ip",
        };
        format!("{}_{metric}_ops", vector_type.sql())
    }

    /// Turns what the operator answers into a score where higher is better: the cosine, the negative Euclidean
    /// distance, or the inner product (which `<#>` answers negated).
    pub(super) fn score(self, distance: f64) -> f64 {
        match self {
            Self::Cosine => 1.0 - distance,
            Self::L2 | Self::InnerProduct => -distance,
        }
    }
}

/// Parameters of an HNSW index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HnswSettings {
    /// Links per node.
    pub(super) m: u32,
    /// Candidates kept while building.
    pub(super) ef_construction: u32,
}

/// A valid layout of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PgvectorSettings {
    /// Type of the dense column.
    pub(super) vector_type: VectorType,
    /// Length of every dense vector.
    pub(super) dimensions: u32,
    /// How they are compared.
    pub(super) distance: Distance,
    /// The approximate index; without one, searches scan exactly.
    pub(super) hnsw: Option<HnswSettings>,
}

impl PgvectorSettings {
    /// Reads the layout of a profile whose embedder answers with `dimensions` values; zeros mean the defaults that
    /// `profile.proto` documents.
    ///
    /// # Errors
    /// `InvalidInput` naming the field that is out of range.
    pub fn from_layout(layout: &v1::PgvectorLayout, dimensions: u32) -> Result<Self> {
        let vector_type = match pgvector_layout::VectorType::try_from(layout.vector_type) {
            Ok(pgvector_layout::VectorType::Unspecified | pgvector_layout::VectorType::Vector) => VectorType::Vector,
            Ok(pgvector_layout::VectorType::Halfvec) => VectorType::Halfvec,
            Err(_) => return Err(invalid("vector_type", format!("{} is not a known type", layout.vector_type))),
        };
        let distance = match pgvector_layout::Distance::try_from(layout.distance) {
            Ok(pgvector_layout::Distance::Unspecified | pgvector_layout::Distance::Cosine) => Distance::Cosine,
            Ok(pgvector_layout::Distance::L2) => Distance::L2,
            Ok(pgvector_layout::Distance::InnerProduct) => Distance::InnerProduct,
            Err(_) => return Err(invalid("distance", format!("{} is not a known distance", layout.distance))),
        };
        let hnsw = layout.hnsw.as_ref().map(hnsw).transpose()?;
        let (most, subject) = match hnsw {
            Some(_) => (vector_type.max_indexed_dimensions(), "an HNSW index over"),
            None => (MAX_DIMENSIONS, "a column of type"),
        };
        if !(1..=most).contains(&dimensions) {
            let advice = match (hnsw, vector_type) {
                (Some(_), VectorType::Vector) => "; use VECTOR_TYPE_HALFVEC or leave `hnsw` out",
                (Some(_), VectorType::Halfvec) => "; leave `hnsw` out",
                (None, _) => "",
            };
            let name = vector_type.sql();
            return Err(invalid("dimensions", format!("{dimensions}: {subject} {name} takes 1 to {most}{advice}")));
        }
        Ok(Self { vector_type, dimensions, distance, hnsw })
    }

    /// Length of every dense vector.
    #[must_use]
    pub fn dimensions(&self) -> u32 {
        self.dimensions
    }

    /// The type of the dense column with its length, as `format_type` prints it.
    pub(super) fn dense_type(&self) -> String {
        format!("{}({})", self.vector_type.sql(), self.dimensions)
    }

    /// Whether the dense column can hold `value`, which is finite.
    pub(super) fn holds(&self, value: f32) -> bool {
        match self.vector_type {
            VectorType::Vector => true,
            VectorType::Halfvec => half::f16::from_f32(value).is_finite(),
        }
    }
}

fn hnsw(hnsw: &v1::Hnsw) -> Result<HnswSettings> {
    let m = if hnsw.m == 0 { 16 } else { hnsw.m };
    let ef_construction = if hnsw.ef_construction == 0 { 64 } else { hnsw.ef_construction };
    if !(2..=100).contains(&m) {
        return Err(invalid("hnsw.m", format!("{m} is not in 2 to 100")));
    }
    if !(4..=1_000).contains(&ef_construction) {
        return Err(invalid("hnsw.ef_construction", format!("{ef_construction} is not in 4 to 1000")));
    }
    if ef_construction < 2 * m {
        return Err(invalid("hnsw.ef_construction", format!("{ef_construction} is less than twice hnsw.m, {m}")));
    }
    Ok(HnswSettings { m, ef_construction })
}

fn invalid(field: &str, problem: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("pgvector layout, {field}: {problem}"))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn layout(vector_type: i32, hnsw: Option<(u32, u32)>) -> v1::PgvectorLayout {
        let hnsw = hnsw.map(|(m, ef_construction)| v1::Hnsw { m, ef_construction });
        v1::PgvectorLayout { vector_type, distance: 0, hnsw }
    }

    #[test]
    fn zeros_mean_the_documented_defaults() {
        let settings = PgvectorSettings::from_layout(&layout(0, Some((0, 0))), 256).expect("valid");
        assert_eq!(
            settings,
            PgvectorSettings {
                vector_type: VectorType::Vector,
                dimensions: 256,
                distance: Distance::Cosine,
                hnsw: Some(HnswSettings { m: 16, ef_construction: 64 }),
            }
        );
    }

    #[rstest]
    #[case::most_vector(1, Some((16, 64)), 2_000)]
    #[case::most_halfvec(2, Some((16, 64)), 4_000)]
    #[case::no_index(1, None, 16_000)]
    #[case::least_links(1, Some((2, 4)), 1)]
    #[case::most_links(1, Some((100, 200)), 1)]
    #[case::most_candidates(1, Some((16, 1_000)), 1)]
    fn the_limits_are_inclusive(#[case] vector_type: i32, #[case] hnsw: Option<(u32, u32)>, #[case] dimensions: u32) {
        let settings = PgvectorSettings::from_layout(&layout(vector_type, hnsw), dimensions).expect("valid");
        assert_eq!(settings.dimensions(), dimensions);
    }

    #[rstest]
    #[case::vector_type(9, None, 256, "vector_type")]
    #[case::vector_over_the_index(1, Some((16, 64)), 2_001, "dimensions")]
    #[case::halfvec_over_the_index(2, Some((16, 64)), 4_001, "dimensions")]
    #[case::over_the_column(2, None, 16_001, "dimensions")]
    #[case::no_dimensions(1, None, 0, "dimensions")]
    #[case::few_links(1, Some((1, 64)), 256, "hnsw.m")]
    #[case::many_links(1, Some((101, 1_000)), 256, "hnsw.m")]
    #[case::few_candidates(1, Some((2, 3)), 256, "hnsw.ef_construction")]
    #[case::many_candidates(1, Some((16, 1_001)), 256, "hnsw.ef_construction")]
    #[case::fewer_candidates_than_twice_the_links(1, Some((40, 79)), 256, "hnsw.ef_construction")]
    fn out_of_range_names_the_field(
        #[case] vector_type: i32,
        #[case] hnsw: Option<(u32, u32)>,
        #[case] dimensions: u32,
        #[case] field: &str,
    ) {
        let error = PgvectorSettings::from_layout(&layout(vector_type, hnsw), dimensions).expect_err("invalid");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.message().contains(&format!(", {field}: ")), "{error}");
    }

    #[test]
    fn an_unknown_distance_is_refused() {
        let layout = v1::PgvectorLayout { vector_type: 1, distance: 7, hnsw: None };
        let error = PgvectorSettings::from_layout(&layout, 8).expect_err("invalid");
        assert!(error.message().contains("distance"), "{error}");
    }

    #[rstest]
    #[case(2, 65_504.0, true)]
    #[case(2, 65_519.0, true)] // rounds down to 65,504
    #[case(2, 65_520.0, false)]
    #[case(2, -65_520.0, false)]
    #[case(1, f32::MAX, true)]
    fn halfvec_overflows(#[case] vector_type: i32, #[case] value: f32, #[case] holds: bool) {
        let settings = PgvectorSettings::from_layout(&layout(vector_type, None), 1).expect("valid");
        assert_eq!(settings.holds(value), holds);
    }
}
