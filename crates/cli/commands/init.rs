//! `manyframe init`: looks at what is there, and writes a pipeline file for it.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use manyframe_plan::{FoundSource, Survey, survey};
use manyframe_vision::Family;

use crate::args::{Global, InitArguments};
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
    let choice = Choice::of(arguments, &found);
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
    family: Option<&'static str>,
    tokenizer: Option<PathBuf>,
}

impl Choice {
    fn of(arguments: &InitArguments, found: &Survey) -> Self {
        let given = arguments.tokenizer.as_ref().map(|path| std::path::absolute(path).unwrap_or_else(|_| path.clone()));
        let tokenizer = given.or_else(|| found.tokenizers.first().cloned());
        let stated = arguments.family.as_ref().map(Family::name);
        Self { family: stated.or_else(|| family_of(tokenizer.as_deref()?)), tokenizer }
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
    match choice.family {
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

/// The file that is written.
struct Draft<'a> {
    here: &'a Path,
    choice: &'a Choice,
    found: &'a Survey,
}

impl Draft<'_> {
    fn text(&self, name: &str) -> String {
        let mut text = format!(
            "# Written by `manyframe init`; yours to change. `manyframe check` reports every mistake, with its line.\n\n\
             name = {}\n\n",
            quoted(name)
        );
        match self.choice.family {
            Some(family) => _ = writeln!(text, "[model]\nfamily = {}\n", quoted(family)),
            None => text.push_str(
                "# The model whose processor decides what an image costs, such as \"qwen3-vl\"; `manyframe tokens --help` lists all.\n\
                 [model]\nfamily = \"longllava\"\n\n",
            ),
        }
        match &self.choice.tokenizer {
            Some(path) => _ = writeln!(text, "[format]\ntokenizer = {}", self.path(path)),
            None => text.push_str(
                "# A directory of the Hugging Face Hub, a tokenizer.json, or a SentencePiece .model.\n\
                 [format]\ntokenizer = \"${here}/tokenizer.json\"\n",
            ),
        }
        let mut names = Vec::new();
        for source in &self.found.sources {
            self.add_source(&mut text, source, &mut names);
        }
        for dataset in &self.found.datasets {
            let name = unused(&source_name(&dataset.to_string_lossy()), &mut names);
            _ = writeln!(
                text,
                "\n[[source]]\nname = {}\nkind = \"dataset\"\nfrom = {}",
                quoted(&name),
                self.path(dataset)
            );
        }
        text
    }

    fn add_source(&self, text: &mut String, source: &FoundSource, names: &mut Vec<String>) {
        let name = unused(&source_name(&source.annotations), names);
        _ = writeln!(text, "\n# {}.", description(source));
        _ = writeln!(text, "[[source]]\nname = {}", quoted(&name));
        text.push_str(if source.is_text {
            "kind = \"text\"    # conversations or documents, without images\n"
        } else {
            "kind = \"auto\"    # the fields of each record decide how it is read\n"
        });
        _ = writeln!(text, "annotations = {}", self.path(&source.annotations));
        self.add_options(text, source);
        let list = |paths: &[PathBuf]| match paths {
            [path] => self.path(path),
            paths => format!("[{}]", paths.iter().map(|path| self.path(path)).collect::<Vec<_>>().join(", ")),
        };
        if !source.media.is_empty() {
            _ = writeln!(text, "media = {}", list(&source.media));
        }
        if !source.links.is_empty() {
            _ = writeln!(text, "links = {}    # where links below media may lead", list(&source.links));
        }
    }

    fn add_options(&self, text: &mut String, source: &FoundSource) {
        let options = &source.options;
        if !options.list.is_empty() {
            _ = writeln!(text, "list = {}    # the list of the file that has the records", quoted(&options.list));
        }
        for join in &options.join {
            let mut keys = vec![format!("table = {}", self.path(&join.table))];
            keys.extend(join.list.as_ref().map(|list| format!("list = {}", quoted(list))));
            keys.push(format!("on = {}", quoted(&join.on)));
            keys.extend(join.id.as_ref().map(|id| format!("id = {}", quoted(id))));
            _ = writeln!(text, "join = [{{ {} }}]    # its columns are added to the records", keys.join(", "));
        }
        if !options.fields.is_empty() {
            let fields = options.fields.iter().map(|(name, found)| format!("{name} = {}", quoted(found)));
            _ = writeln!(text, "fields = {{ {} }}", fields.collect::<Vec<_>>().join(", "));
        }
        if let Some(score) = source.scores.first() {
            let score = if score.ends_with("ratings") { format!("min({score})") } else { score.clone() };
            _ = writeln!(text, "# where = {}    # would leave the other records out", quoted(&format!("{score} >= 4")));
        }
    }

    /// A path or pattern, from the directory of the file if it is below it.
    fn path(&self, path: impl AsRef<Path>) -> String {
        let path = path.as_ref();
        match path.strip_prefix(self.here) {
            Ok(rest) => quoted(&Path::new("${here}").join(rest).to_string_lossy()),
            Err(_) => quoted(&path.to_string_lossy()),
        }
    }
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// The name of a file, up to the first number of a pattern; with that of its directory if it says little by itself.
fn source_name(path: &str) -> String {
    const GENERAL: &[&str] = &["", "annotations", "data", "metadata", "part", "test", "train", "val", "validation"];
    let stem = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let path = Path::new(path);
    let name = stem(path).split(['*', '?']).next().unwrap_or_default().trim_matches(['-', '_', '.']).to_owned();
    match path.parent().map(stem) {
        Some(directory) if GENERAL.contains(&name.as_str()) => identifier(&format!("{directory}-{name}"), "source"),
        _ => identifier(&name, "source"),
    }
}

fn unused(name: &str, names: &mut Vec<String>) -> String {
    let mut chosen = name.to_owned();
    let mut number = 2;
    while names.contains(&chosen) {
        chosen = format!("{name}-{number}");
        number += 1;
    }
    names.push(chosen.clone());
    chosen
}
