//! `manyframe build`: plan, run, commit.

use std::process::ExitCode;

use anyhow::Result;
use manyframe_base::Executor;
use manyframe_engine::PlannedBuild;

use super::outcome::{self, Answer};
use super::{engine, explain, stages};
use crate::args::{BuildArguments, Global};
use crate::machine::{Machine, bounded_thread_pool};
use crate::supervised::Session;
use crate::{output, progress};

pub(super) fn run(arguments: &BuildArguments, global: &Global, session: &Session) -> Result<ExitCode> {
    let progress = session.noted(progress::on_stderr(global.quiet));
    let pool = bounded_thread_pool(&arguments.pipeline.threads, session.most_threads())?;
    let executor = Executor { pool: &pool, progress: progress.as_ref() };
    let engine = engine::of_arguments(&arguments.engine, &arguments.pipeline.store)?;
    let commit = arguments.publishing.options();
    let answer = if arguments.json { Answer::Json } else { Answer::Text };
    for (number, stage) in stages::of_arguments(&arguments.pipeline)?.iter().enumerate().skip(session.first_stage()) {
        let pipeline = stages::read(stage, &arguments.pipeline)?;
        let build = stages::open(number, pipeline, &arguments.pipeline, commit, session)?;
        let mut printed = Ok(());
        let mut show = |planned: &PlannedBuild| {
            if arguments.explain && session.takes_explanation(number) {
                printed = output::print(&explain::render(planned));
            }
        };
        let finished = build.finish_watched(engine.as_ref(), executor, &Machine::start(), &mut show);
        outcome::report(finished, answer, &arguments.pipeline.store)?;
        printed?;
    }
    Ok(ExitCode::SUCCESS)
}
