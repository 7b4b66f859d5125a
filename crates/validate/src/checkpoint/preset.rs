//! Model shapes by name: two that run on any machine, and the published one.

use std::fmt;
use std::str::FromStr;

use crate::config::{DtRank, JambaConfig, ModelConfig, VisionConfig};

/// A named model shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// 4 layers, 64 wide, with every kind of layer.
    Tiny,
    /// 8 layers, 512 wide, with every kind of layer.
    Small,
    /// LongLLaVA's dense 9B model (arXiv 2409.02889): 32 layers, 4096 wide, CLIP ViT-L/14 at 336 px.
    Dense9b,
}

impl Preset {
    /// Every preset, smallest first.
    pub const ALL: [Self; 3] = [Self::Tiny, Self::Small, Self::Dense9b];

    /// The name on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tiny => "tiny",
            Self::Small => "small",
            Self::Dense9b => "9b",
        }
    }

    /// What it is for, for help texts.
    pub fn description(self) -> &'static str {
        match self {
            Self::Tiny => "Width 64, with every kind of layer; runs anywhere",
            Self::Small => "Width 512, for timing on a CPU",
            Self::Dense9b => "LongLLaVA's dense 9B model, with CLIP ViT-L/14 at 336 px",
        }
    }

    /// The configuration of the model.
    pub fn config(self) -> ModelConfig {
        let (language, vision) = match self {
            Self::Tiny => (small_language(64, 96, 4), small_vision(64, 128, 2)),
            Self::Small => (small_language(512, 1024, 8), small_vision(256, 512, 4)),
            Self::Dense9b => (dense_9b(), clip_l_336()),
        };
        ModelConfig {
            language,
            vision_config: Some(vision),
            mm_vision_select_layer: -2,
            mm_projector_type: Some("mlp2x_gelu".to_owned()),
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Preset {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let preset = Self::ALL.into_iter().find(|preset| preset.as_str() == text);
        preset.ok_or_else(|| format!("{text:?}: expected tiny, small or 9b"))
    }
}

/// Four layers or more hold Mamba, attention, an MLP and experts.
fn small_language(hidden_size: usize, intermediate_size: usize, num_hidden_layers: usize) -> JambaConfig {
    JambaConfig {
        hidden_size,
        intermediate_size,
        num_hidden_layers,
        num_attention_heads: 4,
        num_key_value_heads: Some(2),
        attn_layer_period: 4,
        attn_layer_offset: 2,
        num_experts: 4,
        mamba_dt_rank: DtRank::Rank(hidden_size / 8),
        ..JambaConfig::default()
    }
}

fn small_vision(hidden_size: usize, intermediate_size: usize, num_hidden_layers: usize) -> VisionConfig {
    VisionConfig {
        hidden_size,
        intermediate_size,
        num_hidden_layers,
        num_attention_heads: 4,
        image_size: 336,
        patch_size: 14,
        ..VisionConfig::default()
    }
}

fn dense_9b() -> JambaConfig {
    JambaConfig { num_experts: 1, num_experts_per_tok: 1, ..JambaConfig::default() }
}

fn clip_l_336() -> VisionConfig {
    VisionConfig {
        hidden_size: 1024,
        intermediate_size: 4096,
        num_hidden_layers: 24,
        num_attention_heads: 16,
        image_size: 336,
        patch_size: 14,
        ..VisionConfig::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::specs::{num_parameters, specs};

    #[test]
    fn every_preset_is_a_valid_model_with_a_name_of_its_own() {
        for preset in Preset::ALL {
            assert_eq!(preset.config().problems(), Vec::<String>::new());
            assert_eq!(preset.as_str().parse(), Ok(preset));
        }
    }

    #[test]
    fn the_9b_model_has_its_published_parameters() {
        let config = Preset::Dense9b.config();
        let tower = specs(&config).filter(|spec| spec.name.starts_with("vision."));
        let num_tower: u64 = tower.map(|spec| spec.num_values()).sum();
        assert_eq!(num_tower, 303_507_456);
        let num_language = num_parameters(&config) - num_tower;
        assert!((9_300_000_000..9_340_000_000).contains(&num_language), "{num_language}");
    }
}
