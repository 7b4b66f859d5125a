//! `manyframe needles`: the grid of an evaluation set, before anything is decoded.

use std::collections::BTreeSet;
use std::process::ExitCode;

use anyhow::Result;
use manyframe_engine::{NeedleCell, needle_grid};
use manyframe_plan::Context;

use super::location;
use crate::args::{Global, NeedlesArguments};
use crate::exit::UsageError;
use crate::table::{Table, count, plural};
use crate::{output, progress};

pub(super) fn run(arguments: &NeedlesArguments, global: &Global) -> Result<ExitCode> {
    if arguments.file.is_dir() {
        return Err(UsageError("the grid is of one pipeline file, not of a directory".to_owned()).into());
    }
    let set = &arguments.overrides.set;
    let mut pipeline = manyframe_pipeline::read_stage(&arguments.file, set, set)?.pipeline;
    pipeline.stores = location::stores()?;
    let progress = progress::on_stderr(global.quiet);
    let cells = needle_grid(&Context::open(pipeline)?, progress.as_ref())?;
    if arguments.json {
        output::print_json(&cells)?;
        return Ok(ExitCode::SUCCESS);
    }
    output::print(&render(&cells))?;
    Ok(ExitCode::SUCCESS)
}

fn render(cells: &[NeedleCell]) -> String {
    let header = ["task", "source", "length", "depth ‰", "index", "samples", "shown", "tokens", "too long", "rejected"];
    let mut table = Table::new(&header).with_expendable(&["source", "index"]);
    for cell in cells {
        let optional = |number: Option<u32>| number.map_or_else(String::new, |number| count(u64::from(number)));
        table.push(vec![
            cell.task.as_str().to_owned(),
            cell.source.clone(),
            count(u64::from(cell.length)),
            optional(cell.depth),
            optional(cell.index),
            count(cell.num_samples),
            range(cell.num_shown.map(u64::from)),
            cell.num_tokens.map_or_else(String::new, range),
            count(cell.num_too_long),
            count(cell.num_rejected),
        ]);
    }
    table.remove_if_zero("too long");
    table.remove_if_zero("rejected");
    let num_samples = cells.iter().map(|cell| cell.num_samples).sum();
    let mut text =
        format!("{}\n{}, {}\n", table.render(), plural(num_samples, "sample"), plural(cells.len() as u64, "cell"));
    // Cells of one length are often refused for one reason.
    let mut said = BTreeSet::new();
    for cell in cells {
        if let Some(rejection) = &cell.rejection {
            let line = format!("{} of length {}: {rejection}\n", cell.task.as_str(), cell.length);
            if said.insert(line.clone()) {
                text.push_str(&line);
            }
        }
    }
    text
}

fn range([least, most]: [u64; 2]) -> String {
    if least == most { count(least) } else { format!("{}–{}", count(least), count(most)) }
}
