//! What makes Hugging Face `datasets` read shards as what they are: features in every Parquet shard, and the front matter
//! of the data card, which also says which files there are.
//!
//! For Parquet, either is enough. For WebDataset there is the card only: without it, `datasets` takes the members of the
//! first samples to be those of all, and fails where a sample has more images than the one before.
//!
//! Texts are assembled by hand: in a map of values the order of the keys would depend on how `serde_json` was built.

use std::collections::BTreeSet;

use manyframe_columnar::{Column, ColumnType};
use manyframe_core::{ImageFormat, Layout};
use schemars::schema_for;
use serde_json::Value;

use crate::format::{FinishedShard, Format};
use crate::json::SampleJson;

/// A configuration of the dataset, as `load_dataset(DIR, name)` takes it.
pub(crate) struct CardConfig {
    /// Its name; the first one is called `default`.
    name: String,
    /// Pattern of its files, relative to the card, such as `parquet/temporal/*.parquet`.
    data_files: String,
}

/// How `datasets` sees a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Feature {
    /// A value of a type that Arrow has.
    Value(&'static str),
    /// An encoded image, which it decodes.
    Image,
    List(Box<Feature>),
    Fields(Features),
}

/// Named values, in order.
pub(crate) type Features = Vec<(String, Feature)>;

/// All samples, then those of each layout, in the order of layouts; nothing if there are no shards.
pub(crate) fn card_configs(format: &dyn Format, shards: &[FinishedShard]) -> Vec<CardConfig> {
    let mut directories: Vec<(usize, &str)> = Vec::new();
    for shard in shards {
        let order = shard.layout.and_then(|layout| Layout::ALL.iter().position(|other| *other == layout));
        let directory = shard.path.rsplit_once('/').map_or("", |(directory, _)| directory);
        directories.push((order.unwrap_or(Layout::ALL.len()), directory));
    }
    directories.sort_unstable();
    directories.dedup();
    if directories.is_empty() {
        return Vec::new();
    }
    let config = |name: &str, directory: &str| CardConfig {
        name: name.to_owned(),
        data_files: format!("{directory}/*.{}", format.extension()),
    };
    let all = all_files(format, "/*");
    let by_layout = directories.into_iter().map(|(_, directory)| {
        let name = directory.rsplit_once('/').map_or(directory, |(_, name)| name);
        config(name, directory)
    });
    std::iter::once(all).chain(by_layout).collect()
}

/// The configuration of all files of a format: those of this pattern of directories below its own.
pub(crate) fn all_files(format: &dyn Format, directories: &str) -> CardConfig {
    let data_files = format!("{}{directories}/*.{}", format.name(), format.extension());
    CardConfig { name: "default".to_owned(), data_files }
}

/// The front matter of a data card (`README.md`): the lines between its two `---`. All files are one split, and all
/// configurations have the same features, which are listed once.
pub(crate) fn card_yaml((configs, split): (&[CardConfig], &str), features: &Features) -> String {
    let [first, others @ ..] = configs else { return String::new() };
    let mut yaml = configs_yaml(configs, split);
    yaml.extend(["dataset_info:\n- config_name: ", &json_text(&first.name), "\n  features: &features\n"]);
    push_yaml(features, "  ", &mut yaml);
    for CardConfig { name, .. } in others {
        yaml.extend(["- config_name: ", &json_text(name), "\n  features: *features\n"]);
    }
    yaml
}

/// Which files are the data. Where no loader of Hugging Face reads them, it says so, instead of taking other files for the data.
pub(crate) fn configs_yaml(configs: &[CardConfig], split: &str) -> String {
    let mut yaml = String::from("configs:\n");
    for CardConfig { name, data_files } in configs {
        // A JSON string is a YAML string.
        let (name, data_files) = (json_text(name), json_text(data_files));
        yaml.extend([
            "- config_name: ",
            &name,
            "\n  data_files:\n  - split: ",
            split,
            "\n    path: ",
            &data_files,
            "\n",
        ]);
    }
    yaml
}

