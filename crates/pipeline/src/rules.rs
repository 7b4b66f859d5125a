//! What settings require of each other: rules that involve more than one key.

use manyframe_samplers::{Law, Replacement};
use manyframe_shards::ShardFormat;
use manyframe_sources::SourceKind;

use crate::document::Node;
use crate::problem::Problem;
use crate::settings::file::PipelineFile;
use crate::settings::packing::PackTable;
use crate::settings::selection::{DuplicateRule, DuplicateText};
use crate::settings::source::{Kind, SourceTable};

const NAME: &str = "1 to 64 letters, digits, '-' and '_'";

fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// Names as a sentence lists them: `a, b and c`.
fn enumeration(names: &[&str], conjunction: &str) -> String {
    match names {
        [first @ .., last] if !first.is_empty() => format!("{} {conjunction} {last}", first.join(", ")),
        _ => names.concat(),
    }
}

/// Collects the broken rules of one table.
pub(crate) struct Rules<'a> {
    pub(crate) table: &'a Node,
    /// The table as messages call it: `source.NAME`; empty for the whole file.
    pub(crate) name: &'a str,
    pub(crate) problems: &'a mut Vec<Problem>,
}

impl Rules<'_> {
    /// Reports a broken rule at the value of a path of keys, or at the table that lacks it.
    fn broken(&mut self, path: &[&str], message: &str, allowed: &str) {
        let message = format!("{}{message}", self.name);
        self.problems.push(Problem::new(self.table.location_of(path), &message).with_allowed(allowed));
    }

    fn has(&self, key: &str) -> bool {
        self.table.has(key)
    }
}

/// The rules of the file as a whole.
pub(crate) fn check_file(file: &PipelineFile, root: &Node, problems: &mut Vec<Problem>) {
    if let (Some(table), Some(node)) = (&file.pack, root.get("pack")) {
        check_pack(table, node, problems);
    }
    if root.get("source").and_then(Node::elements).is_none() {
        let problem = Problem::new(root.location.clone(), "there is no [[source]]");
        problems.push(problem.with_allowed("one or more [[source]] tables"));
    }
    if !is_name(&file.name) {
        let problem = Problem::new(root.location_of(&["name"]), "name: not a name");
        problems.push(problem.with_value(&file.name).with_allowed(NAME));
    }
    let mut rules = Rules { table: root, name: "", problems };
    if file.format.tokenizer.is_empty() {
        let allowed = "the path of a SentencePiece .model or a tokenizer.json";
        rules.broken(&["format"], "format.tokenizer is missing", allowed);
    }
    if file.output.formats.is_empty() {
        let formats = ShardFormat::ALL.map(|format| format!("{:?}", format.as_str())).join(", ");
        rules.broken(&["output", "formats"], "output.formats is empty", &format!("one or more of {formats}"));
    }
    if file.duplicates.text == DuplicateText::Any && file.duplicates.remove == DuplicateRule::Exact {
        let message = "duplicates.text = \"any\" has no effect with remove = \"exact\", which compares texts, too";
        rules.broken(&["duplicates", "text"], message, "with remove = \"pixels\" or \"near\"");
    }
    let has_weight = file.source.iter().any(|source| source.weight.is_some());
    if file.mix.total.is_some() && !file.source.is_empty() && !has_weight {
        let message = "mix.total is divided among weighted sources, and no source has a weight";
        rules.broken(&["mix", "total"], message, "with weight in a [[source]]");
    }
    if file.overlength.goes_on_after_reject() {
        let message = "overlength.policy: what follows \"reject\" is never tried";
        rules.broken(&["overlength", "policy"], message, "\"reject\" alone or at the end");
    }
    if file.validate.as_ref().is_some_and(|table| table.model.is_empty()) {
        let allowed = "the directory of a model; `manyframe model init` writes a small one";
        rules.broken(&["validate"], "validate.model is missing", allowed);
    }
}

