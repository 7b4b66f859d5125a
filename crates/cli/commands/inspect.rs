//! `manyframe inspect`: shows a dataset, or one sample of it.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use manyframe_base::in_shell;
use manyframe_core::{Sample, VisualKind};
use manyframe_dataset::{DatasetReader, LedgerRow, Status};
use manyframe_engine::EngineError;
use manyframe_pipeline::dataset_around;

use super::location::{absolute, open_dataset};
use super::why::find_one;
use super::{contract, rejects};
use crate::args::InspectArguments;
use crate::table::{Table, bytes, count};
use crate::{exit, output};

pub(super) fn run(arguments: &InspectArguments) -> Result<ExitCode> {
    let text = match &arguments.id {
        None => show_dataset(arguments)?,
        Some(id) => show_sample(arguments, id)?,
    };
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn show_dataset(arguments: &InspectArguments) -> Result<String> {
    let dataset = open_dataset(&arguments.dataset, &arguments.store)?;
    let manifest = dataset.manifest();
    if arguments.json {
        return Ok(serde_json::to_string_pretty(manifest)? + "\n");
    }
    let mut text = format!("{}\n", manifest.name);
    if !manifest.description.is_empty() {
        text.push_str(&format!("{}\n", output::wrapped(&manifest.description, output::width())));
    }
    text.push_str(&format!("\n{}\n", contract::of_dataset(manifest)));
    let mut table = Table::new(&["shard", "samples", "tokens", "images", "size"]).with_expendable(&["images"]);
    for shard in &manifest.shards {
        let cost = shard.total.cost;
        let mut cells = vec![shard.path.to_string()];
        cells.extend([shard.total.num_samples, cost.num_tokens(), cost.num_images].map(count));
        cells.push(bytes(shard.num_bytes));
        table.push(cells);
    }
    text.push_str(&table.render());
    text.push_str(&contract::decontamination(manifest.decontamination.as_ref()));
    text.push_str(&rejects::render(&dataset)?);
    if let Some(row) = first_delivered(&dataset)? {
        text.push_str(&format!("\none sample: manyframe inspect {} {}\n", in_shell(dataset.location()), row.id));
    }
    Ok(text)
}

fn first_delivered(dataset: &DatasetReader) -> Result<Option<LedgerRow>> {
    let is_wanted = |row: &Result<LedgerRow, _>| row.as_ref().map_or(true, |row| row.status == Status::Delivered);
    Ok(dataset.ledger()?.find(is_wanted).transpose()?)
}

fn show_sample(arguments: &InspectArguments, id: &str) -> Result<String> {
    let dataset = open_dataset(&arguments.dataset, &arguments.store)?;
    let row = find_one(&dataset, id)?;
    let Some(sample) = dataset.read_sample(&row)? else {
        let message = format!(
            "record {} was not delivered ({}); see `manyframe why {} {}`",
            row.id,
            row.status.as_str(),
            in_shell(&arguments.dataset),
            row.id
        );
        return Err(exit::UsageError(message).into());
    };
    let written = arguments.images.as_deref().map(|directory| write_images(directory, &sample)).transpose()?;
    if arguments.json {
        return Ok(serde_json::to_string_pretty(&manyframe_shards::SampleJson::from_sample(&sample))? + "\n");
    }
    Ok(render(&row, &sample, written))
}

fn write_images(directory: &Path, sample: &Sample) -> Result<Vec<String>> {
    let path = absolute(directory)?;
    if let Some(around) = dataset_around(&path.join("image")) {
        return Err(EngineError::InsideDataset { path: directory.to_owned(), around: around.to_owned() }.into());
    }
    fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let mut names = Vec::new();
    for (index, image) in sample.images.iter().enumerate() {
        let path = directory.join(format!("{}.{index:03}.{}", sample.id, image.format.extension()));
        let mut file = fs::File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        file.write_all(&image.bytes).with_context(|| format!("cannot write {}", path.display()))?;
        names.push(path.display().to_string());
    }
    for (index, clip) in sample.clips.iter().enumerate() {
        let path = directory.join(format!("{}.{index:03}.{}", sample.id, clip.format.extension()));
        let mut file = fs::File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        file.write_all(&clip.bytes).with_context(|| format!("cannot write {}", path.display()))?;
        names.push(path.display().to_string());
    }
    Ok(names)
}

fn render(row: &LedgerRow, sample: &Sample, written: Option<Vec<String>>) -> String {
    let mut text = format!("record    {}\n", sample.id);
    let mut line = |name: &str, value: String| text.push_str(&format!("{name:<9} {value}\n"));
    line("source", join(&[&sample.source, &sample.subset, &sample.upstream_id]));
    line("from", row.origin.to_string());
    line("shard", row.shard.map(|shard| shard.to_string()).unwrap_or_default());
    line(
        "tokens",
        format!(
            "{} ({} text, {} of them delimiters; {} visual)",
            count(sample.cost.num_tokens()),
            count(sample.cost.text_tokens),
            count(sample.cost.delimiter_tokens),
            count(sample.cost.visual_tokens)
        ),
    );
    for visual in &sample.visuals {
        let size = format!("{}×{} px", visual.width_px, visual.height_px);
        let what = match (visual.kind, visual.grid) {
            (VisualKind::Video, _) => {
                let frames = format!("video of {} frames, {size}{}", visual.num_images, times(&visual.times_s));
                format!(
                    "{frames}{}",
                    visual.clip.as_ref().map(|clip| format!(", {}", clip.description())).unwrap_or_default()
                )
            }
            (VisualKind::Tiled, Some(grid)) => {
                format!("overview and {} × {} tiles (rows × columns), {size}", grid.rows, grid.columns)
            }
            _ => format!("image, {size}"),
        };
        line("visual", join(&[&what, &visual.path]));
    }
    text.push_str("\n--- the text as the trainer sees it; the loss is computed on the text between ⟦ and ⟧ ---\n");
    text.push_str(&marked_prompt(sample));
    text.push_str("\n---\n");
    for name in written.into_iter().flatten() {
        text.push_str(&format!("wrote {name}\n"));
    }
    text
}

fn join(parts: &[&str]) -> String {
    parts.iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join("  ")
}

fn times(times_s: &[f64]) -> String {
    match (times_s.first(), times_s.last()) {
        (Some(first), Some(last)) => format!(", from {first:.2} s to {last:.2} s"),
        _ => String::new(),
    }
}

/// The prompt with a mark at the start and at the end of each answer.
fn marked_prompt(sample: &Sample) -> String {
    let marks = sample.label_spans.iter().flat_map(|&(start, end)| [(start, '⟦'), (end, '⟧')]);
    let mut marks: Vec<(usize, char)> = marks.collect();
    // Where one answer ends and the next one starts, the end comes first.
    marks.sort_by_key(|&(position, mark)| (position, mark == '⟦'));
    let mut marks = marks.into_iter().peekable();
    let mut marked = String::with_capacity(sample.prompt.len() + 2 * '⟦'.len_utf8() * sample.label_spans.len());
    for (index, character) in sample.prompt.chars().enumerate() {
        while let Some((_, mark)) = marks.next_if(|&(position, _)| position <= index) {
            marked.push(mark);
        }
        marked.push(character);
    }
    marked.extend(marks.map(|(_, mark)| mark));
    marked
}
