//! The command line: arguments in, results on stdout, progress and logs on stderr, an exit code that says what to do next.
//!
//! It is the only place that reads the environment, measures time, prints, and uses `anyhow`.

mod args;
mod commands;
mod exit;
mod output;
mod progress;
mod table;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let arguments = args::Arguments::parse();
    output::start_logging(&arguments.global);
    output::quiet_contained_panics();
    match commands::run(&arguments) {
        Ok(code) => code,
        Err(error) => exit::report(&error),
    }
}
