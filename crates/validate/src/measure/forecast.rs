//! What fits on a card, computed from a configuration alone. Nothing here was measured on one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::checkpoint::num_parameters;
use crate::config::{MixerKind, ModelConfig};

/// Bytes that a model takes to run one sequence, forward only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Footprint {
    /// Parameters.
    pub weight_bytes: u64,
    /// Whatever the length: a window's activations, the states of Mamba, a piece of the logits.
    pub fixed_bytes: u64,
    /// For each token of the sequence: keys and values, twice, as they are copied when they grow.
    pub bytes_per_token: u64,
    /// For each token of an image: its embedding.
    pub bytes_per_image_token: u64,
}

/// What fits into a memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Forecast {
    /// The memory.
    pub memory_gib: u64,
    /// Longest sequence of text, in tokens; 0 if not even the weights fit.
    pub most_tokens: u64,
    /// Most images of one sequence, at [`Forecast::tokens_per_image`] each and 7 tokens of delimiters.
    pub most_images: u64,
    /// Tokens of an image.
    pub tokens_per_image: u64,
}

/// Share of the memory that a driver and its libraries leave.
const USABLE_PERCENT: u64 = 92;
/// Tokens of text around an image: `</img><t><img>` in Jamba's tokenizer.
const DELIMITER_TOKENS: u64 = 7;

impl Footprint {
    /// The footprint of a model whose values take `bytes_per_value` bytes, run in windows of so many tokens.
    pub fn of(config: &ModelConfig, bytes_per_value: u64, window_tokens: u64) -> Self {
        let language = &config.language;
        let of = |kind: MixerKind| {
            (0..language.num_hidden_layers).filter(|layer| language.mixer(*layer) == kind).count() as u64
        };
        let (hidden, channels) = (language.hidden_size as u64, language.num_channels() as u64);
        let keys = (language.num_groups() * language.head_width()) as u64;
        let states = of(MixerKind::Mamba) * channels * 4 * language.mamba_d_state as u64;
        // Mamba: both halves of the projection, convolved inputs and steps, and the scan's f32 outputs. MLP: gate, up, product.
        let mamba = channels * (4 * bytes_per_value + 4);
        let mlp = 3 * language.intermediate_size as u64 * bytes_per_value;
        let window = window_tokens * (mamba.max(mlp) + 3 * hidden * bytes_per_value);
        let logits = 2 * (64 << 20) * 4;
        let scores = 3 * 4 * 1024 * 4096 * language.num_attention_heads as u64;
        Self {
            weight_bytes: num_parameters(config) * bytes_per_value,
            fixed_bytes: window + states + logits + scores,
            bytes_per_token: of(MixerKind::Attention) * 2 * 2 * keys * bytes_per_value,
            bytes_per_image_token: hidden * bytes_per_value,
        }
    }
}

/// What fits into 24, 40 and 80 GB.
pub fn forecast(footprint: &Footprint, tokens_per_image: u64) -> [Forecast; 3] {
    [24, 40, 80].map(|memory_gib| {
        let usable = (memory_gib << 30) / 100 * USABLE_PERCENT;
        let free = usable.saturating_sub(footprint.weight_bytes + footprint.fixed_bytes);
        let per_image = (tokens_per_image + DELIMITER_TOKENS) * footprint.bytes_per_token
            + tokens_per_image * footprint.bytes_per_image_token;
        let most_tokens = free.checked_div(footprint.bytes_per_token).unwrap_or(0);
        let most_images = free.checked_div(per_image).unwrap_or(0);
        Forecast { memory_gib, most_tokens, most_images, tokens_per_image }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Preset;

    #[test]
    fn keys_of_the_9b_model_take_16_kib_a_token() {
        let footprint = Footprint::of(&Preset::Dense9b.config(), 2, 4096);
        assert_eq!(footprint.bytes_per_token, 2 * 16 * 1024);
        assert!((19_000_000_000..19_500_000_000).contains(&footprint.weight_bytes));
    }

    #[test]
    fn more_memory_fits_more() {
        let forecasts = forecast(&Footprint::of(&Preset::Dense9b.config(), 2, 4096), 144);
        assert!(forecasts.is_sorted_by_key(|forecast| forecast.most_tokens));
        assert!(forecasts[2].most_images > 1000);
    }
}
