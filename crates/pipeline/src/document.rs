//! A TOML file as a tree in which every value knows its location, after `--set` and `${variables}` are applied.
//!
//! It does not know which keys are allowed: [`crate::table_check`] does.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::problem::{Problem, ValueLocation};
use crate::suggest::suggestion;
use crate::variables::{Unfilled, Values};

/// A value with its location.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) location: ValueLocation,
    pub(crate) kind: NodeKind,
}

#[derive(Debug, Clone)]
pub(crate) enum NodeKind {
    Table(BTreeMap<String, TableEntry>),
    Array(Vec<Node>),
    /// A string, number or boolean.
    Scalar(Value),
    /// A value that no setting takes: JSON, in which settings are kept, does not have it. As it is written, and what it is.
    Unfit {
        written: String,
        what: &'static str,
    },
}

/// A value and the location of its key, where an unknown key is reported.
#[derive(Debug, Clone)]
pub(crate) struct TableEntry {
    pub(crate) key_location: ValueLocation,
    pub(crate) node: Node,
}

/// A `--set key=value` of the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// A variable, or a dotted path such as `format.max_tokens` or `source.NAME.take`.
    pub key: String,
    /// A TOML value. Anything else is a string.
    pub value: String,
}

impl std::str::FromStr for Override {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => {
                Ok(Self { key: key.trim().to_owned(), value: value.trim().to_owned() })
            }
            _ => Err(format!("{text:?} is not of the form key=value")),
        }
    }
}

impl Node {
    /// The value without locations, as serde reads it.
    pub(crate) fn to_json(&self) -> Value {
        match &self.kind {
            NodeKind::Table(entries) => {
                let entries = entries.iter().map(|(key, entry)| (key.clone(), entry.node.to_json()));
                Value::Object(entries.collect::<Map<_, _>>())
            }
            NodeKind::Array(items) => Value::Array(items.iter().map(Self::to_json).collect()),
            NodeKind::Scalar(value) => value.clone(),
            NodeKind::Unfit { written, .. } => Value::from(written.as_str()),
        }
    }

    /// The first value in it that no setting takes.
    pub(crate) fn unfit(&self) -> Option<&Node> {
        match &self.kind {
            NodeKind::Table(entries) => entries.values().find_map(|entry| entry.node.unfit()),
            NodeKind::Array(items) => items.iter().find_map(Self::unfit),
            NodeKind::Scalar(_) => None,
            NodeKind::Unfit { .. } => Some(self),
        }
    }

    /// The value of a key, if this is a table that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        Some(&self.entries()?.get(key)?.node)
    }

    fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        let NodeKind::Table(entries) = &mut self.kind else { return None };
        Some(&mut entries.get_mut(key)?.node)
    }

    /// The value at a path of keys, in which a number is a position in an array.
    pub(crate) fn at(&self, path: &[String]) -> Option<&Node> {
        path.iter().try_fold(self, |node, key| match &node.kind {
            NodeKind::Array(items) => items.get(key.parse::<usize>().ok()?),
            _ => node.get(key),
        })
    }

    /// Every string in it.
    pub(crate) fn for_each_text<'n>(&'n self, see: &mut impl FnMut(&'n str)) {
        match &self.kind {
            NodeKind::Table(entries) => entries.values().for_each(|entry| entry.node.for_each_text(see)),
            NodeKind::Array(items) => items.iter().for_each(|item| item.for_each_text(see)),
            NodeKind::Scalar(_) => self.text().into_iter().for_each(see),
            NodeKind::Unfit { .. } => {}
        }
    }

    /// The text, if this is a string.
    pub(crate) fn text(&self) -> Option<&str> {
        if let NodeKind::Scalar(Value::String(text)) = &self.kind { Some(text) } else { None }
    }

    /// Whether this is a table that has the key.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// The location of the value at a path of keys; where a key is missing, that of the table that lacks it.
    pub(crate) fn location_of(&self, path: &[&str]) -> ValueLocation {
        let mut node = self;
        for key in path {
            match node.get(key) {
                Some(inner) => node = inner,
                None => break,
            }
        }
        node.location.clone()
    }

    /// The table without one of its keys, and the value of that key.
    pub(crate) fn without(&self, key: &str) -> (Node, Option<Node>) {
        let mut rest = self.clone();
        let taken = if let NodeKind::Table(entries) = &mut rest.kind { entries.remove(key) } else { None };
        (rest, taken.map(|entry| entry.node))
    }

    /// The table without the value at a path of keys.
    pub(crate) fn without_path(&self, path: &[String]) -> Node {
        let mut rest = self.clone();
        let Some((last, holders)) = path.split_last() else { return rest };
        let holder = holders.iter().try_fold(&mut rest, |node, key| node.get_mut(key));
        if let Some(Node { kind: NodeKind::Table(entries), .. }) = holder {
            entries.remove(last);
        }
        rest
    }

    /// The elements, if this is an array.
    pub(crate) fn elements(&self) -> Option<&[Node]> {
        if let NodeKind::Array(elements) = &self.kind { Some(elements) } else { None }
    }

    /// The entries, if this is a table.
    pub(crate) fn entries(&self) -> Option<&BTreeMap<String, TableEntry>> {
        if let NodeKind::Table(entries) = &self.kind { Some(entries) } else { None }
    }
}

