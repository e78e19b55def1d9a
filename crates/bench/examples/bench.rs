//! `tenure bench` by itself: `cargo run --release -p tenure-bench --example bench -- --help`.

use bench::BenchArgs;
use clap::Parser;

#[derive(Parser)]
#[command(name = "bench", about, long_about = None)]
struct CommandLine {
    #[command(flatten)]
    args: BenchArgs,
}

fn main() -> anyhow::Result<()> {
    bench::run(CommandLine::parse().args)
}
