//! How images are delivered: the size to which they are scaled down, and how they are re-encoded if necessary.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::limits::MediaLimits;
use crate::resize::fit_longest_edge;

/// How single images are delivered. An image that needs no change is delivered byte for byte.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ImagePolicy {
    /// Which images are accepted. Read and written separately, because all media share their limits.
    #[serde(skip)]
    pub limits: MediaLimits,
    /// Longest side in pixels; larger images are scaled down. Default: no limit.
    #[schemars(range(min = 14, max = 65500))]
    pub max_edge_px: Option<u32>,
    /// JPEG quality of everything that is re-encoded, frames and tiles included, on libjpeg's scale. Default: 90.
    #[schemars(range(min = 1, max = 100))]
    pub quality: u8,
    /// JPEG chroma subsampling of everything that is re-encoded. Default: `4:2:0`.
    pub subsampling: Subsampling,
    /// How an image that is delivered byte for byte is checked. Default: `decode`.
    pub check: Check,
    /// Whether images and frames are delivered at the size to which the model's processor would bring them. Default: `processor`
    /// for families with a size that depends on the image's, such as `qwen3-vl`; otherwise `original`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resize: Option<DeliveredSize>,
    /// The size at which they are delivered, where a processor decides it. Takes precedence over `max_edge_px`.
    #[serde(skip)]
    pub size_px: Option<(u32, u32)>,
}

/// The size at which images are delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveredSize {
    /// Their own, down to `max_edge_px`. The model's processor resizes them.
    Original,
    /// That to which the model's processor would bring them: a trainer does not resize them again (`do_resize=False`).
    Processor,
}

/// How a JPEG is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JpegOptions {
    /// Quality on libjpeg's scale, 1 to 100.
    pub quality: u8,
    /// Chroma subsampling.
    pub subsampling: Subsampling,
}

/// Chroma subsampling: resolution of the colour channels of a JPEG, relative to its brightness channel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Subsampling {
    /// Half in both directions.
    #[default]
    #[serde(rename = "4:2:0")]
    S420,
    /// Half horizontally.
    #[serde(rename = "4:2:2")]
    S422,
    /// Full.
    #[serde(rename = "4:4:4")]
    S444,
}

/// How an image that is delivered byte for byte is checked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// It is decoded, and rejected if that fails: truncated and corrupt files are detected.
    #[default]
    Decode,
    /// Only its header and its end are checked: a file that is damaged in between is delivered.
    Header,
}

impl Default for JpegOptions {
    fn default() -> Self {
        Self { quality: 90, subsampling: Subsampling::default() }
    }
}

impl Default for ImagePolicy {
    fn default() -> Self {
        Self {
            limits: MediaLimits::default(),
            max_edge_px: None,
            quality: JpegOptions::default().quality,
            subsampling: Subsampling::default(),
            check: Check::default(),
            resize: None,
            size_px: None,
        }
    }
}

impl ImagePolicy {
    /// How images are re-encoded.
    pub fn jpeg(&self) -> JpegOptions {
        JpegOptions { quality: self.quality, subsampling: self.subsampling }
    }

    /// The delivered size of an image of this size: `size_px`, otherwise its longest side is at most `max_edge_px` and its aspect
    /// ratio is kept.
    pub fn delivered_px(&self, width_px: u32, height_px: u32) -> (u32, u32) {
        match (self.size_px, self.max_edge_px) {
            (Some(size_px), _) => size_px,
            (None, Some(max_edge_px)) => fit_longest_edge(width_px, height_px, max_edge_px),
            (None, None) => (width_px, height_px),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn omitted_settings_have_defaults_and_unknown_ones_are_rejected() {
        let policy: ImagePolicy = serde_json::from_str(r#"{"quality": 80, "subsampling": "4:4:4"}"#).unwrap();
        let expected = ImagePolicy { quality: 80, subsampling: Subsampling::S444, ..ImagePolicy::default() };
        assert_eq!(policy, expected);
        assert!(serde_json::from_str::<ImagePolicy>(r#"{"qualty": 80}"#).is_err());
    }
}
