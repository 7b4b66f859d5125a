//! The memory that a model needs, and what fits on a GPU: computed from the configuration, not measured.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::checkpoint::num_parameters;
use crate::config::{MixerKind, ModelConfig};

/// Memory that a model needs to run one sequence, forward only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Footprint {
    /// For the parameters, in bytes.
    pub weight_bytes: u64,
    /// At any length, in bytes: activations of a window, states of Mamba, logits of some rows.
    pub fixed_bytes: u64,
    /// Per token of the sequence, in bytes: keys and values, twice, because they are copied when they grow.
    pub bytes_per_token: u64,
    /// Per token of an image, in bytes: its embedding.
    pub bytes_per_image_token: u64,
}

/// What fits on a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MemoryForecast {
    /// Memory of the GPU, in GiB.
    pub memory_gib: u64,
    /// Longest sequence of text, in tokens; 0 if the parameters do not fit, or if nothing grows with length because
    /// the model has no attention.
    pub most_tokens: u64,
    /// Maximum number of images in one sequence, at `tokens_per_image` and 7 tokens of delimiters each.
    pub most_images: u64,
    /// Tokens per image.
    pub tokens_per_image: u64,
}

/// Share of the memory that the driver and its libraries leave, in percent.
const USABLE_PERCENT: u64 = 92;
/// Text tokens between two images, `</img><t><img>`, in Jamba's tokenizer.
const DELIMITER_TOKENS: u64 = 7;

impl Footprint {
    /// The footprint of a model with values of `bytes_per_value` bytes that runs in windows of `window_tokens` tokens.
    pub fn of(config: &ModelConfig, bytes_per_value: u64, window_tokens: u64) -> Self {
        let language = &config.language;
        let num_layers = |kind: MixerKind| {
            (0..language.num_hidden_layers).filter(|layer| language.mixer(*layer) == kind).count() as u64
        };
        let (hidden, channels) = (language.hidden_size as u64, language.num_channels() as u64);
        let keys = (language.num_groups() * language.head_width()) as u64;
        let states = num_layers(MixerKind::Mamba) * channels * 4 * language.mamba_d_state as u64;
        // Mamba: both halves of the projection, convolved inputs, step sizes, and the scan's f32 outputs. MLP: gate, up, product.
        let mamba = channels * (4 * bytes_per_value + 4);
        let mlp = 3 * language.intermediate_size as u64 * bytes_per_value;
        let window = window_tokens * (mamba.max(mlp) + 3 * hidden * bytes_per_value);
        // Twice the maximum number of logits that exist at a time, and three times the scores of a block of queries and
        // keys, in f32.
        let logits = 2 * (64 << 20) * 4;
        let scores = 3 * 4 * 1024 * 4096 * language.num_attention_heads as u64;
        Self {
            weight_bytes: num_parameters(config) * bytes_per_value,
            fixed_bytes: window + states + logits + scores,
            bytes_per_token: num_layers(MixerKind::Attention) * 2 * 2 * keys * bytes_per_value,
            bytes_per_image_token: hidden * bytes_per_value,
        }
    }
}

/// What fits on GPUs of 24, 40 and 80 GiB, with this many tokens per image.
pub fn forecast(footprint: &Footprint, tokens_per_image: u64) -> [MemoryForecast; 3] {
    [24, 40, 80].map(|memory_gib| {
        let usable = (memory_gib << 30) / 100 * USABLE_PERCENT;
        let free = usable.saturating_sub(footprint.weight_bytes + footprint.fixed_bytes);
        let per_image = (tokens_per_image + DELIMITER_TOKENS) * footprint.bytes_per_token
            + tokens_per_image * footprint.bytes_per_image_token;
        let most_tokens = free.checked_div(footprint.bytes_per_token).unwrap_or(0);
        let most_images = free.checked_div(per_image).unwrap_or(0);
        MemoryForecast { memory_gib, most_tokens, most_images, tokens_per_image }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Preset;

    #[test]
    fn keys_and_values_of_the_9b_model_take_16_kib_per_token() {
        let footprint = Footprint::of(&Preset::Dense9b.config(), 2, 4096);
        assert_eq!(footprint.bytes_per_token, 2 * 16 * 1024);
        assert!((19_000_000_000..19_500_000_000).contains(&footprint.weight_bytes));
    }

    #[test]
    fn more_memory_holds_more() {
        let forecasts = forecast(&Footprint::of(&Preset::Dense9b.config(), 2, 4096), 144);
        assert!(forecasts.windows(2).all(|pair| pair[0].most_tokens < pair[1].most_tokens));
        assert!(forecasts.windows(2).all(|pair| pair[0].most_images < pair[1].most_images));
        assert!(forecasts[2].most_images > 1000);
    }
}
