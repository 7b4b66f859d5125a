//! Text to a checked [`Pipeline`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use manyframe_vision::{Family, SettingsReader};
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::document::{self, Node, NodeKind, Override, TableEntry};
use crate::portable::{self, HERE, Pipeline, absolute_text};
use crate::problem::{Problem, ValueLocation};
use crate::rules::Rules;
use crate::rules::file::check_file;
use crate::rules::pack::check_pack;
use crate::rules::paths::{check_own_output, check_unfilled, check_urls};
use crate::rules::source::{check_source, source_path};
use crate::settings::file::PipelineFile;
use crate::settings::packing::PackTable;
use crate::settings::source::SourceTable;
use crate::suggest::suggestion;
use crate::table_check::{TableReader, read_table, without_unknown_keys};
use crate::variables::{Values, leading_variable, references};

/// A file that was read and checked, before its paths are located.
pub(crate) struct ParsedFile {
    pub(crate) file: PipelineFile,
    /// The tree of the file before its variables were filled in.
    pub(crate) written: Node,
    /// The variables that texts of the file begin with, also where an override replaced them.
    leading: BTreeSet<String>,
    values: Values,
}

impl ParsedFile {
    /// The pipeline, with the paths that the file has by now.
    pub(crate) fn locate(self) -> Pipeline {
        portable::locate_paths(self.file, &self.written, &self.leading, self.values)
    }

    /// A problem for each variable that the file declares and does not use.
    pub(crate) fn unused_variables(&self) -> Vec<Problem> {
        let mut used = BTreeSet::new();
        self.written.for_each_text(&mut |text| used.extend(references(text)));
        let declared = self.written.get("vars").and_then(Node::entries).into_iter().flatten();
        let unused = declared.filter(|(name, _)| !used.contains(name.as_str()));
        let problem = |(name, entry): (&String, &TableEntry)| {
            Problem::new(entry.key_location.clone(), &format!("the variable {name:?} is not used"))
        };
        unused.map(problem).collect()
    }
}

/// Reads and checks a pipeline file. `path` is used in messages, and its directory is the variable `${here}`.
///
/// Paths start in the working directory, and become absolute.
///
/// # Errors
///
/// Every error of the file and of the overrides, each with its location.
pub fn parse(text: &str, path: &Path, overrides: &[Override]) -> Result<Pipeline, Vec<Problem>> {
    Ok(parse_file(text, path, overrides)?.locate())
}

pub(crate) fn parse_file(text: &str, path: &Path, overrides: &[Override]) -> Result<ParsedFile, Vec<Problem>> {
    let (parsed, problems) = parse_partly(text, path, overrides)?;
    if problems.is_empty() { Ok(parsed) } else { Err(problems) }
}

/// What can be read of a file, and its errors. Wrong settings have their defaults.
///
/// # Errors
///
/// Those of a text that is not TOML.
pub(crate) fn parse_partly(
    text: &str,
    path: &Path,
    overrides: &[Override],
) -> Result<(ParsedFile, Vec<Problem>), Vec<Problem>> {
    let in_file = |problems: Vec<Problem>| -> Vec<Problem> {
        problems.into_iter().map(|problem| problem.in_file(&path.display().to_string())).collect()
    };
    let mut root = document::parse(text).map_err(in_file)?;
    let leading = leading_variables(&root);
    let mut problems = Vec::new();
    for set in overrides {
        problems.extend(document::apply_override(&mut root, set).err());
    }
    let written = root.clone();
    let values = document::substitute(&mut root, &[(HERE, directory_of(path))]);
    let values = values.unwrap_or_else(|unfilled| {
        problems.extend(unfilled);
        Values::default()
    });
    let mut file = read_root(&root, &mut problems);
    check_unfilled(&mut file, &written, &mut problems);
    check_urls(&mut file, &written, &mut problems);
    check_own_output(&mut file, &written, &mut problems);
    Ok((ParsedFile { file, written, leading, values }, in_file(problems)))
}

/// The variables that the settings of a file begin with.
fn leading_variables(root: &Node) -> BTreeSet<String> {
    let mut leading = BTreeSet::new();
    let (settings, _definitions) = root.without("vars");
    settings.for_each_text(&mut |text| leading.extend(leading_variable(text).map(|(name, _)| name.to_owned())));
    leading
}

/// The directory of a file, absolute.
pub(crate) fn directory_of(path: &Path) -> String {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    absolute_text(&parent.display().to_string())
}

/// The table `[pack]` with some of its settings replaced: `max_tokens=128000`.
///
/// # Errors
///
/// Every error of the overrides.
pub fn pack_table_with(before: &PackTable, overrides: &[Override]) -> Result<PackTable, Vec<Problem>> {
    let text = toml::to_string(before)
        .map_err(|error| vec![Problem::new(ValueLocation::EarlierSettings, &error.to_string())])?;
    let mut root = document::parse(&text)?;
    let mut problems: Vec<Problem> =
        overrides.iter().filter_map(|set| document::apply_override(&mut root, set).err()).collect();
    let table = read_table(&root, "pack", &mut problems);
    check_pack(&table, &root, &mut problems);
    if problems.is_empty() {
        return Ok(table);
    }
    // Nobody sees the text that the settings of before are read from.
    Err(problems.into_iter().map(Problem::of_earlier_settings).collect())
}

