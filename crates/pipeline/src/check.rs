//! Checks pipeline files with what they name: files, patterns, archives, datasets, the tokenizer and other pipeline files.
//!
//! It reads no record and no medium, and makes nothing.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fs;
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use manyframe_base::files::work_directory;
use manyframe_base::{FileAccess, is_url, on_threads, url_of};
use manyframe_core::Rejection;
use manyframe_format::{FormatError, FormatSpec, Formatter, Tokenizer, TryOut, advice_on_hub};
use manyframe_media::{MediaRoot, is_tar};
use manyframe_sources::{Merge, SourceError, SourceKind, expect_records, walk_samples};
use manyframe_storage::{Stores, check_url};
use manyframe_vision::{Family, MediaToken};

use crate::document::{Node, Override};
use crate::numbered::missing_files;
use crate::occupant::{MANIFEST_FILE, Occupant, dataset_around};
use crate::parse::{ParsedFile, parse_partly};
use crate::pattern::expand_pattern;
use crate::portable::{absolute_path, absolute_text, resolve_links};
use crate::problem::Problem;
use crate::settings::paths::{PathRole, PathSetting, path_settings};
use crate::settings::source::{Kind, SourceTable};
use crate::stages::{Outputs, is_pipeline_file, is_same_file, overrides_for, read_text, references};

/// What a tokenizer is.
const TOKENIZER: &str = "the path of a SentencePiece .model or a tokenizer.json, or a directory with either";
/// What a chat template is.
const TEMPLATE: &str = "a template in Jinja, a JSON file with a chat_template, or a directory with either, that writes what is shown and said";
/// What a directory or tar with a record for each image is.
const NOTHING_TO_MERGE: &str =
    "of images with texts beside them, where merge has no effect: each record has its own image";
/// Objects that are looked at at a time.
const CONCURRENCY: NonZeroUsize = NonZeroUsize::new(32).unwrap();

/// How far files are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckScope {
    /// The pipeline files alone: nothing that they name has to be there.
    Files,
    /// What they name, too.
    Everything,
}

/// What checking files showed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// Everything that is wrong.
    pub problems: Vec<Problem>,
    /// What works, but perhaps not as meant.
    pub warnings: Vec<Problem>,
}

/// Checks pipeline files, each with the overrides that apply to it. Everything that is wrong is reported together. `stores` reach
/// what URLs name.
pub fn check_files(files: &[(PathBuf, Vec<Override>)], scope: CheckScope, stores: &Stores) -> Checked {
    let mut checked = Checked::default();
    let mut outputs = Outputs::default();
    let mut parsed_files = Vec::new();
    for (path, overrides) in files {
        let Some(parsed) = parse(path, overrides, &mut checked.problems) else { continue };
        checked.problems.extend(outputs.add(path, &parsed));
        parsed_files.push((path, overrides, parsed));
    }
    for (path, overrides, mut parsed) in parsed_files {
        let (mut problems, mut warnings) = (Vec::new(), parsed.unused_variables());
        check_references(path, overrides, &mut parsed, &mut problems);
        if scope == CheckScope::Everything {
            let mut check = FileCheck {
                written: &parsed.written,
                outputs: &outputs,
                access: stores.access(),
                format: parsed.file.format.spec.clone(),
                family: parsed.file.family(),
                sources: parsed.file.source.clone(),
                problems: &mut problems,
                warnings: &mut warnings,
            };
            for setting in &path_settings(&mut parsed.file) {
                check.check(setting);
            }
            check.check_repeated_annotations();
            check.check_missing_annotations();
            check.check_media_of_sources();
        }
        let in_file = |problem: Problem| problem.in_file(&path.display().to_string());
        checked.problems.extend(problems.into_iter().map(in_file));
        checked.warnings.extend(warnings.into_iter().map(in_file));
    }
    checked
}

