//! How the pixels of a TIFF are stored, by the tags of its first directory (TIFF 6.0 and its technical notes).
//!
//! What cannot be decoded right is named here, before any pixel is read.

use crate::metadata::{Ifd, XMP, orientation};

/// Why a TIFF cannot be decoded; the text continues "the TIFF …".
#[derive(Debug)]
pub(crate) enum Undecodable {
    /// Its tags contradict each other, or are missing.
    Damaged(String),
    /// It is of a kind that is not decoded, and which.
    Unsupported(String),
}

/// How the pixels of a TIFF are stored.
#[derive(Debug)]
pub(crate) struct Layout<'a> {
    pub size_px: (u32, u32),
    /// How the image is turned, 1 to 8.
    pub orientation: u8,
    pub colors: Colors,
    /// Bits of a sample: 1, 2, 4, 8 or 16.
    pub sample_bits: usize,
    pub samples_per_pixel: usize,
    /// What the first sample after the colours is.
    pub alpha: Option<Alpha>,
    pub compression: Compression,
    /// Whether samples are stored as differences to their left neighbours.
    pub is_differenced: bool,
    /// Whether the lowest bit of a byte comes first.
    pub is_bit_reversed: bool,
    pub byte_order: ByteOrder,
    /// Whether each sample has chunks of its own.
    pub is_planar: bool,
    /// Size of a strip or tile.
    pub chunk_px: (u32, u32),
    /// Position and size of every strip or tile, in bytes.
    pub chunks: Vec<(u64, u64)>,
    /// Quantization and Huffman tables that all chunks share.
    pub jpeg_tables: Option<&'a [u8]>,
}

/// Which byte of a 16-bit sample comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ByteOrder {
    Little,
    Big,
}

impl ByteOrder {
    pub(crate) fn number(self, bytes: [u8; 2]) -> u16 {
        match self {
            Self::Little => u16::from_le_bytes(bytes),
            Self::Big => u16::from_be_bytes(bytes),
        }
    }

    pub(crate) fn bytes(self, number: u16) -> [u8; 2] {
        match self {
            Self::Little => number.to_le_bytes(),
            Self::Big => number.to_be_bytes(),
        }
    }
}

/// What the samples of a pixel mean.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Colors {
    Gray { is_white_zero: bool },
    Rgb,
    Palette(Vec<[u8; 3]>),
    Cmyk,
    YCbCr(YCbCr),
    Lab,
}

/// The parameters of `YCbCr`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct YCbCr {
    /// Pixels, horizontally and vertically, that share their colour.
    pub subsampling: (u32, u32),
    /// Shares of red, green and blue in brightness.
    pub luma: [f64; 3],
    /// Codes of black and white, of no colour and most colour.
    pub reference: [f64; 6],
}

/// What transparency means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Alpha {
    /// Colours are already multiplied with it.
    Premultiplied,
    /// Colours are as if opaque.
    Straight,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Group3,
    Group4,
    Lzw,
    Jpeg,
    Deflate,
    PackBits,
    Zstd,
}

/// Longest side of a tile, in pixels. Writers use 128 to 1024.
const MAX_TILE_EDGE_PX: u32 = 1 << 14;

mod tag {
    pub(super) const WIDTH: u16 = 256;
    pub(super) const HEIGHT: u16 = 257;
    pub(super) const BITS_PER_SAMPLE: u16 = 258;
    pub(super) const COMPRESSION: u16 = 259;
    pub(super) const PHOTOMETRIC: u16 = 262;
    pub(super) const FILL_ORDER: u16 = 266;
    pub(super) const STRIP_OFFSETS: u16 = 273;
    pub(super) const SAMPLES_PER_PIXEL: u16 = 277;
    pub(super) const ROWS_PER_STRIP: u16 = 278;
    pub(super) const STRIP_BYTE_COUNTS: u16 = 279;
    pub(super) const PLANAR_CONFIGURATION: u16 = 284;
    pub(super) const T4_OPTIONS: u16 = 292;
    pub(super) const PREDICTOR: u16 = 317;
    pub(super) const COLOR_MAP: u16 = 320;
    pub(super) const TILE_WIDTH: u16 = 322;
    pub(super) const TILE_LENGTH: u16 = 323;
    pub(super) const TILE_OFFSETS: u16 = 324;
    pub(super) const TILE_BYTE_COUNTS: u16 = 325;
    pub(super) const INK_SET: u16 = 332;
    pub(super) const EXTRA_SAMPLES: u16 = 338;
    pub(super) const SAMPLE_FORMAT: u16 = 339;
    pub(super) const JPEG_TABLES: u16 = 347;
    pub(super) const YCBCR_COEFFICIENTS: u16 = 529;
    pub(super) const YCBCR_SUBSAMPLING: u16 = 530;
    pub(super) const REFERENCE_BLACK_WHITE: u16 = 532;
}

