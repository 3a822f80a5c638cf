//! Compiles the contracts with a pure-Rust protobuf compiler, so that no system `protoc` is needed.

use std::path::PathBuf;

use prost::Message as _;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    println!("cargo:rerun-if-changed=sync_multiplexer");
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir("sync_multiplexer/v1")? {
        files.push(entry?.path());
    }
    files.sort();

    let descriptors = protox::compile(&files, ["."])?;
    let bytes = descriptors.encode_to_vec();
    let target = PathBuf::from(std::env::var("OUT_DIR")?).join("descriptors.bin");
    std::fs::write(&target, &bytes)?;

    let mut config = prost_build::Config::new();
    config.enable_type_names();
    config.compile_fds(descriptors)?;

    // Field names as written in the .proto files: that is what the platform's backend and people at a terminal type.
    // Both spellings are read.
    pbjson_build::Builder::new()
        .register_descriptors(&bytes)?
        .preserve_proto_field_names()
        .build(&[".sync_multiplexer"])?;
    Ok(())
}
