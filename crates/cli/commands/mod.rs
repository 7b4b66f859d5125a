//! One file per command.

mod build;
mod contract;
mod export;
mod inspect;
mod model;
mod pack;
mod plan;
mod stages;
mod task;
mod validate;
mod verify;
mod why;

use std::process::ExitCode;

use anyhow::Result;
use clap::CommandFactory;
use manyframe_pipeline::{PipelineError, Problem};

use crate::args::{Arguments, CheckArguments, Command};
use crate::output;

/// Runs the command of the arguments.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let global = &arguments.global;
    match &arguments.command {
        Command::Check(check) => run_check(check),
        Command::Plan(plan) => plan::run(plan, global),
        Command::Build(build) => build::run(build, global),
        Command::Inspect(inspect) => inspect::run(inspect),
        Command::Why(why) => why::run(why),
        Command::Verify(verify) => verify::run(verify, global),
        Command::Validate(validate) => validate::run(validate, global),
        Command::Model(model) => model::run(model),
        Command::Pack(pack) => pack::run(pack),
        Command::Export(export) => export::run(export, global),
        Command::Task(task) => task::run(task, global),
        Command::Commit(commit) => task::run_commit(commit, global),
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(*shell, &mut Arguments::command(), "manyframe", &mut text);
            output::print(&String::from_utf8_lossy(&text))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Man => {
            let mut text = Vec::new();
            clap_mangen::Man::new(Arguments::command()).render(&mut text)?;
            output::print(&String::from_utf8_lossy(&text))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn run_check(arguments: &CheckArguments) -> Result<ExitCode> {
    let mut problems: Vec<Problem> = Vec::new();
    for path in &arguments.files {
        for stage in stages::list_for_check(path, arguments.files.len(), &arguments.overrides.set)? {
            match manyframe_pipeline::read(&stage.path, &stage.overrides) {
                Ok(_) => output::print(&format!("{}: ok\n", stage.path.display()))?,
                Err(PipelineError::Invalid(found)) => problems.extend(found),
                Err(error) => return Err(error.into()),
            }
        }
    }
    if problems.is_empty() { Ok(ExitCode::SUCCESS) } else { Err(PipelineError::Invalid(problems).into()) }
}
