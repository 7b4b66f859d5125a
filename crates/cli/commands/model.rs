//! `manyframe model`: creates models to validate with. How models are named in what commands print.

use std::process::ExitCode;

use anyhow::Result;
use manyframe_validate::checkpoint::num_parameters;
use manyframe_validate::measure::ModelFacts;
use manyframe_validate::write_random;

use super::location::expect_local;
use crate::args::ModelCommand;
use crate::output;
use crate::table::{bytes, count};

pub(super) fn run(command: &ModelCommand) -> Result<ExitCode> {
    let ModelCommand::Init { directory, preset, seed, vocab_size, describe } = command;
    let mut config = preset.config();
    if let Some(vocab_size) = vocab_size {
        config.language.vocab_size = *vocab_size;
    }
    if *describe {
        output::print(&(serde_json::to_string_pretty(&config)? + "\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    expect_local(directory, "a model is written")?;
    write_random(directory, &config, *seed)?;
    let num_parameters = num_parameters(&config);
    output::print(&format!(
        "{}: {} parameters with random weights ({})\nFor smoke tests only; its loss says nothing about data quality.\n",
        directory.display(),
        count(num_parameters),
        bytes(2 * num_parameters),
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Which model it was, and how it ran.
pub(super) fn described(model: &ModelFacts) -> String {
    let device = if model.device == "cuda" { "GPU" } else { "CPU" };
    format!("a model of {} parameters, {} on the {device}", count(model.num_parameters), model.dtype)
}
