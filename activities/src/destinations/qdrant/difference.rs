//! Whether a collection that is there is as the layout says.
//!
//! The optimiser's settings are not compared: they say when work is done, not what is stored.

use std::collections::HashMap;

use qdrant_client::qdrant::payload_index_params::IndexParams;
use qdrant_client::qdrant::quantization_config::Quantization as QuantizationKind;
use qdrant_client::qdrant::vectors_config::Config;
use qdrant_client::qdrant::{
    BinaryQuantizationEncoding, CollectionConfig, CollectionInfo, CollectionParams, Datatype, HnswConfigDiff,
    KeywordIndexParams, Memory, Modifier, PayloadSchemaInfo, PayloadSchemaType, QuantizationConfig, ShardingMethod,
    VectorParams,
};

use super::config::{HnswSettings, QdrantSettings};
use super::schema::{IndexKind, PayloadIndex, payload_indexes, wire_distance, wire_quantization};

/// The indexes that a collection lacks.
pub(super) fn missing_indexes(info: &CollectionInfo) -> Vec<PayloadIndex> {
    let mut indexes = payload_indexes();
    indexes.retain(|index| !info.payload_schema.contains_key(&index.field));
    indexes
}

/// Everything in which a collection is not as the layout says; nothing when it fits. An index that is missing is no
/// difference, because it can be added.
pub(super) fn differences(settings: &QdrantSettings, info: &CollectionInfo) -> Vec<String> {
    let Some(config) = &info.config else {
        return vec!["the server does not say how it was made".to_owned()];
    };
    let params = config.params.clone().unwrap_or_default();
    let mut found = Differences(Vec::new());
    compare_dense(&mut found, settings, config, &params);
    compare_sparse(&mut found, settings, &params);
    found.compare("payload on disk", payload_on_disk(&params), settings.payload_on_disk);
    if params.sharding_method() == ShardingMethod::Custom {
        found.0.push("it is sharded by keys, which points of ours do not name".to_owned());
    }
    if let Some(shards) = settings.shards {
        found.compare("number of shards", params.shard_number, shards);
    }
    for index in payload_indexes() {
        let here = info.payload_schema.get(&index.field);
        found.0.extend(here.and_then(|here| index_difference(&index, here)));
    }
    found.0
}

struct Differences(Vec<String>);

impl Differences {
    fn compare<T: std::fmt::Display + PartialEq>(&mut self, what: &str, here: T, wanted: T) {
        if here != wanted {
            self.0.push(format!("{what} is {here}, wanted {wanted}"));
        }
    }
}

fn compare_dense(
    found: &mut Differences,
    settings: &QdrantSettings,
    config: &CollectionConfig,
    params: &CollectionParams,
) {
    let mut vectors = match params.vectors_config.as_ref().and_then(|vectors| vectors.config.clone()) {
        Some(Config::Params(params)) => [(String::new(), params)].into(),
        Some(Config::ParamsMap(map)) => map.map,
        None => HashMap::new(),
    };
    let dense = vectors.remove(&settings.dense);
    for other in vectors.keys() {
        found.0.push(format!("it has another dense vector, {}", named(other)));
    }
    let Some(dense) = dense else {
        found.0.push(format!("it has no dense vector that is {}", named(&settings.dense)));
        return;
    };
    found.compare("length of the dense vector", dense.size, u64::from(settings.dimensions));
    found.compare("distance", dense.distance().as_str_name(), wire_distance(settings.distance).as_str_name());
    found.compare("dense vectors on disk", vectors_on_disk(&dense), settings.vectors_on_disk);
    if !matches!(dense.datatype(), Datatype::Default | Datatype::Float32) {
        found.0.push(format!("the dense vector is of type {}, wanted Float32", dense.datatype().as_str_name()));
    }
    if dense.multivector_config.is_some() {
        found.0.push("the dense vector is a multivector".to_owned());
    }
    let graphs = graphs(config.hnsw_config.as_ref(), dense.hnsw_config.as_ref());
    found.compare("HNSW", describe_graphs(graphs), describe_graphs(Some(settings.hnsw)));
    let quantization = dense.quantization_config.or(config.quantization_config);
    found.compare(
        "quantisation",
        describe_quantization(quantization.as_ref()),
        describe_quantization(wire_quantization(settings.quantization).as_ref()),
    );
}

fn compare_sparse(found: &mut Differences, settings: &QdrantSettings, params: &CollectionParams) {
    let mut vectors = params.sparse_vectors_config.clone().unwrap_or_default().map;
    let sparse = vectors.remove(&settings.sparse);
    for other in vectors.keys() {
        found.0.push(format!("it has another sparse vector, {}", named(other)));
    }
    match sparse {
        Some(sparse) if sparse.modifier() == Modifier::Idf => {}
        Some(_) => found.0.push("the sparse vector has no IDF modifier".to_owned()),
        None => found.0.push(format!("it has no sparse vector that is {}", named(&settings.sparse))),
    }
}