fn parse(path: &Path, overrides: &[Override], problems: &mut Vec<Problem>) -> Option<ParsedFile> {
    let text = match read_text(path) {
        Ok(text) => text,
        Err(error) => {
            problems.push(Problem::of_file(path, &format!("it cannot be read: {error}")));
            return None;
        }
    };
    match parse_partly(&text, path, overrides) {
        Ok((parsed, found)) => {
            problems.extend(found);
            Some(parsed)
        }
        Err(found) => {
            problems.extend(found);
            None
        }
    }
}

/// Checks the pipeline files that a file names, and those that these name: each can be read, and none of them needs the dataset
/// of this one.
fn check_references(path: &Path, overrides: &[Override], parsed: &mut ParsedFile, problems: &mut Vec<Problem>) {
    let settings: Vec<(Vec<String>, PathBuf)> = path_settings(&mut parsed.file)
        .into_iter()
        .filter(|setting| setting.role == PathRole::Dataset && is_pipeline_file(setting.text))
        .map(|setting| (setting.keys, absolute_path(Path::new(setting.text.as_str()))))
        .collect();
    for (keys, reference) in settings {
        let mut way = vec![path.to_owned()];
        let mut seen = BTreeSet::new();
        let Err(message) = follow(&reference, overrides, &mut way, &mut seen) else { continue };
        let message = format!("{}: {message}", setting_name(&parsed.file.source, &keys));
        let location =
            parsed.written.at(&keys).map_or_else(|| parsed.written.location.clone(), |node| node.location.clone());
        problems.push(Problem::new(location, &message).with_value(&reference.display().to_string()));
    }
}

/// Follows the references of a file, which `way` leads to.
fn follow(
    file: &Path,
    overrides: &[Override],
    way: &mut Vec<PathBuf>,
    seen: &mut BTreeSet<PathBuf>,
) -> Result<(), String> {
    let resolved = file.canonicalize().map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
    way.push(file.to_owned());
    if way.iter().rev().skip(1).any(|earlier| is_same_file(earlier, &resolved)) {
        let names: Vec<String> = way.iter().map(|file| file.display().to_string()).collect();
        return Err(format!("these pipeline files need each other's datasets, in a cycle: {}", names.join(" → ")));
    }
    if seen.insert(resolved) {
        let text = read_text(file).map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
        let own = overrides_for(file, overrides).unwrap_or_default();
        // Its own errors are reported when it is checked or built.
        if let Ok((mut parsed, _)) = parse_partly(&text, file, &own) {
            for next in references(&mut parsed.file) {
                follow(&absolute_path(Path::new(next.as_str())), overrides, way, seen)?;
            }
        }
    }
    way.pop();
    Ok(())
}

/// A setting as messages call it: `source.NAME.media`.
fn setting_name(sources: &[SourceTable], keys: &[String]) -> String {
    let is_index = |key: &String| key.bytes().all(|byte| byte.is_ascii_digit());
    let joined = |keys: &[String]| keys.iter().filter(|key| !is_index(key)).cloned().collect::<Vec<_>>().join(".");
    match keys {
        [source, index, rest @ ..] if source == "source" => {
            let table = index.parse::<usize>().ok().and_then(|index| sources.get(index));
            let name = table.map_or(index.as_str(), |table| table.name.as_str());
            format!("source.{name}.{}", joined(rest))
        }
        _ => joined(keys),
    }
}

/// Checks what one file names.
struct FileCheck<'a> {
    written: &'a Node,
    /// The datasets that the checked files build.
    outputs: &'a Outputs,
    /// Opens what they name.
    access: FileAccess,
    format: FormatSpec,
    family: Family,
    sources: Vec<SourceTable>,
    problems: &'a mut Vec<Problem>,
    warnings: &'a mut Vec<Problem>,
}

