//! `manyframe download`: fetches a dataset, or the shards that a node trains on.

use std::process::ExitCode;

use anyhow::Result;
use manyframe_engine::EngineError;
use manyframe_pipeline::dataset_around;
use manyframe_transfer::{Choice, Download};

use super::location::{absolute, expect_local, open_dataset};
use crate::args::{DownloadArguments, Global};
use crate::table::{bytes, plural};
use crate::{output, progress};

pub(super) fn run(arguments: &DownloadArguments, global: &Global) -> Result<ExitCode> {
    let progress = progress::on_stderr(global.quiet);
    expect_local(&arguments.directory, "a dataset is downloaded")?;
    let directory = absolute(&arguments.directory)?;
    if let Some(around) = dataset_around(&directory) {
        return Err(EngineError::InsideDataset { path: directory.clone(), around: around.to_owned() }.into());
    }
    let dataset = open_dataset(&arguments.dataset, &arguments.store)?;
    let choice = Choice {
        only_layouts: arguments.only_layout.clone(),
        positions: arguments.shards.clone(),
        rank: arguments.rank,
    };
    let download = Download {
        dataset: &dataset,
        directory: &arguments.directory,
        choice,
        pace: arguments.pace.pace(),
        progress: progress.as_ref(),
    };
    let done = download.run()?;
    let same = if done.num_same > 0 {
        format!("; {} there already, with the same digest", plural(done.num_same, "file"))
    } else {
        String::new()
    };
    let what = if done.is_whole { "the dataset" } else { "its shards, without a manifest" };
    output::print(&format!(
        "downloaded {} in {}{same}\n{what}: {}\n",
        bytes(done.num_fetched_bytes),
        plural(done.num_fetched, "file"),
        arguments.directory.display(),
    ))?;
    Ok(ExitCode::SUCCESS)
}
