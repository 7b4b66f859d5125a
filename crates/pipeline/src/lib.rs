//! Pipeline files: TOML to a checked [`Pipeline`]. All errors are reported together.
//!
//! ```text
//! text ─parse─▶ tree with places ─--set, ${vars}─▶ tree ─check, table by table─▶ PipelineFile ─resolve paths─▶ Pipeline
//! ```

mod check;
mod document;
mod error;
mod packing;
mod problem;
mod reference;
mod resolve;
mod selection;
mod source;
mod tables;
mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use manyframe_samplers::{Law, Replacement};
use schemars::JsonSchema;
use serde::Deserialize;

pub use document::Override;
pub use error::PipelineError;
pub use packing::{Audit, PackTable, SequenceParallel};
pub use problem::Problem;
pub use reference::{ReadPipeline, list_stages, overrides_for, read};
pub use resolve::{annotation_files, display_name, media_roots};
pub use selection::{
    DuplicateRule, DuplicateText, DuplicatesTable, MixTable, OverLongPolicy, OverLongTable, ValidateTable,
};
pub use source::{FilterTable, ImageShow, Kind, ReplayKind, SourceTable, StratifyBy};
pub use tables::{
    FormatTable, ImagesTable, OutputTable, PipelineFile, SamplingRule, ShardSplit, TilesTable, VideoTable,
};
pub use values::{OneOrMany, Share, Take, TokenColumns};

use document::{Node, Place};

/// A checked pipeline file with its variables filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct Pipeline {
    /// The settings.
    pub file: PipelineFile,
    /// The variables and their values, the built-in `here` and `root` included: what differs between machines.
    pub variables: BTreeMap<String, String>,
}

/// The settings at the top of the file, outside of any table.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Head {
    name: String,
    description: String,
    seed: u64,
    vars: BTreeMap<String, String>,
}

const TABLES: [&str; 12] = [
    "output",
    "format",
    "images",
    "tiles",
    "video",
    "limits",
    "duplicates",
    "over_long",
    "mix",
    "pack",
    "validate",
    "source",
];

/// Reads and checks a pipeline file. `path` is used for messages and for the variable `${here}`, its directory.
pub fn parse(text: &str, path: &Path, overrides: &[Override]) -> Result<Pipeline, Vec<Problem>> {
    let in_file = |problems: Vec<Problem>| -> Vec<Problem> {
        problems.into_iter().map(|problem| problem.in_file(&path.display().to_string())).collect()
    };
    let mut root = document::parse(text).map_err(in_file)?;
    let mut problems = Vec::new();
    for set in overrides {
        problems.extend(document::apply_override(&mut root, set).err());
    }
    let here = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let variables = document::substitute(&mut root, &[("here", here.display().to_string())]);
    let mut variables = variables.unwrap_or_else(|unknown| {
        problems.extend(unknown);
        BTreeMap::new()
    });
    let file = read_root(&root, &mut problems);
    // Datasets below it have names that do not depend on where it is.
    variables.entry("root".to_owned()).or_insert_with(|| file.output.root.clone());
    if problems.is_empty() { Ok(Pipeline { file, variables }) } else { Err(in_file(problems)) }
}

/// The table `[pack]` with some of its settings replaced: `max_tokens=128000`.
pub fn pack_table_with(before: &PackTable, overrides: &[Override]) -> Result<PackTable, Vec<Problem>> {
    let text = toml::to_string(before).map_err(|error| vec![Problem::new(Place::CommandLine, &error.to_string())])?;
    let mut root = document::parse(&text)?;
    let mut problems: Vec<Problem> =
        overrides.iter().filter_map(|set| document::apply_override(&mut root, set).err()).collect();
    let table = check::read_table(&root, "pack", &mut problems);
    check_pack(&table, &root, &mut problems);
    if problems.is_empty() { Ok(table) } else { Err(problems) }
}

