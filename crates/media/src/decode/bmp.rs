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

/// Size of the second header of OS/2 1.
const OS2: u8 = 12;

/// Compressions of runs, of 8 and of 4 bits.
const RLE_8: u32 = 1;
const RLE_4: u32 = 2;

/// A decoder of the file, whose pixels follow its headers if it does not say where they are.
pub(super) fn decoder(bytes: &[u8]) -> ImageResult<BmpDecoder<Cursor<&[u8]>>> {
    let pixels_at = number(bytes, 10).unwrap_or_default() as usize;
    let header_bytes = number(bytes, FILE_HEADER_BYTES).unwrap_or_default() as usize;
    match bytes.get(FILE_HEADER_BYTES..) {
        // As Pillow: behind the palette, if they are said to start where that does.
        Some(rest) if pixels_at == 0 || pixels_at == FILE_HEADER_BYTES + header_bytes && has_palette(rest) => {
            BmpDecoder::new_without_file_header(Cursor::new(rest))
        }
        _ if pixels_at < FILE_HEADER_BYTES + header_bytes => {
            let why = format!("its pixels are said to start in byte {pixels_at}, inside of its header");
            Err(ImageError::Decoding(DecodingError::new(ImageFormat::Bmp.into(), why)))
        }
        _ => BmpDecoder::new(Cursor::new(bytes)),
    }
}

/// Whether a header, of any kind, says that pixels have at most 8 bits.
fn has_palette(header: &[u8]) -> bool {
    let position = if header.first() == Some(&OS2) { 10 } else { 14 };
    header.get(position).is_some_and(|&bits| bits <= 8)
}

/// What a BMP says of its pixels.
struct Description {
    header_bytes: usize,
    size_px: (u32, u32),
    bits: u32,
    compression: u32,
    /// Number of colours in the palette as stated: 0 is all that a pixel can name.
    num_colors: u32,
}

impl Description {
    fn of(bytes: &[u8]) -> Option<Self> {
        let header = bytes.get(FILE_HEADER_BYTES..)?;
        let header_bytes = number(header, 0)? as usize;
        if header_bytes != WINDOWS && !LONGER.contains(&header_bytes) {
            return None;
        }
        let height = number(header, 8)?.cast_signed().unsigned_abs();
        let (bits, compression) = (number(header, 12)? >> 16, number(header, 16)?);
        let size_px = (number(header, 4)?, height);
        Some(Self { header_bytes, size_px, bits, compression, num_colors: number(header, 32)? })
    }

    /// The palette, and where the pixels start: behind it, if they are said to start where it does.
    fn palette<'a>(&self, bytes: &'a [u8]) -> Option<(&'a [u8], usize)> {
        let start = FILE_HEADER_BYTES + self.header_bytes;
        let num_colors = if self.num_colors == 0 { 1 << self.bits } else { self.num_colors as usize };
        let end = start + num_colors.min(MOST_COLORS) * 4;
        let pixels_at = number(bytes, 10)? as usize;
        Some((bytes.get(start..end.min(bytes.len()))?, if pixels_at <= start { end } else { pixels_at }))
    }
}

/// Most colours of a palette that Pillow accepts, whatever a pixel can name.
const MOST_COLORS: usize = 256;

/// The same image as Windows would write it: with its header, one plane, no more colours than a pixel can name, and all padding.
/// `None` if the image is of another kind.
pub(super) fn as_windows_writes(bytes: &[u8]) -> Option<Vec<u8>> {
    let Some(image) = Description::of(bytes) else { return with_windows_header(bytes) };
    let (file_header, rest) = bytes.split_at_checked(FILE_HEADER_BYTES)?;
    // The further numbers of compressions mean something else.
    if image.header_bytes != WINDOWS && image.compression > RLE_4 {
        return None;
    }
    let mut header = rest.get(..WINDOWS)?.to_vec();
    header.splice(..4, (WINDOWS as u32).to_le_bytes());
    header.splice(12..14, [1, 0]);
    let mut pixels_at = number(file_header, 10)?;
    if image.bits <= 8 && image.num_colors > 1 << image.bits && image.num_colors <= MOST_COLORS as u32 {
        pixels_at = image.palette(bytes)?.1 as u32;
        header.splice(32..36, [0; 4]);
    }
    pixels_at = pixels_at.checked_sub((image.header_bytes - WINDOWS) as u32)?;
    let row_bytes = u64::from(image.size_px.0).checked_mul(u64::from(image.bits))?.div_ceil(8);
    let padding = if image.compression == 0 { row_bytes.next_multiple_of(4) - row_bytes } else { 0 };
    let pixels_at = pixels_at.to_le_bytes();
    let (_, rest) = rest.split_at_checked(image.header_bytes)?;
    Some([file_header.get(..10)?, &pixels_at, &header, rest, &vec![0; padding as usize]].concat())
}