impl<'a> Layout<'a> {
    /// The layout that a directory describes.
    pub(crate) fn of(ifd: &Ifd<'a>) -> Result<Self, Undecodable> {
        let size_px = (length_px(ifd, tag::WIDTH)?, length_px(ifd, tag::HEIGHT)?);
        let samples_per_pixel = ifd.unsigned(tag::SAMPLES_PER_PIXEL).unwrap_or(1) as usize;
        let sample_bits = sample_bits(ifd)?;
        let compression = compression(ifd)?;
        let colors = colors(ifd, sample_bits, compression)?;
        if !ifd.has(tag::BITS_PER_SAMPLE) && (samples_per_pixel > 1 || !matches!(colors, Colors::Gray { .. })) {
            return Err(Undecodable::Damaged("does not say how many bits a sample has".to_owned()));
        }
        if samples_per_pixel < colors.num_samples() || samples_per_pixel > 64 {
            return Err(Undecodable::Damaged(format!("has {samples_per_pixel} samples a pixel")));
        }
        let is_planar = ifd.unsigned(tag::PLANAR_CONFIGURATION) == Some(2) && samples_per_pixel > 1;
        let mut layout = Self {
            size_px,
            orientation: orientation(Some(ifd), ifd.bytes(XMP)),
            alpha: alpha(ifd, &colors, samples_per_pixel),
            colors,
            sample_bits,
            samples_per_pixel,
            compression,
            is_differenced: is_differenced(ifd, compression, sample_bits)?,
            is_bit_reversed: ifd.unsigned(tag::FILL_ORDER) == Some(2),
            byte_order: if ifd.is_little_endian() { ByteOrder::Little } else { ByteOrder::Big },
            is_planar,
            chunk_px: size_px,
            chunks: Vec::new(),
            jpeg_tables: ifd.bytes(tag::JPEG_TABLES),
        };
        layout.check_combination()?;
        layout.find_chunks(ifd)?;
        Ok(layout)
    }

    /// Number of chunks beside and below each other.
    pub(crate) fn grid(&self) -> (u32, u32) {
        (self.size_px.0.div_ceil(self.chunk_px.0), self.size_px.1.div_ceil(self.chunk_px.1))
    }

    fn check_combination(&self) -> Result<(), Undecodable> {
        let unsupported = |what: &str| Err(Undecodable::Unsupported(format!("has {what}, which is not decoded")));
        let is_eight_bit = self.sample_bits == 8;
        match (&self.colors, self.compression) {
            (Colors::Cmyk | Colors::Lab | Colors::Palette(_), Compression::Jpeg) => {
                unsupported("JPEG strips in CMYK, Lab or a palette")
            }
            (colors, Compression::Jpeg)
                if self.is_planar || !is_eight_bit || self.samples_per_pixel != colors.num_samples() =>
            {
                unsupported("JPEG strips of single or of further channels")
            }
            (_, Compression::Group3 | Compression::Group4) if self.sample_bits * self.samples_per_pixel != 1 => {
                unsupported("fax compression of more than one bit a pixel")
            }
            (Colors::YCbCr(_), compression)
                if compression != Compression::Jpeg
                    && (self.is_planar || !is_eight_bit || self.is_differenced || self.samples_per_pixel != 3) =>
            {
                unsupported("YCbCr in planes, in other than 8 bits, or with further channels")
            }
            (Colors::Lab, _) if !is_eight_bit => unsupported("Lab colours in other than 8 bits"),
            (Colors::Palette(_), _) if self.sample_bits > 8 => unsupported("a palette of more than 256 colours"),
            _ => Ok(()),
        }
    }