/// Reads a TOML text. Every syntax error is reported.
pub(crate) fn parse(text: &str) -> Result<Node, Vec<Problem>> {
    let lines = LineStarts::new(text);
    let (root, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        let root = Spanned::new(root.span(), DeValue::Table(root.into_inner()));
        return Ok(lines.node(&root));
    }
    let problem = |error: &toml::de::Error| {
        let span = error.span().unwrap_or_default();
        let start = lines.location(span.start);
        match text.get(span).filter(|_| error.message() == "duplicate key") {
            Some(key) => Problem::new(start, &format!("{:?} is set more than once", key.trim_matches('"'))),
            None => Problem::new(start, error.message()),
        }
    };
    Err(errors.iter().map(problem).collect())
}

/// Most keys in the path of an override; a tree is visited by recursion. Settings are up to 4 deep.
const MAX_KEYS: usize = 32;

/// Most characters of a key that a message begins with.
const MOST_KEY_CHARS: usize = 60;

/// Puts an override into the tree: a declared variable, or a dotted path.
pub(crate) fn apply_override(root: &mut Node, set: &Override) -> Result<(), Problem> {
    let key = set.key.chars().take(MOST_KEY_CHARS).collect();
    let location = ValueLocation::CommandLine { key };
    let node = scalar_from_text(&set.value, &location);
    let is_variable = root.get("vars").is_some_and(|variables| variables.has(&set.key));
    let path: Vec<&str> =
        if is_variable { vec!["vars", &set.key] } else { set.key.split('.').take(MAX_KEYS + 1).collect() };
    let inserted = match path.len() {
        ..=MAX_KEYS => insert(root, &path, node),
        _ => Err(format!("it has more than {MAX_KEYS} parts")),
    };
    inserted.map_err(|reason| Problem::new(location, &format!("it cannot be set: {reason}")).with_value(&set.value))
}

/// Whether an array of tables has an element of this name.
pub(crate) fn has_element(root: &Node, array: &str, name: &str) -> bool {
    let elements = root.get(array).and_then(Node::elements).unwrap_or_default();
    elements.iter().any(|element| element.get("name").is_some_and(|found| found.to_json() == *name))
}

/// Replaces every `${name}` in every string, and returns the variables with their values. Variables may refer to each other, but
/// not in a cycle.
pub(crate) fn substitute(root: &mut Node, built_in: &[(&str, String)]) -> Result<Values, Vec<Problem>> {
    let mut definitions: BTreeMap<String, String> =
        built_in.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    for (name, entry) in root.get("vars").and_then(Node::entries).into_iter().flatten() {
        if let NodeKind::Scalar(Value::String(text)) = &entry.node.kind {
            definitions.insert(name.clone(), text.clone());
        }
    }
    let values = Values::of(&definitions);
    let mut substitution = Substitution { values, problems: Vec::new(), is_file_too_long: false };
    if let Some(NodeKind::Table(entries)) = root.get_mut("vars").map(|node| &mut node.kind) {
        for (name, entry) in entries {
            substitution.define(name, &mut entry.node);
        }
    }
    substitution.fill(root);
    if substitution.problems.is_empty() { Ok(substitution.values) } else { Err(substitution.problems) }
}

/// Fills in variables, and collects what cannot be filled in.
struct Substitution {
    values: Values,
    problems: Vec<Problem>,
    /// Whether that was reported; it is not a matter of one text.
    is_file_too_long: bool,
}

impl Substitution {
    /// The value of a declared variable in place of its definition. Without one, the reason is reported here, and nowhere else.
    fn define(&mut self, name: &str, node: &mut Node) {
        let NodeKind::Scalar(Value::String(text)) = &mut node.kind else { return };
        if let Some(value) = self.values.known.get(name) {
            text.clone_from(value);
        } else if let Some(reason) = self.values.unfilled.get(name).cloned() {
            let text = std::mem::take(text);
            self.report(&reason, &node.location, &text);
        }
    }

    fn fill(&mut self, node: &mut Node) {
        match &mut node.kind {
            NodeKind::Table(entries) => entries.values_mut().for_each(|entry| self.fill(&mut entry.node)),
            NodeKind::Array(items) => items.iter_mut().for_each(|item| self.fill(item)),
            NodeKind::Scalar(Value::String(text)) => match self.values.fill(text) {
                Ok(filled) => *text = filled,
                Err(reason) => self.report(&reason, &node.location, text),
            },
            NodeKind::Scalar(_) | NodeKind::Unfit { .. } => {}
        }
    }

