//! The vision tower: CLIP's vision transformer (arXiv 2103.00020).

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::untrusted::{Bounds, divides, parse, read_json};
use crate::error::ValidateError;

/// A CLIP vision tower. Defaults are those of Hugging Face's `CLIPVisionConfig`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct VisionConfig {
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width inside a feed-forward layer.
    pub intermediate_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Attention heads.
    pub num_attention_heads: usize,
    /// Channels of an image; only 3 is supported.
    pub num_channels: usize,
    /// Side of an image in pixels.
    pub image_size: usize,
    /// Side of a patch in pixels.
    pub patch_size: usize,
    /// The activation of feed-forward layers.
    pub hidden_act: Activation,
    /// Added to the variance under the root.
    pub layer_norm_eps: f64,
}

/// An activation of a vision tower.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// `x·σ(1.702·x)`.
    QuickGelu,
    /// `x·Φ(x)`.
    Gelu,
}

impl Default for VisionConfig {
    fn default() -> Self {
        Self {
            hidden_size: 768,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            num_channels: 3,
            image_size: 224,
            patch_size: 32,
            hidden_act: Activation::QuickGelu,
            layer_norm_eps: 1e-5,
        }
    }
}

impl VisionConfig {
    /// Reads the configuration of a vision tower: that of CLIP's vision model, or of a whole CLIP.
    pub(super) fn read(path: &Path) -> Result<Self, ValidateError> {
        let mut value = read_json(path)?;
        if let Some(inner) = value.get_mut("vision_config") {
            value = inner.take();
        }
        parse(value, path)
    }

    /// Everything that is out of range or does not fit together.
    pub fn problems(&self) -> Vec<String> {
        let mut bounds = Bounds(Vec::new());
        bounds.within([
            ("vision hidden_size", self.hidden_size, 1 << 15),
            ("vision intermediate_size", self.intermediate_size, 1 << 17),
            ("vision num_hidden_layers", self.num_hidden_layers, 256),
            ("vision num_attention_heads", self.num_attention_heads, 256),
            ("image_size", self.image_size, 4096),
            ("patch_size", self.patch_size, 256),
        ]);
        let (hidden, heads) = (self.hidden_size, self.num_attention_heads);
        bounds.expect(divides(heads, hidden), || {
            format!("vision hidden_size {hidden} is not a multiple of vision num_attention_heads {heads}")
        });
        bounds.expect(divides(self.patch_size, self.image_size), || {
            format!("image_size {} is not a multiple of patch_size {}", self.image_size, self.patch_size)
        });
        bounds.expect(self.num_channels == 3, || format!("num_channels is {}, expected 3", self.num_channels));
        bounds.expect(self.layer_norm_eps > 0.0 && self.layer_norm_eps < 1.0, || {
            format!("layer_norm_eps is {}, expected a number between 0 and 1", self.layer_norm_eps)
        });
        bounds.0
    }

    /// Patches along each side of an image.
    pub fn grid_edge(&self) -> usize {
        self.image_size / self.patch_size.max(1)
    }
}
