//! The pipeline file that `init` writes.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use manyframe_plan::{FoundSource, Survey};

use super::choice::Choice;
use super::describe::{description, identifier};
use crate::args::InitTemplate;

/// The file that is written.
pub(super) struct Draft<'a> {
    pub(super) here: &'a Path,
    pub(super) choice: &'a Choice,
    pub(super) found: &'a Survey,
}

impl Draft<'_> {
    pub(super) fn text(&self, name: &str) -> String {
        let mut text = format!(
            "# Written by `manyframe init`; yours to change. `manyframe check` reports every mistake, with its line.\n\n\
             name = {}\n\n",
            quoted(name)
        );
        let template = self.choice.template;
        match (template, self.choice.family) {
            (Some(template), _) => _ = writeln!(text, "{}", template.model()),
            (None, Some(family)) => _ = writeln!(text, "[model]\nfamily = {}\n", quoted(family)),
            (None, None) => text.push_str(
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
        text.push_str(template.map_or("", InitTemplate::settings));
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
        _ = writeln!(text, "\n# {}.", description(source).replace(char::is_control, " "));
        let table = self.table(source, &name);
        if source.held_out.is_some() {
            table.lines().for_each(|line| _ = writeln!(text, "# {line}"));
        } else {
            text.push_str(&table);
        }
    }

    fn table(&self, source: &FoundSource, name: &str) -> String {
        let mut table = format!("[[source]]\nname = {}\n", quoted(name));
        let text = &mut table;
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
        if !source.unclear_media.is_empty() {
            let places: Vec<_> = source.unclear_media.iter().map(|path| self.path(path)).collect();
            _ = writeln!(text, "# media = {}    # which of them?", places.join(" or "));
        }
        if !source.options.media_prefix.is_empty() {
            _ = writeln!(
                text,
                "media_prefix = {}    # is left out of paths of images and videos",
                quoted(&source.options.media_prefix)
            );
        }
        if !source.links.is_empty() {
            _ = writeln!(text, "links = {}    # where links below media may lead", list(&source.links));
        }
        table
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
            let why = options.fields.iter().find_map(|(name, found)| why_named(name, found)).unwrap_or_default();
            _ = writeln!(text, "fields = {{ {} }}{why}", fields.collect::<Vec<_>>().join(", "));
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

/// What a field is named for, if it is one of several.
fn why_named(name: &str, found: &str) -> Option<&'static str> {
    match found {
        _ if name == found => Some("    # this text alone is read; others beside it are not"),
        _ if found.starts_with("most_common(") => Some("    # of the answers in the list; answers[0] is the first"),
        _ => None,
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
