//! Models to start from: one that runs anywhere, and the shape of the published one.

use serde::{Deserialize, Serialize};

use crate::config::{DtRank, JambaConfig, ModelConfig, VisionConfig};

/// A model by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// Every kind of layer, 64 wide: for checks of the wiring on any machine.
    Tiny,
    /// Like `Tiny`, 512 wide: for timing on a CPU.
    Small,
    /// LongLLaVA's dense 9B (arXiv 2409.02889): 32 layers, 4096 wide, CLIP ViT-L/14 at 336 px.
    Dense9b,
}

impl Preset {
    /// What the model looks like.
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

/// Mamba, attention, an MLP and experts: with 4 layers each kind is there.
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
    use crate::checkpoint::{num_parameters, specs};

    #[test]
    fn every_preset_is_a_model() {
        for preset in [Preset::Tiny, Preset::Small, Preset::Dense9b] {
            assert!(preset.config().problems().is_empty());
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
