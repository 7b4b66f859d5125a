//! `manyframe init`: looks at what is there, and writes a pipeline file for it.
//!
//! ```text
//! paths ──▶ plan::survey ──▶ found ──▶ ask.rs (if asked to) ──▶ draft.rs, with the settings of template.rs ──▶ pipeline file
//! ```

mod ask;
mod draft;
mod template;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use manyframe_plan::{FoundSource, Survey, survey};
use manyframe_vision::Family;

use self::draft::Draft;
use crate::args::{Global, InitArguments, InitTemplate};
use crate::exit::UsageError;
use crate::output;
use crate::table::plural;

/// How many files that cannot be read are named.
const MOST_UNREAD: usize = 20;

/// Model families by the `model_type` of their checkpoints.
const FAMILIES: &[(&str, &str)] = &[
    ("idefics3", "idefics3"),
    ("internvl", "internvl"),
    ("internvl_chat", "internvl"),
    ("llava", "llava-1.5"),
    ("llava_next", "llava-next"),
    ("llava_onevision", "llava-onevision"),
    ("qwen2_5_vl", "qwen2.5-vl"),
    ("qwen2_vl", "qwen2.5-vl"),
    ("qwen3_5", "qwen3.5"),
    ("qwen3_5_moe", "qwen3.5"),
    ("qwen3_vl", "qwen3-vl"),
    ("qwen3_vl_moe", "qwen3-vl"),
    ("smolvlm", "smolvlm"),
];