    /// Where the strips or tiles are.
    fn find_chunks(&mut self, ifd: &Ifd<'_>) -> Result<(), Undecodable> {
        let damaged = |what: String| Undecodable::Damaged(what);
        let is_tiled = ifd.has(tag::TILE_WIDTH);
        let (offsets, sizes) = if is_tiled {
            self.chunk_px = (length_px(ifd, tag::TILE_WIDTH)?, length_px(ifd, tag::TILE_LENGTH)?);
            if self.chunk_px.0.max(self.chunk_px.1) > MAX_TILE_EDGE_PX {
                return Err(damaged(format!("claims tiles of {}×{} pixels", self.chunk_px.0, self.chunk_px.1)));
            }
            (tag::TILE_OFFSETS, tag::TILE_BYTE_COUNTS)
        } else {
            let rows = ifd.unsigned(tag::ROWS_PER_STRIP).filter(|&rows| rows > 0);
            self.chunk_px.1 = rows.map_or(self.size_px.1, |rows| rows.min(u64::from(self.size_px.1)) as u32);
            (tag::STRIP_OFFSETS, tag::STRIP_BYTE_COUNTS)
        };
        let offsets = ifd.unsigned_list(offsets).unwrap_or_default();
        // A single strip reaches to the end of the file if its size is not stated.
        let sizes = ifd.unsigned_list(sizes).filter(|sizes| sizes[..] != [0]);
        let sizes = sizes.unwrap_or_else(|| vec![u64::MAX; offsets.len().min(1)]);
        let (columns, rows) = self.grid();
        let planes = if self.is_planar { self.samples_per_pixel as u64 } else { 1 };
        let num_chunks = u64::from(columns) * u64::from(rows) * planes;
        let num_found = offsets.len().min(sizes.len()) as u64;
        if num_found < num_chunks {
            return Err(damaged(format!("names {num_found} of {num_chunks} strips or tiles")));
        }
        self.chunks = offsets.into_iter().zip(sizes).collect();
        self.correct_subsampling();
        Ok(())
    }

    /// Writers forget to state that colours are not subsampled; uncompressed, their number of bytes says so.
    fn correct_subsampling(&mut self) {
        let full_bytes = u64::from(self.chunk_px.0) * u64::from(self.chunk_px.1) * 3;
        let is_full = self.chunks.first().is_some_and(|&(_, num_bytes)| num_bytes == full_bytes);
        if let Colors::YCbCr(parameters) = &mut self.colors
            && self.compression == Compression::None
            && is_full
        {
            parameters.subsampling = (1, 1);
        }
    }
}

impl Colors {
    /// Number of samples of a pixel, without transparency.
    pub(crate) fn num_samples(&self) -> usize {
        match self {
            Self::Gray { .. } | Self::Palette(_) => 1,
            Self::Rgb | Self::YCbCr(_) | Self::Lab => 3,
            Self::Cmyk => 4,
        }
    }
}

fn length_px(ifd: &Ifd<'_>, tag: u16) -> Result<u32, Undecodable> {
    let length = ifd.unsigned(tag).and_then(|length| u32::try_from(length).ok()).filter(|&length| length > 0);
    length.ok_or_else(|| Undecodable::Damaged(format!("has no size in tag {tag}")))
}

fn sample_bits(ifd: &Ifd<'_>) -> Result<usize, Undecodable> {
    let bits = ifd.unsigned_list(tag::BITS_PER_SAMPLE).unwrap_or_else(|| vec![1]);
    let formats = ifd.unsigned_list(tag::SAMPLE_FORMAT).unwrap_or_default();
    if let Some(format) = formats.iter().find(|format| !matches!(format, 1 | 4)) {
        let name = match format {
            2 => "signed",
            3 => "floating-point",
            _ => "complex",
        };
        return Err(Undecodable::Unsupported(format!("has {name} samples, whose black and white nothing defines")));
    }
    match bits[..] {
        [bits @ (1 | 2 | 4 | 8 | 16), ref others @ ..] if others.iter().all(|&other| other == bits) => {
            Ok(bits as usize)
        }
        _ => Err(Undecodable::Unsupported(format!("has samples of {bits:?} bits, only 1, 2, 4, 8 and 16 are decoded"))),
    }
}

fn compression(ifd: &Ifd<'_>) -> Result<Compression, Undecodable> {
    let name = match ifd.unsigned(tag::COMPRESSION).unwrap_or(1) {
        1 => return Ok(Compression::None),
        3 if ifd.unsigned(tag::T4_OPTIONS).unwrap_or(0) & 1 == 0 => return Ok(Compression::Group3),
        4 => return Ok(Compression::Group4),
        5 => return Ok(Compression::Lzw),
        7 => return Ok(Compression::Jpeg),
        8 | 32_946 => return Ok(Compression::Deflate),
        32_773 => return Ok(Compression::PackBits),
        50_000 => return Ok(Compression::Zstd),
        2 => "modified Huffman codes".to_owned(),
        3 => "two-dimensional fax codes of group 3".to_owned(),
        6 => "the JPEG of TIFF 6.0, which was withdrawn".to_owned(),
        34_712 => "JPEG 2000".to_owned(),
        34_925 => "LZMA".to_owned(),
        50_001 => "WebP".to_owned(),
        other => format!("method {other}"),
    };
    Err(Undecodable::Unsupported(format!("is compressed with {name}, which is not decoded")))
}

