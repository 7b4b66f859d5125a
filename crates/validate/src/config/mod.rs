//! The configuration of a model, `config.json`, with Hugging Face's field names.
//!
//! Configurations are untrusted: every number has a bound, so that no later product overflows and no loop runs forever.

mod jamba;
mod untrusted;
mod vision;

use std::path::Path;

use serde::{Deserialize, Serialize};

pub use jamba::{DtRank, FeedForwardKind, JambaConfig, MixerKind};
pub(crate) use untrusted::{parse, read_json};
pub use vision::{Activation, VisionConfig};

use crate::error::ValidateError;

/// Name of a configuration file.
pub(crate) const CONFIG_FILE: &str = "config.json";
/// Directory of a vision tower that is stored apart from its language model.
pub(crate) const VISION_DIR: &str = "vision_tower";

/// A whole model: a language model, and a vision tower with its projector unless the model is text-only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelConfig {
    /// The language model.
    #[serde(flatten)]
    pub language: JambaConfig,
    /// The vision tower. Default: none, or the one in the subdirectory `vision_tower`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vision_config: Option<VisionConfig>,
    /// The hidden state of the tower that the projector takes; negative numbers count from the last. Default: −2.
    #[serde(default = "select_layer")]
    pub mm_vision_select_layer: i64,
    /// The projector between tower and language model. Only `mlp2x_gelu` is supported: two linear layers with a GELU between them.
    /// Default: that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mm_projector_type: Option<String>,
}

fn select_layer() -> i64 {
    -2
}

impl ModelConfig {
    /// Reads `config.json` in a model's directory, and the one in its subdirectory `vision_tower` if it has one.
    ///
    /// # Errors
    ///
    /// A file cannot be read or parsed, or describes no model; then all problems are listed.
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

    /// Everything that is out of range or does not fit together; empty if this is a model.
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

    /// Layers of the tower that have to run: hidden state 0 is the tower's input, so that −2 leaves out the last layer.
    pub fn num_vision_layers(&self) -> Option<usize> {
        let num_layers = self.vision_config.as_ref()?.num_hidden_layers;
        let selected = self.mm_vision_select_layer;
        let after_last = i64::try_from(num_layers).ok()?.checked_add(1)?;
        let from_front = if selected < 0 { after_last.checked_add(selected)? } else { selected };
        usize::try_from(from_front).ok().filter(|layer| *layer <= num_layers)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_last_hidden_state_but_one_leaves_out_the_last_layer() {
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
