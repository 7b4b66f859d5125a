//! `manyframe upload`: sends a dataset to an object store.

use std::process::ExitCode;

use anyhow::Result;
use manyframe_base::files::work_directory;
use manyframe_base::is_url;
use manyframe_dataset::Names;
use manyframe_engine::UploadAnswer;
use manyframe_transfer::{ReplacedUploads, StagedShards, Survey, Upload, UploadOptions, Uploaded};

use super::location::open_storage;
use crate::args::{Global, NamesChoice, UploadArguments};
use crate::table::{bytes, count, plural};
use crate::{exit, output, progress};

/// Files of each kind that are listed.
const MOST_LISTED: usize = 8;

/// Columns before the files of each kind.
const LABEL_WIDTH: usize = 11;

pub(super) fn run(arguments: &UploadArguments, global: &Global) -> Result<ExitCode> {
    if is_url(&arguments.dataset) {
        let message = format!("{} is a URL; what is uploaded is a directory", arguments.dataset.display());
        return Err(exit::UsageError(message).into());
    }
    let progress = progress::on_stderr(global.quiet);
    let storage = open_storage(&arguments.destination, &arguments.store)?;
    let options = UploadOptions {
        pace: arguments.pace.pace(),
        names: match arguments.names {
            NamesChoice::Plain => Names::Plain,
            NamesChoice::Content => Names::Content,
        },
        deletes: arguments.replacing.delete,
        replaces_other_name: arguments.replacing.replace,
        replaced: if arguments.replacing.take_over { ReplacedUploads::Any } else { ReplacedUploads::Never },
    };
    let (dataset, progress) = (arguments.dataset.as_path(), progress.as_ref());
    let (staged, notes) = (StagedShards::new(), &work_directory(dataset));
    let upload = Upload { dataset, staged: &staged, notes, storage: &*storage, options, progress };
    let text = if arguments.dry_run {
        let survey = upload.survey()?;
        if arguments.json { json(&survey)? } else { render(&survey, arguments.replacing.delete, "would upload") }
    } else {
        let uploaded = upload.run()?;
        if arguments.json { uploaded_json(uploaded)? } else { render_uploaded(&uploaded, arguments) }
    };
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn json(survey: &Survey) -> Result<String> {
    Ok(serde_json::to_string_pretty(survey)? + "\n")
}

fn uploaded_json(uploaded: Uploaded) -> Result<String> {
    let Uploaded { survey, manifest_digest, num_parts, num_kept_parts, num_removed } = uploaded;
    let answer = UploadAnswer { survey, manifest_digest, num_parts, num_kept_parts, num_removed };
    Ok(serde_json::to_string_pretty(&answer)? + "\n")
}

fn render(survey: &Survey, deletes: bool, verb: &str) -> String {
    let mut text = String::new();
    let mut line = |name: &str, paths: &[String], note: &str| {
        if !paths.is_empty() {
            let width = output::width().map(|width| width.saturating_sub(LABEL_WIDTH));
            let listed = output::wrapped(&format!("{}{note}", listed(paths)), width);
            let listed = listed.replace('\n', &format!("\n{:LABEL_WIDTH$}", ""));
            text.push_str(&format!("{name:<LABEL_WIDTH$}{listed}\n"));
        }
    };
    line("new", &survey.new, "");
    line("replaced", &survey.replaced, "");
    line("same", &survey.same, "");
    let note = if deletes { " (removed when the manifest is there)" } else { " (--delete removes them)" };
    line("left over", &survey.removable, note);
    let others: Vec<String> =
        survey.left_over.iter().filter(|path| !survey.removable.contains(path)).cloned().collect();
    line("others", &others, " (of no manifest: never removed)");
    let sent = (survey.new.len() + survey.replaced.len()) as u64;
    let manifest = if survey.has_manifest { "the manifest is there" } else { "then the manifest" };
    text.push_str(&format!("{verb} {} in {}, {manifest}\n", bytes(survey.num_bytes), plural(sent, "file")));
    text
}

fn listed(paths: &[String]) -> String {
    let first = paths.iter().take(MOST_LISTED).map(String::as_str).collect::<Vec<_>>().join(" ");
    let more = if paths.len() > MOST_LISTED { " …" } else { "" };
    format!("{}: {first}{more}", plural(paths.len() as u64, "file"))
}

fn render_uploaded(uploaded: &Uploaded, arguments: &UploadArguments) -> String {
    let survey = &uploaded.survey;
    let mut text = render(survey, arguments.replacing.delete, "uploaded");
    let checked = survey.new.len() + survey.replaced.len() + survey.same.len();
    text.push_str(&format!("{} sent", plural(uploaded.num_parts, "part")));
    if uploaded.num_kept_parts > 0 {
        text.push_str(&format!(", {} of an interrupted upload kept", count(uploaded.num_kept_parts)));
    }
    text.push_str(&format!("; size and digest of {} compared at the destination\n", plural(checked as u64, "file")));
    if uploaded.num_removed > 0 {
        text.push_str(&format!("removed {}\n", plural(uploaded.num_removed, "file")));
    }
    text.push_str(&format!("dataset: {}\n", arguments.destination.display()));
    text
}
