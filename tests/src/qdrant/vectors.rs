//! Vectors of a point: which are taken, when they are refused, and what is stored of them.
//!
//! Only the length of a dense vector is looked at before a request is applied. A name that the collection does not have
//! and sparse indices that occur twice are found point by point, when part of the request is stored already. Values are
//! not looked at: NaN is stored. `Cosine` stores what it was given at length one.

use std::collections::{BTreeMap, HashMap};

use ::qdrant_client::qdrant::vectors::VectorsOptions;
use ::qdrant_client::qdrant::vectors_config::Config;
use ::qdrant_client::qdrant::with_vectors_selector::SelectorOptions;
use ::qdrant_client::qdrant::{
    CollectionConfig, DenseVector, Distance, Modifier, NamedVectorsOutput, SparseVector, SparseVectorConfig, Vector,
    VectorOutput, VectorParams, Vectors, VectorsOutput, WithVectorsSelector, vector, vector_output, vectors_output,
};
use tonic::Status;

use super::{not_modelled, wrong_input};

/// Vectors of a point by name; the empty name is Qdrant's unnamed vector.
pub(super) type StoredVectors = BTreeMap<String, StoredVector>;

#[derive(Debug, Clone)]
pub(super) enum StoredVector {
    Dense(Vec<f32>),
    Sparse(SparseVector),
}

/// The parameters of a dense vector, when the collection has it.
pub(super) fn dense_params<'a>(config: &'a CollectionConfig, name: &str) -> Option<&'a VectorParams> {
    match config.params.as_ref()?.vectors_config.as_ref()?.config.as_ref()? {
        Config::Params(params) if name.is_empty() => Some(params),
        Config::Params(_) => None,
        Config::ParamsMap(map) => map.map.get(name),
    }
}

/// How a sparse vector is weighted, when the collection has it.
pub(super) fn sparse_modifier(config: &CollectionConfig, name: &str) -> Option<Modifier> {
    let SparseVectorConfig { map } = config.params.as_ref()?.sparse_vectors_config.as_ref()?;
    Some(map.get(name)?.modifier())
}

/// Takes the vectors of a point out of a request.
pub(super) fn taken(vectors: Option<Vectors>) -> Result<StoredVectors, Status> {
    let options = vectors.and_then(|vectors| vectors.vectors_options);
    let named = match options.ok_or_else(|| Status::invalid_argument("Expected some vectors"))? {
        VectorsOptions::Vector(vector) => HashMap::from([(String::new(), vector)]),
        VectorsOptions::Vectors(named) => named.vectors,
    };
    named.into_iter().map(|(name, vector)| Ok((name, taken_one(vector)?))).collect()
}

// Clients up to 1.15 only know the fields that are deprecated now.
#[allow(deprecated)]
fn taken_one(vector: Vector) -> Result<StoredVector, Status> {
    match (vector.vector, vector.indices, vector.vectors_count) {
        (Some(vector::Vector::Dense(dense)), None, None) => Ok(StoredVector::Dense(dense.data)),
        (Some(vector::Vector::Sparse(sparse)), None, None) => Ok(StoredVector::Sparse(sparse)),
        (None, None, None) => Ok(StoredVector::Dense(vector.data)),
        (None, Some(indices), None) => {
            Ok(StoredVector::Sparse(SparseVector { values: vector.data, indices: indices.data }))
        }
        _ => Err(not_modelled("multivectors and inference")),
    }
}

/// What is looked at before anything is applied.
pub(super) fn check_lengths(config: &CollectionConfig, vectors: &StoredVectors) -> Result<(), Status> {
    for (name, vector) in vectors {
        if let (StoredVector::Dense(values), Some(params)) = (vector, dense_params(config, name)) {
            check_length(values, params)?;
        }
    }
    Ok(())
}

pub(super) fn check_length(values: &[f32], params: &VectorParams) -> Result<(), Status> {
    if u64::try_from(values.len()).is_ok_and(|length| length == params.size) {
        return Ok(());
    }
    Err(wrong_input(format!("Vector dimension error: expected dim: {}, got {}", params.size, values.len())))
}

/// What is found only when the point is applied; gives what is stored.
pub(super) fn storable(config: &CollectionConfig, vectors: &StoredVectors) -> Result<StoredVectors, Status> {
    let mut stored = StoredVectors::new();
    for (name, vector) in vectors {
        let vector = match vector {
            StoredVector::Dense(values) => {
                let params = dense_params(config, name).ok_or_else(|| no_such_vector(name))?;
                StoredVector::Dense(as_stored(values, params.distance()))
            }
            StoredVector::Sparse(sparse) => {
                sparse_modifier(config, name).ok_or_else(|| no_such_vector(name))?;
                check_sparse(sparse)?;
                StoredVector::Sparse(sparse.clone())
            }
        };
        stored.insert(name.clone(), vector);
    }
    Ok(stored)
}

pub(super) fn no_such_vector(name: &str) -> Status {
    wrong_input(format!("Not existing vector name error: {name}"))
}

pub(super) fn check_sparse(sparse: &SparseVector) -> Result<(), Status> {
    if sparse.indices.len() != sparse.values.len() {
        return Err(wrong_input("Validation error: values: must be the same length as indices"));
    }
    let mut indices = sparse.indices.clone();
    indices.sort_unstable();
    if indices.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(wrong_input("Validation error: indices: must be unique"));
    }
    Ok(())
}

/// `Cosine` keeps directions only, and a zero vector as it is.
pub(super) fn as_stored(values: &[f32], distance: Distance) -> Vec<f32> {
    let square: f32 = values.iter().map(|value| value * value).sum();
    if distance != Distance::Cosine || square < f32::EPSILON {
        return values.to_vec();
    }
    values.iter().map(|value| value / square.sqrt()).collect()
}

/// Vectors of an answer: none, all, or those with the names asked for.
pub(super) fn selected(vectors: &StoredVectors, selector: Option<&WithVectorsSelector>) -> Option<VectorsOutput> {
    let selected: HashMap<String, VectorOutput> = match selector.and_then(|with| with.selector_options.as_ref()) {
        None | Some(SelectorOptions::Enable(false)) => return None,
        Some(SelectorOptions::Enable(true)) => vectors.iter().map(|(name, it)| (name.clone(), output(it))).collect(),
        Some(SelectorOptions::Include(names)) => names
            .names
            .iter()
            .filter_map(|name| vectors.get(name).map(|vector| (name.clone(), output(vector))))
            .collect(),
    };
    let options = match <[_; 1]>::try_from(selected.into_iter().collect::<Vec<_>>()) {
        Ok([(name, vector)]) if name.is_empty() => vectors_output::VectorsOptions::Vector(vector),
        Ok([only]) => vectors_output::VectorsOptions::Vectors(NamedVectorsOutput { vectors: HashMap::from([only]) }),
        Err(several) => {
            vectors_output::VectorsOptions::Vectors(NamedVectorsOutput { vectors: several.into_iter().collect() })
        }
    };
    Some(VectorsOutput { vectors_options: Some(options) })
}

fn output(vector: &StoredVector) -> VectorOutput {
    let vector = match vector {
        StoredVector::Dense(values) => vector_output::Vector::Dense(DenseVector { data: values.clone() }),
        StoredVector::Sparse(sparse) => vector_output::Vector::Sparse(sparse.clone()),
    };
    VectorOutput { vector: Some(vector), ..VectorOutput::default() }
}
