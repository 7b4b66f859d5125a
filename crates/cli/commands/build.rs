//! `manyframe build`: plan, run, commit.

use std::process::ExitCode;

use anyhow::Result;
use manyframe_base::Executor;
use manyframe_core::{HandledImages, HandledVideos};
use manyframe_dataset::{DatasetReader, WorkDone};
use manyframe_engine::{BuildAction, BuildOutcome, Committed, EngineError, PlannedBuild};
use manyframe_plan::SourceReuse;

use super::publish::Destination;
use super::{contract, engine, explain, pack, rejects, stages, validate};
use crate::args::{BuildArguments, Global};
use crate::machine::{Machine, bounded_thread_pool};
use crate::supervised::Session;
use crate::table::{bytes, count, plural};
use crate::{output, progress};

pub(super) fn run(arguments: &BuildArguments, global: &Global, session: &Session) -> Result<ExitCode> {
    let progress = session.noted(progress::on_stderr(global.quiet));
    let pool = bounded_thread_pool(&arguments.pipeline.threads, session.most_threads())?;
    let executor = Executor { pool: &pool, progress: progress.as_ref() };
    let engine = engine::of_arguments(&arguments.engine)?;
    let commit = arguments.publishing.options();
    for (number, stage) in stages::of_arguments(&arguments.pipeline)?.iter().enumerate().skip(session.first_stage()) {
        let pipeline = stages::read(stage, &arguments.pipeline)?;
        let destination = Destination::open(&pipeline, commit)?;
        let build = stages::open(number, pipeline, &arguments.pipeline, commit, session)?;
        let mut printed = Ok(());
        let mut show = |planned: &PlannedBuild| {
            if arguments.explain && session.takes_explanation(number) {
                printed = output::print(&explain::render(planned));
            }
        };
        let outcome = build.finish_watched(engine.as_ref(), executor, &Machine::start(), &mut show);
        destination.finish(outcome, progress.as_ref())?;
        printed?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints what a build came to; also what kept its dataset from being published. The error decides the exit code, even where it
/// cannot be printed.
pub(super) fn report(outcome: Result<BuildOutcome, EngineError>) -> Result<()> {
    match &outcome {
        Err(EngineError::Invalid { report, path, .. }) => _ = output::print(&validate::render(report, path)),
        Err(EngineError::Losses { staged, .. }) => _ = report_dataset(staged, &[]),
        _ => {}
    }
    let BuildOutcome { committed, action, reuse, validation } = outcome?;
    match action {
        BuildAction::Built => {}
        BuildAction::Repacked => {
            output::print(
                "packed again with the settings of the pipeline file; the samples are those of the last build\n",
            )?;
        }
        BuildAction::Nothing => output::print(
            "nothing to do: pipeline file and inputs are those of the last build (--fresh builds from scratch)\n",
        )?,
    }
    if let Some(report) = validation {
        output::print(&validate::render(&report, &committed.dataset))?;
    }
    report_dataset(&committed, &reuse)?;
    for loss in committed.losses() {
        tracing::warn!("{loss}");
    }
    Ok(())
}

fn report_dataset(committed: &Committed, reuse: &[SourceReuse]) -> Result<()> {
    let manifest = &committed.manifest;
    let mut text = format!("{}\n\n{}", manifest.name, contract::of_dataset(manifest));
    if let Some(pack) = &manifest.pack {
        text.push_str(&format!("\n{}", pack::render(&pack.summary)));
    }
    let num_bytes = manifest.shards.iter().map(|shard| shard.num_bytes).sum();
    text.push_str(&format!(
        "\n{}, {}, {} in {} ({})\ndataset:  {}\nmanifest: {}\n",
        plural(manifest.total.num_samples, "sample"),
        plural(manifest.total.cost.num_tokens(), "token"),
        plural(manifest.total.cost.num_images, "image"),
        plural(manifest.shards.len() as u64, "shard"),
        bytes(num_bytes),
        committed.dataset.display(),
        committed.manifest_digest,
    ));
    let work = committed.work;
    if work.num_splits_reused + work.num_samples_reused > 0 {
        text.push_str(&format!(
            "reused: the index of {} of {} annotation files, {} of {} samples\n",
            count(work.num_splits_reused),
            count(work.num_splits_reused + work.num_splits_read),
            count(work.num_samples_reused),
            count(work.num_samples_reused + work.num_samples_made),
        ));
    }
    text.push_str(&handled(work));
    text.push_str(&explain::summary(reuse));
    text.push_str(&rejects::render(&DatasetReader::open(&committed.dataset)?)?);
    Ok(output::print(&text)?)
}

/// How images and videos came to their bytes.
fn handled(work: WorkDone) -> String {
    let mut text = String::new();
    let images = work.images;
    if images != HandledImages::default() {
        text.push_str(&format!(
            "images: {} delivered byte for byte, {} cleaned, {} encoded\n",
            count(images.num_unchanged),
            count(images.num_cleaned),
            count(images.num_encoded),
        ));
    }
    let videos = work.videos;
    if videos != HandledVideos::default() {
        text.push_str(&format!(
            "videos: {} delivered whole, {} cut, {} whole because they cannot be cut, {} as images of their frames\n",
            count(videos.num_whole),
            count(videos.num_cut),
            count(videos.num_uncut),
            count(videos.num_as_frames),
        ));
    }
    text
}
