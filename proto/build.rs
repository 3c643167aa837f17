//! Generates the Rust code of the contract from `vuelve/**/*.proto`, without `protoc`.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

use prost::Message;

const FILES: [&str; 4] = [
    "vuelve/ingestion/v1/ingestion.proto",
    "vuelve/journeys/v1/journeys.proto",
    "vuelve/privacy/v1/privacy.proto",
    "vuelve/segmentation/v1/segmentation.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    for file in FILES {
        println!("cargo::rerun-if-changed={file}");
    }
    let descriptors = protox::compile(FILES, ["."])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("vuelve.descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().build_transport(false).compile_fds(descriptors)?;
    Ok(())
}
