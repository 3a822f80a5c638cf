//! Configuration of a collection: what a request may say, and what the server makes of what it leaves out.

use ::qdrant_client::qdrant::quantization_config_diff::Quantization as QuantizationDiff;
use ::qdrant_client::qdrant::vectors_config::Config;
use ::qdrant_client::qdrant::{
    CollectionConfig, CollectionParams, CreateCollection, Datatype, Distance, HnswConfigDiff, OptimizersConfigDiff,
    QuantizationConfig, QuantizationConfigDiff, ShardingMethod, StrictModeConfig, UpdateCollection, VectorParams,
    VectorsConfig, WalConfigDiff, quantization_config,
};
use prost::Message;
use tonic::Status;

use super::store::absent;
use super::strict_mode::{check_modelled, cloud_defaults};
use super::{QdrantServerOptions, not_modelled};

/// Characters that a collection's name may not have.
const FORBIDDEN: [char; 11] = ['<', '>', ':', '"', '/', '\\', '|', '?', '*', '\0', '\u{1f}'];

pub(super) fn check_name(name: &str) -> Result<(), Status> {
    if name.is_empty() || name.chars().count() > 255 {
        return Err(Status::invalid_argument("Validation error in body: [collection_name: length must be 1 to 255]"));
    }
    match name.chars().find(|character| FORBIDDEN.contains(character)) {
        Some(character) => Err(Status::invalid_argument(format!("collection name cannot contain {character:?}"))),
        None => Ok(()),
    }
}

/// The configuration of a new collection: the defaults of version 1.19, and over them what the request says.
// What is deprecated is what clients of today's versions send.
#[allow(deprecated)]
pub(super) fn created(request: CreateCollection, options: &QdrantServerOptions) -> Result<CollectionConfig, Status> {
    if request.sharding_method() == ShardingMethod::Custom {
        return Err(not_modelled("custom sharding"));
    }
    absent(request.payload.as_ref(), "memory of payload storage")?;
    absent(request.id_tracker.as_ref(), "memory of the id tracker")?;
    let vectors = request.vectors_config.ok_or_else(|| not_modelled("a collection without dense vectors"))?;
    check_vectors(&vectors)?;
    let mut config = CollectionConfig {
        params: Some(CollectionParams {
            shard_number: request.shard_number.unwrap_or(1),
            on_disk_payload: request.on_disk_payload.unwrap_or(true),
            vectors_config: Some(vectors),
            replication_factor: Some(request.replication_factor.unwrap_or(1)),
            write_consistency_factor: Some(request.write_consistency_factor.unwrap_or(1)),
            sparse_vectors_config: request.sparse_vectors_config,
            ..CollectionParams::default()
        }),
        hnsw_config: Some(HnswConfigDiff {
            m: Some(16),
            ef_construct: Some(100),
            full_scan_threshold: Some(10_000),
            max_indexing_threads: Some(0),
            on_disk: Some(false),
            ..HnswConfigDiff::default()
        }),
        optimizer_config: Some(OptimizersConfigDiff {
            deleted_threshold: Some(0.2),
            vacuum_min_vector_number: Some(1_000),
            default_segment_number: Some(0),
            indexing_threshold: Some(10_000),
            flush_interval_sec: Some(5),
            ..OptimizersConfigDiff::default()
        }),
        wal_config: Some(WalConfigDiff {
            wal_capacity_mb: Some(32),
            wal_segments_ahead: Some(0),
            ..WalConfigDiff::default()
        }),
        quantization_config: request.quantization_config,
        strict_mode_config: options.cloud_defaults.then(cloud_defaults),
        metadata: request.metadata,
    };
    overlay(&mut config.hnsw_config, request.hnsw_config.as_ref());
    overlay(&mut config.optimizer_config, request.optimizers_config.as_ref());
    overlay(&mut config.wal_config, request.wal_config.as_ref());
    change_strict_mode(&mut config.strict_mode_config, request.strict_mode_config.as_ref())?;
    Ok(config)
}

/// Changes what an update names, and leaves the rest.
pub(super) fn updated(config: &mut CollectionConfig, request: UpdateCollection) -> Result<(), Status> {
    absent(request.params.as_ref(), "an update of collection params")?;
    absent(request.vectors_config.as_ref(), "an update of vectors")?;
    absent(request.sparse_vectors_config.as_ref(), "an update of sparse vectors")?;
    if !request.metadata.is_empty() {
        return Err(not_modelled("an update of metadata"));
    }
    change_strict_mode(&mut config.strict_mode_config, request.strict_mode_config.as_ref())?;
    overlay(&mut config.hnsw_config, request.hnsw_config.as_ref());
    overlay(&mut config.optimizer_config, request.optimizers_config.as_ref());
    if let Some(diff) = request.quantization_config {
        config.quantization_config = quantization(diff);
    }
    Ok(())
}

fn check_vectors(vectors: &VectorsConfig) -> Result<(), Status> {
    let all: Vec<&VectorParams> = match &vectors.config {
        Some(Config::Params(params)) => vec![params],
        Some(Config::ParamsMap(map)) => map.map.values().collect(),
        None => return Err(not_modelled("a collection without dense vectors")),
    };
    for params in all {
        if params.size == 0 || params.size > 65_536 {
            return Err(Status::invalid_argument("Validation error in body: [vectors.size: must be from 1 to 65536]"));
        }
        if params.distance() == Distance::UnknownDistance {
            return Err(Status::invalid_argument("Malformed distance parameter: UnknownDistance"));
        }
        absent(params.multivector_config.as_ref(), "multivectors")?;
        if params.datatype.is_some() && ![Datatype::Default, Datatype::Float32].contains(&params.datatype()) {
            return Err(not_modelled("data types other than float32"));
        }
    }
    Ok(())
}

fn change_strict_mode(config: &mut Option<StrictModeConfig>, change: Option<&StrictModeConfig>) -> Result<(), Status> {
    if let Some(change) = change {
        check_modelled(change)?;
        overlay(config, Some(change));
    }
    Ok(())
}

fn quantization(diff: QuantizationConfigDiff) -> Option<QuantizationConfig> {
    let quantization = match diff.quantization? {
        QuantizationDiff::Scalar(scalar) => quantization_config::Quantization::Scalar(scalar),
        QuantizationDiff::Product(product) => quantization_config::Quantization::Product(product),
        QuantizationDiff::Binary(binary) => quantization_config::Quantization::Binary(binary),
        QuantizationDiff::Turboquant(turbo) => quantization_config::Quantization::Turboquant(turbo),
        QuantizationDiff::Disabled(_) => return None,
    };
    Some(QuantizationConfig { quantization: Some(quantization) })
}

/// Fields that are set in `change` win: what protocol buffers call a merge.
fn overlay<M: Message + Default>(config: &mut Option<M>, change: Option<&M>) {
    if let Some(change) = change {
        let config = config.get_or_insert_default();
        config.merge(change.encode_to_vec().as_slice()).expect("what was just encoded can be decoded");
    }
}
