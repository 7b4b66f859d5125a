//! `croissant.json`: the dataset in the words of MLCommons Croissant 1.0, as catalogues and `mlcroissant` read it.
//!
//! It lists every shard with its size and SHA-256, and the fields of a sample: those of the Parquet shards, where there are
//! any; of tars, the JSON of each sample. It cannot describe what is in shards of MosaicML Streaming, which are listed as files.

use manyframe_shards::ShardFormat;
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use crate::licenses::licenses_of;
use crate::manifest::{Manifest, NotesByShard, ShardEntry};

/// The file's name.
pub const CROISSANT_FILE: &str = "croissant.json";

/// The formats that Croissant can describe, the one with most fields first.
const DESCRIBED: [ShardFormat; 4] =
    [ShardFormat::Parquet, ShardFormat::Webdataset, ShardFormat::Vila, ShardFormat::EnergonChatml];

/// JSON whose keys stay in order.
enum Json {
    Text(String),
    True,
    List(Vec<Json>),
    Object(Vec<(&'static str, Json)>),
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::True => serializer.serialize_bool(true),
            Self::List(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                items.iter().try_for_each(|item| list.serialize_element(item))?;
                list.end()
            }
            Self::Object(fields) => {
                let mut object = serializer.serialize_map(Some(fields.len()))?;
                fields.iter().try_for_each(|(key, value)| object.serialize_entry(key, value))?;
                object.end()
            }
        }
    }
}

fn text(text: impl Into<String>) -> Json {
    Json::Text(text.into())
}

fn reference(id: &str) -> Json {
    Json::Object(vec![("@id", text(id))])
}

/// The text of the file. It contains nothing that differs between machines.
#[expect(clippy::expect_used, reason = "texts, lists and objects with textual keys are JSON")]
pub(crate) fn croissant_json(manifest: &Manifest, notes: &NotesByShard) -> String {
    let has = |format: ShardFormat| manifest.shards.iter().any(|shard| shard.format == format);
    let described = DESCRIBED.into_iter().find(|format| has(*format));
    let mut distribution: Vec<Json> = manifest.shards.iter().map(|shard| file_object(shard, notes)).collect();
    let mut record_sets = Vec::new();
    match described {
        Some(ShardFormat::Parquet) => {
            distribution.push(parquet_files());
            record_sets.push(parquet_records());
        }
        Some(format) => {
            distribution.push(json_members(manifest, format));
            record_sets.push(json_records());
        }
        None => {}
    }
    let mut licenses: Vec<&str> = Vec::new();
    for license in licenses_of(manifest).iter().flat_map(|row| &row.licenses) {
        if !license.is_empty() && !licenses.contains(license) {
            licenses.push(license);
        }
    }
    let document = Json::Object(vec![
        ("@context", context()),
        ("@type", text("sc:Dataset")),
        ("name", text(&manifest.name)),
        ("description", text(&manifest.description)),
        ("conformsTo", text("http://mlcommons.org/croissant/1.0")),
        ("license", Json::List(licenses.into_iter().map(text).collect())),
        ("distribution", Json::List(distribution)),
        ("recordSet", Json::List(record_sets)),
    ]);
    serde_json::to_string_pretty(&document).expect("a description is JSON") + "\n"
}

fn file_object(shard: &ShardEntry, notes: &NotesByShard) -> Json {
    let path = shard.path.to_string();
    let sha256 = notes.get(&shard.path).map(|notes| notes.sha256.clone()).unwrap_or_default();
    Json::Object(vec![
        ("@type", text("cr:FileObject")),
        ("@id", text(&path)),
        ("name", text(&path)),
        ("contentUrl", text(&path)),
        ("contentSize", text(format!("{} B", shard.num_bytes))),
        ("encodingFormat", text(media_type(shard.format))),
        ("sha256", text(sha256)),
    ])
}

fn media_type(format: ShardFormat) -> &'static str {
    match format.extension() {
        "parquet" => "application/x-parquet",
        "tar" => "application/x-tar",
        _ => "application/octet-stream",
    }
}

const SAMPLES: &str = "samples";
const FILES: &str = "sample-files";

fn parquet_files() -> Json {
    Json::Object(vec![
        ("@type", text("cr:FileSet")),
        ("@id", text(FILES)),
        ("name", text(FILES)),
        ("encodingFormat", text("application/x-parquet")),
        ("includes", text("parquet/*/*.parquet")),
    ])
}

