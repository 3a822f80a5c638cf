//! What a collection looks like: the request that makes it, and its payload indexes.
//!
//! Payload indexes are the platform's and no more. Everything that is filtered by has one, because Qdrant Cloud refuses
//! other filters by default. The position of a chunk has none: a collection that the platform made lacks it, so what
//! depends on positions lists an entity's points and names those it means.

use qdrant_client::qdrant::payload_index_params::IndexParams;
use qdrant_client::qdrant::quantization_config::Quantization as QuantizationKind;
use qdrant_client::qdrant::vectors_config::Config;
use qdrant_client::qdrant::{
    self, BinaryQuantization, CreateCollection, CreateFieldIndexCollection, FieldType, HnswConfigDiff,
    KeywordIndexParams, Modifier, OptimizersConfigDiff, PayloadIndexParams, QuantizationConfig, QuantizationType,
    ScalarQuantization, SparseVectorConfig, SparseVectorParams, VectorParams, VectorParamsMap, VectorsConfig,
};

use super::clients::REQUEST_TIMEOUT;
use super::config::{Distance, QdrantSettings, Quantization};

/// Payload key of the collection that searches address.
pub(super) const TENANT: &str = "airweave_collection_id";
/// Payload key of the chunk's id.
pub(super) const CHUNK_ID: &str = "entity_id";
/// Payload key of the chunk's text.
pub(super) const TEXT: &str = "textual_representation";
/// Payload key of what the platform notes about a chunk.
pub(super) const METADATA: &str = "airweave_system_metadata";
/// Within the metadata: the sync.
pub(super) const SYNC: &str = "sync_id";
/// Within the metadata: the entity's id.
pub(super) const ENTITY: &str = "original_entity_id";
/// Within the metadata: the chunk's position.
pub(super) const INDEX: &str = "chunk_index";
/// Within the metadata: the entity's content hash.
pub(super) const HASH: &str = "hash";

/// Kilobytes of vectors from which a segment gets a graph, as the platform has it.
pub(super) const INDEXING_THRESHOLD: u64 = 20_000;

/// Kilobytes of vectors of a segment at most, as the platform has it.
const MAX_SEGMENT_SIZE: u64 = 200_000;

/// Quantile of the scalar quantisation, as the platform has it.
const QUANTILE: f32 = 0.99;

/// A payload index of the platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PayloadIndex {
    /// The payload key, with dots.
    pub(super) field: String,
    pub(super) kind: IndexKind,
}

/// What a payload index is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IndexKind {
    /// Keywords by which the collection is divided.
    Tenant,
    /// Keywords.
    Keyword,
    /// Points in time.
    Datetime,
}

/// A key within the platform's metadata, as filters and selectors name it.
pub(super) fn metadata(key: &str) -> String {
    format!("{METADATA}.{key}")
}

/// Every payload index, in the order in which they are made.
pub(super) fn payload_indexes() -> Vec<PayloadIndex> {
    let index = |field: String, kind| PayloadIndex { field, kind };
    vec![
        index(TENANT.to_owned(), IndexKind::Tenant),
        index(metadata(SYNC), IndexKind::Keyword),
        index(metadata("db_entity_id"), IndexKind::Keyword),
        index(CHUNK_ID.to_owned(), IndexKind::Keyword),
        index(metadata(ENTITY), IndexKind::Keyword),
        index("updated_at".to_owned(), IndexKind::Datetime),
        index("created_at".to_owned(), IndexKind::Datetime),
    ]
}

impl PayloadIndex {
    /// The request that makes the index and returns when it is there.
    pub(super) fn create(&self, collection: &str) -> CreateFieldIndexCollection {
        let field_type = match self.kind {
            IndexKind::Tenant | IndexKind::Keyword => FieldType::Keyword,
            IndexKind::Datetime => FieldType::Datetime,
        };
        let params = (self.kind == IndexKind::Tenant).then(|| PayloadIndexParams {
            index_params: Some(IndexParams::KeywordIndexParams(KeywordIndexParams {
                is_tenant: Some(true),
                ..KeywordIndexParams::default()
            })),
        });
        CreateFieldIndexCollection {
            collection_name: collection.to_owned(),
            wait: Some(true),
            field_name: self.field.clone(),
            field_type: Some(field_type.into()),
            field_index_params: params,
            timeout: Some(REQUEST_TIMEOUT.as_secs()),
            ..CreateFieldIndexCollection::default()
        }
    }
}

