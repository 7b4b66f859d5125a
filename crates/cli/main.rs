//! The command line: arguments in, results on stdout, progress and logs on stderr, and a documented exit code.
//!
//! **Invariant:** only this crate reads the environment, measures time, prints, and uses `anyhow`.

mod args;
mod commands;
mod exit;
mod machine;
mod output;
mod progress;
mod table;

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;

/// Records are allocated by one thread and freed by another, in small blocks, which glibc's allocator is slow at.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let arguments = args::Arguments::parse();
    output::start_logging(&arguments.global);
    output::quiet_contained_panics();
    match commands::run(&arguments) {
        Ok(code) => code,
        Err(error) => exit::report(&error),
    }
}
