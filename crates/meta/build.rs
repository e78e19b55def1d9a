//! Makes the etcd client's stubs from `proto/etcd.proto`, with a protobuf compiler in Rust: nothing needs to be installed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto/etcd.proto");
    let files = protox::compile(["proto/etcd.proto"], ["proto"])?;
    tonic_prost_build::configure()
        .build_server(false)
        .build_transport(true)
        .compile_fds(files)?;
    Ok(())
}
