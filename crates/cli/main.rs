//! The command line: arguments in, results on stdout, progress and logs on stderr, and a documented exit code.
//!
//! **Invariant:** only this crate reads the environment, reports times, prints, and uses `anyhow`.

mod args;
mod commands;
mod exit;
mod machine;
mod output;
mod progress;
mod supervise;
mod supervised;
mod table;

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;

use crate::supervise::Supervision;
use crate::supervised::Session;

/// Records are allocated by one thread and freed by another, in small blocks, which glibc's allocator is slow at.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let arguments = match args::Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return exit::report_arguments(&error),
    };
    output::start(&arguments.global);
    output::quiet_contained_panics();
    machine::survive_file_size_limits();
    machine::allow_many_open_files();
    if matches!(&arguments.command, args::Command::Task(task) if task.with_parent) {
        machine::end_with_parent();
    }
    let session = match Session::of_process() {
        Session::Alone if arguments.command.is_supervised() => match supervise::run(&arguments) {
            Supervision::Ended(code) => return code,
            Supervision::Worker(session) => session,
            Supervision::Impossible => Session::Alone,
        },
        session => session,
    };
    if matches!(session, Session::Orphan) {
        return ExitCode::FAILURE;
    }
    if matches!(session, Session::Alone) {
        supervise::answer_requests();
    }
    match commands::run(&arguments, &session) {
        Ok(code) => code,
        Err(error) => exit::report(&error),
    }
}
