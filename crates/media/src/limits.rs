//! How large and how elongated a medium may be, checked from its header before anything is decoded.

use manyframe_core::RejectCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::MediaError;

/// Limits on media. Media that exceed them are rejected before any pixel is decoded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MediaLimits {
    /// Maximum size of an encoded image, in bytes, and of a video that is delivered as a file. Default: 256 MiB.
    pub max_bytes: u64,
    /// Maximum size of a video file, in bytes. Default: 64 GiB.
    pub max_video_bytes: u64,
    /// Maximum pixels of an image or video frame. Default: 89,478,485, above which Pillow warns of a decompression bomb. Each takes up to 18 bytes of memory while it is decoded and encoded, whatever the format; a TIFF with samples of more than 64 bits a pixel counts as larger.
    pub max_pixels: u64,
    /// Minimum length of the shortest side, in pixels. Default: 4.
    pub min_edge_px: u32,
    /// Maximum ratio of the long side to the short side. Default: 200.
    pub max_aspect_ratio: f64,
}

impl Default for MediaLimits {
    fn default() -> Self {
        Self {
            max_bytes: 256 << 20,
            max_video_bytes: 64 << 30,
            max_pixels: 89_478_485,
            min_edge_px: 4,
            max_aspect_ratio: 200.0,
        }
    }
}

impl MediaLimits {
    /// Rejects an image whose encoded size is 0 or above the limit.
    ///
    /// # Errors
    /// The rejections `media_empty` and `media_too_large`.
    pub fn check_bytes(&self, num_bytes: u64) -> Result<(), MediaError> {
        if num_bytes == 0 {
            return Err(MediaError::rejected(RejectCode::MediaEmpty, "the file has no bytes"));
        }
        if num_bytes > self.max_bytes {
            let detail = format!("the file has {num_bytes} bytes, at most {} are allowed", self.max_bytes);
            return Err(MediaError::rejected(RejectCode::MediaTooLarge, detail));
        }
        Ok(())
    }

    /// Rejects an image whose samples are more than those of the most pixels with four samples of 16 bits: what is decoded counts, and
    /// not only what is shown of it.
    ///
    /// # Errors
    /// The rejection `media_too_large`.
    pub fn check_samples(&self, (width_px, height_px): (u32, u32), bits_per_pixel: u64) -> Result<(), MediaError> {
        const MOST_BYTES_PER_PIXEL: u64 = 8;
        let num_bytes = (u64::from(width_px) * u64::from(height_px)).saturating_mul(bits_per_pixel).div_ceil(8);
        let most = self.max_pixels.saturating_mul(MOST_BYTES_PER_PIXEL);
        if num_bytes > most {
            let detail = format!(
                "{width_px}×{height_px} pixels of {bits_per_pixel} bits are {num_bytes} bytes decoded, at most {most} are allowed"
            );
            return Err(MediaError::rejected(RejectCode::MediaTooLarge, detail));
        }
        Ok(())
    }

    /// Rejects dimensions that are too large, too small or too elongated.
    ///
    /// # Errors
    /// The rejections `media_too_large` and `media_shape`.
    pub fn check_dimensions(&self, width_px: u32, height_px: u32) -> Result<(), MediaError> {
        let num_pixels = u64::from(width_px) * u64::from(height_px);
        if num_pixels > self.max_pixels {
            let detail =
                format!("{width_px}×{height_px} is {num_pixels} pixels, at most {} are allowed", self.max_pixels);
            return Err(MediaError::rejected(RejectCode::MediaTooLarge, detail));
        }
        let (short, long) = (width_px.min(height_px), width_px.max(height_px));
        if short < self.min_edge_px.max(1) {
            let detail = format!(
                "{width_px}×{height_px} pixels: the shortest side must have {} or more",
                self.min_edge_px.max(1)
            );
            return Err(MediaError::rejected(RejectCode::MediaShape, detail));
        }
        if f64::from(long) > f64::from(short) * self.max_aspect_ratio {
            let detail = format!(
                "{width_px}×{height_px} pixels: the long side may be at most {} times the short one",
                self.max_aspect_ratio
            );
            return Err(MediaError::rejected(RejectCode::MediaShape, detail));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use manyframe_core::Rejection;

    use super::*;

    fn code(result: &Result<(), MediaError>) -> Option<RejectCode> {
        match result {
            Err(MediaError::Rejected(Rejection { code, .. })) => Some(*code),
            _ => None,
        }
    }

    #[test]
    fn limits_are_inclusive() {
        let limits = MediaLimits { max_pixels: 100, min_edge_px: 5, max_aspect_ratio: 4.0, ..MediaLimits::default() };
        assert_eq!(code(&limits.check_dimensions(10, 10)), None);
        assert_eq!(code(&limits.check_dimensions(10, 11)), Some(RejectCode::MediaTooLarge));
        assert_eq!(code(&limits.check_dimensions(20, 5)), None);
        assert_eq!(code(&limits.check_dimensions(4, 5)), Some(RejectCode::MediaShape));
        let elongated = MediaLimits { max_pixels: 200, ..limits };
        assert_eq!(code(&elongated.check_dimensions(21, 5)), Some(RejectCode::MediaShape));
    }

    #[test]
    fn no_pixels_and_no_bytes_are_rejected_whatever_the_limits() {
        let limits = MediaLimits { min_edge_px: 0, ..MediaLimits::default() };
        assert_eq!(code(&limits.check_dimensions(0, 0)), Some(RejectCode::MediaShape));
        assert_eq!(code(&limits.check_bytes(0)), Some(RejectCode::MediaEmpty));
    }

    #[test]
    fn the_largest_dimensions_do_not_overflow() {
        let limits = MediaLimits::default();
        assert_eq!(code(&limits.check_dimensions(u32::MAX, u32::MAX)), Some(RejectCode::MediaTooLarge));
    }
}