pub(super) fn run(arguments: &InitArguments, global: &Global) -> Result<ExitCode> {
    let file = &arguments.output;
    if file.symlink_metadata().is_ok() {
        let message =
            format!("{} exists, and init writes over no file; name another one with --output", file.display());
        return Err(UsageError(message).into());
    }
    if let Some(tokenizer) = arguments.tokenizer.as_ref().filter(|tokenizer| !tokenizer.exists()) {
        return Err(UsageError(format!("there is no tokenizer at {}", tokenizer.display())).into());
    }
    let paths = arguments.paths.iter().map(std::path::absolute).collect::<Result<Vec<_>, _>>()?;
    let mut found = survey(&paths).with_context(|| format!("cannot look at {}", shown_paths(&arguments.paths)))?;
    let name = dataset_name(&paths);
    // What an earlier file of init built is no source of the next one.
    let output = std::path::absolute(Path::new("out").join(&name))?;
    found.datasets.retain(|dataset| *dataset != output);
    let mut report = String::new();
    report_unread(&mut report, &found);
    if found.sources.is_empty() && found.datasets.is_empty() {
        output::print(&report)?;
        let message = format!(
            "no annotations in {}; expected JSON, JSON lines, CSV, TSV, Parquet or tar with a record for each sample, or texts beside images",
            shown_paths(&arguments.paths)
        );
        return Err(UsageError(message).into());
    }
    let mut choice = Choice::of(arguments, &found);
    if arguments.interactive {
        ask::ask(&mut found, &mut choice)?;
        if found.sources.is_empty() && found.datasets.is_empty() {
            return Err(UsageError("nothing is left to build a dataset of".to_owned()).into());
        }
    }
    let here = std::path::absolute(file)?.parent().map(Path::to_owned).unwrap_or_default();
    let text = Draft { here: &here, choice: &choice, found: &found }.text(&name);
    write_new(file, &text)?;
    report_found(&mut report, &found, &choice);
    let file = file.display();
    _ = writeln!(report, "\nwrote {file}; next:\n  manyframe check {file}\n  manyframe build {file}");
    if !global.quiet {
        output::print(&report)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn write_new(file: &Path, text: &str) -> Result<()> {
    let written = std::fs::File::create_new(file).and_then(|mut created| created.write_all(text.as_bytes()));
    written.with_context(|| format!("cannot write {}", file.display()))
}

fn shown_paths(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// The name of the directory, or of the file, as names of datasets are written.
fn dataset_name(paths: &[PathBuf]) -> String {
    let stem = paths.first().and_then(|path| path.file_stem()).map(|stem| stem.to_string_lossy().into_owned());
    identifier(&stem.unwrap_or_default(), "mine")
}

fn identifier(text: &str, default: &str) -> String {
    let allowed = |character: char| character.is_ascii_alphanumeric() || character == '_' || character == '-';
    let name: String = text.chars().map(|character| if allowed(character) { character } else { '-' }).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { default.to_owned() } else { name.to_owned() }
}

/// What the arguments and the files that were found say about the model.
struct Choice {
    /// The settings of a published recipe, which decide about the family, too.
    template: Option<InitTemplate>,
    family: Option<&'static str>,
    tokenizer: Option<PathBuf>,
}

impl Choice {
    fn of(arguments: &InitArguments, found: &Survey) -> Self {
        let given = arguments.tokenizer.as_ref().map(|path| std::path::absolute(path).unwrap_or_else(|_| path.clone()));
        let tokenizer = given.or_else(|| found.tokenizers.first().cloned());
        let stated = arguments.family.as_ref().map(Family::name);
        let family = stated.or_else(|| family_of(tokenizer.as_deref()?));
        Self { template: arguments.template, family, tokenizer }
    }
}

/// The family of the checkpoint that a tokenizer belongs to.
fn family_of(tokenizer: &Path) -> Option<&'static str> {
    let directory = if tokenizer.is_dir() { tokenizer } else { tokenizer.parent()? };
    let config: serde_json::Value = serde_json::from_slice(&std::fs::read(directory.join("config.json")).ok()?).ok()?;
    let model = config.get("model_type")?.as_str()?;
    FAMILIES.iter().find(|(name, _)| *name == model).map(|(_, family)| *family)
}

fn report_unread(report: &mut String, found: &Survey) {
    for (path, reason) in found.unread.iter().take(MOST_UNREAD) {
        _ = writeln!(report, "{}\n    not read: {reason}", path.display());
    }
    if let Some(more) = found.unread.len().checked_sub(MOST_UNREAD).filter(|more| *more > 0) {
        _ = writeln!(report, "… and {} more", plural(more as u64, "file"));
    }
    if found.is_partial {
        report.push_str("There are too many files to look at all of them: name the directories that matter.\n");
    }
}

fn report_found(report: &mut String, found: &Survey, choice: &Choice) {
    for source in &found.sources {
        _ = writeln!(report, "{}\n    {}", source.annotations, description(source));
    }
    for dataset in &found.datasets {
        _ = writeln!(report, "{}\n    a dataset that manyframe built", dataset.display());
    }
    match &choice.tokenizer {
        Some(path) => _ = writeln!(report, "\ntokenizer: {}", path.display()),
        None => report.push_str(NO_TOKENIZER),
    }
    match choice.template.map_or(choice.family, |template| Some(template.family())) {
        Some(family) => _ = writeln!(report, "model family: {family}"),
        None => report.push_str("model family: longllava, the default; --family names another\n"),
    }
}

const NO_TOKENIZER: &str =
    "\ntokenizer: none was found; write the path of your model's into the file, or name it with --tokenizer\n";

/// What some records of a source are, and how many of their media are there.
fn description(source: &FoundSource) -> String {
    let mut text = if source.num_files > 1 { format!("{} files; ", source.num_files) } else { String::new() };
    _ = write!(text, "{} of {} read", source.num_read, plural(source.num_records as u64, "sampled record"));
    let (turns, images, videos) = source.example;
    let shown = [(turns, "turn"), (images, "image"), (videos, "video")];
    let shown: Vec<_> =
        shown.iter().filter(|(count, _)| *count > 0).map(|(count, thing)| plural(*count as u64, thing)).collect();
    _ = write!(text, ", the first with {}", shown.join(", "));
    if source.num_media > 0 {
        _ = write!(text, "; {} of {} media found", source.num_found, source.num_media);
    }
    if let Some(missing) = &source.missing {
        _ = write!(text, ", not {missing}");
    }
    if !source.other_media.is_empty() {
        _ = write!(text, "; the same names are also in {}: see that media is right", shown_paths(&source.other_media));
    }
    if !source.ignored.is_empty() {
        let endings = source.ignored.iter().take(5).map(String::as_str).collect::<Vec<_>>().join(", ");
        _ = write!(text, "; nothing is read of files that end with {endings}");
    }
    if let Some(rejection) = &source.rejection {
        _ = write!(text, "; the first that is rejected: {rejection}");
    }
    text
}
