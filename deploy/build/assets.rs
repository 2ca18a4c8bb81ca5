//! Writes the manual pages and the shell completions, made from the command line's own definition.
//!
//! `cargo run --example assets -- DIRECTORY`: used when packages are built; the program itself does not carry it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap_complete::{Shell, generate_to};

fn main() -> ExitCode {
    let Some(directory) = std::env::args_os().nth(1).map(PathBuf::from) else {
        return ExitCode::from(64);
    };
    match write(&directory) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(74),
    }
}

fn write(directory: &std::path::Path) -> std::io::Result<()> {
    let (man, completions) = (directory.join("man"), directory.join("completions"));
    std::fs::create_dir_all(&man)?;
    std::fs::create_dir_all(&completions)?;
    clap_mangen::generate_to(edgespool::cli::command(), &man)?;
    let mut command = edgespool::cli::command();
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        generate_to(shell, &mut command, "edgespool", &completions)?;
    }
    Ok(())
}
