//! Generates messages and services with `protox`, so that no `protoc` has to be installed.

use std::path::PathBuf;

use prost::Message as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    println!("cargo:rerun-if-changed={}", root.display());
    let files = [
        "ewtp/v1/federation.proto",
        "ewtp/v1/trade.proto",
        "ewtp/v1/desk.proto",
        "ewtp/v1/operator.proto",
        "ewtp/store/v1/journal.proto",
    ];
    let descriptors = protox::compile(files, [&root])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let encoded = descriptors.encode_to_vec();
    pbjson_build::Builder::new()
        .register_descriptors(&encoded)?
        .preserve_proto_field_names()
        .btree_map([".ewtp.v1"])
        .build(&[".ewtp.v1"])?;
    std::fs::write(out.join("descriptors.bin"), encoded)?;
    tonic_prost_build::configure()
        .bytes(".ewtp.v1.PartBlob.blob")
        .btree_map(".")
        .compile_fds(descriptors)?;
    Ok(())
}