impl FileCheck<'_> {
    fn check(&mut self, setting: &PathSetting<'_>) {
        // Such a path is reported already.
        if setting.text.contains("${") || setting.text.starts_with('~') {
            return;
        }
        let text = absolute_text(setting.text);
        if is_url(Path::new(&text)) && (setting.role.is_local() || check_url(&text).is_err()) {
            return;
        }
        let result = match setting.role {
            PathRole::Tokenizer => self.check_tokenizer(Path::new(&text)),
            PathRole::Template => exists(Path::new(&text)).map_err(|found| wrong(&found, TEMPLATE)),
            PathRole::Annotations => self.check_annotations(&text, &setting.keys),
            PathRole::Table => {
                let opened = self.access.open(Path::new(&text)).map(drop).map_err(|error| absence(&error));
                opened.map_err(|found| wrong(&found, "a table: JSON, JSON lines, CSV, TSV or Parquet"))
            }
            PathRole::AnnotationRoot => self.check_annotation_root(&text, &setting.keys),
            PathRole::Media => self.check_all(&text, "a directory, a zip or a tar", &|path| {
                let root = MediaRoot { subset: None, path: path.to_owned(), name: String::new(), links: Vec::new() };
                root.check(&self.access).map_err(|error| with_causes(&error))
            }),
            PathRole::Links => self.check_all(&text, "a directory", &expect_directory),
            PathRole::Dataset => self.check_dataset(&text),
            PathRole::Unwanted => {
                self.check_all(&text, "images, videos, directories of them, or a dataset", &expect_files_below)
            }
            PathRole::Output => check_output(Path::new(&text), setting.keys.last().map(String::as_str)),
            PathRole::Model => {
                let config = Path::new(&text).join("config.json");
                expect_file(&config)
                    .map_err(|found| wrong(&format!("config.json: {found}"), "the directory of a model"))
            }
            PathRole::Policy => expect_file(Path::new(&text)).map_err(|found| wrong(&found, "a TOML file of limits")),
        };
        if let Err(Wrong { found, allowed }) = result {
            let node = self.written.at(&setting.keys);
            let location = node.map_or_else(|| self.written.location.clone(), |node| node.location.clone());
            let message = format!("{}: {found}", setting_name(&self.sources, &setting.keys));
            self.problems.push(Problem::new(location, &message).with_value(&text).with_allowed(&allowed));
        }
    }

    fn check_tokenizer(&mut self, path: &Path) -> Result<(), Wrong> {
        exists(path).map_err(|found| wrong(&format!("{found}{}", advice_on_hub(path)), TOKENIZER))?;
        let tokenizer = Tokenizer::open(path).map_err(|error| wrong(&with_causes(&error), TOKENIZER))?;
        let missing = |token: &MediaToken| token.is_placeholder && tokenizer.added(&token.text).is_none();
        let missing = self.family.processor().tokens().into_iter().find(missing);
        if let Some(token) = missing.filter(|_| self.format.needs_placeholders(&self.family)) {
            let found = format!("{} does not have the token {:?}", path.display(), token.text);
            return Err(wrong(&found, &format!("the tokenizer of a checkpoint of {}", self.family.name())));
        }
        match Formatter::new(&self.format, &self.family, Arc::new(tokenizer)) {
            Ok(formatter) => self.check_format(&formatter.try_out()),
            // A path that is not there is reported by itself.
            Err(FormatError::ReadFile { path, .. }) if exists(&path).is_err() => {}
            Err(error) => self.report_template(&with_causes(&error)),
        }
        Ok(())
    }

    /// Records of each kind can be formatted, and what is written around them are tokens.
    fn check_format(&mut self, tried: &TryOut) {
        let is_text = |table: &SourceTable| table.kind == Kind::Upstream(SourceKind::Text);
        if self.sources.iter().any(is_text)
            && let Some(problem) = failure(&tried.document)
        {
            self.report_template(&format!("a document cannot be written: {problem}"));
        }
        if !self.sources.iter().all(is_text) {
            self.check_conversations(tried);
        }
        let unknown = [("format.template", &tried.unknown_markers), ("the model family", &tried.unknown_media_tokens)];
        for (of, markers) in unknown.into_iter().filter(|(_, markers)| !markers.is_empty()) {
            let message = format!("format.tokenizer does not know markers of {of} as single tokens: they become text");
            let problem = Problem::new(self.written.location_of(&["format", "tokenizer"]), &message);
            self.warnings.push(problem.with_value(&markers.join(" ")));
        }
    }

    fn check_conversations(&mut self, tried: &TryOut) {
        if let Some(problem) = failure(&tried.conversation) {
            self.report_template(&format!("a conversation cannot be written: {problem}"));
            return;
        }
        // A family that reads no videos shows images, or nothing.
        let (image, video) = (failure(&tried.image), tried.video.as_ref().map(failure));
        match (image, video) {
            (Some(problem), None | Some(Some(_))) => {
                self.report_template(&format!("no visual can be written: {problem}"));
            }
            (image, video) => {
                self.warn_of_template("records with images will be rejected", image);
                self.warn_of_template("records with videos will be rejected", video.flatten());
            }
        }
        self.warn_of_template("records with system texts will be rejected", failure(&tried.system));
        let no_end = (!tried.trains_ends).then_some("the template writes nothing after the last one");
        self.warn_of_template("nothing that ends an answer is trained", no_end);
    }

    fn report_template(&mut self, message: &str) {
        let location = self.written.location_of(&["format", "template"]);
        self.problems.push(Problem::new(location, &format!("format.template: {message}")).with_allowed(TEMPLATE));
    }

    /// Warns of a consequence, if there is a problem.
    fn warn_of_template(&mut self, consequence: &str, problem: Option<&str>) {
        if let Some(problem) = problem {
            let location = self.written.location_of(&["format", "template"]);
            self.warnings.push(Problem::new(location, &format!("format.template: {consequence}: {problem}")));
        }
    }

    /// They are files, or directories of images with texts beside them.
    fn check_annotations(&self, text: &str, keys: &[String]) -> Result<(), Wrong> {
        let index = keys.get(1).and_then(|index| index.parse::<usize>().ok());
        let table = index.and_then(|index| self.sources.get(index));
        let may_be_directory = table.is_some_and(|table| table.kind == Kind::Upstream(SourceKind::Auto));
        let is_merged = table.is_some_and(|table| table.options.merge != Merge::Nothing);
        let list = table.map(|table| table.options.list.as_str()).filter(|list| !list.is_empty());
        self.check_all(text, "a file with annotations (JSON, JSON lines, CSV, TSV, Parquet or tar)", &|path| {
            if may_be_directory && path.is_dir() {
                if is_merged {
                    return Err(format!("a directory {NOTHING_TO_MERGE}"));
                }
                return std::fs::read_dir(path).map(drop).map_err(|error| absence(&error));
            }
            if !is_url(path) {
                expect_file(path)?;
            }
            let file = self.access.open(path).map_err(|error| absence(&error))?;
            if is_merged && is_tar(&file).is_ok_and(|is_tar| is_tar) {
                return Err(format!("a tar {NOTHING_TO_MERGE}"));
            }
            expect_records(&self.access, path, list).map_err(|error| match error {
                SourceError::NotRecords { found, advice, .. } => format!("it is {found}: {advice}"),
                other => with_causes(&other),
            })
        })
    }

    /// It is a directory, and some annotation file is below it.
    fn check_annotation_root(&self, text: &str, keys: &[String]) -> Result<(), Wrong> {
        const ALLOWED: &str = "a directory that contains the annotation files";
        self.expect_directory(text).map_err(|found| wrong(&found, ALLOWED))?;
        let index = keys.get(1).and_then(|index| index.parse::<usize>().ok());
        let Some(table) = index.and_then(|index| self.sources.get(index)) else { return Ok(()) };
        let is_below = |pattern: &String| Path::new(&absolute_text(pattern)).starts_with(text);
        if table.annotations.as_slice().iter().any(is_below) {
            return Ok(());
        }
        Err(wrong("no annotation file is below it: no record has a subset", ALLOWED))
    }

    fn check_dataset(&self, text: &str) -> Result<(), Wrong> {
        // Pipeline files are checked as such.
        if is_pipeline_file(text) || self.outputs.contains(&resolve_links(text)) {
            return Ok(());
        }
        let allowed = "the directory of a dataset that manyframe built, or the pipeline file that builds it";
        if !is_url(Path::new(text)) {
            expect_directory(Path::new(text)).map_err(|found| wrong(&found, allowed))?;
        }
        match self.access.num_bytes(&Path::new(text).join(MANIFEST_FILE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(wrong(&error.to_string(), allowed)),
            Err(_absent) => Err(wrong("it has no manifest.json", allowed)),
            Ok(_) => Ok(()),
        }
    }

    fn expect_directory(&self, text: &str) -> Result<(), String> {
        let Some(url) = url_of(Path::new(text)) else { return expect_directory(Path::new(text)) };
        match self.access.objects().and_then(|objects| objects.is_directory(url)) {
            Ok(false) => Err("it does not exist".to_owned()),
            Err(error) if error.kind() != io::ErrorKind::Unsupported => Err(error.to_string()),
            // A web server does not say.
            _ => Ok(()),
        }
    }

    /// All are looked at, many at a time where that means to wait for a store, and the first that is wrong is named.
    fn check_all(
        &self,
        pattern: &str,
        allowed: &str,
        check: &(dyn Fn(&Path) -> Result<(), String> + Sync),
    ) -> Result<(), Wrong> {
        let paths = expand_pattern(&self.access, pattern).map_err(|error| wrong(&error.detail, allowed))?;
        let checked = |path: &PathBuf| {
            let exists = if is_url(path) { Ok(()) } else { exists(path) };
            Ok::<_, Infallible>(exists.and_then(|()| check(path)))
        };
        let num_threads = if paths.iter().any(|path| is_url(path)) { CONCURRENCY } else { NonZeroUsize::MIN };
        let Ok(results) = on_threads(num_threads, &paths, checked);
        for (path, result) in paths.iter().zip(results) {
            let name = if path == Path::new(pattern) { String::new() } else { format!("{}: ", path.display()) };
            result.map_err(|found| wrong(&format!("{name}{found}"), allowed))?;
        }
        Ok(())
    }

    /// A file that is listed twice, or matches two patterns, is read twice.
    fn check_repeated_annotations(&mut self) {
        for (index, table) in self.sources.iter().enumerate() {
            let patterns = table.annotations.as_slice().iter().map(|pattern| absolute_text(pattern));
            let files = patterns.filter_map(|pattern| expand_pattern(&self.access, &pattern).ok()).flatten();
            let mut seen = BTreeSet::new();
            let repeated =
                files.map(|file| resolve_links(&file.to_string_lossy())).find(|file| !seen.insert(file.clone()));
            let Some(repeated) = repeated else { continue };
            let keys = ["source".to_owned(), index.to_string(), "annotations".to_owned()];
            let location = self.written.at(&keys).unwrap_or(self.written).location.clone();
            let message = format!("source.{}.annotations: a file is named more than once", table.name);
            let problem = Problem::new(location, &message).with_value(&repeated.display().to_string());
            self.problems.push(problem.with_allowed("each file once"));
        }
    }

    /// Files whose names say that there are more of them.
    fn check_missing_annotations(&mut self) {
        for (index, table) in self.sources.iter().enumerate() {
            let patterns = table.annotations.as_slice().iter().map(|pattern| absolute_text(pattern));
            let files: Vec<_> =
                patterns.filter_map(|pattern| expand_pattern(&self.access, &pattern).ok()).flatten().collect();
            let Some(missing) = missing_files(&self.access, &files) else { continue };
            let keys = ["source".to_owned(), index.to_string(), "annotations".to_owned()];
            let location = self.written.at(&keys).unwrap_or(self.written).location.clone();
            let message = format!("source.{}.annotations: {missing}", table.name);
            self.warnings.push(Problem::new(location, &message));
        }
    }

    /// Records name images and videos by paths, unless they are in Parquet files or tars.
    fn check_media_of_sources(&mut self) {
        for (index, table) in self.sources.iter().enumerate() {
            let has_text_only = !matches!(table.kind, Kind::Upstream(kind) if kind != SourceKind::Text);
            let has_roots = !table.media.as_slice().is_empty() || !table.media_by_subset.is_empty();
            let may_hold_media =
                |pattern: &String| [".parquet", ".tar"].iter().any(|ending| pattern.to_lowercase().ends_with(ending));
            if has_text_only || has_roots || table.annotations.as_slice().iter().any(may_hold_media) {
                continue;
            }
            let keys = ["source".to_owned(), index.to_string()];
            let location =
                self.written.at(&keys).map_or_else(|| self.written.location.clone(), |node| node.location.clone());
            let message = format!("source.{} has no media: records with images or videos will be rejected", table.name);
            self.warnings.push(Problem::new(location, &message));
        }
    }
}