fn read_root(root: &Node, problems: &mut Vec<Problem>) -> PipelineFile {
    let (head, tables) = split_head(root);
    let head_table: Head = check::read_table(&head, "", problems);
    // The keys of tables are unknown to `Head`; it must still suggest them.
    let nothing = Node { place: root.place.clone(), kind: document::NodeKind::Table(BTreeMap::new()) };
    let table = |name: &str| tables.get(name).unwrap_or(&nothing);
    let mut file = PipelineFile {
        name: head_table.name,
        description: head_table.description,
        seed: head_table.seed,
        vars: head_table.vars,
        output: check::read_table(table("output"), "output", problems),
        format: check::read_table(table("format"), "format", problems),
        images: check::read_table(table("images"), "images", problems),
        tiles: check::read_table(table("tiles"), "tiles", problems),
        video: check::read_table(table("video"), "video", problems),
        limits: check::read_table(table("limits"), "limits", problems),
        duplicates: check::read_table(table("duplicates"), "duplicates", problems),
        over_long: check::read_table(table("over_long"), "over_long", problems),
        mix: check::read_table(table("mix"), "mix", problems),
        pack: tables.get("pack").map(|node| {
            let table = check::read_table(node, "pack", problems);
            check_pack(&table, node, problems);
            table
        }),
        validate: tables.get("validate").map(|node| check::read_table(node, "validate", problems)),
        source: Vec::new(),
    };
    let Some(sources) = tables.get("source").and_then(items) else {
        problems.push(
            Problem::new(root.place.clone(), "there is no [[source]]").with_allowed("one or more [[source]] tables"),
        );
        check_head(root, &mut file, problems);
        return file;
    };
    let mut names = BTreeSet::new();
    for (index, node) in sources.iter().enumerate() {
        let source = read_source(node, index, problems);
        if !names.insert(source.name.clone()) {
            let message = format!("the source name {:?} is used twice", source.name);
            problems
                .push(Problem::new(node.place.clone(), &message).with_allowed("a name of its own for every source"));
        }
        file.source.push(source);
    }
    check_head(root, &mut file, problems);
    file
}

fn items(node: &Node) -> Option<&[Node]> {
    if let document::NodeKind::Array(items) = &node.kind { Some(items) } else { None }
}

/// The root without its tables, and the tables.
fn split_head(root: &Node) -> (Node, BTreeMap<String, Node>) {
    let mut head = root.clone();
    let mut tables = BTreeMap::new();
    if let document::NodeKind::Table(entries) = &mut head.kind {
        for name in TABLES {
            if let Some(entry) = entries.remove(name) {
                tables.insert(name.to_owned(), entry.node);
            }
        }
    }
    (head, tables)
}

fn check_head(root: &Node, file: &mut PipelineFile, problems: &mut Vec<Problem>) {
    let place = |path: &[&str]| place_of(root, path);
    if !is_name(&file.name) {
        problems.push(Problem::new(place(&["name"]), "name: not a name").with_value(&file.name).with_allowed(NAME));
    }
    if file.format.tokenizer.is_empty() {
        let allowed = "the path of a SentencePiece .model or a tokenizer.json";
        problems.push(Problem::new(place(&["format"]), "format.tokenizer is missing").with_allowed(allowed));
    }
    if file.output.formats.is_empty() {
        let allowed = "one or more of \"webdataset\", \"parquet\"";
        problems.push(Problem::new(place(&["output", "formats"]), "output.formats is empty").with_allowed(allowed));
    }
    if file.duplicates.text == DuplicateText::Any && file.duplicates.remove == DuplicateRule::Exact {
        let message = "duplicates.text = \"any\" has no effect with remove = \"exact\", which compares texts, too";
        problems.push(
            Problem::new(place(&["duplicates", "text"]), message).with_allowed("with remove = \"pixels\", \"near\""),
        );
    }
    if file.mix.total.is_some() && !file.source.is_empty() && file.source.iter().all(|source| source.weight.is_none()) {
        let message = "mix.total is what weighted sources share, and no source has a weight";
        problems.push(Problem::new(place(&["mix", "total"]), message).with_allowed("with weight in a [[source]]"));
    }
    if file.over_long.goes_on_after_reject() {
        let message = "over_long.policy: what follows \"reject\" is never tried";
        problems.push(
            Problem::new(place(&["over_long", "policy"]), message).with_allowed("\"reject\" alone, or not at all"),
        );
    }
    if file.validate.as_ref().is_some_and(|table| table.model.is_empty()) {
        let allowed = "the directory of a model; `manyframe model init` writes a small one";
        problems.push(Problem::new(place(&["validate"]), "validate.model is missing").with_allowed(allowed));
    }
    file.output.formats.sort_unstable();
    file.output.formats.dedup();
    if file.output.directory.is_empty() {
        file.output.directory = format!("{}/{}", file.output.root, file.name);
    }
}

fn check_pack(table: &PackTable, node: &Node, problems: &mut Vec<Problem>) {
    let mut wrong = |key: &str, message: &str, allowed: &str| {
        problems.push(Problem::new(place_of(node, &[key]), message).with_allowed(allowed));
    };
    if let (Some(parallel), Some(multiple)) = (table.sequence_parallel, table.pad_to_multiple)
        && !u64::from(multiple.get()).is_multiple_of(parallel.num_chunks())
    {
        let message =
            format!("pack.pad_to_multiple: sequences of {multiple} tokens cannot be divided as {parallel} asks");
        wrong("pad_to_multiple", &message, &format!("a multiple of {}", parallel.num_chunks()));
    }
    if table.audit_max_tokens.is_some() && table.audit.is_none() {
        wrong(
            "audit_max_tokens",
            "pack.audit_max_tokens is for an audit, and there is none",
            "with audit = \"concat\"",
        );
    }
}

