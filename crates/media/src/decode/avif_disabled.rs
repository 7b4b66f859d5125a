//! AVIF in builds without FFmpeg: every image is a rejection.

use manyframe_core::RejectCode;

use crate::error::MediaError;
use crate::pixels::RgbImage;

/// Always the rejection `media_type`.
pub(super) fn decode_into(_bytes: &[u8], _image: &mut RgbImage) -> Result<(), MediaError> {
    let detail = "the AVIF cannot be decoded: this build of manyframe has no FFmpeg, whose AV1 decoder it takes";
    Err(MediaError::rejected(RejectCode::MediaType, detail))
}
