//! What makes Hugging Face `datasets` decode the images of Parquet shards: features in every shard, and the front
//! matter of the data card. Either is enough for images; the card also says which files there are.
//!
//! Both follow from the columns of the sample table. Texts are assembled by hand: in a map of values the order of the
//! keys would depend on how `serde_json` was built.

use manyframe_columnar::{Column, ColumnType};

/// A configuration of the dataset, as `load_dataset(DIR, name)` takes it.
pub(crate) struct CardConfig {
    /// Its name; the first one is best called `default`.
    pub(crate) name: String,
    /// Pattern of its files, relative to the card, such as `parquet/temporal/*.parquet`.
    pub(crate) data_files: String,
}

/// The front matter of a data card (`README.md`): the lines between its two `---`. All files are the split `train`.
pub(crate) fn card_yaml(configs: &[CardConfig], columns: &[Column]) -> String {
    let mut yaml = String::from("configs:\n");
    for CardConfig { name, data_files } in configs {
        // A JSON string is a YAML string.
        let (name, data_files) = (json_text(name), json_text(data_files));
        yaml.extend(["- config_name: ", &name, "\n  data_files:\n  - split: train\n    path: ", &data_files, "\n"]);
    }
    yaml += "dataset_info:\n";
    let mut features = String::new();
    push_yaml(columns, "  ", &mut features);
    for CardConfig { name, .. } in configs {
        yaml.extend(["- config_name: ", &json_text(name), "\n  features:\n", &features]);
    }
    yaml
}

/// The features of a Parquet shard as JSON, for the key `huggingface` of its footer.
pub(crate) fn features_json(columns: &[Column]) -> String {
    format!(r#"{{"info":{{"features":{}}}}}"#, fields_json(columns))
}

/// How `datasets` sees a type.
enum Feature<'a> {
    Value(&'static str),
    Image,
    List(&'a ColumnType),
    Fields(&'a [Column]),
}

impl<'a> Feature<'a> {
    fn of(column_type: &'a ColumnType) -> Self {
        match column_type {
            ColumnType::Text => Self::Value("string"),
            ColumnType::U64 => Self::Value("uint64"),
            ColumnType::I64 => Self::Value("int64"),
            ColumnType::I32 => Self::Value("int32"),
            ColumnType::F64 => Self::Value("float64"),
            ColumnType::Bytes | ColumnType::Bytes16 => Self::Value("binary"),
            ColumnType::List { element, .. } => Self::List(element),
            ColumnType::Struct(fields) => match fields.as_slice() {
                [bytes, path] if (bytes.name, path.name) == ("bytes", "path") => Self::Image,
                fields => Self::Fields(fields),
            },
        }
    }
}

fn fields_json(columns: &[Column]) -> String {
    let fields =
        columns.iter().map(|column| format!("{}:{}", json_text(column.name), feature_json(&column.column_type)));
    format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
}

fn feature_json(column_type: &ColumnType) -> String {
    match Feature::of(column_type) {
        Feature::Value(dtype) => format!(r#"{{"dtype":"{dtype}","_type":"Value"}}"#),
        Feature::Image => r#"{"_type":"Image"}"#.to_owned(),
        Feature::List(element) => format!(r#"{{"feature":{},"_type":"List"}}"#, feature_json(element)),
        Feature::Fields(fields) => fields_json(fields),
    }
}

fn push_yaml(columns: &[Column], indent: &str, yaml: &mut String) {
    for column in columns {
        yaml.extend([indent, "- name: ", column.name, "\n"]);
        let indent = format!("{indent}  ");
        match Feature::of(&column.column_type) {
            Feature::List(element) => push_feature("list", element, &indent, yaml),
            _ => push_feature("dtype", &column.column_type, &indent, yaml),
        }
    }
}

fn push_feature(key: &str, column_type: &ColumnType, indent: &str, yaml: &mut String) {
    yaml.extend([indent, key, ":"]);
    match Feature::of(column_type) {
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
    serde_json::Value::from(text).to_string()
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
        let yaml = card_yaml(&configs, &columns_of::<SampleTable>());
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
        assert_eq!(yaml.matches(&format!("\n  features:\n{features}")).count(), 2);
    }
}
