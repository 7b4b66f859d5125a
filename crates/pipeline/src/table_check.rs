//! Reads one table of a pipeline file into its type, and reports every wrong key and value, not only the first.
//!
//! The type's own JSON Schema says which keys there are, their ranges and their choices, so that the committed schema, the
//! check and the messages cannot disagree. Keys are tried one at a time, so that each error belongs to one key.

use std::marker::PhantomData;

use schemars::{JsonSchema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::document::{Node, NodeKind, TableEntry};
use crate::problem::{Problem, ValueLocation};
use crate::suggest::{nearest, suggestion};

/// The table as a `T`, as [`TableReader::read`] reads it.
pub(crate) fn read_table<T>(node: &Node, at: &str, problems: &mut Vec<Problem>) -> T
where
    T: DeserializeOwned + Default + JsonSchema,
{
    TableReader::new().read(node, at, problems)
}

/// Reads tables of one type, of which a file may have very many: making the schema takes longer than reading a table.
pub(crate) struct TableReader<T> {
    schema: TableSchema,
    table: PhantomData<T>,
}

impl<T: DeserializeOwned + Default + JsonSchema> TableReader<T> {
    pub(crate) fn new() -> Self {
        Self { schema: TableSchema::of::<T>(), table: PhantomData }
    }

    /// The table as a `T`. Wrong keys are reported and keep their defaults.
    pub(crate) fn read(&self, node: &Node, at: &str, problems: &mut Vec<Problem>) -> T {
        let Some(entries) = node.entries() else {
            let problem = Problem::new(node.location.clone(), &format!("{at} is not a table"));
            problems.push(problem.with_value(&shown(node)));
            return T::default();
        };
        let num_problems_before = problems.len();
        let mut accepted = Map::new();
        for (key, entry) in entries {
            match self.schema.check::<T>(key, entry, at) {
                Ok(value) => _ = accepted.insert(key.clone(), value),
                Err(problem) => problems.push(problem),
            }
        }
        for key in self.schema.required.iter().filter(|key| !entries.contains_key(*key)) {
            let message = format!("{} is missing", path_of(at, key));
            problems.push(Problem::new(node.location.clone(), &message).with_allowed(&self.schema.allowed_for(key)));
        }
        match serde_json::from_value(Value::Object(accepted)) {
            Ok(table) => table,
            Err(error) => {
                // Without its required keys a table cannot be read. They were reported above.
                if problems.len() == num_problems_before {
                    problems.push(Problem::new(node.location.clone(), &format!("{at}: {error}")));
                }
                T::default()
            }
        }
    }
}

/// Reports the keys of a table that its type does not have, and returns the table without them.
pub(crate) fn without_unknown_keys<T: JsonSchema>(node: &Node, problems: &mut Vec<Problem>) -> Node {
    let schema = TableSchema::of::<T>();
    let mut known = node.clone();
    for (key, entry) in node.entries().into_iter().flatten() {
        if !schema.properties.contains_key(key) {
            problems.push(schema.unknown_at_top(key, entry));
            known = known.without(key).0;
        }
    }
    known
}

/// The keys of a table, from the JSON Schema of its type.
struct TableSchema {
    properties: Map<String, Value>,
    required: Vec<String>,
    definitions: Map<String, Value>,
}

impl TableSchema {
    fn of<T: JsonSchema>() -> Self {
        let root = SchemaGenerator::default().into_root_schema_for::<T>();
        let object = |key: &str| root.get(key).and_then(Value::as_object).cloned().unwrap_or_default();
        let required = root.get("required").and_then(Value::as_array).into_iter().flatten();
        Self {
            properties: object("properties"),
            required: required.filter_map(|key| key.as_str().map(str::to_owned)).collect(),
            definitions: object("$defs"),
        }
    }

    fn check<T: DeserializeOwned>(&self, key: &str, entry: &TableEntry, at: &str) -> Result<Value, Problem> {
        let property = self.properties.get(key).ok_or_else(|| self.unknown_key(key, entry, at))?;
        let value = entry.node.to_json();
        let wrong = |inner: &Node, reason: &str| self.wrong(Setting { key, property, at }, &entry.node, inner, reason);
        if let Some((node, NodeKind::Unfit { written, what })) = entry.node.unfit().map(|node| (node, &node.kind)) {
            return Err(wrong(node, &format!("{written} is {what}")));
        }
        // To serde, a list is a table, too, whose values have no keys.
        if let Some(list) = self.list_for_table(property, &entry.node) {
            return Err(wrong(list, "a list was found, expected a table"));
        }
        if let Some(reason) = self.out_of_range(property, &value) {
            return Err(wrong(&entry.node, &reason));
        }
        let mut alone = Map::new();
        // Required keys have no default. Placeholders for them let each key be tried alone.
        for other in self.required.iter().filter(|other| *other != key) {
            alone.insert(other.clone(), self.placeholder(other));
        }
        let fault = |node: &Node| {
            let mut table = alone.clone();
            table.insert(key.to_owned(), node.to_json());
            serde_json::from_value::<T>(Value::Object(table)).err().map(|error| error.to_string())
        };
        let Some(error) = fault(&entry.node) else { return Ok(value) };
        let blamed = blamed(&entry.node, &error, &fault);
        let inner = entry.node.at(&blamed).unwrap_or(&entry.node);
        let property = self.property_at(property, &blamed).unwrap_or(property);
        Err(wrong(inner, &self.reason(&error, property, &inner.to_json())))
    }

    /// The problem of a value in a setting, which may be a table.
    fn wrong(&self, Setting { key, property, at }: Setting<'_>, node: &Node, inner: &Node, reason: &str) -> Problem {
        let path = path_to(node, inner).unwrap_or_default();
        let property = self.property_at(property, &path).unwrap_or(property);
        let name = path.iter().fold(path_of(at, key), |name, key| path_of(&name, key));
        let inner = node.at(&path).unwrap_or(node);
        let problem = Problem::new(inner.location.clone(), &format!("{name}: {reason}"));
        problem.with_value(&shown(inner)).with_allowed(&self.allowed(property))
    }

    /// The schema of a setting in a table.
    fn property_at<'s>(&'s self, property: &'s Value, path: &[String]) -> Option<&'s Value> {
        path.iter().try_fold(property, |property, key| {
            self.forms(property).into_iter().find_map(|form| form.get("properties")?.get(key))
        })
    }

    /// The first list in a value that stands where a table has to be.
    fn list_for_table<'n>(&self, property: &Value, node: &'n Node) -> Option<&'n Node> {
        let forms = self.forms(property);
        match &node.kind {
            NodeKind::Array(items) => {
                let is_table = |form: &&Value| form.get("properties").is_some();
                if !forms.is_empty() && forms.iter().all(is_table) {
                    return Some(node);
                }
                let of_items: Vec<&Value> = forms.iter().filter_map(|form| form.get("items")).collect();
                items.iter().find_map(|item| self.in_each(&of_items, item))
            }
            NodeKind::Table(entries) => entries.iter().find_map(|(key, entry)| {
                let of_key = forms.iter().filter_map(|form| form.get("properties")?.get(key)).collect::<Vec<_>>();
                self.in_each(&of_key, &entry.node)
            }),
            NodeKind::Scalar(_) | NodeKind::Unfit { .. } => None,
        }
    }

    /// As [`Self::list_for_table`], of a value that can be one of several things.
    fn in_each<'n>(&self, properties: &[&Value], node: &'n Node) -> Option<&'n Node> {
        let found = properties.iter().map(|property| self.list_for_table(property, node));
        found.reduce(Option::and).flatten()
    }

    /// What a setting can be, but for single values and nothing.
    fn forms<'s>(&'s self, property: &'s Value) -> Vec<&'s Value> {
        let schema = self.resolve(property);
        let several = ["anyOf", "oneOf"].into_iter().filter_map(|key| schema.get(key)?.as_array()).flatten();
        let mut forms: Vec<&Value> = several.flat_map(|form| self.forms(form)).collect();
        let is_single = schema.get("const").or(schema.get("enum")).is_some()
            || schema.get("type").and_then(Value::as_str).is_some_and(|kind| kind == "null" || kind == "string");
        if forms.is_empty() && !is_single {
            forms.push(schema);
        }
        forms
    }

    fn unknown_key(&self, key: &str, entry: &TableEntry, at: &str) -> Problem {
        let message = format!("{} is not a setting{}", path_of(at, key), suggestion(key, self.properties.keys()));
        let keys = self.properties.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        Problem::new(entry.key_location.clone(), &message).with_allowed(&keys)
    }

    /// An unknown key at the top of a file: a table if it was written as one, otherwise a setting, or a variable of `--set`.
    fn unknown_at_top(&self, key: &str, entry: &TableEntry) -> Problem {
        let is_list =
            matches!(&entry.node.kind, NodeKind::Array(items) if items.iter().all(|item| item.entries().is_some()));
        let is_table = entry.node.entries().is_some() || is_list;
        let names = self.properties.iter().map(|(name, schema)| (name, self.table_header(name, schema)));
        let (tables, settings): (Vec<_>, Vec<_>) = names.partition(|(_, header)| header.is_some());
        let headers = tables.iter().filter_map(|(_, header)| header.clone()).collect::<Vec<_>>().join(", ");
        let settings = settings.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
        let near = nearest(key, self.properties.keys());
        let near_table = near.and_then(|near| self.table_header(near, self.properties.get(near)?));
        let problem = |message: &str| Problem::new(entry.key_location.clone(), message);
        match (&entry.key_location, near_table) {
            (ValueLocation::CommandLine { .. }, _) if !is_table => {
                let message = format!("{key:?} is neither a variable of the file nor a setting");
                problem(&format!("{message}{}", suggestion(key, self.properties.keys()))).with_allowed(&settings)
            }
            (_, Some(header)) if is_table => {
                let wrong = if is_list { format!("[[{key}]]") } else { format!("[{key}]") };
                problem(&format!("{wrong} is not a table; did you mean {header}?")).with_allowed(&headers)
            }
            _ if is_table => problem(&format!("[{key}] is not a table")).with_allowed(&headers),
            _ => self.unknown_key(key, entry, "").with_allowed(&format!("{settings}; tables: {headers}")),
        }
    }

    /// The header of a table of the file, `[video]` or `[[source]]`; `None` if the key is a setting.
    fn table_header(&self, key: &str, property: &Value) -> Option<String> {
        let schema = self.resolve(property);
        let types = self.types(schema);
        match types.as_str() {
            "a list" => Some(format!("[[{key}]]")),
            _ if types.contains("a table") => Some(format!("[{key}]")),
            _ => None,
        }
    }

    /// What is wrong with a value, in the words of a pipeline file, with a suggestion where a choice was mistyped.
    fn reason(&self, error: &str, property: &Value, value: &Value) -> String {
        let choices = self.choices(property);
        let error = match error {
            _ if error.starts_with("data did not match any variant") => "not of a form that is allowed".to_owned(),
            _ if error.starts_with("unknown variant") && !choices.is_empty() => "not one of the choices".to_owned(),
            _ => unknown_name(error).unwrap_or_else(|| plain_reason(error, value)),
        };
        match value.as_str().map(|text| suggestion(text, choices.iter())) {
            Some(suggestion) if !error.contains("did you mean") => format!("{error}{suggestion}"),
            _ => error,
        }
    }

    fn out_of_range(&self, property: &Value, value: &Value) -> Option<String> {
        let number = value.as_f64()?;
        let bound = |key: &str| self.resolve(property).get(key).and_then(Value::as_f64);
        match (bound("minimum"), bound("maximum")) {
            (Some(minimum), _) if number < minimum => Some(format!("less than {minimum}")),
            (_, Some(maximum)) if number > maximum => Some(format!("more than {maximum}")),
            _ => None,
        }
    }

    fn placeholder(&self, key: &str) -> Value {
        let property = self.properties.get(key).unwrap_or(&Value::Null);
        self.choices(property).first().map_or_else(|| Value::from("x"), |choice| Value::from(choice.as_str()))
    }

    /// Follows references and optional wrappers to the actual schema.
    fn resolve<'a>(&'a self, property: &'a Value) -> &'a Value {
        if let Some(name) = property.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next()) {
            return self.definitions.get(name).map_or(property, |definition| self.resolve(definition));
        }
        let members = property.get("anyOf").and_then(Value::as_array).into_iter().flatten();
        let mut members = members.filter(|member| member.get("type").and_then(Value::as_str) != Some("null"));
        match (members.next(), members.next()) {
            (Some(only), None) => self.resolve(only),
            _ => property,
        }
    }

    fn choices(&self, property: &Value) -> Vec<String> {
        let schema = self.resolve(property);
        let direct = schema.get("enum").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        let one_of = ["oneOf", "anyOf"].into_iter().filter_map(|key| schema.get(key)?.as_array()).flatten();
        let constants = one_of.flat_map(|member| {
            let member = self.resolve(member);
            let constant = member.get("const").and_then(Value::as_str).into_iter();
            constant.chain(member.get("enum").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str))
        });
        direct.chain(constants).map(str::to_owned).collect()
    }

    /// What a key accepts: its choices or type, its range, and its description.
    fn allowed_for(&self, key: &str) -> String {
        self.properties.get(key).map(|property| self.allowed(property)).unwrap_or_default()
    }

    fn allowed(&self, property: &Value) -> String {
        let schema = self.resolve(property);
        let choices = self.choices(property).iter().map(|choice| format!("{choice:?}")).collect::<Vec<_>>().join(", ");
        let mut allowed = match (choices.is_empty(), self.types(schema)) {
            (true, types) => types,
            (false, types) if types.is_empty() => choices,
            (false, types) => format!("{choices} or {types}"),
        };
        let bound = |key: &str| schema.get(key).and_then(Value::as_f64);
        match (bound("minimum"), bound("maximum")) {
            (Some(minimum), Some(maximum)) => allowed.push_str(&format!(" from {minimum} to {maximum}")),
            (Some(minimum), None) => allowed.push_str(&format!(", at least {minimum}")),
            (None, Some(maximum)) => allowed.push_str(&format!(", at most {maximum}")),
            (None, None) => {}
        }
        let description = property.get("description").or_else(|| schema.get("description")).and_then(Value::as_str);
        match description.and_then(|text| text.split("\n\n").next()) {
            Some(text) => format!("{allowed} ({})", text.replace('\n', " ").trim_end_matches('.')),
            None => allowed,
        }
    }

    /// The types of a schema, as a sentence lists them. Single values, which are [`Self::choices`], have none.
    fn types(&self, schema: &Value) -> String {
        let name = |name: &str| match name {
            "integer" => "a whole number",
            "number" => "a number",
            "string" => "a string",
            "boolean" => "true or false",
            "array" => "a list",
            "object" => "a table",
            _ => "a value",
        };
        // A form that no type says, such as a share in percent.
        if let Some(title) = schema.get("title").and_then(Value::as_str) {
            return title.to_owned();
        }
        let types: Vec<String> = match schema.get("type") {
            _ if schema.get("const").or(schema.get("enum")).is_some() => Vec::new(),
            Some(Value::String(kind)) => vec![name(kind).to_owned()],
            Some(Value::Array(kinds)) => {
                let kinds = kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null");
                kinds.map(|kind| name(kind).to_owned()).collect()
            }
            _ => {
                let members = ["anyOf", "oneOf"].into_iter().filter_map(|key| schema.get(key)?.as_array()).flatten();
                let types = members.map(|member| self.types(self.resolve(member)));
                types.filter(|types| !types.is_empty()).collect()
            }
        };
        types.join(" or ")
    }
}

