//! `manyframe init`: looks at what is there, and writes a pipeline file for it.
//!
//! ```text
//! paths ──▶ plan::survey ──▶ found ──▶ ask.rs (if asked to) ──▶ draft.rs, with the settings of template.rs ──▶ pipeline file
//! ```

mod ask;
mod choice;
mod describe;
mod draft;
mod template;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use manyframe_base::in_shell;
use manyframe_plan::{Survey, survey};

use self::choice::Choice;
use self::describe::{description, identifier, shown_paths};
use self::draft::Draft;
use crate::args::{Global, InitArguments};
use crate::commands::location::absolute;
use crate::exit::UsageError;
use crate::output;
use crate::table::plural;

/// How many files that cannot be read are named.
const MOST_UNREAD: usize = 20;

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
    if let Some(absent) = arguments.paths.iter().find(|path| path.symlink_metadata().is_err()) {
        return Err(UsageError(format!("there is nothing at {}", absent.display())).into());
    }
    let paths = arguments.paths.iter().map(|path| absolute(path)).collect::<Result<Vec<_>, _>>()?;
    let mut found = survey(&paths).with_context(|| format!("cannot look at {}", shown_paths(&arguments.paths)))?;
    let name = dataset_name(&paths);
    // What an earlier file of init built is no source of the next one.
    let output = absolute(&Path::new("out").join(&name))?;
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
    let here = absolute(file)?.parent().map(Path::to_owned).unwrap_or_default();
    let text = Draft { here: &here, choice: &choice, found: &found }.text(&name);
    write_new(file, &text)?;
    report_found(&mut report, &found, &choice);
    let (file, argument) = (file.display(), in_shell(file));
    _ = writeln!(report, "\nwrote {file}; next:\n  manyframe check {argument}\n  manyframe build {argument}");
    if !global.quiet {
        output::print(&report)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn write_new(file: &Path, text: &str) -> Result<()> {
    let written = std::fs::File::create_new(file).and_then(|mut created| created.write_all(text.as_bytes()));
    written.with_context(|| format!("cannot write {}", file.display()))
}

/// The name of the directory, or of the file, as names of datasets are written.
fn dataset_name(paths: &[std::path::PathBuf]) -> String {
    let stem = paths.first().and_then(|path| path.file_stem()).map(|stem| stem.to_string_lossy().into_owned());
    identifier(&stem.unwrap_or_default(), "mine")
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

const NO_TOKENIZER: &str = "\ntokenizer: none was found; write the path of your model's into the file, or name it with --tokenizer; \
     `hf download OWNER/MODEL tokenizer.json tokenizer_config.json --local-dir .` gets one\n";