const NAME: &str = "1 to 64 letters, digits, '-' and '_'";

fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

fn read_source(node: &Node, index: usize, problems: &mut Vec<Problem>) -> SourceTable {
    let name = node.entries().and_then(|entries| entries.get("name")).map(|entry| entry.node.to_json());
    let at = match name.as_ref().and_then(serde_json::Value::as_str) {
        Some(name) => format!("source.{name}"),
        None => format!("source[{index}]"),
    };
    let filter_node = node.entries().and_then(|entries| entries.get("filter")).map(|entry| &entry.node);
    let num_before = problems.len();
    let source: SourceTable = check::read_table(node, &at, problems);
    if let Some(filter) = filter_node {
        // Reported key by key instead of as a whole.
        problems.retain(|problem| *problem.place() != filter.place);
        let _: FilterTable = check::read_table(filter, &format!("{at}.filter"), problems);
    }
    let has = |key: &str| node.entries().is_some_and(|entries| entries.contains_key(key));
    let mut wrong = |place: Place, message: &str, allowed: &str| {
        problems.push(Problem::new(place, &format!("{at}{message}")).with_allowed(allowed));
    };
    if !is_name(&source.name) {
        wrong(place_of(node, &["name"]), ".name: missing, or not a name", NAME);
    }
    if !has("kind") {
        let kinds = manyframe_sources::SourceKind::ALL.iter().map(|kind| kind.as_str()).chain(["dataset"]);
        wrong(node.place.clone(), ".kind is missing", &kinds.collect::<Vec<_>>().join(", "));
        return source;
    }
    let is_replay = matches!(source.kind, Kind::Replay(_));
    if problems_mention_kind(problems, num_before, &at) {
        return source;
    }
    let mut wrong = |place: Place, message: &str, allowed: &str| {
        problems.push(Problem::new(place, &format!("{at}{message}")).with_allowed(allowed));
    };
    if is_replay && source.from.is_empty() {
        wrong(node.place.clone(), ".from is missing", "the directory of a dataset that manyframe built");
    }
    if !is_replay && source.annotations.as_slice().is_empty() {
        wrong(node.place.clone(), ".annotations is missing", "a path, a pattern, or a list of them");
    }
    if let Kind::Upstream(kind) = source.kind {
        for problem in source.options.problems(kind) {
            wrong(place_of(node, &[problem.option]), &format!(".{}: {}", problem.option, problem.problem), "");
        }
    }
    let laws: Vec<&str> = ["take", "weight", "repeat"].into_iter().filter(|law| has(law)).collect();
    if let [_, second, ..] = laws[..] {
        let message = format!(".{second} stands beside .{}", laws.first().copied().unwrap_or_default());
        wrong(place_of(node, &[second]), &message, "one of take, weight and repeat");
    }
    if has("strata") && !has("stratify") {
        wrong(place_of(node, &["strata"]), ".strata says how groups share a draw, and there are none", "with stratify");
    }
    if source.replacement == Replacement::With {
        let place = || place_of(node, &["replacement"]);
        if laws.is_empty() || source.law() == Law::All {
            wrong(place(), ".replacement = \"with\" needs an amount to draw", "with take, weight or repeat");
        }
        if has("stratify") {
            wrong(place(), ".replacement = \"with\" draws no groups in proportion", "without stratify");
        }
        if has("on_exhausted") {
            wrong(place(), ".replacement = \"with\" never exhausts a source", "without on_exhausted");
        }
    }
    let foreign: &[&str] = if is_replay {
        &["annotations", "annotation_root", "media", "media_by_subset"]
    } else {
        &["from", "only_sources", "only_layouts"]
    };
    for key in foreign.iter().filter(|key| has(key)) {
        let allowed = if is_replay { "not with kind = \"dataset\"" } else { "only with kind = \"dataset\"" };
        wrong(place_of(node, &[key]), &format!(".{key} does not fit kind = {:?}", source.kind.as_str()), allowed);
    }
    source
}

fn problems_mention_kind(problems: &[Problem], from: usize, at: &str) -> bool {
    problems.iter().skip(from).any(|problem| problem.to_string().contains(&format!("{at}.kind")))
}

fn place_of(root: &Node, path: &[&str]) -> Place {
    let mut node = root;
    for key in path {
        match node.entries().and_then(|entries| entries.get(*key)) {
            Some(entry) => node = &entry.node,
            None => break,
        }
    }
    node.place.clone()
}

#[cfg(test)]
mod tests;
