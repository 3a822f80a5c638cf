//! Finds, reads and checks the two files of the model.

use std::fs;
use std::path::{Path, PathBuf};

use half::f16;
use safetensors::{Dtype, SafeTensors};
use sha2::{Digest, Sha256};
use tokenizers::Tokenizer;

use super::Table;
use crate::error::{Error, ErrorKind, Result};

const WEIGHTS: &str = "l2_supercat_256.safetensors";
const TOKENIZER: &str = "l2_supercat_tokenizer_config.json";

/// The folders of the Python package.
const WEIGHTS_FOLDER: &str = "weights";
const TOKENIZER_FOLDER: &str = "tokenizers";

const TENSOR: &str = "embedding.weight";

/// What a tokenizer calls what it does not know.
const UNKNOWN_TOKEN: &str = "<unk>";

/// The real files have 16 MB and 2 to 4 MB.
const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;

/// Bytes of a half-precision value.
const VALUE_BYTES: usize = 2;

/// Digits of the digest that tell two versions of the files apart.
const DIGEST_DIGITS: usize = 16;

/// The files as read.
pub(super) struct ModelFiles {
    pub(super) weights: Vec<u8>,
    pub(super) tokenizer: Vec<u8>,
}

/// Reads both files.
pub(super) fn read(folder: &Path) -> Result<ModelFiles> {
    Ok(ModelFiles {
        weights: read_one(folder, WEIGHTS_FOLDER, WEIGHTS)?,
        tokenizer: read_one(folder, TOKENIZER_FOLDER, TOKENIZER)?,
    })
}

fn read_one(folder: &Path, subfolder: &str, name: &str) -> Result<Vec<u8>> {
    let candidates: [PathBuf; 2] = [folder.join(name), folder.join(subfolder).join(name)];
    let Some(path) = candidates.iter().find(|path| path.is_file()) else {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            format!(
                "{name} of the local embedding model is not in {} nor in its folder {subfolder}: run `make` to fetch \
                 the model, or set SYNCMUX_MODEL_DIR to the folder that has it",
                folder.display()
            ),
        ));
    };
    let unreadable = |error: std::io::Error| {
        Error::new(ErrorKind::InvalidInput, format!("{} cannot be read", path.display())).with_source(error)
    };
    let bytes = fs::metadata(path).map_err(unreadable)?.len();
    if bytes > MAX_FILE_BYTES {
        return Err(broken(&format!("{name} has {bytes} bytes, more than {MAX_FILE_BYTES}")));
    }
    fs::read(path).map_err(unreadable)
}

fn broken(what: &str) -> Error {
    Error::new(
        ErrorKind::InvalidInput,
        format!("the local embedding model is broken: {what}; delete its folder and run `make` to fetch it again"),
    )
}

impl ModelFiles {
    /// Identifies the content of both files.
    pub(super) fn digest(&self) -> String {
        let mut digest = Sha256::new();
        for file in [&self.weights, &self.tokenizer] {
            digest.update((file.len() as u64).to_le_bytes());
            digest.update(file);
        }
        let mut text = hex::encode(digest.finalize());
        text.truncate(DIGEST_DIGITS);
        text
    }

    /// The table, once everything about it is as it should be.
    pub(super) fn parse(&self, dimensions: usize) -> Result<Table> {
        let tensors = SafeTensors::deserialize(&self.weights)
            .map_err(|error| broken(&format!("{WEIGHTS} is not a safetensors file")).with_source(error))?;
        let tensor = tensors
            .tensor(TENSOR)
            .map_err(|error| broken(&format!("{WEIGHTS} has no tensor {TENSOR}")).with_source(error))?;
        let rows = match *tensor.shape() {
            [rows, columns] if columns == dimensions && tensor.dtype() == Dtype::F16 => rows,
            _ => {
                return Err(broken(&format!(
                    "{TENSOR} is {:?} {:?} but must be F16 with {dimensions} columns",
                    tensor.dtype(),
                    tensor.shape()
                )));
            }
        };
        let (halves, _) = tensor.data().as_chunks::<VALUE_BYTES>();
        let values: Vec<f32> = halves.iter().map(|bytes| f16::from_le_bytes(*bytes).to_f32()).collect();
        if !values.iter().all(|value| value.is_finite()) {
            return Err(broken(&format!("{TENSOR} holds values that are not finite")));
        }
        let tokenizer = Tokenizer::from_bytes(&self.tokenizer)
            .map_err(|error| broken(&format!("{TOKENIZER} is not a tokenizer")).with_source(error))?;
        if let Some(highest) = tokenizer.get_vocab(true).into_values().max()
            && highest as usize >= rows
        {
            return Err(broken(&format!("the tokenizer has id {highest} but {TENSOR} only {rows} rows")));
        }
        Ok(Table { unknown: tokenizer.token_to_id(UNKNOWN_TOKEN), tokenizer, values, dimensions })
    }
}
