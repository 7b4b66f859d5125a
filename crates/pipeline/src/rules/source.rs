//! Rules of a `[[source]]`.

use std::collections::BTreeSet;

use manyframe_samplers::{Law, Replacement};
use manyframe_sources::{Merge, SourceKind};

use crate::document::Node;
use crate::rules::{NAME, Rules, enumeration, is_name};
use crate::settings::source::{FilterTable, Kind, SourceTable};
use crate::settings::values::Take;
use crate::suggest::suggestion;

/// A `[[source]]` as messages call it: by its name, or by its index if it has none.
pub(crate) fn source_path(node: &Node, index: usize) -> String {
    match node.get("name").map(Node::to_json).as_ref().and_then(serde_json::Value::as_str) {
        Some(name) => format!("source.{name}"),
        None => format!("source[{index}]"),
    }
}

/// The rules of a `[[source]]`.
pub(crate) fn check_source(source: &SourceTable, mut rules: Rules<'_>) {
    // A key that is unknown or missing is reported already.
    if rules.table.get("name").is_some() && !is_name(&source.name) {
        rules.broken(&["name"], ".name: not a name", NAME);
    }
    // Without a kind nothing can be said about the other keys.
    if rules.table.get("kind").is_none_or(|kind| serde_json::from_value::<Kind>(kind.to_json()).is_err()) {
        return;
    }
    rules.check_kind(source);
    rules.check_merge(source);
    rules.check_empty();
    rules.check_law(source);
    rules.check_filter(&source.filter);
    let only: BTreeSet<&String> = source.delivered_in.as_slice().iter().collect();
    if let Some(both) = source.not_delivered_in.as_slice().iter().find(|dataset| only.contains(dataset)) {
        let message = format!(".delivered_in and .not_delivered_in both name {both:?}: no record is left");
        rules.broken(&["not_delivered_in"], &message, "different datasets");
    }
}

impl Rules<'_> {
    /// Each kind requires some keys and does not read others.
    fn check_kind(&mut self, source: &SourceTable) {
        let foreign: &[&str] = match source.kind {
            Kind::Replay(_) => {
                if source.from.is_empty() {
                    self.broken(&[], ".from is missing", "the directory of a dataset that manyframe built");
                }
                &[
                    "annotations",
                    "annotation_root",
                    "media",
                    "media_by_subset",
                    "links",
                    "media_prefix",
                    "list",
                    "join",
                    "where",
                    "scores",
                    "merge",
                    "max_merged_turns",
                ]
            }
            Kind::Upstream(kind) => {
                if source.annotations.as_slice().is_empty() {
                    self.broken(&[], ".annotations is missing", "a path, a pattern, or a list of them");
                }
                match kind {
                    SourceKind::Text => self.check_text(source),
                    SourceKind::Needles => self.check_needles(),
                    _ => {}
                }
                for problem in kind.option_problems(&source.options) {
                    let message = format!(".{}: {}", problem.option, problem.problem);
                    self.broken(&[problem.option], &message, "");
                }
                self.check_fields(kind, source);
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

    /// A field under a name that nobody asks for would be another one's in silence.
    fn check_fields(&mut self, kind: SourceKind, source: &SourceTable) {
        let known: Vec<String> = kind.field_names().map(str::to_owned).collect();
        for name in kind.unread_fields(&source.options) {
            let suggestion = suggestion(name, known.iter());
            let message = format!(".fields.{name}: no reader of kind {:?} knows it{suggestion}", kind.as_str());
            self.broken(
                &["fields", name],
                &message,
                "a name that is read, such as image, question, answer, caption or id",
            );
        }
    }

    /// An empty text is no value of these: the setting would be left out without a word. An empty `annotation_root` is how `--set` takes one
    /// away.
    fn check_empty(&mut self) {
        let expected = [
            ("where", "a condition, such as \"score >= 4\", or no where"),
            ("license", "an SPDX identifier or expression, or words, or no license"),
            ("list", "the name of a list, or no list"),
            ("scores", "the path of a table, or no scores"),
        ];
        for (key, expected) in expected {
            if self.table.get(key).and_then(Node::text).is_some_and(|text| text.trim().is_empty()) {
                self.broken(&[key], &format!(".{key} is empty"), expected);
            }
        }
    }

    /// What `delivered_in` looks up are records at their places in files, where a merged record has another extent.
    fn check_merge(&mut self, source: &SourceTable) {
        if source.options.merge == Merge::Nothing {
            return;
        }
        for key in ["delivered_in", "not_delivered_in"] {
            if !self.has(key) {
                continue;
            }
            let message =
                format!(".merge and .{key} exclude each other: no dataset says which of the merged records it has");
            self.broken(&["merge"], &message, &format!("one of merge and {key}"));
        }
    }

    /// Texts have no images.
    fn check_text(&mut self, source: &SourceTable) {
        if self.has("visuals") {
            self.broken(&["visuals"], ".visuals has no effect with kind = \"text\"", "with a kind that has images");
        }
        if let Some(least) = source.filter.min_images.filter(|least| *least > 0) {
            let message = format!(".filter.min_images = {least} leaves no record of kind = \"text\"");
            self.broken(&["filter", "min_images"], &message, "with a kind that has images");
        }
    }

    /// Questions are made as `[source.needles]` says, and shown as they are made.
    fn check_needles(&mut self) {
        if !self.has("needles") {
            let allowed = "a table [source.needles] with haystacks and lengths";
            self.broken(&[], ".needles is missing: what questions are made of", allowed);
        }
        for key in ["visuals", "fields", "join", "merge", "scores", "questions", "captions"] {
            if self.has(key) {
                let message = format!(".{key} does not fit kind = \"needles\"");
                self.broken(&[key], &message, "with another kind");
            }
        }
    }

    /// A minimum above its maximum leaves no record.
    fn check_filter(&mut self, filter: &FilterTable) {
        let bounds = [
            ("tokens", filter.min_tokens, filter.max_tokens),
            ("images", filter.min_images, filter.max_images),
            ("turns", filter.min_turns, filter.max_turns),
            ("chars", filter.min_chars, filter.max_chars),
        ];
        for (what, min, max) in bounds {
            // Each record has tokens, turns and characters, and one of texts has no images.
            if max.is_some_and(|max| max == 0) && what != "images" {
                let message = format!(".filter.max_{what} = 0: no record is left");
                self.broken(&["filter", &format!("max_{what}")], &message, "1 or more");
            }
            if let (Some(min), Some(max)) = (min, max)
                && min > max
            {
                let message = format!(".filter.min_{what} = {min} is more than max_{what} = {max}: no record is left");
                self.broken(&["filter", &format!("min_{what}")], &message, &format!("at most {max}"));
            }
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
        for key in ["unit", "stratify"] {
            if self.has(key) && source.law() == Law::All {
                let message = format!(".{key} has no effect where everything is drawn once");
                self.broken(&[key], &message, &format!("with {}", enumeration(&Law::SETTINGS, "or")));
            }
        }
        let is_bounded = source.weight.is_some() || matches!(source.take, Take::Count(_));
        if self.has("on_exhausted") && !is_bounded && source.replacement != Replacement::With {
            let message = ".on_exhausted has no effect without take or weight";
            self.broken(&["on_exhausted"], message, "with take or weight");
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
