//! One file per command.

mod build;
mod clean;
mod contract;
mod diff;
mod download;
mod engine;
mod explain;
mod export;
mod forecast;
mod init;
mod inspect;
mod location;
mod ls;
mod model;
mod needle_scores;
mod needles;
mod outcome;
mod outputs;
mod pack;
mod plan;
mod rejects;
mod report;
mod run;
mod stages;
mod status;
mod task;
mod tokens;
mod upload;
mod validate;
mod variables;
mod verify;
mod why;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::CommandFactory;
use manyframe_engine::{CheckAnswer, OpenPlan};
use manyframe_pipeline::{CheckScope, Checked, PipelineError};
use manyframe_plan::Attempt;

use crate::args::{Arguments, BuildArguments, CheckArguments, Command, PlanArguments};
use crate::supervised::Session;
use crate::{exit, output};

/// Runs the command of the arguments.
pub(crate) fn run(arguments: &Arguments, session: &Session) -> Result<ExitCode> {
    let global = &arguments.global;
    if let Some((stage, attempt)) = session.attempt() {
        let _entered = session.enter_attempt();
        return run_attempt(&arguments.command, stage, attempt);
    }
    match &arguments.command {
        Command::Init(init) => init::run(init, global),
        Command::Check(check) => run_check(check),
        Command::Plan(plan) => plan::run(plan, global, session),
        Command::Build(build) => build::run(build, global, session),
        Command::Inspect(inspect) => inspect::run(inspect),
        Command::Ls(ls) => ls::run(ls),
        Command::Report(report) => report::run(report),
        Command::Diff(diff) => diff::run(diff),
        Command::Status(status) => status::run(status),
        Command::Clean(clean) => clean::run(clean),
        Command::Why(why) => why::run(why),
        Command::Verify(verify) => verify::run(verify, global, session),
        Command::Validate(validate) => validate::run(validate, global),
        Command::Tokens(tokens) => tokens::run(tokens),
        Command::Needles(needles) => needles::run(needles, global),
        Command::Model(model) => model::run(model),
        Command::Pack(pack) => pack::run(pack),
        Command::Export(export) => export::run(export, global),
        Command::Run(run) => run::run(run, global, session),
        Command::Upload(upload) => upload::run(upload, global),
        Command::Download(download) => download::run(download, global),
        Command::Task(task) => task::run(task, global, session),
        Command::Commit(commit) => task::run_commit(commit, global),
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(*shell, &mut Arguments::command(), "manyframe", &mut text);
            output::print(&String::from_utf8_lossy(&text))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Man { directory } => run_man(directory.as_deref()),
    }
}

/// Prints the man page, or writes one for each command.
fn run_man(directory: Option<&Path>) -> Result<ExitCode> {
    let Some(directory) = directory else {
        let mut text = Vec::new();
        clap_mangen::Man::new(Arguments::command()).render(&mut text)?;
        output::print(&String::from_utf8_lossy(&text))?;
        return Ok(ExitCode::SUCCESS);
    };
    fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let written = clap_mangen::generate_to(Arguments::command(), directory);
    written.with_context(|| format!("cannot write to {}", directory.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// Tries one thing that the process of the command did not survive. Whether this one survives is all that matters.
fn run_attempt(command: &Command, stage: usize, attempt: &Attempt) -> Result<ExitCode> {
    let context = match command {
        Command::Run(run) => OpenPlan::open(&run.plan, &location::stores_at(&run.store)?)?.context,
        Command::Task(task) => {
            _ = task::attempt(task, attempt);
            return Ok(ExitCode::SUCCESS);
        }
        Command::Plan(PlanArguments { pipeline, .. }) | Command::Build(BuildArguments { pipeline, .. }) => {
            let Some(stage) = stages::of_arguments(pipeline)?.into_iter().nth(stage) else {
                return Ok(ExitCode::SUCCESS);
            };
            manyframe_plan::Context::open(stages::read(&stage, pipeline)?)?
        }
        Command::Verify(arguments) => {
            // What is wrong is found again by the process that goes on.
            _ = verify::attempt(arguments, attempt);
            return Ok(ExitCode::SUCCESS);
        }
        _ => return Ok(ExitCode::SUCCESS),
    };
    // What is wrong with its record is found again by the process that goes on.
    _ = manyframe_engine::repeat(&context, attempt);
    Ok(ExitCode::SUCCESS)
}

fn run_check(arguments: &CheckArguments) -> Result<ExitCode> {
    let mut files = Vec::new();
    for path in &arguments.files {
        files.extend(stages::list_for_check(path, arguments.files.len(), &arguments.overrides.set)?);
    }
    let scope = if arguments.offline { CheckScope::Files } else { CheckScope::Everything };
    let Checked { problems, warnings } = manyframe_pipeline::check_files(&files, scope, &location::stores()?);
    if arguments.json {
        let is_ok = problems.is_empty();
        let files = files.into_iter().map(|(path, _)| path).collect();
        output::print_json(&CheckAnswer { files, problems, warnings })?;
        return Ok(ExitCode::from(if is_ok { 0 } else { exit::USAGE_ERROR }));
    }
    exit::print_problems(&warnings, "warning: ");
    if !problems.is_empty() {
        return Err(PipelineError::Invalid(problems).into());
    }
    for (path, _) in &files {
        output::print(&format!("{}: ok\n", path.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}
