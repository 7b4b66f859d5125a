//! Promise: `pipelines/settings.md` lists every setting of a pipeline file, as the types define it. `make schemas` generates it.

use std::fmt::Write as _;

use manyframe_pipeline::PipelineFile;
use schemars::schema_for;
use serde_json::{Map, Value};

use crate::schemas::compare_text;

#[test]
fn the_page_of_settings_is_generated_from_the_types() {
    compare_text("pipelines/settings.md", &page(schema_for!(PipelineFile).as_value()));
}

/// The order in which a reader meets the tables; `""` is the top of the file.
fn tables(schema: &Value) -> Vec<(String, &Value)> {
    let properties = schema["properties"].as_object().unwrap();
    let tables = properties.iter().filter(|(_, property)| is_table(schema, property));
    let mut tables: Vec<(String, &Value)> =
        tables.map(|(name, property)| (name.clone(), definition(schema, property).unwrap())).collect();
    let source = &schema["$defs"]["SourceTable"];
    let of_source = source["properties"].as_object().unwrap().iter().filter(|(_, property)| is_table(schema, property));
    tables.retain(|(name, _)| name != "source");
    tables.push(("source".to_owned(), source));
    tables.extend(of_source.map(|(name, property)| (format!("source.{name}"), definition(schema, property).unwrap())));
    tables.push(("format.template.custom".to_owned(), &schema["$defs"]["TemplateText"]));
    tables
}

fn page(schema: &Value) -> String {
    let mut page = "# Settings of a pipeline file\n\n\
        Written by `make schemas` from the types; [`pipeline.schema.json`](../schemas/pipeline.schema.json) is the same for editors.\n\
        [`README.md`](README.md) explains how they work together.\n\n## At the top of the file\n\n"
        .to_owned();
    let is_plain =
        |(_, property): &(&String, &Value)| !is_table(schema, property) && property["items"].get("$ref").is_none();
    let top: Map<String, Value> = schema["properties"]
        .as_object()
        .unwrap()
        .iter()
        .filter(is_plain)
        .map(|(name, property)| (name.clone(), property.clone()))
        .collect();
    write_settings(&mut page, schema, &top, &schema["required"]);
    for (name, table) in tables(schema) {
        let brackets = if name == "source" { format!("[[{name}]]") } else { format!("[{name}]") };
        write!(page, "\n## `{brackets}`\n\n{}\n\n", lines(&table["description"])).unwrap();
        write_settings(&mut page, schema, table["properties"].as_object().unwrap(), &table["required"]);
    }
    write_families(&mut page, schema);
    page
}

/// The settings of each model family, and of the tables in them.
fn write_families(page: &mut String, schema: &Value) {
    write!(page, "\n## `[model]`\n\n{}\n", lines(&schema["properties"]["model"]["description"])).unwrap();
    for variant in schema["$defs"]["Family"]["oneOf"].as_array().unwrap() {
        let name = variant["properties"]["family"]["const"].as_str().unwrap();
        write!(page, "\n### `family = \"{name}\"`\n\n{}\n\n", lines(&variant["description"])).unwrap();
        let mut settings = variant["properties"].as_object().unwrap().clone();
        settings.remove("family");
        write_settings(page, schema, &settings, &variant["required"]);
        for (table, property) in &settings {
            if let Some(found) = definition(schema, property).filter(|_| is_table(schema, property)) {
                write!(page, "\n`[model.{table}]`: {}\n\n", lines(&property["description"])).unwrap();
                write_settings(page, schema, found["properties"].as_object().unwrap(), &found["required"]);
            }
            for (variant, found) in variants(schema, property).filter_map(|variant| table_of(schema, variant)) {
                write!(page, "\n`[model.{table}.{variant}]`: {}\n\n", lines(&found["description"])).unwrap();
                write_settings(page, schema, found["properties"].as_object().unwrap(), &found["required"]);
            }
        }
    }
}