/// A setting that is checked: its key, its schema, and the table that it is in.
#[derive(Clone, Copy)]
struct Setting<'a> {
    key: &'a str,
    property: &'a Value,
    at: &'a str,
}

/// The path in a table to the innermost setting without which it has not this fault. Empty if there is none, or several are.
fn blamed(node: &Node, error: &str, fault: &dyn Fn(&Node) -> Option<String>) -> Vec<String> {
    /// Tables with more keys are no tables of settings.
    const MOST_KEYS: usize = 100;
    // What is missing is in no setting, and these name the key themselves.
    if ["missing field ", "unknown "].iter().any(|start| error.starts_with(start)) {
        return Vec::new();
    }
    let mut path = Vec::new();
    while let Some(entries) = node.at(&path).and_then(Node::entries).filter(|entries| entries.len() <= MOST_KEYS) {
        let faults = entries.keys().map(|key| {
            let inner: Vec<String> = path.iter().chain([key]).cloned().collect();
            let fault = fault(&node.without_path(&inner));
            (inner, fault)
        });
        let changed: Vec<_> = faults.filter(|(_, fault)| fault.as_deref() != Some(error)).collect();
        let mended: Vec<_> = changed.iter().filter(|(_, fault)| fault.is_none()).collect();
        let (([(found, _)], _) | (_, [(found, _)])) = (&changed[..], &mended[..]) else { break };
        path.clone_from(found);
    }
    path
}

