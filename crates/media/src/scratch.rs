//! Reused memory for pixels: a few buffers per thread, so that no image waits for fresh pages.

use std::cell::RefCell;

use manyframe_core::RejectCode;

use crate::error::MediaError;
use crate::pixels::RgbImage;

/// Largest buffer kept between images, in bytes: 24 megapixels of RGB. Larger ones are freed.
const MAX_KEPT_BYTES: usize = 72 << 20;

thread_local! {
    /// As many buffers as calls were ever nested; the last one is that of the outermost call.
    static MEMORY: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Calls `work` with an image of this size whose pixels are arbitrary.
pub(crate) fn with_scratch<T>(
    width_px: u32,
    height_px: u32,
    work: impl FnOnce(&mut RgbImage) -> Result<T, MediaError>,
) -> Result<T, MediaError> {
    with_memory(|memory| {
        let mut image = RgbImage::recycled(width_px, height_px, std::mem::take(memory)).ok_or_else(|| {
            MediaError::rejected(
                RejectCode::MediaShape,
                format!("{width_px}×{height_px} pixels cannot be held in memory"),
            )
        })?;
        let result = work(&mut image);
        *memory = image.into_pixels();
        result
    })
}

/// Calls `work` with memory of arbitrary content.
pub(crate) fn with_memory<T>(work: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    let mut memory = MEMORY.with_borrow_mut(Vec::pop).unwrap_or_default();
    let result = work(&mut memory);
    if memory.capacity() <= MAX_KEPT_BYTES {
        MEMORY.with_borrow_mut(|buffers| buffers.push(memory));
    }
    result
}

/// As many bytes of such memory as are asked for, whatever they are: it never gets shorter, so that what was there is not cleared
/// for the next image.
pub(crate) fn first_bytes(memory: &mut Vec<u8>, num_bytes: usize) -> &mut [u8] {
    if memory.len() < num_bytes {
        memory.resize(num_bytes, 0);
    }
    memory.split_at_mut(num_bytes).0
}
