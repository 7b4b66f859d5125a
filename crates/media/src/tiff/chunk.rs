//! The rows of a strip or tile, decompressed one after the other.

use std::borrow::Cow;
use std::io::{self, Cursor, Read};

use flate2::read::ZlibDecoder;

use super::colors::RowConverter;
use super::fax::{self, Codes};
use super::layout::{Colors, Compression, Layout, YCbCr};
use crate::pixels::{RGB_BYTES, RgbImage};

/// Decodes a strip that is a JPEG file of its own, to RGB.
pub(crate) type DecodeJpeg<'a> = dyn Fn(&JpegStrip<'_>) -> Result<RgbImage, String> + 'a;

/// A strip or tile that is a JPEG file.
pub(crate) struct JpegStrip<'a> {
    pub bytes: &'a [u8],
    /// Tables that all strips share, a JPEG file without an image.
    pub tables: Option<&'a [u8]>,
    /// Whether its three channels are red, green and blue.
    pub is_rgb: bool,
    /// Most pixels that it may have: those of a chunk, and of the blocks that fill it.
    pub max_pixels: u64,
}

/// The rows of a chunk, from the top.
pub(super) struct ChunkRows<'a> {
    layout: &'a Layout<'a>,
    rows: Rows<'a>,
}

enum Rows<'a> {
    /// Compressed samples: one source of rows, or one for each plane.
    Stored { planes: Vec<Box<dyn Read + 'a>>, row: Vec<u8>, plane_row: Vec<u8> },
    /// Samples of `YCbCr` in blocks that share their colour; a row of blocks is converted at once.
    Blocks { source: Box<dyn Read + 'a>, parameters: YCbCr, block_row: Vec<u8>, rgb: Vec<Vec<u8>>, next: usize },
    /// RGB, decoded from a JPEG.
    Decoded { rgb: Cursor<Vec<u8>>, row: Vec<u8> },
}

impl<'a> ChunkRows<'a> {
    /// Opens the chunk at a position of the grid, of which `num_rows` rows are shown.
    pub(super) fn open(
        bytes: &'a [u8],
        layout: &'a Layout<'a>,
        position: u32,
        num_rows: u32,
        decode_jpeg: &DecodeJpeg<'_>,
    ) -> Result<Self, String> {
        let (columns, rows) = layout.grid();
        let chunk_width = layout.chunk_px.0 as usize;
        let stored = |plane: usize| stored_bytes(bytes, layout, position as usize + plane * (columns * rows) as usize);
        if layout.compression == Compression::Jpeg {
            let strip = stored(0)?;
            let is_rgb = layout.colors == Colors::Rgb;
            let [width, height] = [layout.chunk_px.0, layout.chunk_px.1].map(|length| u64::from(length) + 16);
            let (tables, max_pixels) = (layout.jpeg_tables, width * height);
            let image = decode_jpeg(&JpegStrip { bytes: &strip, tables, is_rgb, max_pixels })?;
            if image.width_px() < layout.chunk_px.0 || image.height_px() < num_rows {
                return Err(format!("a JPEG strip has {}×{} pixels only", image.width_px(), image.height_px()));
            }
            let row = vec![0; image.stride()];
            let mut rgb = image.into_pixels();
            if layout.colors == (Colors::Gray { is_white_zero: true }) {
                for level in &mut rgb {
                    *level = u8::MAX - *level;
                }
            }
            return Ok(Self { layout, rows: Rows::Decoded { rgb: Cursor::new(rgb), row } });
        }
        let open = |plane| decompressed(stored(plane)?, layout, num_rows);
        if let Colors::YCbCr(parameters) = layout.colors {
            let (across, down) = parameters.subsampling;
            let block_row = vec![0; layout.chunk_px.0.div_ceil(across) as usize * (across * down + 2) as usize];
            let (rgb, next) = (vec![vec![0; chunk_width * RGB_BYTES]; down as usize], down as usize);
            return Ok(Self { layout, rows: Rows::Blocks { source: open(0)?, parameters, block_row, rgb, next } });
        }
        let row_bytes = |num_samples: usize| (chunk_width * num_samples * layout.sample_bits).div_ceil(8);
        let (num_planes, row, plane_row) = if layout.is_planar {
            let num_bytes = chunk_width * layout.samples_per_pixel * layout.sample_bits.max(8) / 8;
            (layout.samples_per_pixel, num_bytes, row_bytes(1))
        } else {
            (1, row_bytes(layout.samples_per_pixel), 0)
        };
        let planes = (0..num_planes).map(open).collect::<Result<_, _>>()?;
        Ok(Self { layout, rows: Rows::Stored { planes, row: vec![0; row], plane_row: vec![0; plane_row] } })
    }

    /// Reads the next row and writes the pixels that fit into `rgb`.
    pub(super) fn read_row(&mut self, rgb: &mut [u8], converter: &mut RowConverter<'_>) -> io::Result<()> {
        let layout = self.layout;
        match &mut self.rows {
            Rows::Stored { planes, row, plane_row } => {
                if let [whole] = &mut planes[..]
                    && !layout.is_planar
                {
                    whole.read_exact(row)?;
                    undo_differences(row, layout, layout.samples_per_pixel);
                } else {
                    let num_planes = planes.len();
                    for (plane, source) in planes.iter_mut().enumerate() {
                        source.read_exact(plane_row)?;
                        undo_differences(plane_row, layout, 1);
                        interleave(plane_row, row, (plane, num_planes), layout.sample_bits);
                    }
                }
                converter.convert(row, rgb);
                Ok(())
            }
            Rows::Blocks { source, parameters, block_row, rgb: decoded, next } => {
                if *next == decoded.len() {
                    source.read_exact(block_row)?;
                    parameters.convert_blocks(block_row, decoded);
                    *next = 0;
                }
                copy(decoded.get(*next).map(Vec::as_slice).unwrap_or_default(), rgb);
                *next += 1;
                Ok(())
            }
            Rows::Decoded { rgb: decoded, row } => {
                decoded.read_exact(row)?;
                copy(row, rgb);
                Ok(())
            }
        }
    }
}

impl ChunkRows<'_> {
    /// Reads what is left of Deflate: behind it is a checksum of all of it. One that is not there is no damage of the pixels.
    pub(super) fn finish(self) -> io::Result<()> {
        if self.layout.compression != Compression::Deflate {
            return Ok(());
        }
        let sources = match self.rows {
            Rows::Stored { planes, .. } => planes,
            Rows::Blocks { source, .. } => vec![source],
            Rows::Decoded { .. } => Vec::new(),
        };
        // Rows that are not shown, of at most eight bytes a sample.
        let (width, height) = (u64::from(self.layout.chunk_px.0), u64::from(self.layout.chunk_px.1));
        let most = (width * height * self.layout.samples_per_pixel as u64).saturating_mul(8);
        for source in sources {
            match io::copy(&mut source.take(most), &mut io::sink()) {
                Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

fn copy(from: &[u8], to: &mut [u8]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
}

impl YCbCr {
    /// Converts a row of blocks, each the brightness of its pixels, then their two colours.
    fn convert_blocks(&self, blocks: &[u8], rows: &mut [Vec<u8>]) {
        let (across, down) = (self.subsampling.0 as usize, self.subsampling.1 as usize);
        for (column, block) in blocks.chunks_exact(across * down + 2).enumerate() {
            let (brightness, colors) = block.split_at(across * down);
            let &[cb, cr] = colors else { continue };
            for (levels, row) in brightness.chunks_exact(across).zip(&mut *rows) {
                let pixels = row.as_chunks_mut::<RGB_BYTES>().0.iter_mut().skip(column * across);
                pixels.zip(levels).for_each(|(pixel, &y)| *pixel = self.rgb([y, cb, cr]));
            }
        }
    }
}

/// The bytes of a chunk as stored, in the usual order of bits.
fn stored_bytes<'a>(bytes: &'a [u8], layout: &Layout<'_>, index: usize) -> Result<Cow<'a, [u8]>, String> {
    let &(offset, num_bytes) = layout.chunks.get(index).ok_or_else(|| format!("strip or tile {index} is missing"))?;
    let rest = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..));
    let rest = rest.ok_or_else(|| format!("strip or tile {index} starts beyond the end"))?;
    let stored = match rest.get(..usize::try_from(num_bytes).unwrap_or(usize::MAX)) {
        Some(stored) => stored,
        None if matches!(layout.compression, Compression::Group3 | Compression::Group4) => {
            return Err(format!("strip or tile {index} is cut short"));
        }
        // What is missing at the end shows when it is read.
        None => rest,
    };
    if layout.is_bit_reversed && layout.compression != Compression::Jpeg {
        return Ok(Cow::Owned(stored.iter().map(|byte| byte.reverse_bits()).collect()));
    }
    Ok(Cow::Borrowed(stored))
}

fn decompressed<'a>(stored: Cow<'a, [u8]>, layout: &Layout<'_>, num_rows: u32) -> Result<Box<dyn Read + 'a>, String> {
    Ok(match layout.compression {
        Compression::None | Compression::Jpeg => Box::new(Cursor::new(stored)),
        Compression::Deflate => Box::new(ZlibDecoder::new(Cursor::new(stored))),
        Compression::Zstd => {
            Box::new(zstd::stream::read::Decoder::new(Cursor::new(stored)).map_err(|error| error.to_string())?)
        }
        Compression::Lzw if matches!(*stored, [0, odd, ..] if odd & 1 == 1) => {
            return Err("it has the LZW codes of TIFF 5.0, which were withdrawn".to_owned());
        }
        Compression::Lzw => Box::new(LzwReader {
            codes: Cursor::new(stored),
            decoder: weezl::decode::Decoder::with_tiff_size_switch(weezl::BitOrder::Msb, 8),
        }),
        Compression::PackBits => Box::new(PackBitsReader { packed: Cursor::new(stored), run: Run::None }),
        Compression::Group3 | Compression::Group4 => Box::new(Cursor::new(fax_rows(&stored, layout, num_rows)?)),
    })
}

/// Adds to each sample its left neighbour of the same channel.
#[expect(clippy::indexing_slicing, reason = "both positions are inside of the row")]
fn undo_differences(row: &mut [u8], layout: &Layout<'_>, samples_per_pixel: usize) {
    if !layout.is_differenced {
        return;
    }
    if layout.sample_bits == 8 {
        for at in samples_per_pixel..row.len() {
            row[at] = row[at].wrapping_add(row[at - samples_per_pixel]);
        }
        return;
    }
    let (samples, _) = row.as_chunks_mut::<2>();
    for at in samples_per_pixel..samples.len() {
        let [left, sample] = [samples[at - samples_per_pixel], samples[at]].map(|pair| layout.byte_order.number(pair));
        samples[at] = layout.byte_order.bytes(sample.wrapping_add(left));
    }
}

/// Puts the samples of one plane of several into a row of pixels. Samples of less than a byte take a byte each there.
fn interleave(plane_row: &[u8], row: &mut [u8], (plane, num_planes): (usize, usize), sample_bits: usize) {
    match sample_bits {
        16 => {
            let places = row.as_chunks_mut::<2>().0.iter_mut().skip(plane).step_by(num_planes);
            places.zip(plane_row.as_chunks::<2>().0).for_each(|(place, sample)| *place = *sample);
        }
        bits => {
            let shifts = (0..8 / bits).rev().map(|position| position * bits);
            let mask = u8::MAX >> (8 - bits);
            let samples = plane_row.iter().flat_map(|&byte| shifts.clone().map(move |shift| (byte >> shift) & mask));
            row.iter_mut().skip(plane).step_by(num_planes).zip(samples).for_each(|(place, sample)| *place = sample);
        }
    }
}

/// Rows of a fax, packed as bits: 1 is black in the codes, and 0 in a row whose white is not 0.
fn fax_rows(stored: &[u8], layout: &Layout<'_>, num_rows: u32) -> Result<Vec<u8>, String> {
    let width = u16::try_from(layout.chunk_px.0).map_err(|_width| "a fax has at most 65,535 columns".to_owned())?;
    let codes = if layout.compression == Compression::Group3 { Codes::Group3 } else { Codes::Group4 };
    fax::rows(stored, codes, (width, num_rows as usize))
}

struct LzwReader<'a> {
    codes: Cursor<Cow<'a, [u8]>>,
    decoder: weezl::decode::Decoder,
}

impl Read for LzwReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let position = self.codes.position();
            let rest = self.codes.get_ref().get(position as usize..).unwrap_or_default();
            let result = self.decoder.decode_bytes(rest, buffer);
            self.codes.set_position(position + result.consumed_in as u64);
            match result.status {
                Ok(weezl::LzwStatus::Ok) if result.consumed_out == 0 && result.consumed_in > 0 => {}
                Ok(_) => return Ok(result.consumed_out),
                Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
            }
        }
    }
}

