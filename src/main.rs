//! Entry point: hands the command line to the library and its answer to the operating system.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(edgespool::cli::main(std::env::args_os()))
}