/// `required` lists the settings that have no default, and cannot be absent.
fn write_settings(page: &mut String, schema: &Value, settings: &Map<String, Value>, required: &Value) {
    let is_required = |name: &str| required.as_array().into_iter().flatten().any(|required| required == name);
    page.push_str("| setting | default | meaning |\n|---|---|---|\n");
    for (name, property) in settings {
        let stated = stated_default(property);
        let description = lines(&property["description"]);
        let (default, mut meaning) = match stated {
            _ if is_required(name) => ("required".to_owned(), description),
            Some(default) => (default, description),
            None if is_table(schema, property) => (String::new(), description),
            None => default_in_words(&description).unwrap_or_else(|| ("none".to_owned(), description)),
        };
        for (value, description) in choices(schema, property) {
            write!(meaning, "<br>`{value}`: {description}").unwrap();
        }
        let cell = |text: &str| text.replace('|', "\\|");
        writeln!(page, "| `{name}` | {} | {} |", cell(&default), cell(&meaning)).unwrap();
    }
}

/// The default of a setting, if it has one that depends on no other.
fn stated_default(property: &Value) -> Option<String> {
    match property.get("default")? {
        Value::Null => None,
        Value::String(text) if text.is_empty() => None,
        Value::Array(items) if items.is_empty() => None,
        Value::Object(fields) if fields.values().all(Value::is_null) || fields.values().any(Value::is_object) => None,
        Value::Object(fields) => {
            let fields: Vec<String> = fields.iter().map(|(key, value)| format!("{key} = {value}")).collect();
            Some(format!("`{{ {} }}`", fields.join(", ")))
        }
        default => Some(format!("`{default}`")),
    }
}

/// What a setting is that is not there, if its description says so, and the rest of that.
fn default_in_words(description: &str) -> Option<(String, String)> {
    let (before, after) = description.split_once("Default: ")?;
    let (default, rest) = after.split_once(". ").unwrap_or((after.trim_end_matches('.'), ""));
    Some((default.to_owned(), format!("{before}{rest}").trim_end().to_owned()))
}

/// Whether a setting is a table, which has settings of its own.
fn is_table(schema: &Value, property: &Value) -> bool {
    definition(schema, property).is_some_and(|found| found.get("properties").is_some())
}

/// The type that a property refers to, also where it may be absent.
fn definition<'s>(schema: &'s Value, property: &'s Value) -> Option<&'s Value> {
    let optional = property["anyOf"].as_array().into_iter().flatten();
    let reference = std::iter::once(property).chain(optional).find_map(|candidate| candidate["$ref"].as_str())?;
    schema["$defs"].get(reference.strip_prefix("#/$defs/")?)
}

/// The values among which a setting chooses, with their descriptions; `{ key = … }` where one has settings of its own.
fn choices(schema: &Value, property: &Value) -> Vec<(String, String)> {
    let choice = |variant: &Value| {
        let key = || Some(format!("{{ {} = … }}", only_property(variant)?.0));
        Some((variant["const"].as_str().map(str::to_owned).or_else(key)?, lines(&variant["description"])))
    };
    variants(schema, property).filter_map(choice).collect()
}

/// The variants of the enum that a property, or each of its items, is.
fn variants<'s>(schema: &'s Value, property: &'s Value) -> impl Iterator<Item = &'s Value> {
    let found = definition(schema, property).or_else(|| definition(schema, &property["items"]));
    found.and_then(|found| found["oneOf"].as_array()).into_iter().flatten()
}

/// The table that a variant holds, by its key.
fn table_of<'s>(schema: &'s Value, variant: &'s Value) -> Option<(&'s str, &'s Value)> {
    let (key, property) = only_property(variant)?;
    let table = definition(schema, property)?;
    table.get("properties").is_some().then_some((key, table))
}

fn only_property(variant: &Value) -> Option<(&str, &Value)> {
    let properties = variant["properties"].as_object().filter(|properties| properties.len() == 1)?;
    properties.iter().next().map(|(key, property)| (key.as_str(), property))
}

/// A description on one line.
fn lines(description: &Value) -> String {
    description.as_str().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}