/// Apple's PackBits (TIFF 6.0, section 9).
struct PackBitsReader<'a> {
    packed: Cursor<Cow<'a, [u8]>>,
    run: Run,
}

#[derive(Clone, Copy)]
enum Run {
    None,
    Literal(usize),
    Repeated(u8, usize),
}

impl PackBitsReader<'_> {
    fn next_byte(&mut self) -> Option<u8> {
        let mut byte = [0];
        self.packed.read_exact(&mut byte).ok().map(|()| byte[0])
    }
}

impl Read for PackBitsReader<'_> {
    #[expect(clippy::indexing_slicing, reason = "the count is at most the length of the buffer")]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.run {
                Run::None => {
                    let Some(header) = self.next_byte() else { return Ok(0) };
                    self.run = match header {
                        0..=127 => Run::Literal(usize::from(header) + 1),
                        128 => Run::None,
                        129.. => Run::Repeated(self.next_byte().unwrap_or(0), 257 - usize::from(header)),
                    };
                }
                Run::Literal(left) => {
                    let count = left.min(buffer.len());
                    let count = self.packed.read(&mut buffer[..count])?;
                    self.run = if count == left { Run::None } else { Run::Literal(left - count) };
                    return Ok(count);
                }
                Run::Repeated(byte, left) => {
                    let count = left.min(buffer.len());
                    buffer[..count].fill(byte);
                    self.run = if count == left { Run::None } else { Run::Repeated(byte, left - count) };
                    return Ok(count);
                }
            }
        }
    }
}
