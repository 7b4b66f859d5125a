//! `manyframe run`: the tasks of a plan on an engine, and then its dataset.

use std::process::ExitCode;

use anyhow::Result;
use manyframe_base::{Executor, in_shell};
use manyframe_engine::{Engine as _, OpenPlan, PlanAtStore, PlannedBuild, TaskSet, ValidateOn};

use super::engine::{self, ClusterEngine};
use super::location;
use super::outcome::{self, Answer};
use crate::args::{Global, RunArguments};
use crate::exit::UsageError;
use crate::machine::{Machine, bounded_thread_pool};
use crate::supervised::Session;
use crate::{output, progress};

pub(super) fn run(arguments: &RunArguments, global: &Global, session: &Session) -> Result<ExitCode> {
    if arguments.print {
        return print(arguments);
    }
    let progress = session.noted(progress::on_stderr(global.quiet));
    let pool = bounded_thread_pool(&arguments.threads, session.most_threads())?;
    let executor = Executor { pool: &pool, progress: progress.as_ref() };
    let engine = engine::of_arguments(&arguments.engine, &arguments.store)?;
    session.begin(0);
    let stores = location::stores_at(&arguments.store)?;
    let mut planned = PlannedBuild::open(&arguments.plan, arguments.publishing.options(), &stores)?;
    session.watch(0, |in_flight, verdicts| Ok(planned.watch(in_flight, verdicts)?))?;
    planned.run(engine.as_ref(), executor, &Machine::start())?;
    outcome::report(
        planned.commit(ValidateOn { engine: engine.as_ref(), executor, meter: &Machine::start() }),
        Answer::Text,
        &arguments.store,
    )?;
    Ok(ExitCode::SUCCESS)
}

/// Prints what the engine would submit.
fn print(arguments: &RunArguments) -> Result<ExitCode> {
    let open = OpenPlan::open(&arguments.plan, &location::stores_at(&arguments.store)?)?;
    let tasks = open.unfinished_tasks();
    let script = match engine::cluster_of_arguments(&arguments.engine, &arguments.store)? {
        _ if tasks.is_empty() => {
            let plan = in_shell(&arguments.plan);
            return Err(
                UsageError(format!("all tasks are done: `manyframe commit {plan}` publishes the dataset")).into()
            );
        }
        None => return Err(UsageError("--print needs --engine slurm or --engine ray".to_owned()).into()),
        Some(engine) => script(&engine, &open, &tasks)?,
    };
    output::print(&script)?;
    Ok(ExitCode::SUCCESS)
}

/// What an engine would submit. The tasks are sent to the store first where its machines share no disk with this one.
fn script(engine: &ClusterEngine, open: &OpenPlan, tasks: &[u32]) -> Result<String> {
    let shares_disk = match engine {
        ClusterEngine::Ray(engine) => engine.shares_disk(),
        ClusterEngine::Slurm(engine) => engine.shares_disk(),
    };
    let at_store = if shares_disk { None } else { Some(PlanAtStore::send(open, tasks)?) };
    let set = at_store.as_ref().map_or(open as &dyn TaskSet, |at_store| at_store);
    Ok(match engine {
        ClusterEngine::Ray(engine) => engine.script(set, tasks)?,
        ClusterEngine::Slurm(engine) => engine.script(set, tasks)?,
    })
}
