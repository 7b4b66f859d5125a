//! BMP files that the decoder refuses, or reads in the wrong place, and other readers show.

use std::io::Cursor;

use image::codecs::bmp::BmpDecoder;
use image::error::DecodingError;
use image::{ImageError, ImageFormat, ImageResult};

/// What precedes the second header: `BM`, sizes, and the position of the pixels.
const FILE_HEADER_BYTES: usize = 14;

/// Sizes of the second header: of Windows, and of OS/2 2 and later ones of Windows, which start with the same fields.
const WINDOWS: usize = 40;
const LONGER: [usize; 5] = [52, 56, 64, 108, 124];

/// Compressions of runs, of 8 and of 4 bits.
const RLE_8: u32 = 1;
const RLE_4: u32 = 2;

/// A decoder of the file, whose pixels follow its headers if it does not say where they are.
pub(super) fn decoder(bytes: &[u8]) -> ImageResult<BmpDecoder<Cursor<&[u8]>>> {
    let pixels_at = number(bytes, 10).unwrap_or_default() as usize;
    let header_bytes = number(bytes, FILE_HEADER_BYTES).unwrap_or_default() as usize;
    match bytes.get(FILE_HEADER_BYTES..) {
        Some(rest) if pixels_at == 0 => BmpDecoder::new_without_file_header(Cursor::new(rest)),
        _ if pixels_at < FILE_HEADER_BYTES + header_bytes => {
            let why = format!("its pixels are said to start in byte {pixels_at}, inside of its header");
            Err(ImageError::Decoding(DecodingError::new(ImageFormat::Bmp.into(), why)))
        }
        _ => BmpDecoder::new(Cursor::new(bytes)),
    }
}

/// The mark of the end of runs.
const RUNS_END: [u8; 2] = [0, 1];

/// The same image as Windows would write it: with its header, one plane, rows from the bottom where they are compressed, the mark of
/// the end of runs, and all padding. Returns also whether its rows are in the opposite order. `None` if the image is of another kind.
pub(super) fn as_windows_writes(bytes: &[u8]) -> Option<(Vec<u8>, bool)> {
    let (mut file_header, rest) =
        bytes.split_at_checked(FILE_HEADER_BYTES).map(|(header, rest)| (header.to_vec(), rest))?;
    let mut header = rest.get(..WINDOWS)?.to_vec();
    let header_bytes = number(&header, 0)? as usize;
    let (width, height, compression) = (number(&header, 4)?, number(&header, 8)?.cast_signed(), number(&header, 16)?);
    match header_bytes {
        WINDOWS => {}
        // The further numbers of compressions mean something else.
        longer if LONGER.contains(&longer) && compression <= RLE_4 => {
            let pixels_at = number(&file_header, 10)?.checked_sub((longer - WINDOWS) as u32)?;
            file_header.splice(10.., pixels_at.to_le_bytes());
            header.splice(..4, (WINDOWS as u32).to_le_bytes());
        }
        _ => return None,
    }
    let bits = number(&header, 12)? >> 16;
    header.splice(12..14, [1, 0]);
    let is_turned = height < 0 && matches!(compression, RLE_8 | RLE_4);
    if is_turned {
        header.splice(8..12, height.checked_neg()?.to_le_bytes());
    }
    let row_bytes = u64::from(width).checked_mul(u64::from(bits))?.div_ceil(8);
    let padding = if compression == 0 { row_bytes.next_multiple_of(4) - row_bytes } else { 0 };
    let mut file = [&file_header[..], &header, rest.get(header_bytes..)?, &vec![0; padding as usize]].concat();
    if matches!(compression, RLE_8 | RLE_4) {
        let pixels_at = number(&file_header, 10)? as usize;
        let size_px = (width, height.unsigned_abs());
        if let Some(end) = end_of_pixels(file.get(pixels_at..)?, size_px, compression == RLE_4) {
            file.truncate(pixels_at + end);
            file.extend(RUNS_END);
        }
    }
    Some((file, is_turned))
}

/// Where the runs end that have a pixel for every place of an image. `None` if they end before, or lack the byte that fills up the
/// last one.
fn end_of_pixels(runs: &[u8], (width, height): (u32, u32), is_of_4_bits: bool) -> Option<usize> {
    let (mut position, mut x, mut y) = (0, 0_u32, 0_u32);
    while y.saturating_add(1) < height || x < width {
        let &[length, value] = runs.get(position..)?.first_chunk()?;
        position += 2;
        match (length, value) {
            (0, 0) => (x, y) = (0, y.saturating_add(1)),
            (0, 1) => return None,
            (0, 2) => {
                let &[right, up] = runs.get(position..)?.first_chunk()?;
                position += 2;
                (x, y) = (x.saturating_add(right.into()), y.saturating_add(up.into()));
            }
            (0, num_pixels) => {
                let num_bytes = if is_of_4_bits { num_pixels.div_ceil(2) } else { num_pixels };
                position += usize::from(num_bytes).next_multiple_of(2);
                x = x.saturating_add(num_pixels.into());
            }
            (num_pixels, _) => x = x.saturating_add(num_pixels.into()),
        }
    }
    (position <= runs.len()).then_some(position)
}

fn number(bytes: &[u8], position: usize) -> Option<u32> {
    bytes.get(position..)?.first_chunk().map(|&number| u32::from_le_bytes(number))
}