/// The same image with the header of Windows, if it has that of OS/2 1, and pixels without a palette.
fn with_windows_header(bytes: &[u8]) -> Option<Vec<u8>> {
    let (file_header, rest) = bytes.split_at_checked(FILE_HEADER_BYTES)?;
    let (&[OS2, 0, 0, 0, w0, w1, h0, h1, _, _, bits @ (16 | 32), 0], rest) = rest.split_first_chunk()? else {
        return None;
    };
    let mut header = [0; WINDOWS];
    header[..16].copy_from_slice(&[WINDOWS as u8, 0, 0, 0, w0, w1, 0, 0, h0, h1, 0, 0, 1, 0, bits, 0]);
    let pixels_at = number(file_header, 10)?.checked_add(WINDOWS as u32 - u32::from(OS2))?;
    Some([file_header.get(..10)?, &pixels_at.to_le_bytes(), &header, rest].concat())
}

/// The same image without compression, if its pixels are runs: as Pillow, and unlike the decoder, this does not invent pixels where
/// they end early, and needs no mark of their end. An error if they do not reach the last pixel.
pub(super) fn without_runs(bytes: &[u8], size_px: (u32, u32)) -> Option<ImageResult<Vec<u8>>> {
    let image = Description::of(bytes)?;
    if !matches!((image.compression, image.bits), (RLE_8 | RLE_4, 1 | 4 | 8)) || image.size_px != size_px {
        return None;
    }
    let (palette, pixels_at) = image.palette(bytes)?;
    let runs = bytes.get(pixels_at..).unwrap_or_default();
    let Some(indices) = indices(runs, image.size_px, image.compression == RLE_4) else {
        let why = "its runs end before its last pixel".to_owned();
        return Some(Err(ImageError::Decoding(DecodingError::new(ImageFormat::Bmp.into(), why))));
    };
    let mut header = bytes.get(FILE_HEADER_BYTES..FILE_HEADER_BYTES + WINDOWS)?.to_vec();
    header.splice(..4, (WINDOWS as u32).to_le_bytes());
    // One plane, 8 bits, no compression, a size that nobody needs, all colours.
    header.splice(12..24, [1, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    header.splice(32..36, [0; 4]);
    let mut colors = palette.to_vec();
    colors.resize(MOST_COLORS * 4, 0);
    let start = (FILE_HEADER_BYTES + WINDOWS + colors.len()) as u32;
    let mut file = [&b"BM\0\0\0\0\0\0\0\0"[..], &start.to_le_bytes(), &header, &colors].concat();
    let width = image.size_px.0 as usize;
    for row in indices.chunks_exact(width.max(1)) {
        file.extend_from_slice(row);
        file.extend(std::iter::repeat_n(0, width.next_multiple_of(4) - width));
    }
    Some(Ok(file))
}

/// The colours of all pixels, by runs as Pillow reads them: those that reach over the end of a row are cut there, and what a line end or
/// a jump passes over has the first colour. `None` if they end before.
fn indices(runs: &[u8], (width, height): (u32, u32), is_of_4_bits: bool) -> Option<Vec<u8>> {
    let (width, num_pixels) = (width as usize, width as usize * height as usize);
    let (mut indices, mut position, mut x) = (Vec::with_capacity(num_pixels), 0, 0);
    while indices.len() < num_pixels {
        let &[length, value] = runs.get(position..)?.first_chunk()?;
        position += 2;
        match (length, value) {
            (0, 0) => {
                indices.resize(indices.len().next_multiple_of(width), 0);
                x = 0;
            }
            (0, 1) => return None,
            (0, 2) => {
                let &[right, up] = runs.get(position..)?.first_chunk()?;
                position += 2;
                let end = indices.len() + usize::from(right) + usize::from(up) * width;
                indices.resize(end.min(num_pixels), 0);
                x = indices.len() % width;
            }
            (0, stated) => {
                let count = usize::from(stated).min(num_pixels - indices.len());
                let num_bytes = if is_of_4_bits { count.div_ceil(2) } else { count };
                let stored = runs.get(position..position + num_bytes)?;
                if is_of_4_bits {
                    indices.extend(stored.iter().flat_map(|byte| [byte >> 4, byte & 15]).take(count));
                } else {
                    indices.extend_from_slice(stored);
                }
                position += num_bytes.next_multiple_of(2);
                x += usize::from(stated);
            }
            (length, value) => {
                let count = usize::from(length).min(width.saturating_sub(x));
                let pair = if is_of_4_bits { [value >> 4, value & 15] } else { [value, value] };
                indices.extend(pair.iter().cycle().take(count));
                x += count;
            }
        }
    }
    indices.truncate(num_pixels);
    Some(indices)
}

fn number(bytes: &[u8], position: usize) -> Option<u32> {
    bytes.get(position..)?.first_chunk().map(|&number| u32::from_le_bytes(number))
}