/// The rules of the table `[pack]`.
pub(crate) fn check_pack(table: &PackTable, node: &Node, problems: &mut Vec<Problem>) {
    let mut rules = Rules { table: node, name: "pack", problems };
    if let (Some(parallel), Some(multiple)) = (table.sequence_parallel, table.pad_to_multiple)
        && !u64::from(multiple.get()).is_multiple_of(parallel.num_chunks())
    {
        let message =
            format!(".pad_to_multiple: sequences of {multiple} tokens cannot be divided as {parallel} requires");
        rules.broken(&["pad_to_multiple"], &message, &format!("a multiple of {}", parallel.num_chunks()));
    }
    if table.audit_max_tokens.is_some() && table.audit.is_none() {
        let message = ".audit_max_tokens has no effect without audit";
        rules.broken(&["audit_max_tokens"], message, "with audit = \"concat\"");
    }
}

/// A `[[source]]` as messages call it: by its name, or by its index if it has none.
pub(crate) fn source_path(node: &Node, index: usize) -> String {
    match node.get("name").map(Node::to_json).as_ref().and_then(serde_json::Value::as_str) {
        Some(name) => format!("source.{name}"),
        None => format!("source[{index}]"),
    }
}

/// The rules of a `[[source]]`.
pub(crate) fn check_source(source: &SourceTable, mut rules: Rules<'_>) {
    if !is_name(&source.name) {
        rules.broken(&["name"], ".name: missing, or not a name", NAME);
    }
    let Some(kind) = rules.table.get("kind") else {
        let kinds = SourceKind::ALL.iter().map(|kind| kind.as_str()).chain(["dataset"]);
        rules.broken(&[], ".kind is missing", &kinds.collect::<Vec<_>>().join(", "));
        return;
    };
    // An unknown kind is reported already. Without a kind nothing can be said about the other keys.
    if serde_json::from_value::<Kind>(kind.to_json()).is_err() {
        return;
    }
    rules.check_kind(source);
    rules.check_law(source);
}

impl Rules<'_> {
    /// Each kind requires some keys and does not read others.
    fn check_kind(&mut self, source: &SourceTable) {
        let foreign: &[&str] = match source.kind {
            Kind::Replay(_) => {
                if source.from.is_empty() {
                    self.broken(&[], ".from is missing", "the directory of a dataset that manyframe built");
                }
                &["annotations", "annotation_root", "media", "media_by_subset", "links"]
            }
            Kind::Upstream(kind) => {
                if source.annotations.as_slice().is_empty() {
                    self.broken(&[], ".annotations is missing", "a path, a pattern, or a list of them");
                }
                for problem in kind.option_problems(&source.options) {
                    let message = format!(".{}: {}", problem.option, problem.problem);
                    self.broken(&[problem.option], &message, "");
                }
                &["from", "only_sources", "only_layouts"]
            }
        };
        let node = self.table;
        let is_replay = matches!(source.kind, Kind::Replay(_));
        let allowed = if is_replay { "not with kind = \"dataset\"" } else { "only with kind = \"dataset\"" };
        for key in foreign.iter().filter(|key| node.has(key)) {
            let message = format!(".{key} does not fit kind = {:?}", source.kind.as_str());
            self.broken(&[key], &message, allowed);
        }
    }

    /// One law says how much is drawn; further settings depend on it.
    fn check_law(&mut self, source: &SourceTable) {
        let laws: Vec<&str> = Law::SETTINGS.into_iter().filter(|law| self.has(law)).collect();
        if let [first, second, ..] = laws[..] {
            let message = format!(".{second} and .{first} exclude each other");
            self.broken(&[second], &message, &format!("one of {}", enumeration(&Law::SETTINGS, "and")));
        }
        if self.has("strata") && !self.has("stratify") {
            let message = ".strata has no effect without stratify";
            self.broken(&["strata"], message, "with stratify");
        }
        if source.replacement != Replacement::With {
            return;
        }
        if laws.is_empty() || source.law() == Law::All {
            let message = ".replacement = \"with\" needs an amount to draw";
            self.broken(&["replacement"], message, &format!("with {}", enumeration(&Law::SETTINGS, "or")));
        }
        if self.has("stratify") {
            let message = ".replacement = \"with\" cannot keep groups in proportion";
            self.broken(&["replacement"], message, "without stratify");
        }
        if self.has("on_exhausted") {
            let message = ".replacement = \"with\" never exhausts a source";
            self.broken(&["replacement"], message, "without on_exhausted");
        }
    }
}