/// Why a record could not be formatted, if it could not.
fn failure(tried: &Result<(), Rejection>) -> Option<&str> {
    tried.as_ref().err().map(|rejection| rejection.detail.as_str())
}

/// What was found, and what is allowed.
struct Wrong {
    found: String,
    allowed: String,
}

fn wrong(found: &str, allowed: &str) -> Wrong {
    Wrong { found: found.to_owned(), allowed: allowed.to_owned() }
}

fn exists(path: &Path) -> Result<(), String> {
    fs::metadata(path).map(drop).map_err(|error| absence(&error))
}

fn absence(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "it does not exist".to_owned(),
        _ => error.to_string(),
    }
}

/// It is a file, or some file is below it.
fn expect_files_below(path: &Path) -> Result<(), String> {
    exists(path)?;
    let has_files = !path.is_dir() || walk_samples(path).flatten().any(|entry| !entry.file_type().is_dir());
    if has_files { Ok(()) } else { Err("the directory has no files".to_owned()) }
}

fn expect_file(path: &Path) -> Result<(), String> {
    exists(path)?;
    match (path.is_file(), path.is_dir()) {
        (true, _) => Ok(()),
        (_, true) => Err("a directory was found, expected a file".to_owned()),
        _ => Err("neither a file nor a directory".to_owned()),
    }
}

