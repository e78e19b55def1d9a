//! `tenure-control-sim`: runs seeds of the control plane's simulation. The command line is that of `tenure-sim`; steps are milliseconds.

use std::process::ExitCode;

fn main() -> ExitCode {
    sim::seeds::main(&sim::control::SIMULATOR)
}
