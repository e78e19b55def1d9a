//! `tenure bench` by itself: `cargo run --release -p tenure-bench --example bench -- --help`.

use std::io::Write;
use std::process::ExitCode;

use bench::BenchArgs;
use clap::Parser;

#[derive(Parser)]
#[command(name = "bench", about, long_about = None)]
struct CommandLine {
    #[command(flatten)]
    args: BenchArgs,
}

fn main() -> ExitCode {
    match bench::run(CommandLine::parse().args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody may be listening, which is no reason for another error.
            let _ = writeln!(std::io::stderr(), "bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