fn colors(ifd: &Ifd<'_>, sample_bits: usize, compression: Compression) -> Result<Colors, Undecodable> {
    // As in libtiff, and in Pillow for one sample.
    let unless_stated = if ifd.unsigned(tag::SAMPLES_PER_PIXEL) == Some(3) { 2 } else { 0 };
    let name = match ifd.unsigned(tag::PHOTOMETRIC).unwrap_or(unless_stated) {
        white_is_zero @ (0 | 1) => return Ok(Colors::Gray { is_white_zero: white_is_zero == 0 }),
        2 => return Ok(Colors::Rgb),
        3 => return palette(ifd, sample_bits).map(Colors::Palette),
        5 if ifd.unsigned(tag::INK_SET).unwrap_or(1) == 1 => return Ok(Colors::Cmyk),
        5 => "inks other than CMYK".to_owned(),
        6 => return ycbcr(ifd, compression).map(Colors::YCbCr),
        8 => return Ok(Colors::Lab),
        9 => "ICC Lab colours".to_owned(),
        10 => "ITU Lab colours".to_owned(),
        32_803 | 34_892 => "raw data of a camera".to_owned(),
        32_844 | 32_845 => "colours as logarithms".to_owned(),
        other => format!("colours of kind {other}"),
    };
    Err(Undecodable::Unsupported(format!("has {name}, which is not decoded")))
}

/// The colours of a palette, in 8 of their 16 bits.
#[expect(clippy::indexing_slicing, reason = "the list has three thirds of `num_colors`")]
fn palette(ifd: &Ifd<'_>, sample_bits: usize) -> Result<Vec<[u8; 3]>, Undecodable> {
    let levels = ifd.unsigned_list(tag::COLOR_MAP).unwrap_or_default();
    let num_colors = 1 << sample_bits.min(8);
    if levels.len() < 3 * num_colors {
        return Err(Undecodable::Damaged(format!("has a palette of {} levels for {num_colors} colours", levels.len())));
    }
    let level = |index: usize| (levels[index] >> 8) as u8;
    Ok((0..num_colors).map(|color| [0, 1, 2].map(|channel| level(channel * num_colors + color))).collect())
}

fn ycbcr(ifd: &Ifd<'_>, compression: Compression) -> Result<YCbCr, Undecodable> {
    let subsampling = match ifd.unsigned_list(tag::YCBCR_SUBSAMPLING).as_deref() {
        Some(&[horizontal @ (1 | 2 | 4), vertical @ (1 | 2 | 4), ..]) => (horizontal as u32, vertical as u32),
        None => (2, 2),
        // JPEG strips say it themselves.
        Some(_) if compression == Compression::Jpeg => (1, 1),
        Some(other) => return Err(Undecodable::Damaged(format!("has colours subsampled {other:?}"))),
    };
    let luma = ifd.fractions(tag::YCBCR_COEFFICIENTS).unwrap_or([0.299, 0.587, 0.114]);
    let reference = ifd.fractions(tag::REFERENCE_BLACK_WHITE).unwrap_or([0.0, 255.0, 128.0, 255.0, 128.0, 255.0]);
    let is_usable = luma.iter().chain(&reference).all(|number| number.is_finite())
        && luma[1] > 0.0
        && reference.as_chunks::<2>().0.iter().all(|[low, high]| high > low);
    if is_usable {
        Ok(YCbCr { subsampling, luma, reference })
    } else {
        Err(Undecodable::Damaged(format!("has impossible YCbCr parameters {luma:?}, {reference:?}")))
    }
}

fn alpha(ifd: &Ifd<'_>, colors: &Colors, samples_per_pixel: usize) -> Option<Alpha> {
    if samples_per_pixel == colors.num_samples() || *colors == Colors::Cmyk {
        return None;
    }
    match ifd.unsigned_list(tag::EXTRA_SAMPLES).as_deref() {
        Some([1, ..]) => Some(Alpha::Premultiplied),
        Some([2, ..]) => Some(Alpha::Straight),
        // A fourth channel that nothing explains is read as transparency, as by Pillow.
        None if *colors == Colors::Rgb && samples_per_pixel == 4 => Some(Alpha::Straight),
        _ => None,
    }
}

fn is_differenced(ifd: &Ifd<'_>, compression: Compression, sample_bits: usize) -> Result<bool, Undecodable> {
    if !matches!(compression, Compression::Lzw | Compression::Deflate | Compression::Zstd) {
        return Ok(false);
    }
    match ifd.unsigned(tag::PREDICTOR).unwrap_or(1) {
        1 => Ok(false),
        2 if sample_bits >= 8 => Ok(true),
        other => Err(Undecodable::Unsupported(format!("has predictor {other} for samples of {sample_bits} bits"))),
    }
}
