//! For which model a pipeline file is written.

use std::path::{Path, PathBuf};

use manyframe_plan::Survey;
use manyframe_vision::Family;

use crate::args::{InitArguments, InitTemplate};

/// Model families by the `model_type` of their checkpoints.
const FAMILIES: &[(&str, &str)] = &[
    ("idefics3", "idefics3"),
    ("internvl", "internvl"),
    ("internvl_chat", "internvl"),
    ("llava", "llava-1.5"),
    ("llava_next", "llava-next"),
    ("llava_onevision", "llava-onevision"),
    ("qwen2_5_vl", "qwen2.5-vl"),
    ("qwen2_vl", "qwen2.5-vl"),
    ("qwen3_5", "qwen3.5"),
    ("qwen3_5_moe", "qwen3.5"),
    ("qwen3_vl", "qwen3-vl"),
    ("qwen3_vl_moe", "qwen3-vl"),
    ("smolvlm", "smolvlm"),
];

/// What the arguments and the files that were found say about the model.
pub(super) struct Choice {
    /// The settings of a published recipe, which decide about the family, too.
    pub(super) template: Option<InitTemplate>,
    pub(super) family: Option<&'static str>,
    pub(super) tokenizer: Option<PathBuf>,
}

impl Choice {
    pub(super) fn of(arguments: &InitArguments, found: &Survey) -> Self {
        let given = arguments.tokenizer.as_ref().map(|path| std::path::absolute(path).unwrap_or_else(|_| path.clone()));
        let tokenizer = given.or_else(|| found.tokenizers.first().cloned());
        let stated = arguments.family.as_ref().map(Family::name);
        let family = stated.or_else(|| family_of(tokenizer.as_deref()?));
        Self { template: arguments.template, family, tokenizer }
    }
}

/// The family of the checkpoint that a tokenizer belongs to.
fn family_of(tokenizer: &Path) -> Option<&'static str> {
    let directory = if tokenizer.is_dir() { tokenizer } else { tokenizer.parent()? };
    let config: serde_json::Value = serde_json::from_slice(&std::fs::read(directory.join("config.json")).ok()?).ok()?;
    let model = config.get("model_type")?.as_str()?;
    FAMILIES.iter().find(|(name, _)| *name == model).map(|(_, family)| *family)
}
