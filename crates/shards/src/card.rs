//! What makes Hugging Face `datasets` decode the images of Parquet shards: features in every shard, and the front
//! matter of the dataset card. Either is enough for images; the card also says which files there are.

/// A configuration of the dataset, as `load_dataset(DIR, name)` takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardConfig {
    /// Its name; the first one is best called `default`.
    pub name: String,
    /// Pattern of its files, relative to the card, such as `shards/**/*.parquet`.
    pub data_files: String,
}

/// The front matter of a dataset card (`README.md`): the lines between its two `---`, so that others can be added.
/// All files are the split `train`.
pub fn hugging_face_card_yaml(configs: &[CardConfig]) -> String {
    let mut yaml = String::from("configs:\n");
    for CardConfig { name, data_files } in configs {
        // A JSON string is a YAML string.
        let (name, data_files) = (json_text(name), json_text(data_files));
        yaml.extend(["- config_name: ", &name, "\n  data_files:\n  - split: train\n    path: ", &data_files, "\n"]);
    }
    yaml += "dataset_info:\n";
    for CardConfig { name, .. } in configs {
        yaml.extend(["- config_name: ", &json_text(name), "\n  features:\n", FEATURES_YAML]);
    }
    yaml
}

const FEATURES_YAML: &str = "  - name: id
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

/// The features of a Parquet shard as JSON, for the key `huggingface` of its footer.
///
/// They are a literal: in a map of values the order of the keys would depend on how `serde_json` was built.
pub(crate) const FEATURES_JSON: &str = concat!(
    r#"{"info":{"features":{"#,
    r#""id":{"dtype":"string","_type":"Value"},"#,
    r#""source":{"dtype":"string","_type":"Value"},"#,
    r#""subset":{"dtype":"string","_type":"Value"},"#,
    r#""layout":{"dtype":"string","_type":"Value"},"#,
    r#""messages":{"feature":{"role":{"dtype":"string","_type":"Value"},"#,
    r#""content":{"dtype":"string","_type":"Value"}},"_type":"List"},"#,
    r#""images":{"feature":{"_type":"Image"},"_type":"List"},"#,
    r#""prompt":{"dtype":"string","_type":"Value"},"#,
    r#""label_spans":{"feature":{"start":{"dtype":"int64","_type":"Value"},"#,
    r#""end":{"dtype":"int64","_type":"Value"}},"_type":"List"},"#,
    r#""input_ids":{"feature":{"dtype":"int32","_type":"Value"},"_type":"List"},"#,
    r#""labels":{"feature":{"dtype":"int32","_type":"Value"},"_type":"List"},"#,
    r#""image_positions":{"feature":{"dtype":"int32","_type":"Value"},"_type":"List"},"#,
    r#""num_tokens":{"dtype":"int64","_type":"Value"},"#,
    r#""num_images":{"dtype":"int64","_type":"Value"},"#,
    r#""metadata":{"dtype":"string","_type":"Value"}"#,
    "}}}",
);

fn json_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn card_and_footer_name_the_same_features() {
        let json: serde_json::Value = serde_json::from_str(FEATURES_JSON).unwrap();
        let in_footer = json["info"]["features"].as_object().unwrap();
        let top_level = FEATURES_YAML.lines().filter_map(|line| line.strip_prefix("  - name: "));
        let in_card: Vec<_> = top_level.collect();
        assert_eq!(in_card.len(), in_footer.len());
        assert!(in_card.iter().all(|name| in_footer.contains_key(*name)));
    }

    #[test]
    fn each_configuration_has_its_files_and_features() {
        let config = |name: &str, data_files: &str| CardConfig { name: name.into(), data_files: data_files.into() };
        let yaml = hugging_face_card_yaml(&[config("default", "shards/**/*.parquet"), config("a: b", "x")]);
        assert!(yaml.starts_with(
            "configs:\n- config_name: \"default\"\n  data_files:\n  - split: train\n    path: \"shards/**/*.parquet\"\n"
        ));
        assert_eq!(yaml.matches("- config_name: \"a: b\"\n").count(), 2);
        assert_eq!(yaml.matches("    list: image\n").count(), 2);
    }
}