/// The settings at the top of the file, outside any table.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Head {
    name: String,
    description: String,
    seed: u64,
    vars: BTreeMap<String, String>,
}

/// The tables that were taken out of a file, by name.
struct Tables {
    tables: BTreeMap<&'static str, Node>,
    missing: Node,
}

impl Tables {
    const NAMES: [&'static str; 15] = [
        "output",
        "format",
        "images",
        "tiles",
        "video",
        "limits",
        "duplicates",
        "decontamination",
        "overlength",
        "mix",
        "pack",
        "validate",
        "reuse",
        "model",
        "source",
    ];

    /// The tables of a file, and the rest of it.
    fn split_off(root: &Node) -> (Self, Node) {
        let mut head = root.clone();
        let mut tables = BTreeMap::new();
        for name in Self::NAMES {
            let (rest, table) = head.without(name);
            tables.extend(table.map(|table| (name, table)));
            head = rest;
        }
        let missing = Node { location: root.location.clone(), kind: NodeKind::Table(BTreeMap::new()) };
        (Self { tables, missing }, head)
    }

    fn get(&self, name: &str) -> Option<&Node> {
        self.tables.get(name)
    }

    /// The table, or its defaults if the file does not have it.
    fn read<T: DeserializeOwned + Default + JsonSchema>(&self, name: &str, problems: &mut Vec<Problem>) -> T {
        read_table(self.get(name).unwrap_or(&self.missing), name, problems)
    }
}

fn read_root(root: &Node, problems: &mut Vec<Problem>) -> PipelineFile {
    // The head alone does not know the names of tables, and could not suggest them.
    let (tables, head) = Tables::split_off(&without_unknown_keys::<PipelineFile>(root, problems));
    let Head { name, description, seed, vars } = read_table(&head, "", problems);
    let mut file = PipelineFile {
        name,
        description,
        seed,
        vars,
        output: tables.read("output", problems),
        format: tables.read("format", problems),
        model: tables.get("model").map(|node| read_model(node, problems)),
        images: tables.read("images", problems),
        tiles: tables.read("tiles", problems),
        video: tables.read("video", problems),
        limits: tables.read("limits", problems),
        duplicates: tables.read("duplicates", problems),
        decontamination: tables.read("decontamination", problems),
        overlength: tables.read("overlength", problems),
        mix: tables.read("mix", problems),
        pack: tables.get("pack").map(|node| read_table(node, "pack", problems)),
        validate: tables.get("validate").map(|node| read_table(node, "validate", problems)),
        reuse: tables.read("reuse", problems),
        source: tables.get("source").map_or_else(Vec::new, |node| read_sources(node, problems)),
    };
    check_file(&file, root, problems);
    file.output.formats.sort_unstable();
    file.output.formats.dedup();
    file.output.fill_in(&file.name);
    file
}

/// The table `[model]`, whose keys depend on its family.
fn read_model(node: &Node, problems: &mut Vec<Problem>) -> Family {
    struct Settings<'a> {
        node: &'a Node,
        problems: &'a mut Vec<Problem>,
    }

    impl SettingsReader for Settings<'_> {
        fn read<T: DeserializeOwned + Default + JsonSchema>(&mut self) -> T {
            read_table(self.node, "model", self.problems)
        }
    }

    let (settings, family) = node.without("family");
    let name = family.as_ref().and_then(Node::text).unwrap_or_default().to_owned();
    if let Some(family) = Family::read(&name, &mut Settings { node: &settings, problems }) {
        return family;
    }
    let names = Family::NAMES.iter().map(|(name, _)| format!("{name:?}")).collect::<Vec<_>>().join(", ");
    let problem = match family {
        Some(family) => {
            let known: Vec<_> = Family::NAMES.iter().map(|(name, _)| (*name).to_owned()).collect();
            let message = "model.family is not a family that manyframe knows";
            Problem::new(family.location, &format!("{message}{}", suggestion(&name, known.iter()))).with_value(&name)
        }
        None => Problem::new(node.location.clone(), "model.family is missing"),
    };
    problems.push(problem.with_allowed(&names));
    Family::default()
}

fn read_sources(array: &Node, problems: &mut Vec<Problem>) -> Vec<SourceTable> {
    let (tables, filters) = (TableReader::new(), TableReader::new());
    let mut names = BTreeSet::new();
    let mut sources = Vec::new();
    for (index, node) in array.elements().unwrap_or_default().iter().enumerate() {
        let at = source_path(node, index);
        // A filter is reported key by key instead of as a whole.
        let (rest, filter) = node.without("filter");
        let mut source: SourceTable = tables.read(&rest, &at, problems);
        if let Some(filter) = filter {
            source.filter = filters.read(&filter, &format!("{at}.filter"), problems);
        }
        check_source(&source, Rules { table: node, name: &at, problems });
        if !names.insert(source.name.clone()) {
            let message = format!("the source name {:?} is used twice", source.name);
            problems.push(Problem::new(node.location.clone(), &message).with_allowed("a unique name for every source"));
        }
        sources.push(source);
    }
    sources
}