fn expect_directory(path: &Path) -> Result<(), String> {
    exists(path)?;
    if path.is_dir() { Ok(()) } else { Err("it is not a directory".to_owned()) }
}

/// The directory of the dataset is free, or a dataset; the directory of all datasets need not exist.
fn check_output(path: &Path, key: Option<&str>) -> Result<(), Wrong> {
    let allowed = "a directory that does not exist, is empty, or has a dataset";
    if let Some(around) = dataset_around(path) {
        let found = format!(
            "it is inside of the dataset or work directory {}, whose next build would remove it",
            around.display()
        );
        return Err(wrong(&found, "a directory beside that dataset"));
    }
    if !matches!(key, Some("root" | "work"))
        && let Some(error) = fault_of(path).or_else(|| fault_of(&work_directory(path)))
    {
        return Err(wrong(&format!("it cannot be made: {error}"), allowed));
    }
    match (fs::symlink_metadata(path), fs::metadata(path)) {
        (Err(_absent), _) => Ok(()),
        (Ok(found), _) if found.is_symlink() && !matches!(key, Some("root" | "work")) => {
            Err(wrong("it is a link, which a build would replace", "the directory that it leads to"))
        }
        (_, Ok(metadata)) if metadata.is_dir() => {
            if matches!(key, Some("root" | "work")) {
                return Ok(());
            }
            match Occupant::of(path) {
                Ok(Occupant::Other) => Err(wrong("the directory has something else than a dataset", allowed)),
                Ok(Occupant::Nothing | Occupant::Dataset(_) | Occupant::Nameless) => Ok(()),
                Err(error) => Err(wrong(&format!("it cannot be read: {error}"), allowed)),
            }
        }
        _ => Err(wrong("it is not a directory", allowed)),
    }
}

/// Why nothing can be at a path: its name is too long, or something that is no directory is above it.
fn fault_of(path: &Path) -> Option<std::io::Error> {
    fs::symlink_metadata(path).err().filter(|error| error.kind() != std::io::ErrorKind::NotFound)
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