    fn report(&mut self, reason: &Unfilled, location: &ValueLocation, text: &str) {
        const MOST_NAMES: usize = 20;
        let is_known = match reason {
            Unfilled::WithoutValue(_) => true,
            Unfilled::FileTooLong => std::mem::replace(&mut self.is_file_too_long, true),
            _ => false,
        };
        if is_known {
            return;
        }
        let mut message = reason.to_string();
        let mut allowed = String::new();
        if let Unfilled::Undeclared(name) = reason {
            let names = &self.values.known;
            message.push_str(&suggestion(name, names.keys()));
            allowed = names.keys().take(MOST_NAMES).map(String::as_str).collect::<Vec<_>>().join(", ");
            if names.len() > MOST_NAMES {
                allowed.push_str(&format!(" and {} more", names.len() - MOST_NAMES));
            }
            allowed.push_str("; the table [vars] declares others");
        }
        self.problems.push(Problem::new(location.clone(), &message).with_value(text).with_allowed(&allowed));
    }
}

fn insert(node: &mut Node, path: &[&str], value: Node) -> Result<(), String> {
    let Some((&first, rest)) = path.split_first() else {
        *node = value;
        return Ok(());
    };
    match &mut node.kind {
        NodeKind::Table(entries) => {
            let empty = || TableEntry {
                key_location: value.location.clone(),
                node: Node { location: value.location.clone(), kind: NodeKind::Table(BTreeMap::new()) },
            };
            insert(&mut entries.entry(first.to_owned()).or_insert_with(empty).node, rest, value)
        }
        // An element of `[[source]]` is identified by its `name`.
        NodeKind::Array(items) => {
            let is_named = |item: &Node| item.get("name").is_some_and(|name| name.to_json() == *first);
            let found = items.iter_mut().find(|item| is_named(item));
            insert(found.ok_or_else(|| format!("no element has the name {first:?}"))?, rest, value)
        }
        NodeKind::Scalar(_) | NodeKind::Unfit { .. } => Err(format!("{first:?} is inside a plain value")),
    }
}

fn scalar_from_text(text: &str, location: &ValueLocation) -> Node {
    let mut node = match DeValue::parse(text) {
        Ok(value) => LineStarts::new(text).node(&value),
        Err(_not_toml) => Node { location: location.clone(), kind: NodeKind::Scalar(Value::from(text)) },
    };
    // Quotes do not outlive a shell: `--set name=2024-01-31` is a text.
    if let NodeKind::Unfit { .. } = node.kind {
        node.kind = NodeKind::Scalar(Value::from(text));
    }
    place_all(&mut node, location);
    node
}

/// Gives a value, and all that is in it, one location.
fn place_all(node: &mut Node, location: &ValueLocation) {
    node.location = location.clone();
    match &mut node.kind {
        NodeKind::Table(entries) => entries.values_mut().for_each(|entry| {
            entry.key_location = location.clone();
            place_all(&mut entry.node, location);
        }),
        NodeKind::Array(items) => items.iter_mut().for_each(|item| place_all(item, location)),
        NodeKind::Scalar(_) | NodeKind::Unfit { .. } => {}
    }
}

/// Byte offsets to lines and columns.
struct LineStarts {
    starts: Vec<usize>,
}

impl LineStarts {
    fn new(text: &str) -> Self {
        let breaks = text.bytes().enumerate().filter(|&(_, byte)| byte == b'\n').map(|(at, _)| at + 1);
        Self { starts: std::iter::once(0).chain(breaks).collect() }
    }

    fn location(&self, offset: usize) -> ValueLocation {
        let line = self.starts.partition_point(|&start| start <= offset);
        // The first line starts at 0, so at least one start is not after the offset.
        let start = self.starts.iter().take(line).next_back().copied().unwrap_or(0);
        ValueLocation::File { line, column: offset - start + 1 }
    }

    fn node(&self, value: &Spanned<DeValue<'_>>) -> Node {
        let kind = match value.get_ref() {
            DeValue::String(text) => NodeKind::Scalar(Value::from(text.as_ref())),
            DeValue::Boolean(flag) => NodeKind::Scalar(Value::from(*flag)),
            DeValue::Integer(integer) => {
                let digits = integer.as_str().replace('_', "");
                let parsed = i64::from_str_radix(&digits, integer.radix()).map(Number::from);
                let what = "an integer beyond 64 bits";
                let unfit = |_too_large| NodeKind::Unfit { written: digits.clone(), what };
                parsed.map_or_else(unfit, |number| NodeKind::Scalar(Value::Number(number)))
            }
            DeValue::Float(float) => {
                let parsed = float.as_str().replace('_', "").parse().ok().and_then(Number::from_f64);
                let unfit = || NodeKind::Unfit { written: float.as_str().to_owned(), what: "no finite number" };
                parsed.map_or_else(unfit, |number| NodeKind::Scalar(Value::Number(number)))
            }
            DeValue::Datetime(date) => {
                NodeKind::Unfit { written: date.to_string(), what: "a date or time, and a text only in quotes" }
            }
            DeValue::Array(items) => NodeKind::Array(items.iter().map(|item| self.node(item)).collect()),
            DeValue::Table(table) => {
                let entry = |(key, node): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
                    let name: &std::borrow::Cow<'_, str> = key.get_ref();
                    let entry = TableEntry { key_location: self.location(key.span().start), node: self.node(node) };
                    (name.to_string(), entry)
                };
                NodeKind::Table(table.iter().map(entry).collect())
            }
        };
        Node { location: self.location(value.span().start), kind }
    }
}
