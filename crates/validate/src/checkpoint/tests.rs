//! Complete checkpoints, and damaged ones.

#![expect(clippy::disallowed_methods, reason = "a file that a crash leaves incomplete does no harm in a test")]

use std::fs;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::config::{JambaConfig, VisionConfig};
use crate::model::{HybridModel, ModelOptions};
use crate::vision::ImageTokens;

/// A model of a few thousand parameters.
fn smallest() -> ModelConfig {
    let language = JambaConfig {
        vocab_size: 11,
        hidden_size: 8,
        intermediate_size: 4,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        num_key_value_heads: Some(1),
        attn_layer_period: 2,
        attn_layer_offset: 1,
        num_experts: 2,
        mamba_d_state: 2,
        ..JambaConfig::default()
    };
    let vision = VisionConfig {
        hidden_size: 4,
        intermediate_size: 4,
        num_hidden_layers: 1,
        num_attention_heads: 1,
        image_size: 4,
        patch_size: 2,
        ..VisionConfig::default()
    };
    ModelConfig { language, vision_config: Some(vision), mm_vision_select_layer: -1, mm_projector_type: None }
}

fn written_model() -> (TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("model");
    write_random(&directory, &smallest(), 7).unwrap();
    (parent, directory)
}

fn problems(error: ValidateError) -> Vec<String> {
    match error {
        ValidateError::Tensors { problems, .. } => problems,
        other => panic!("{other:?}"),
    }
}

/// If this changes, every random model changes.
const FIRST_DIGITS: &str = "33bf301fa0f942f5";

#[test]
fn the_same_seed_writes_the_same_bytes_and_another_seed_others() {
    let (parent, directory) = written_model();
    let (again, other) = (parent.path().join("again"), parent.path().join("other"));
    write_random(&again, &smallest(), 7).unwrap();
    write_random(&other, &smallest(), 8).unwrap();
    let bytes = |directory: &Path| fs::read(directory.join(files::SINGLE_FILE)).unwrap();
    assert_eq!(bytes(&directory), bytes(&again));
    assert_ne!(bytes(&directory), bytes(&other));
    assert!(Digest::of(&bytes(&directory)).to_string().starts_with(FIRST_DIGITS));
}

#[test]
fn a_written_model_is_complete() {
    let (_parent, directory) = written_model();
    let checkpoint = Checkpoint::open(&directory).unwrap();
    assert_eq!(checkpoint.config(), &smallest());
    assert_eq!(checkpoint.dtype(), DType::BF16);
    assert!(checkpoint.is_random());
    let a_log = checkpoint.tensor("model.layers.0.mamba.A_log", DType::F32, &Device::Cpu).unwrap();
    assert_eq!(a_log.to_vec2::<f32>().unwrap()[3], [0.0, 0.691_406_25]);
}

#[test]
fn an_existing_directory_is_left_alone() {
    let (parent, _) = written_model();
    let result = write_random(parent.path(), &smallest(), 1);
    assert!(matches!(result, Err(ValidateError::Occupied { .. })));
    let left: Vec<_> = fs::read_dir(parent.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["model"]);
}

const CONFIG: &str = crate::config::CONFIG_FILE;

#[test]
fn all_differences_from_the_configuration_are_listed_together() {
    let (_parent, directory) = written_model();
    let path = directory.join(CONFIG);
    let text = fs::read_to_string(&path).unwrap();
    // Another vocabulary, no experts, and one more bias.
    let text =
        text.replace("\"vocab_size\": 11", "\"vocab_size\": 12").replace("\"num_experts\": 2", "\"num_experts\": 1");
    let text = text.replace("\"mamba_proj_bias\": false", "\"mamba_proj_bias\": true");
    fs::write(&path, text).unwrap();
    let problems = problems(Checkpoint::open(&directory).unwrap_err());
    let has = |start: &str| problems.iter().any(|problem| problem.starts_with(start));
    assert!(has("lm_head.weight has the shape [11, 8], expected [12, 8]"), "{problems:?}");
    assert!(has("missing: model.layers.0.mamba.in_proj.bias [32]"), "{problems:?}");
    assert!(has("unexpected: model.layers.1.feed_forward.experts.1.down_proj.weight"), "{problems:?}");
}