/// The features of a Parquet shard as JSON, for the key `huggingface` of its footer.
pub(crate) fn features_json(columns: &[Column]) -> String {
    format!(r#"{{"info":{{"features":{}}}}}"#, fields_json(&features_of_columns(columns)))
}

/// The features of a table.
pub(crate) fn features_of_columns(columns: &[Column]) -> Features {
    columns.iter().map(|column| (column.name.to_owned(), feature_of_column(&column.column_type))).collect()
}

/// The features of tars whose samples have some of these members. One that a sample does not have is `None`.
pub(crate) fn features_of_members(fields: &BTreeSet<&str>) -> Features {
    let text = |name: &str| (name.to_owned(), Feature::Value("string"));
    let members = fields.iter().filter_map(|&field| {
        let extension = field.rsplit_once('.').map_or(field, |(_, extension)| extension);
        let feature = if extension == "json" {
            sample_json_feature()?
        } else if extension == "img" || ImageFormat::from_extension(extension).is_some() {
            Feature::Image
        } else {
            // Video files are not decoded: which of their frames are shown is in the JSON. Neither are pickles.
            Feature::Value("binary")
        };
        Some((field.to_owned(), feature))
    });
    members.chain([text("__key__"), text("__url__")]).collect()
}

/// What `datasets` makes of the JSON of a sample, by its schema.
fn sample_json_feature() -> Option<Feature> {
    let schema = schema_for!(SampleJson);
    feature_of_schema(schema.as_value(), schema.get("$defs").unwrap_or(&Value::Null))
}

fn feature_of_schema(schema: &Value, definitions: &Value) -> Option<Feature> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    if let Some(reference) = schema.get("$ref").and_then(text) {
        return feature_of_schema(definitions.get(reference.strip_prefix("#/$defs/")?)?, definitions);
    }
    let is_null = |value: &&Value| value.get("type").is_some_and(|kind| kind == "null");
    if let Some(either) = schema.get("anyOf").and_then(Value::as_array) {
        return feature_of_schema(either.iter().find(|value| !is_null(value))?, definitions);
    }
    if let Some(constants) = schema.get("oneOf").and_then(Value::as_array) {
        return feature_of_schema(constants.first()?, definitions);
    }
    // A type that may be null is a list of both.
    let kind = schema.get("type")?;
    let kind = kind.as_array().and_then(|kinds| kinds.iter().find(|kind| *kind != "null")).unwrap_or(kind);
    Some(match kind.as_str()? {
        "string" => Feature::Value("string"),
        "integer" => Feature::Value("int64"),
        "number" => Feature::Value("float64"),
        "boolean" => Feature::Value("bool"),
        "array" => {
            let element = schema.get("items").or_else(|| schema.get("prefixItems")?.get(0))?;
            Feature::List(Box::new(feature_of_schema(element, definitions)?))
        }
        "object" => {
            let mut fields: Vec<(&String, &Value)> = schema.get("properties")?.as_object()?.iter().collect();
            fields.sort_unstable_by_key(|(name, _)| *name);
            let fields =
                fields.into_iter().map(|(name, field)| Some((name.clone(), feature_of_schema(field, definitions)?)));
            Feature::Fields(fields.collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

fn feature_of_column(column_type: &ColumnType) -> Feature {
    match column_type {
        ColumnType::Text => Feature::Value("string"),
        ColumnType::U64 => Feature::Value("uint64"),
        ColumnType::I64 => Feature::Value("int64"),
        ColumnType::I32 => Feature::Value("int32"),
        ColumnType::F64 => Feature::Value("float64"),
        ColumnType::Bytes | ColumnType::Bytes16 => Feature::Value("binary"),
        ColumnType::List { element, .. } => Feature::List(Box::new(feature_of_column(element))),
        ColumnType::Struct(fields) => match fields.as_slice() {
            [bytes, path] if (bytes.name, path.name) == ("bytes", "path") => Feature::Image,
            fields => Feature::Fields(features_of_columns(fields)),
        },
    }
}

fn fields_json(features: &Features) -> String {
    let fields = features.iter().map(|(name, feature)| format!("{}:{}", json_text(name), feature_json(feature)));
    format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
}

fn feature_json(feature: &Feature) -> String {
    match feature {
        Feature::Value(dtype) => format!(r#"{{"dtype":"{dtype}","_type":"Value"}}"#),
        Feature::Image => r#"{"_type":"Image"}"#.to_owned(),
        Feature::List(element) => format!(r#"{{"feature":{},"_type":"List"}}"#, feature_json(element)),
        Feature::Fields(fields) => fields_json(fields),
    }
}

fn push_yaml(features: &Features, indent: &str, yaml: &mut String) {
    for (name, feature) in features {
        yaml.extend([indent, "- name: ", name, "\n"]);
        let indent = format!("{indent}  ");
        match feature {
            Feature::List(element) => push_feature("list", element, &indent, yaml),
            Feature::Fields(_) => push_feature("struct", feature, &indent, yaml),
            _ => push_feature("dtype", feature, &indent, yaml),
        }
    }
}

fn push_feature(key: &str, feature: &Feature, indent: &str, yaml: &mut String) {
    yaml.extend([indent, key, ":"]);
    match feature {
        Feature::Value(dtype) => yaml.extend([" ", dtype, "\n"]),
        Feature::Image => yaml.push_str(" image\n"),
        Feature::Fields(fields) => {
            yaml.push('\n');
            push_yaml(fields, indent, yaml);
        }
        Feature::List(element) => {
            yaml.push('\n');
            push_feature("list", element, &format!("{indent}  "), yaml);
        }
    }
}

fn json_text(text: &str) -> String {
    Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use manyframe_columnar::columns_of;

    use super::*;
    use crate::sample_table::SampleTable;

    #[test]
    fn features_are_those_of_the_columns() {
        let json = features_json(&columns_of::<SampleTable>());
        for part in [
            r#"{"info":{"features":{"id":{"dtype":"string","_type":"Value"},"#,
            r#""messages":{"feature":{"role":{"dtype":"string","_type":"Value"},"#,
            r#""content":{"dtype":"string","_type":"Value"}},"_type":"List"},"#,
            r#""images":{"feature":{"_type":"Image"},"_type":"List"},"#,
            r#""input_ids":{"feature":{"dtype":"int32","_type":"Value"},"_type":"List"},"#,
            r#""metadata":{"dtype":"string","_type":"Value"}}}}"#,
        ] {
            assert!(json.contains(part), "{part} is not in {json}");
        }
    }

    #[test]
    fn each_configuration_has_its_files_and_features() {
        let config = |name: &str, data_files: &str| CardConfig { name: name.into(), data_files: data_files.into() };
        let configs = [config("default", "shards/**/*.parquet"), config("a: b", "x")];
        let yaml = card_yaml((&configs, "train"), &features_of_columns(&columns_of::<SampleTable>()));
        assert!(yaml.starts_with(
            "configs:\n- config_name: \"default\"\n  data_files:\n  - split: train\n    path: \"shards/**/*.parquet\"\n"
        ));
        assert_eq!(yaml.matches("- config_name: \"a: b\"\n").count(), 2);
        let features = "  - name: id
    dtype: string
  - name: source
    dtype: string
  - name: subset
    dtype: string
  - name: layout
    dtype: string
  - name: messages
    list:
    - name: role
      dtype: string
    - name: content
      dtype: string
  - name: images
    list: image
  - name: prompt
    dtype: string
  - name: label_spans
    list:
    - name: start
      dtype: int64
    - name: end
      dtype: int64
  - name: input_ids
    list: int32
  - name: labels
    list: int32
  - name: image_positions
    list: int32
  - name: num_tokens
    dtype: int64
  - name: num_images
    dtype: int64
  - name: metadata
    dtype: string
";
        let listed = format!("- config_name: \"default\"\n  features: &features\n{features}");
        assert!(yaml.ends_with(&format!("{listed}- config_name: \"a: b\"\n  features: *features\n")), "{yaml}");
        assert_eq!(card_yaml((&[], "train"), &Vec::new()), "");
        let of_mds = configs_yaml(&[all_files(&crate::mds::Mds, "")], "train");
        assert_eq!(
            of_mds,
            "configs:\n- config_name: \"default\"\n  data_files:\n  - split: train\n    path: \"mds/*.mds\"\n"
        );
    }

    #[test]
    fn a_tar_has_the_whole_json_and_all_images() {
        let fields = BTreeSet::from(["json", "000.jpg", "001.webp", "000.mp4"]);
        let features = features_of_members(&fields);
        let feature = |name: &str| &features.iter().find(|(found, _)| found == name).unwrap().1;
        assert_eq!([feature("000.jpg"), feature("001.webp")], [&Feature::Image; 2]);
        assert_eq!(*feature("000.mp4"), Feature::Value("binary"));
        let Feature::Fields(json) = feature("json") else { panic!("{features:?}") };
        let schema = schema_for!(SampleJson);
        let names: BTreeSet<&String> = schema.get("properties").unwrap().as_object().unwrap().keys().collect();
        assert_eq!(names, json.iter().map(|(name, _)| name).collect());
        let pair = Feature::List(Box::new(Feature::Value("int64")));
        assert!(json.contains(&("label_spans".to_owned(), Feature::List(Box::new(pair)))), "{json:?}");
    }
}
