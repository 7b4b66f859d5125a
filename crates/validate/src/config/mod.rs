//! What a model looks like, in Hugging Face's naming: `config.json` of the language model, of the vision tower, or of both.
//!
//! Configurations are untrusted: every number has a bound, so that no later product overflows and no loop runs for ever.

mod jamba;
mod vision;

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use jamba::{DtRank, FeedForwardKind, JambaConfig, MixerKind};
pub use vision::{Activation, VisionConfig};

use crate::ValidateError;

/// Name of a configuration file.
pub(crate) const CONFIG_FILE: &str = "config.json";
/// Folder of a vision tower that stands apart from its language model.
pub(crate) const VISION_DIR: &str = "vision_tower";
/// Largest configuration that is read, in bytes.
const MOST_BYTES: u64 = 16 << 20;

/// A whole model: a language model, and a vision tower with its projector unless the model is for text only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelConfig {
    /// The language model.
    #[serde(flatten)]
    pub language: JambaConfig,
    /// The vision tower. Default: none, or the one in the folder `vision_tower`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vision_config: Option<VisionConfig>,
    /// Which hidden state of the tower is used; negative numbers count from the last one. Default: −2.
    #[serde(default = "select_layer")]
    pub mm_vision_select_layer: i64,
    /// What is between tower and language model. Only `mlp2x_gelu` exists: two linear layers with a GELU between them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mm_projector_type: Option<String>,
}

fn select_layer() -> i64 {
    -2
}

impl ModelConfig {
    /// Reads the configuration of a model directory, and that of its `vision_tower` if it has one.
    pub fn read(directory: &Path) -> Result<Self, ValidateError> {
        let path = directory.join(CONFIG_FILE);
        let mut config: Self = parse(read_json(&path)?, &path)?;
        let tower = directory.join(VISION_DIR).join(CONFIG_FILE);
        if config.vision_config.is_none() && tower.exists() {
            config.vision_config = Some(VisionConfig::read(&tower)?);
        }
        let problems = config.problems();
        if problems.is_empty() { Ok(config) } else { Err(ValidateError::Config { path, problems }) }
    }

    /// Everything that keeps this from being a model; empty if nothing does.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = self.language.problems();
        if let Some(vision) = &self.vision_config {
            problems.extend(vision.problems());
            if self.num_vision_layers().is_none() {
                problems.push(format!(
                    "mm_vision_select_layer is {}, and the tower has {} layers",
                    self.mm_vision_select_layer, vision.num_hidden_layers
                ));
            }
        }
        if let Some(projector) = self.mm_projector_type.as_deref().filter(|projector| *projector != "mlp2x_gelu") {
            problems.push(format!("mm_projector_type is {projector:?}, expected \"mlp2x_gelu\""));
        }
        problems
    }

    /// Layers of the tower that run: hidden state 0 is the tower's input, so that −2 leaves the last layer out.
    pub fn num_vision_layers(&self) -> Option<usize> {
        let num_layers = self.vision_config.as_ref()?.num_hidden_layers;
        let selected = self.mm_vision_select_layer;
        let behind_last = i64::try_from(num_layers).ok()?.checked_add(1)?;
        let from_front = if selected < 0 { behind_last.checked_add(selected)? } else { selected };
        usize::try_from(from_front).ok().filter(|layer| *layer <= num_layers)
    }
}

impl VisionConfig {
    /// Reads the configuration of a vision tower: CLIP's vision model alone, or the whole of CLIP.
    pub fn read(path: &Path) -> Result<Self, ValidateError> {
        let mut value = read_json(path)?;
        if let Some(inner) = value.get_mut("vision_config") {
            value = inner.take();
        }
        parse(value, path)
    }
}

/// A JSON file of moderate size.
pub(crate) fn read_json(path: &Path) -> Result<Value, ValidateError> {
    let file = File::open(path).map_err(ValidateError::read(path))?;
    let mut text = Vec::new();
    file.take(MOST_BYTES).read_to_end(&mut text).map_err(ValidateError::read(path))?;
    serde_json::from_slice(&text).map_err(|source| ValidateError::Json { path: path.to_owned(), source })
}

pub(crate) fn parse<T: for<'de> Deserialize<'de>>(value: Value, path: &Path) -> Result<T, ValidateError> {
    serde_json::from_value(value).map_err(|source| ValidateError::Json { path: path.to_owned(), source })
}

/// Collects what is out of range, by name.
pub(crate) struct Bounds(pub(crate) Vec<String>);

impl Bounds {
    pub(crate) fn check(&mut self, name: &str, value: usize, most: usize) {
        if value == 0 || value > most {
            self.0.push(format!("{name} is {value}, expected 1 to {most}"));
        }
    }

    pub(crate) fn check_that(&mut self, holds: impl Into<Option<bool>>, problem: impl FnOnce() -> String) {
        if holds.into() != Some(true) {
            self.0.push(problem());
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_last_hidden_state_but_one_leaves_a_layer_out() {
        let mut config = crate::checkpoint::Preset::Tiny.config();
        config.mm_vision_select_layer = -2;
        assert_eq!(config.num_vision_layers(), Some(1));
        config.mm_vision_select_layer = -4;
        assert_eq!(config.num_vision_layers(), None);
        assert!(!config.problems().is_empty());
        config.vision_config.as_mut().unwrap().num_hidden_layers = i64::MAX as usize;
        assert_eq!(config.num_vision_layers(), None);
    }
}
