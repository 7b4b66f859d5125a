//! The header of an AVIF, which is always converted to JPEG: its description, and its metadata wherever they are.

use super::header::{HeaderError, ParsedHeader, Source};
use crate::avif::{AvifImage, NotRead};
use crate::sniff::SourceFormat;

/// Largest EXIF or XMP that is read, in bytes.
const MAX_METADATA_BYTES: u64 = 1 << 20;

pub(super) fn parse(source: &Source<'_>) -> Result<ParsedHeader, HeaderError> {
    let image = AvifImage::parse(source.head).map_err(|error| match error {
        NotRead::Incomplete => HeaderError::Incomplete,
        NotRead::Damaged(why) => HeaderError::Bad(format!("the AVIF {why}")),
        NotRead::Unsupported(why) => HeaderError::Unsupported(format!("the AVIF {why}")),
    })?;
    let orientation = image.orientation_by_metadata(|start, num_bytes| {
        let num_bytes = num_bytes.min(MAX_METADATA_BYTES) as usize;
        source.read(usize::try_from(start).unwrap_or(usize::MAX), num_bytes).map(std::borrow::Cow::into_owned)
    });
    Ok(ParsedHeader {
        format: SourceFormat::Avif,
        stored_px: image.size_px,
        orientation: match orientation {
            // What is said about an image is not the image.
            Err(HeaderError::Incomplete) => 1,
            orientation => orientation?,
        },
        is_animated: image.is_animated,
        is_plain: false,
        jpeg: None,
        pixel_bits: None,
    })
}