/// The keys that lead from a table to a value in it, or to the list that holds it.
fn path_to(node: &Node, inner: &Node) -> Option<Vec<String>> {
    if std::ptr::eq(node, inner) {
        return Some(Vec::new());
    }
    match &node.kind {
        NodeKind::Table(entries) => entries.iter().find_map(|(key, entry)| {
            let rest = path_to(&entry.node, inner)?;
            Some(std::iter::once(key.clone()).chain(rest).collect())
        }),
        NodeKind::Array(items) => items.iter().any(|item| path_to(item, inner).is_some()).then(Vec::new),
        NodeKind::Scalar(_) | NodeKind::Unfit { .. } => None,
    }
}

/// What serde says of a name within a value that it does not know, with a suggestion.
fn unknown_name(error: &str) -> Option<String> {
    let of_variant = error.strip_prefix("unknown variant ").map(|rest| (rest, "not one of the choices"));
    let (rest, what) = of_variant.or_else(|| Some((error.strip_prefix("unknown field ")?, "not a setting")))?;
    let mut names = rest.split('`').skip(1).step_by(2).map(str::to_owned);
    let wrong = names.next()?;
    let known: Vec<String> = names.collect();
    Some(match suggestion(&wrong, known.iter()) {
        near if near.is_empty() => format!("{wrong:?} is {what}: {}", known.join(", ")),
        near => format!("{wrong:?} is {what}{near}"),
    })
}