/// The JSON of each sample, in every tar.
fn json_members(manifest: &Manifest, format: ShardFormat) -> Json {
    let tars = manifest.shards.iter().filter(|shard| shard.format == format);
    Json::Object(vec![
        ("@type", text("cr:FileSet")),
        ("@id", text(FILES)),
        ("name", text(FILES)),
        ("containedIn", Json::List(tars.map(|shard| reference(&shard.path.to_string())).collect())),
        ("encodingFormat", text("application/json")),
        ("includes", text("*.json")),
    ])
}

fn record_set(fields: Vec<Json>) -> Json {
    Json::Object(vec![
        ("@type", text("cr:RecordSet")),
        ("@id", text(SAMPLES)),
        ("name", text(SAMPLES)),
        ("field", Json::List(fields)),
    ])
}

fn parquet_records() -> Json {
    let column = |name: &'static str, data_type: &str| field(name, Some(data_type), of_column(name, None));
    let mut messages = field("messages", None, of_column("messages", None));
    let parts = ["role", "content"].map(|part| {
        let name = format!("messages/{part}");
        named_field(&name, part, Some("sc:Text"), of_column("messages", Some(part)))
    });
    let mut images = field("images", Some("sc:ImageObject"), of_column("images", Some("bytes")));
    push(&mut messages, "repeated", Json::True);
    push(&mut messages, "subField", Json::List(parts.into()));
    push(&mut images, "repeated", Json::True);
    record_set(vec![
        column("id", "sc:Text"),
        column("source", "sc:Text"),
        column("subset", "sc:Text"),
        column("layout", "sc:Text"),
        messages,
        images,
        column("prompt", "sc:Text"),
        column("num_tokens", "sc:Integer"),
        column("num_images", "sc:Integer"),
    ])
}

fn json_records() -> Json {
    let property = |name: &str| Json::Object(vec![("fileProperty", text(name))]);
    let files = || ("fileSet", reference(FILES));
    let id = Json::Object(vec![("regex", text("^(?:.*/)?([0-9a-f]{32})[.]json$"))]);
    record_set(vec![
        field("id", Some("sc:Text"), vec![files(), ("extract", property("filename")), ("transform", id)]),
        field("json", Some("sc:Text"), vec![files(), ("extract", property("content"))]),
    ])
}

/// Where a field is: in a column, or in a part of each of its values.
fn of_column(column: &str, part: Option<&str>) -> Vec<(&'static str, Json)> {
    let extract = Json::Object(vec![("column", text(column))]);
    let part = part.map(|part| ("transform", Json::Object(vec![("jsonPath", text(part))])));
    [("fileSet", reference(FILES)), ("extract", extract)].into_iter().chain(part).collect()
}

fn field(name: &str, data_type: Option<&str>, source: Vec<(&'static str, Json)>) -> Json {
    named_field(name, name, data_type, source)
}

fn named_field(id: &str, name: &str, data_type: Option<&str>, source: Vec<(&'static str, Json)>) -> Json {
    let head = [("@type", text("cr:Field")), ("@id", text(format!("{SAMPLES}/{id}"))), ("name", text(name))];
    let data_type = data_type.map(|data_type| ("dataType", text(data_type)));
    Json::Object(head.into_iter().chain(data_type).chain([("source", Json::Object(source))]).collect())
}

fn push(object: &mut Json, key: &'static str, value: Json) {
    if let Json::Object(fields) = object {
        fields.push((key, value));
    }
}

/// The terms of Croissant 1.0 by the names that its context gives them.
fn context() -> Json {
    const OF_CROISSANT: [&str; 28] = [
        "citeAs",
        "column",
        "equivalentProperty",
        "extract",
        "field",
        "fileProperty",
        "fileObject",
        "fileSet",
        "format",
        "includes",
        "isLiveDataset",
        "jsonPath",
        "key",
        "md5",
        "parentField",
        "path",
        "recordSet",
        "references",
        "regex",
        "repeated",
        "replace",
        "samplingRate",
        "separator",
        "source",
        "subField",
        "transform",
        "isArray",
        "arrayShape",
    ];
    let typed = |id: &str, kind: &str| Json::Object(vec![("@id", text(id)), ("@type", text(kind))]);
    let prefixes = [
        ("@language", text("en")),
        ("@vocab", text("https://schema.org/")),
        ("cr", text("http://mlcommons.org/croissant/")),
        ("dct", text("http://purl.org/dc/terms/")),
        ("rai", text("http://mlcommons.org/croissant/RAI/")),
        ("sc", text("https://schema.org/")),
        ("conformsTo", text("dct:conformsTo")),
        ("data", typed("cr:data", "@json")),
        ("dataType", typed("cr:dataType", "@vocab")),
        ("examples", typed("cr:examples", "@json")),
    ];
    Json::Object(prefixes.into_iter().chain(OF_CROISSANT.map(|name| (name, text(format!("cr:{name}"))))).collect())
}
