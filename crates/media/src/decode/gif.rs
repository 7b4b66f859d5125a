//! The first image of a GIF to RGB, on a canvas that holds it whole, whatever the size of the logical screen.

use std::io::Cursor;
use std::num::NonZero;

use gif::{ColorOutput, DecodeOptions, DecodingError, MemoryLimit};

use crate::pixels::{RGB_BYTES, RgbImage};
use crate::probe::gif_without_stray_bytes;

/// What a file ends with: no further block of pixels, and no further image.
const END: &[u8] = b"\0;";

/// Decodes into an image of the size in the header. Transparent pixels are white. Where the first image has no pixel, white
/// shows if it has a transparent colour, and otherwise its first colour, as in Pillow.
pub(super) fn decode_into(bytes: &[u8], image: &mut RgbImage) -> Result<(), DecodingError> {
    // The decoder would take them for the start of a block.
    let cleaned = gif_without_stray_bytes(bytes);
    let bytes = cleaned.as_deref().unwrap_or(bytes);
    decode(bytes, image).or_else(|error| decode(&[bytes, END].concat(), image).map_err(|_also_damaged| error))
}

fn decode(bytes: &[u8], image: &mut RgbImage) -> Result<(), DecodingError> {
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    options.allow_unknown_blocks(true);
    // A frame has a byte a pixel, and is inside of the canvas.
    let max_bytes = NonZero::new(image.pixels().len() as u64).unwrap_or(NonZero::<u64>::MIN);
    options.set_memory_limit(MemoryLimit::Bytes(max_bytes));
    let with_palette = with_global_palette(bytes);
    let mut decoder = options.read_info(Cursor::new(with_palette.as_deref().unwrap_or(bytes)))?;
    let global = decoder.global_palette().map(<[u8]>::to_vec);
    let Some(frame) = decoder.read_next_frame()? else {
        return Err(DecodingError::Io(std::io::ErrorKind::UnexpectedEof.into()));
    };
    let palette = frame.palette.as_deref().or(global.as_deref());
    let color = |index: u8| match palette {
        _ if frame.transparent == Some(index) => [u8::MAX; RGB_BYTES],
        Some(palette) => palette.as_chunks().0.get(usize::from(index)).copied().unwrap_or_default(),
        None => [index; RGB_BYTES],
    };
    let (left, top) = (usize::from(frame.left), usize::from(frame.top));
    let (stride, width) = (image.stride(), usize::from(frame.width));
    let background = frame.transparent.map_or_else(|| color(0), |_transparent| [u8::MAX; RGB_BYTES]);
    image.pixels_mut().as_chunks_mut().0.fill(background);
    if width == 0 {
        return Ok(());
    }
    let lines = image.pixels_mut().chunks_exact_mut(stride).skip(top);
    for (line, indices) in lines.zip(frame.buffer.chunks_exact(width)) {
        let pixels = line.as_chunks_mut::<RGB_BYTES>().0.iter_mut().skip(left);
        pixels.zip(indices).for_each(|(pixel, &index)| *pixel = color(index));
    }
    Ok(())
}

/// A copy with levels of gray as its colours, if the file has no global palette: without any palette, indices are levels, as in
/// Pillow.
fn with_global_palette(bytes: &[u8]) -> Option<Vec<u8>> {
    const SCREEN_BYTES: usize = 13;
    const FLAGS: usize = 10;
    let (screen, rest) = bytes.split_at_checked(SCREEN_BYTES)?;
    let flags = *screen.get(FLAGS)?;
    if flags & 0x80 != 0 {
        return None;
    }
    let mut screen = screen.to_vec();
    // A table is there, and has 2^(7+1) colours.
    *screen.get_mut(FLAGS)? = flags | 0x87;
    let gray: Vec<u8> = (0..=u8::MAX).flat_map(|level| [level; RGB_BYTES]).collect();
    Some([&screen[..], &gray, rest].concat())
}