/// A message of serde in the words of a pipeline file: what was found, and what is expected.
fn plain_reason(error: &str, value: &Value) -> String {
    let Some((found, expected)) = error
        .strip_prefix("invalid type: ")
        .or_else(|| error.strip_prefix("invalid value: "))
        .and_then(|rest| rest.split_once(", expected "))
    else {
        return error.to_owned();
    };
    let expected = match expected {
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, at least 0",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "a table",
        "string or map" => "a string or a table",
        "map with a single key" => "a table with one key",
        _ if expected.starts_with("a nonzero ") => "a whole number, at least 1",
        _ if expected.starts_with("struct ") => "a table",
        other => other,
    };
    let found = match (value.as_str(), found.split_once(' ')) {
        // TOML has such numbers, and JSON, in which values are kept, has not.
        (Some(text @ ("nan" | "+nan" | "-nan" | "inf" | "+inf" | "-inf")), _) => format!("{text} is no finite number"),
        (_, Some(("string", _))) => "a string was found".to_owned(),
        (_, Some(("integer", number))) => format!("{} was found", number.trim_matches('`')),
        (_, Some(("boolean", flag))) => format!("{} was found", flag.trim_matches('`')),
        (_, Some(("floating", number))) => {
            format!("{} was found", number.trim_start_matches("point ").trim_matches('`'))
        }
        _ => match found {
            "sequence" => "a list was found".to_owned(),
            "map" => "a table was found".to_owned(),
            other => format!("{other} was found"),
        },
    };
    format!("{found}, expected {expected}")
}

fn path_of(at: &str, key: &str) -> String {
    if at.is_empty() { key.to_owned() } else { format!("{at}.{key}") }
}

fn shown(node: &Node) -> String {
    match &node.kind {
        NodeKind::Scalar(value) => value.to_string(),
        NodeKind::Unfit { written, .. } => written.clone(),
        NodeKind::Array(_) | NodeKind::Table(_) => node.to_json().to_string(),
    }
}
