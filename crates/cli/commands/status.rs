//! `manyframe status`: builds that are going on or were left, and what the next one would do.

use std::process::ExitCode;

use anyhow::Result;
use manyframe_base::{Executor, NoProgress};
use manyframe_engine::{NextAction, NextBuild, PlanState, StatusAnswer, WorkState};
use serde_json::Value;

use super::outputs::{self, Output};
use crate::args::StatusArguments;
use crate::exit::causes;
use crate::machine::thread_pool;
use crate::output;
use crate::table::{bytes, plural};

pub(super) fn run(arguments: &StatusArguments) -> Result<ExitCode> {
    let pool = thread_pool(&arguments.threads)?;
    let executor = Executor { pool: &pool, progress: &NoProgress };
    let mut states = Vec::new();
    for found in outputs::find(&arguments.path, &arguments.overrides.set)? {
        states.push(state_of(found, executor)?);
    }
    if arguments.json {
        output::print_json(&states)?;
    } else if states.is_empty() {
        output::print(&format!("{}: no dataset, no build and no pipeline file\n", arguments.path.display()))?;
    } else {
        output::print(&states.iter().map(render).collect::<Vec<_>>().join("\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What is there of a dataset, and what comes next.
fn state_of(found: Output, executor: Executor<'_>) -> Result<StatusAnswer> {
    let work = WorkState::read(&found.place)?;
    let next = found.pipeline().and_then(|pipeline| Ok(pipeline.map(|it| NextBuild::of(it, executor)).transpose()?));
    let (next, error) = match next {
        Ok(next) => (next, None),
        Err(error) => (None, Some(causes(&error))),
    };
    Ok(StatusAnswer { dataset: found.place.dataset, pipeline: found.file, work, next, error })
}

fn render(state: &StatusAnswer) -> String {
    let mut text = format!("{}\n", state.dataset.display());
    let mut line = |name: &str, value: &str| text.push_str(&format!("  {name:<9} {value}\n"));
    if let Some(file) = &state.pipeline {
        line("pipeline", &file.display().to_string());
    }
    if let Some(work) = &state.work {
        line("work", &format!("{}  {}", work.directory.display(), bytes(work.num_bytes)));
        if work.is_locked {
            line("build", &format!("going on{}: {}", process(work), progress(work.plans.first())));
        }
        let left = if work.is_locked { &[] } else { work.plans.as_slice() };
        for plan in left {
            line("left", &plan_text(plan));
        }
        if !work.leftovers.is_empty() {
            let number = plural(work.leftovers.len() as u64, "leftover");
            let size = bytes(work.leftovers.iter().map(|leftover| leftover.num_bytes).sum());
            line(
                "clean",
                &format!("{number}, {size}: `manyframe clean` removes what killed and superseded builds left"),
            );
        }
    }
    match (&state.next, &state.error) {
        (Some(next), _) => {
            line("next", action(next));
            for reason in reasons(next) {
                line("", &reason);
            }
        }
        (None, Some(error)) => line("next", &format!("a build would fail: {error}")),
        (None, None) => line("next", "not known here: name the pipeline file, as in `manyframe status FILE`"),
    }
    text
}

fn process(work: &WorkState) -> String {
    work.process.map_or_else(String::new, |process| format!(", process {process}"))
}

fn progress(plan: Option<&PlanState>) -> String {
    match plan {
        Some(PlanState { num_tasks: Some(num_tasks), num_done, .. }) => {
            format!("{num_done} of {} done", plural(*num_tasks, "task"))
        }
        _ => "it reads annotations and headers of media".to_owned(),
    }
}

fn plan_text(plan: &PlanState) -> String {
    let name = plan.directory.file_name().unwrap_or_default().to_string_lossy();
    match plan.num_tasks {
        None => format!("{name}: of another version of manyframe"),
        Some(_) if plan.is_kept_back => {
            format!("{name}: done, but not published: `build` says why, or publishes it")
        }
        Some(_) => format!("{name}: {}", progress(Some(plan))),
    }
}

/// How many files are named that are not as they were built.
const MOST_ALTERED: usize = 10;

/// What a build would do, in one line.
fn action(next: &NextBuild) -> &'static str {
    match next.action {
        NextAction::Wait => "a build would end at once: another one is going on",
        NextAction::Nothing => "nothing to do: settings and inputs are those of the dataset",
        NextAction::PackAgain => "a build would pack the samples of the dataset again",
        NextAction::Continue => "a build would go on from the one that was not published",
        NextAction::Build if next.has_dataset => "a build would make it again, and reuse samples that are the same",
        NextAction::Build => "a build would make the dataset",
    }
}

/// Why it would do so.
fn reasons(next: &NextBuild) -> Vec<String> {
    let mut reasons = Vec::new();
    if let Some(version) = &next.other_version {
        reasons.push(format!("the dataset was built by manyframe {version}"));
    }
    for difference in &next.changed_settings {
        reasons.push(format!("{} was {}, is {}", difference.setting, value(&difference.a), value(&difference.b)));
    }
    if next.num_unread_parts > 0 {
        let (unread, all) = (next.num_unread_parts, plural(next.num_annotation_parts, "annotation file"));
        reasons.push(format!("{unread} of {all} or parts: new, changed or never read"));
    }
    for changed in &next.changed_media {
        let number = plural(changed.num_records, "record");
        reasons.push(format!("media of {number} of {} changed: {} …", changed.source, changed.example));
    }
    for path in next.altered_files.iter().take(MOST_ALTERED) {
        reasons.push(format!("{} is not the file that its build wrote", path.display()));
    }
    if let Some(num_more @ 1..) = next.altered_files.len().checked_sub(MOST_ALTERED) {
        reasons.push(format!("(and {num_more} more; --json names all)"));
    }
    if reasons.is_empty() && next.action == NextAction::Build && next.has_dataset {
        let reason = "annotation files, or images of [decontamination], were removed or added, or a file of the dataset is missing or cut";
        reasons.push(reason.to_owned());
    }
    reasons
}

/// A value of a setting, in a few words.
pub(super) fn value(value: &Value) -> String {
    const MOST_CHARS: usize = 40;
    match value {
        Value::Null => "not set".to_owned(),
        Value::Object(_) => "{ … }".to_owned(),
        other => crate::table::shortened(&other.to_string(), MOST_CHARS),
    }
}
