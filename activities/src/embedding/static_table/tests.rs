//! The real table against wordllama itself, and a small made-up one for what must not go wrong.

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use rstest::rstest;
use safetensors::tensor::{Dtype, TensorView};
use serde::Deserialize;

use super::files::ModelFiles;
use super::*;

/// First components of the normalised vectors that wordllama 0.4.0 computed with its own inference class.
const WORDLLAMA: &str = include_str!("../testdata/wordllama.json");

#[derive(Deserialize)]
struct Expected {
    text: String,
    head: Vec<f32>,
}

/// The folder of the real model. Without it the proof cannot be done, and that is a failure.
fn model_dir() -> PathBuf {
    if let Some(folder) = std::env::var_os("SYNCMUX_MODEL_DIR") {
        return PathBuf::from(folder);
    }
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .map(|folder| folder.join(".dev").join("model"))
        .find(|folder| folder.is_dir())
        .expect("the local embedding model is not here: run `make prepare`, or set SYNCMUX_MODEL_DIR")
}

/// Loaded once: all tests read the same table.
static REAL: LazyLock<StaticTable> = LazyLock::new(|| StaticTable::load(&model_dir()).expect("the model loads"));

#[tokio::test]
async fn vectors_equal_those_of_wordllama() {
    let expectations: Vec<Expected> = serde_json::from_str(WORDLLAMA).expect("the fixture is JSON");
    let texts: Vec<String> = expectations.iter().map(|expected| expected.text.clone()).collect();
    let outcomes = REAL.embed(&texts).await.expect("embedded");
    assert_eq!(outcomes.len(), texts.len());
    for (expected, outcome) in expectations.iter().zip(outcomes) {
        let vector = outcome.expect("a vector");
        assert_eq!(vector.len(), 256);
        let norm = vector.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
        assert!((norm - 1.0).abs() < 1e-5, "length {norm} for {:?}", expected.text);
        for (ours, theirs) in vector.iter().zip(&expected.head) {
            assert!((ours - theirs).abs() < 2e-6, "{ours} instead of {theirs} for {:?}", expected.text);
        }
    }
}

#[tokio::test]
async fn one_text_without_meaning_fails_alone() {
    let texts = ["before", "", " \n", "<unk>", "after"].map(str::to_owned);
    let outcomes = REAL.embed(&texts).await.expect("embedded");
    let failures: Vec<Option<EmbedFailure>> = outcomes.iter().map(|outcome| outcome.as_ref().err().copied()).collect();
    assert_eq!(
        failures,
        [None, Some(EmbedFailure::Blank), Some(EmbedFailure::Blank), Some(EmbedFailure::NoKnownToken), None]
    );
}

#[tokio::test]
async fn many_texts_come_back_in_order() {
    let texts: Vec<String> = (0..200).map(|number| format!("text number {number}")).collect();
    let together = REAL.embed(&texts).await.expect("embedded");
    for (text, outcome) in texts.iter().zip(together) {
        assert_eq!(REAL.embed(std::slice::from_ref(text)).await.expect("embedded"), [outcome]);
    }
}

#[test]
fn the_identity_names_the_model_and_its_files() {
    let (name, digest) = REAL.model().split_once('@').expect("two parts");
    assert_eq!(name, MODEL);
    assert_eq!(digest.len(), 16);
}

/// Two known words with opposite vectors, and an unknown one.
fn tokenizer() -> Vec<u8> {
    let model =
        serde_json::json!({"type": "WordLevel", "unk_token": "<unk>", "vocab": {"<unk>": 0, "up": 1, "down": 2}});
    serde_json::to_vec(&serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null, "decoder": null, "model": model,
    }))
    .expect("JSON")
}

fn weights(name: &str, dtype: Dtype, shape: &[usize], values: &[f32]) -> Vec<u8> {
    let bytes: Vec<u8> = values.iter().flat_map(|value| half::f16::from_f32(*value).to_le_bytes()).collect();
    let view = TensorView::new(dtype, shape.to_vec(), &bytes).expect("a tensor");
    safetensors::serialize([(name, view)], None).expect("a file")
}

fn small() -> ModelFiles {
    ModelFiles {
        weights: weights("embedding.weight", Dtype::F16, &[3, 2], &[9.0, 9.0, 0.0, 4.0, 0.0, -4.0]),
        tokenizer: tokenizer(),
    }
}

#[rstest]
#[case::known("up", Ok(vec![0.0, 1.0]))]
#[case::repeated("down down down", Ok(vec![0.0, -1.0]))]
#[case::unknown("left right", Err(EmbedFailure::NoKnownToken))]
#[case::cancelled("up down", Err(EmbedFailure::ZeroVector))]
fn rows_are_averaged_and_normalised(#[case] text: &str, #[case] expected: EmbedOutcome) {
    assert_eq!(small().parse(2).expect("parses").embed(text), expected);
}

#[rstest]
#[case::not_safetensors(b"{}".to_vec(), "not a safetensors file")]
#[case::other_name(weights("weight", Dtype::F16, &[3, 2], &[0.0; 6]), "no tensor embedding.weight")]
#[case::other_type(weights("embedding.weight", Dtype::BF16, &[3, 2], &[0.0; 6]), "must be F16")]
#[case::other_width(weights("embedding.weight", Dtype::F16, &[2, 3], &[0.0; 6]), "2 columns")]
#[case::one_dimension(weights("embedding.weight", Dtype::F16, &[6], &[0.0; 6]), "2 columns")]
#[case::few_rows(weights("embedding.weight", Dtype::F16, &[2, 2], &[0.0; 4]), "only 2 rows")]
#[case::not_finite(weights("embedding.weight", Dtype::F16, &[3, 2], &[f32::NAN; 6]), "not finite")]
fn broken_weights_are_refused(#[case] weights: Vec<u8>, #[case] reason: &str) {
    let error = ModelFiles { weights, ..small() }.parse(2).err().expect("refused");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.message().contains(reason), "{error}");
}

#[test]
fn a_broken_tokenizer_is_refused() {
    let error = ModelFiles { tokenizer: b"{}".to_vec(), ..small() }.parse(2).err().expect("refused");
    assert!(error.message().contains("not a tokenizer"), "{error}");
}

#[test]
fn a_missing_model_says_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let error = StaticTable::load(folder.path()).expect_err("missing");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    for hint in ["l2_supercat_256.safetensors", "`make`", "SYNCMUX_MODEL_DIR"] {
        assert!(error.message().contains(hint), "{error}");
    }
}

#[test]
fn files_are_found_flat_and_in_the_folders_of_the_package() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("l2_supercat_256.safetensors"), "flat").expect("written");
    fs::create_dir(folder.path().join("tokenizers")).expect("made");
    fs::write(folder.path().join("tokenizers/l2_supercat_tokenizer_config.json"), "below").expect("written");
    let files = super::files::read(folder.path()).expect("found");
    assert_eq!((files.weights.as_slice(), files.tokenizer.as_slice()), (b"flat".as_slice(), b"below".as_slice()));
}
