//! How images are delivered: whether they are made smaller, and how they are encoded if they must be.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::MediaLimits;

/// What is done to an image before it is delivered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ImagePolicy {
    /// What is accepted at all.
    pub limits: MediaLimits,
    /// Longest side after resizing, in pixels. Smaller images are left alone. Default: no limit.
    pub max_edge_px: Option<u32>,
    /// Quality of what is encoded anew, on libjpeg's scale from 1 to 100. Default: 90.
    #[schemars(range(min = 1, max = 100))]
    pub quality: u8,
    /// Resolution of the colour channels of what is encoded anew. Default: 4:2:0.
    pub subsampling: Subsampling,
    /// How far images that are delivered as they are get checked. Default: they are decoded.
    pub check: Check,
}

/// How a JPEG is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JpegOptions {
    /// Quality on libjpeg's scale, 1 to 100.
    pub quality: u8,
    /// Resolution of the colour channels.
    pub subsampling: Subsampling,
}

/// Resolution of the colour channels of a JPEG, relative to its brightness channel.
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

/// How far an image is checked that is delivered byte for byte.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// It is decoded, and rejected if that fails: truncated and corrupt files are found.
    #[default]
    Decode,
    /// Only its header is read, and its end is looked at: a file that is damaged in the middle is delivered.
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
        }
    }
}

impl ImagePolicy {
    /// How what is encoded anew is encoded.
    pub fn jpeg(&self) -> JpegOptions {
        JpegOptions { quality: self.quality, subsampling: self.subsampling }
    }

    /// The size at which an image of this size is delivered: the longest side at most `max_edge_px`, the aspect kept.
    pub fn delivered_px(&self, width_px: u32, height_px: u32) -> (u32, u32) {
        match self.max_edge_px {
            Some(max_edge_px) => crate::resize::fit_longest_edge(width_px, height_px, max_edge_px),
            None => (width_px, height_px),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_has_its_default_and_what_is_unknown_is_refused() {
        let policy: ImagePolicy = serde_json::from_str(r#"{"quality": 80, "subsampling": "4:4:4"}"#).unwrap();
        let expected = ImagePolicy { quality: 80, subsampling: Subsampling::S444, ..ImagePolicy::default() };
        assert_eq!(policy, expected);
        assert!(serde_json::from_str::<ImagePolicy>(r#"{"qualty": 80}"#).is_err());
    }
}
