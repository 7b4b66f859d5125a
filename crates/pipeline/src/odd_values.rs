//! Each setting of the schema is given values of other kinds: each is an error that names the setting, at its line, or is listed here.

use std::collections::BTreeMap;
use std::path::Path;

use schemars::schema_for;
use serde_json::Value;

use crate::parse::parse;
use crate::settings::file::PipelineFile;

/// Values that no setting takes, as TOML writes them.
const UNFIT: [&str; 4] = ["nan", "-inf", "9223372036854775808", "1979-05-27"];
/// Values of kinds that few settings have.
const ODD: [&str; 5] = ["true", "-1", "-0.5", "[true]", "[nan]"];
/// Texts and lists without a meaning of their own.
const EMPTY: [&str; 2] = ["\"\"", "[]"];

/// Settings that are true or false.
const SWITCHES: &[&str] = &[
    "model.pad",
    "model.split",
    "model.sample",
    "model.video.keep_aspect_ratio",
    "model.law.tiles.thumbnail",
    "output.energon_index",
    "validate.controls",
];
/// Texts that may be empty.
const TEXTS: &[&str] = &[
    "description",
    "format.template.custom.after_end",
    "format.template.custom.answer_prefix",
    "format.template.custom.assistant_prefix",
    "format.template.custom.default_system",
    "format.template.custom.document_end",
    "format.template.custom.document_prefix",
    "format.template.custom.end",
    "format.template.custom.start",
    "format.template.custom.system_prefix",
    "format.template.custom.system_suffix",
    "format.template.custom.user_prefix",
    "format.template.custom.user_suffix",
    "source.annotation_root",
    "source.media_prefix",
];
/// Lists that may be empty.
const LISTS: &[&str] = &[
    "decontamination.against",
    "format.template.custom.markers",
    "model.canvases_px",
    "model.canvases_px",
    "source",
    "source.artefacts",
    "source.delivered_in",
    "source.join",
    "source.links",
    "source.media",
    "source.not_delivered_in",
    "source.questions",
];

/// Tables, and a setting, of which an error can be about the whole: one of several forms, a table in place of a list, and what the
/// needles of a source have to be.
const AS_A_WHOLE: &[&str] = &["format.template.jinja.answers", "source.join", "source.needles.interval_s"];

/// In place of a value.
const PLACE: &str = "@@";

/// Settings that others need beside them, with their paths.
type Beside = Vec<(Vec<String>, Value)>;

/// Settings with a path to them: keys of tables, and whole tables.
fn settings(schema: &Value) -> Vec<(Vec<String>, Beside)> {
    let mut found = Vec::new();
    let top = schema["properties"].as_object().unwrap();
    for (name, property) in top {
        add_settings(schema, std::slice::from_ref(name), property, &Vec::new(), &mut found);
    }
    found
}

fn add_settings(
    schema: &Value,
    path: &[String],
    property: &Value,
    beside: &Beside,
    found: &mut Vec<(Vec<String>, Beside)>,
) {
    found.push((path.to_owned(), beside.clone()));
    for variant in forms(schema, property) {
        let mut beside = beside.clone();
        let properties = variant["properties"].as_object().into_iter().flatten();
        for (name, property) in properties.clone() {
            let path = path.iter().chain([name]).cloned().collect();
            beside.extend(property.get("const").map(|value| (path, value.clone())));
        }
        let inner = properties.filter(|(_, property)| property.get("const").is_none());
        for (name, property) in inner {
            let path: Vec<String> = path.iter().chain([name]).cloned().collect();
            add_settings(schema, &path, property, &beside, found);
        }
    }
}

/// The forms of a setting that are tables.
fn forms<'s>(schema: &'s Value, property: &'s Value) -> Vec<&'s Value> {
    if let Some(name) = property["$ref"].as_str().and_then(|path| path.strip_prefix("#/$defs/")) {
        return forms(schema, &schema["$defs"][name]);
    }
    if property.get("properties").is_some() {
        return vec![property];
    }
    let several = ["anyOf", "oneOf"].into_iter().filter_map(|key| property[key].as_array()).flatten();
    several.chain(property.get("items")).flat_map(|form| forms(schema, form)).collect()
}

/// A pipeline file with the setting at a path, whose value is left out.
fn file_with(path: &[String], beside: &Beside) -> String {
    let mut file = serde_json::json!({
        "name": "x",
        "format": { "tokenizer": "t.model", "template": "chatml" },
        "source": { "name": "a", "kind": "llava", "annotations": "a.json" },
    });
    let set = |file: &mut Value, path: &[String], value: &Value| {
        let mut place = file;
        for key in path {
            place = &mut place[key.as_str()];
            if place.is_string() {
                *place = Value::Null;
            }
        }
        *place = value.clone();
    };
    if path[0] == "validate" && path.len() > 1 {
        file["validate"]["model"] = "m".into();
    }
    for (path, value) in beside {
        set(&mut file, path, value);
    }
    set(&mut file, path, &PLACE.into());
    if file["source"].is_object() {
        file["source"] = Value::Array(vec![file["source"].take()]);
    }
    toml::to_string(&file).unwrap()
}

#[test]
fn a_value_of_another_kind_is_an_error_of_its_setting() {
    let schema = schema_for!(PipelineFile);
    let settings = settings(schema.as_value());
    assert!(settings.len() > 250, "{}", settings.len());
    let mut accepted = BTreeMap::<&str, Vec<String>>::new();
    for (path, beside) in &settings {
        let file = file_with(path, beside);
        let (name, key) = (path.join("."), path.last().unwrap());
        let place = format!("= \"{PLACE}\"");
        let line = file.lines().position(|line| line.ends_with(&place)).unwrap() + 1;
        for odd in UNFIT.into_iter().chain(ODD).chain(EMPTY) {
            let text = file.replacen(&place, &format!("= {odd}"), 1);
            let Err(problems) = parse(&text, Path::new("p.toml"), &[]) else {
                accepted.entry(odd).or_default().push(name.clone());
                continue;
            };
            // A text or list can be of the right kind, and what is wrong something else.
            if EMPTY.contains(&odd) {
                continue;
            }
            let (table, _) = name.rsplit_once('.').unwrap_or_default();
            let named = if AS_A_WHOLE.contains(&table) || AS_A_WHOLE.contains(&name.as_str()) { &path[1] } else { key };
            let is_named = |said: &String| said.contains(named);
            let is_at_line = |said: &String| {
                // The header of the table is the line before.
                let lines = if named == key { line..=line } else { line - 1..=line };
                lines.into_iter().any(|line| said.starts_with(&format!("p.toml:{line}:")))
            };
            let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
            assert!(said.iter().any(|said| is_named(said) && is_at_line(said)), "{name} = {odd}: {said:?}");
        }
    }
    let expected = BTreeMap::from([("true", SWITCHES), ("\"\"", TEXTS), ("[]", LISTS)]);
    let expected = expected.into_iter().map(|(odd, names)| (odd, names.iter().map(ToString::to_string).collect()));
    assert_eq!(accepted, expected.collect());
}
