//! What a build came to, as it is printed.

use anyhow::Result;
use manyframe_core::{HandledImages, HandledVideos};
use manyframe_dataset::{DatasetReader, WorkDone};
use manyframe_engine::{BuildAction, BuildAnswer, BuildOutcome, Committed, EngineError};
use manyframe_plan::SourceReuse;
use manyframe_transfer::Uploaded;

use super::{contract, explain, location, pack, rejects, validate};
use crate::args::StoreArguments;
use crate::output;
use crate::table::{bytes, count, plural};

/// How a command answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// Texts and tables.
    Text,
    /// JSON.
    Json,
}

/// Prints what a build came to; also what kept its dataset from being published. The error decides the exit code, even where it
/// cannot be printed.
pub(super) fn report(outcome: Result<BuildOutcome, EngineError>, answer: Answer, store: &StoreArguments) -> Result<()> {
    match answer {
        Answer::Text => report_text(outcome, store),
        Answer::Json => report_json(outcome),
    }
}

fn report_json(outcome: Result<BuildOutcome, EngineError>) -> Result<()> {
    let answer = match &outcome {
        Ok(outcome) => Some(BuildAnswer::of(outcome)),
        Err(error) => BuildAnswer::kept_back(error),
    };
    let printed = answer.map(|answer| output::print_json(&answer)).transpose();
    outcome?;
    printed?;
    Ok(())
}

fn report_text(outcome: Result<BuildOutcome, EngineError>, store: &StoreArguments) -> Result<()> {
    match &outcome {
        Err(EngineError::Invalid { report, path, .. }) => _ = output::print(&validate::render(report, path)),
        Err(EngineError::Losses { staged, .. }) => _ = report_dataset(staged, &[], store),
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
    report_dataset(&committed, &reuse, store)?;
    for loss in committed.losses() {
        tracing::warn!("{loss}");
    }
    Ok(())
}

fn report_dataset(committed: &Committed, reuse: &[SourceReuse], store: &StoreArguments) -> Result<()> {
    let manifest = &committed.manifest;
    let mut text = format!("{}\n\n{}", manifest.name, contract::of_dataset(manifest));
    text.push_str(&contract::decontamination(manifest.decontamination.as_ref()));
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
            "reused: the index of {} of {}, {} of {}\n",
            count(work.num_splits_reused),
            plural(work.num_splits_reused + work.num_splits_read, "annotation file"),
            count(work.num_samples_reused),
            plural(work.num_samples_reused + work.num_samples_made, "sample"),
        ));
    }
    text.push_str(&handled(work));
    text.push_str(&explain::summary(reuse));
    text.push_str(&rejects::render(&DatasetReader::open_at(&committed.dataset, &location::stores_at(store)?)?)?);
    if let Some(uploaded) = &committed.uploaded {
        text.push_str(&format!("published: {}\n", sent(uploaded)));
    }
    Ok(output::print(&text)?)
}

/// What was done at the store of a dataset.
fn sent(Uploaded { survey, num_removed, .. }: &Uploaded) -> String {
    let num_new = (survey.new.len() + survey.replaced.len()) as u64;
    let mut text = format!("{} ({}) new or replaced", plural(num_new, "file"), bytes(survey.num_bytes));
    if !survey.same.is_empty() {
        text.push_str(&format!(", {} ({}) the same", count(survey.same.len() as u64), bytes(survey.num_same_bytes)));
    }
    if *num_removed > 0 {
        text.push_str(&format!(", {} removed", count(*num_removed)));
    }
    text
}

/// How images and videos came to their bytes.
fn handled(work: WorkDone) -> String {
    let mut text = String::new();
    let images = work.images;
    if images != HandledImages::default() {
        text.push_str(&format!(
            "images: {} delivered byte for byte, {} cleaned, {} encoded",
            count(images.num_unchanged),
            count(images.num_cleaned),
            count(images.num_encoded),
        ));
        if images.num_cut > 0 {
            text.push_str(&format!(", {} tiles cut without loss", count(images.num_cut)));
        }
        text.push('\n');
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