/// What is wrong with an index of this field that exists.
fn index_difference(index: &PayloadIndex, found: &PayloadSchemaInfo) -> Option<String> {
    let wanted = match index.kind {
        IndexKind::Tenant | IndexKind::Keyword => PayloadSchemaType::Keyword,
        IndexKind::Datetime => PayloadSchemaType::Datetime,
    };
    if found.data_type() != wanted {
        let (here, wanted) = (found.data_type().as_str_name(), wanted.as_str_name());
        return Some(format!("the payload index of {} is {here}, wanted {wanted}", index.field));
    }
    let is_tenant = matches!(
        found.params.as_ref().and_then(|params| params.index_params.as_ref()),
        Some(IndexParams::KeywordIndexParams(KeywordIndexParams { is_tenant: Some(true), .. }))
    );
    (index.kind == IndexKind::Tenant && !is_tenant)
        .then(|| format!("the payload index of {} is not marked as the tenant's", index.field))
}

fn named(vector: &str) -> String {
    if vector.is_empty() { "unnamed".to_owned() } else { format!("named {vector:?}") }
}

/// The settings of a vector's graphs: its own where it has some, else the collection's.
fn graphs(collection: Option<&HnswConfigDiff>, vector: Option<&HnswConfigDiff>) -> Option<HnswSettings> {
    let setting = |of: fn(&HnswConfigDiff) -> Option<u64>| vector.and_then(of).or_else(|| collection.and_then(of));
    let m = setting(|hnsw| hnsw.m)?;
    let number = |value: u64| u32::try_from(value).ok();
    Some(HnswSettings {
        m: number(m)?,
        // Where it is not said, tenants have as many links as all.
        payload_m: number(setting(|hnsw| hnsw.payload_m).unwrap_or(m))?,
        ef_construct: number(setting(|hnsw| hnsw.ef_construct)?)?,
    })
}

fn describe_graphs(graphs: Option<HnswSettings>) -> String {
    match graphs {
        Some(HnswSettings { m, payload_m, ef_construct }) => {
            format!("m={m} payload_m={payload_m} ef_construct={ef_construct}")
        }
        None => "unknown".to_owned(),
    }
}

#[expect(deprecated, reason = "see `create_collection` of the schema")]
fn describe_quantization(quantization: Option<&QuantizationConfig>) -> String {
    let place = |memory: Memory, always_ram: Option<bool>| {
        let in_memory = match memory {
            Memory::Unknown => always_ram.unwrap_or(false),
            Memory::Pinned => true,
            Memory::Cold | Memory::Cached => false,
        };
        if in_memory { "in memory" } else { "not kept in memory" }
    };
    match quantization.and_then(|quantization| quantization.quantization.as_ref()) {
        None => "none".to_owned(),
        Some(QuantizationKind::Scalar(scalar)) => {
            let quantile = scalar.quantile.map_or_else(|| "unset".to_owned(), |quantile| format!("{quantile:.3}"));
            format!(
                "{} with quantile {quantile}, {}",
                scalar.r#type().as_str_name(),
                place(scalar.memory(), scalar.always_ram)
            )
        }
        Some(QuantizationKind::Binary(binary)) => {
            let encoding = match binary.encoding() {
                BinaryQuantizationEncoding::OneBit => "one bit",
                other => other.as_str_name(),
            };
            format!("binary of {encoding}, {}", place(binary.memory(), binary.always_ram))
        }
        Some(QuantizationKind::Product(_)) => "product".to_owned(),
        Some(QuantizationKind::Turboquant(_)) => "turbo".to_owned(),
    }
}

#[expect(deprecated, reason = "see `create_collection` of the schema")]
fn vectors_on_disk(dense: &VectorParams) -> bool {
    on_disk(dense.memory(), dense.on_disk.unwrap_or(false))
}

#[expect(deprecated, reason = "see `create_collection` of the schema")]
fn payload_on_disk(params: &CollectionParams) -> bool {
    on_disk(params.payload.unwrap_or_default().memory(), params.on_disk_payload)
}

/// Newer servers may say where something is held instead of whether it is on disk.
fn on_disk(memory: Memory, flag: bool) -> bool {
    match memory {
        Memory::Unknown => flag,
        Memory::Cold => true,
        Memory::Cached | Memory::Pinned => false,
    }
}

#[cfg(test)]
mod tests;