#[test]
fn a_tower_may_be_stored_in_a_folder_of_its_own() {
    let (_parent, directory) = written_model();
    let whole = Checkpoint::open(&directory).unwrap();
    // The same tensors in three files: language model, projector, and tower in a separate directory.
    let bytes = fs::read(directory.join(files::SINGLE_FILE)).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let split = tempfile::tempdir().unwrap();
    let tower = split.path().join("vision_tower");
    fs::create_dir(&tower).unwrap();
    let write = |path: PathBuf, keep: &dyn Fn(&str) -> Option<String>| {
        let kept = tensors.tensors().into_iter().filter_map(|(name, view)| Some((keep(&name)?, view)));
        safetensors::serialize_to_file(kept.collect::<Vec<_>>(), None, &path).unwrap();
    };
    let prefix = "model.vision_tower.vision_tower.vision_model.";
    let is_language = |name: &str| !name.starts_with(prefix) && !name.contains("mm_projector");
    write(split.path().join(files::SINGLE_FILE), &|name| is_language(name).then(|| name.to_owned()));
    write(split.path().join("mm_projector.safetensors"), &|name| {
        name.contains("mm_projector").then(|| name.to_owned())
    });
    write(tower.join(files::SINGLE_FILE), &|name| name.strip_prefix(prefix).map(str::to_owned));
    let mut config = serde_json::json!(smallest());
    let vision = config.as_object_mut().unwrap().remove("vision_config").unwrap();
    fs::write(split.path().join(CONFIG), config.to_string()).unwrap();
    fs::write(tower.join(CONFIG), serde_json::json!({ "vision_config": vision }).to_string()).unwrap();
    let apart = Checkpoint::open(split.path()).unwrap();
    assert_eq!(apart.config(), whole.config());
    assert_eq!(apart.tensors.keys().collect::<Vec<_>>(), whole.tensors.keys().collect::<Vec<_>>());
}

#[test]
fn an_index_may_only_name_files_in_its_directory() {
    let (_parent, directory) = written_model();
    let index = r#"{"weight_map": {"lm_head.weight": "../../secret"}}"#;
    fs::write(directory.join("model.safetensors.index.json"), index).unwrap();
    assert!(matches!(Checkpoint::open(&directory), Err(ValidateError::Damaged { .. })));
}

#[test]
fn values_out_of_range_are_listed_together() {
    let (_parent, directory) = written_model();
    fs::write(
        directory.join(CONFIG),
        r#"{"num_hidden_layers": 1000000000000, "hidden_size": 0, "num_key_value_heads": 0}"#,
    )
    .unwrap();
    match Checkpoint::open(&directory) {
        Err(ValidateError::Config { problems, .. }) => {
            for name in ["num_hidden_layers is", "hidden_size is", "num_key_value_heads is"] {
                assert!(problems.iter().any(|problem| problem.starts_with(name)), "{name}: {problems:?}");
            }
        }
        other => panic!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// However a file is damaged, opening it and reading its tensors ends in a model or an error.
    #[test]
    fn damaged_files_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
        in_config in any::<bool>(),
    ) {
        let (_parent, directory) = written_model();
        let path = directory.join(if in_config { CONFIG } else { files::SINGLE_FILE });
        let mut bytes = fs::read(&path).unwrap();
        // Half of the changes are in the header, where they do the most harm.
        let header = bytes.len().min(600);
        for (nth, (position, value)) in changes.iter().enumerate() {
            let range = if nth % 2 == 0 { header } else { bytes.len() };
            bytes[position.index(range)] = *value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        fs::write(&path, &bytes).unwrap();
        if let Ok(checkpoint) = Checkpoint::open(&directory) {
            for name in checkpoint.tensors.keys() {
                prop_assert!(checkpoint.tensor(name, DType::F32, &Device::Cpu).is_ok());
            }
        }
    }

    /// Whatever a configuration says, reading the model ends in a model or an error.
    #[test]
    fn wrong_numbers_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>(), wrong_value()), 1..4),
    ) {
        let (_parent, directory) = written_model();
        let path = directory.join(CONFIG);
        let mut config: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        for (position, in_tower, value) in changes {
            let fields = if in_tower { &mut config["vision_config"] } else { &mut config };
            // An earlier change may have replaced the tower by a number.
            let Some(fields) = fields.as_object_mut() else { continue };
            let name = fields.keys().nth(position.index(fields.len())).unwrap().clone();
            fields.insert(name, value);
        }
        fs::write(&path, config.to_string()).unwrap();
        if let Ok(checkpoint) = Checkpoint::open(&directory) {
            let options = ModelOptions { image_tokens: ImageTokens::TwoD { edge: 1 }, ..ModelOptions::on(Device::Cpu) };
            _ = HybridModel::read(&checkpoint, options);
        }
    }
}

fn wrong_value() -> impl Strategy<Value = serde_json::Value> {
    let numbers = [0_i64, 1, 2, 3, 5, 7, -1, 255, 65_537, i64::from(u32::MAX), i64::MAX];
    let values = numbers.map(serde_json::Value::from).into_iter().chain([
        serde_json::json!(1e300),
        serde_json::json!(0.5),
        serde_json::json!(null),
        serde_json::json!("gelu"),
        serde_json::json!([1, 2]),
        serde_json::json!(true),
    ]);
    prop::sample::select(values.collect::<Vec<_>>())
}