/// The request that makes a collection. With `bulk_load` nothing is indexed until that is switched on.
#[expect(
    deprecated,
    reason = "what replaces the fields is known to servers from 1.19 only, and the platform uses these"
)]
pub(super) fn create_collection(settings: &QdrantSettings, name: &str, bulk_load: bool) -> CreateCollection {
    let dense = VectorParams {
        size: u64::from(settings.dimensions),
        distance: wire_distance(settings.distance).into(),
        on_disk: Some(settings.vectors_on_disk),
        ..VectorParams::default()
    };
    let vectors = if settings.dense.is_empty() {
        Config::Params(dense)
    } else {
        Config::ParamsMap(VectorParamsMap { map: [(settings.dense.clone(), dense)].into() })
    };
    let sparse = SparseVectorParams { modifier: Some(Modifier::Idf.into()), ..SparseVectorParams::default() };
    CreateCollection {
        collection_name: name.to_owned(),
        vectors_config: Some(VectorsConfig { config: Some(vectors) }),
        sparse_vectors_config: Some(SparseVectorConfig { map: [(settings.sparse.clone(), sparse)].into() }),
        hnsw_config: Some(HnswConfigDiff {
            m: Some(u64::from(settings.hnsw.m)),
            payload_m: Some(u64::from(settings.hnsw.payload_m)),
            ef_construct: Some(u64::from(settings.hnsw.ef_construct)),
            ..HnswConfigDiff::default()
        }),
        optimizers_config: Some(OptimizersConfigDiff {
            indexing_threshold: Some(if bulk_load { 0 } else { INDEXING_THRESHOLD }),
            max_segment_size: Some(MAX_SEGMENT_SIZE),
            ..OptimizersConfigDiff::default()
        }),
        quantization_config: wire_quantization(settings.quantization),
        on_disk_payload: Some(settings.payload_on_disk),
        shard_number: settings.shards,
        timeout: Some(REQUEST_TIMEOUT.as_secs()),
        ..CreateCollection::default()
    }
}

/// A distance as Qdrant names it.
pub(super) fn wire_distance(distance: Distance) -> qdrant::Distance {
    match distance {
        Distance::Cosine => qdrant::Distance::Cosine,
        Distance::Euclid => qdrant::Distance::Euclid,
        Distance::Dot => qdrant::Distance::Dot,
        Distance::Manhattan => qdrant::Distance::Manhattan,
    }
}

/// A quantisation as Qdrant is told it.
#[expect(deprecated, reason = "see `create_collection`")]
pub(super) fn wire_quantization(quantization: Quantization) -> Option<QuantizationConfig> {
    let quantization = match quantization {
        Quantization::Int8 => QuantizationKind::Scalar(ScalarQuantization {
            r#type: QuantizationType::Int8.into(),
            quantile: Some(QUANTILE),
            always_ram: Some(true),
            ..ScalarQuantization::default()
        }),
        Quantization::Binary => {
            QuantizationKind::Binary(BinaryQuantization { always_ram: Some(true), ..BinaryQuantization::default() })
        }
        Quantization::None => return None,
    };
    Some(QuantizationConfig { quantization: Some(quantization) })
}

#[cfg(test)]
mod tests {
    use proto::v1::QdrantLayout;

    use super::*;

    /// The request in the platform's own words: what its client sends as JSON for vectors of length 1536.
    #[test]
    #[expect(deprecated, reason = "see `create_collection`")]
    fn the_platforms_layout_is_as_the_platform_makes_it() {
        let settings = QdrantSettings::from_layout(&QdrantLayout::default(), 1_536).expect("valid");
        let request = create_collection(&settings, settings.collection(), false);
        let Some(Config::Params(dense)) = request.vectors_config.and_then(|vectors| vectors.config) else {
            panic!("an unnamed vector");
        };
        assert_eq!((dense.size, dense.distance(), dense.on_disk), (1_536, qdrant::Distance::Cosine, Some(true)));
        let sparse = request.sparse_vectors_config.expect("a sparse vector").map;
        assert_eq!(sparse.len(), 1);
        assert_eq!(sparse["bm25"].modifier(), Modifier::Idf);
        let hnsw = request.hnsw_config.expect("graphs");
        assert_eq!((hnsw.m, hnsw.payload_m, hnsw.ef_construct), (Some(0), Some(16), Some(100)));
        let optimizer = request.optimizers_config.expect("an optimiser");
        assert_eq!((optimizer.indexing_threshold, optimizer.max_segment_size), (Some(20_000), Some(200_000)));
        let Some(QuantizationKind::Scalar(int8)) = request.quantization_config.and_then(|it| it.quantization) else {
            panic!("scalar quantisation");
        };
        assert_eq!((int8.r#type(), int8.quantile, int8.always_ram), (QuantizationType::Int8, Some(0.99), Some(true)));
        assert_eq!((request.on_disk_payload, request.shard_number), (Some(true), None));
        let indexes: Vec<String> = payload_indexes()
            .iter()
            .map(|index| {
                let request = index.create("c");
                let tenant = request.field_index_params.is_some();
                format!(
                    "{} {}{}",
                    request.field_name,
                    request.field_type().as_str_name(),
                    if tenant { " tenant" } else { "" }
                )
            })
            .collect();
        assert_eq!(
            indexes,
            [
                "airweave_collection_id FieldTypeKeyword tenant",
                "airweave_system_metadata.sync_id FieldTypeKeyword",
                "airweave_system_metadata.db_entity_id FieldTypeKeyword",
                "entity_id FieldTypeKeyword",
                "airweave_system_metadata.original_entity_id FieldTypeKeyword",
                "updated_at FieldTypeDatetime",
                "created_at FieldTypeDatetime",
            ]
        );
    }
}
