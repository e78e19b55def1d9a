//! `tenure bench` by itself: `cargo run --release -p tenure-bench --example bench -- --help`.

use clap::Parser;
use tenure_bench::BenchArgs;

#[derive(Parser)]
#[command(name = "bench", about, long_about = None)]
struct CommandLine {
    #[command(flatten)]
    args: BenchArgs,
}

fn main() -> anyhow::Result<()> {
    tenure_bench::run(CommandLine::parse().args)
}
