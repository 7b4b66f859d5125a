//! Tiles cut out of a JPEG without decoding it: the coded blocks of the photograph are those of its tiles.
//!
//! ```text
//! JPEG ──Baseline──▶ tables, scan ──Blocks──▶ where each block is coded ──Tiles──▶ JPEGs
//!   └─ turned, progressive, in several scans: rearranged first by libjpeg-turbo (`upright`), which leaves coefficients alone
//! ```
//!
//! A block of a baseline JPEG is coded as the difference of its mean to that of the block before, followed by codes that depend
//! on no other block. A tile therefore takes these codes bit for bit, and only the differences are written again. Coefficients
//! are decoded in two cases only: in blocks that the right or bottom border of the image crosses, where everything outside the
//! image becomes white, and, at the lowest frequencies, for an overview (`scaled`).
//!
//! All of it reads untrusted bytes in safe code. A file with anything unusual is left to the decoder.

mod baseline;
mod bits;
mod blocks;
mod border;
mod dct;
mod huffman;
mod scaled;
mod upright;
mod write;

use self::baseline::Baseline;
use self::blocks::Blocks;
use self::border::Crossed;
pub(crate) use self::write::TileWriter;
use crate::probe::{JpegColor, ProbedImage};

/// A JPEG whose blocks are known.
pub(crate) struct LosslessJpeg {
    baseline: Baseline,
    blocks: Blocks,
    /// The blocks that the border crosses as they were, with their planes, columns and rows.
    crossed: Vec<Crossed>,
    /// Whether libjpeg-turbo rearranged the file.
    is_rearranged: bool,
}

impl LosslessJpeg {
    /// `None` if the image is not a JPEG, is damaged, or cannot be brought into this form without changing pixels.
    pub(crate) fn read(source: &ProbedImage<'_>) -> Option<Self> {
        let header = source.parsed.jpeg.as_ref()?;
        if header.precision_bits != 8 || !matches!(header.color, JpegColor::Gray | JpegColor::YCbCr) {
            return None;
        }
        if source.header.orientation == 1
            && let Some(jpeg) = Self::parse(source.bytes)
        {
            return Some(jpeg);
        }
        let rearranged = Self::parse(&upright::rearranged(source.bytes, source.header.orientation)?)?;
        Some(Self { is_rearranged: true, ..rearranged })
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (mut baseline, scan) = Baseline::parse(bytes)?;
        let mut blocks = Blocks::read(&baseline, scan)?;
        let crossed = border::whiten(&mut baseline, &mut blocks)?;
        Some(Self { baseline, blocks, crossed, is_rearranged: false })
    }

    /// Width and height in pixels of the areas that can be cut: those of which each border is one of a block, in every channel.
    pub(crate) fn unit_px(&self) -> (u32, u32) {
        self.baseline.unit_px()
    }

    /// Whether libjpeg-turbo rearranged the file first, and found nothing wrong with it.
    pub(crate) fn is_rearranged(&self) -> bool {
        self.is_rearranged
    }

    /// A writer of tiles of this width and height.
    pub(crate) fn tiles(&self, size_px: (u32, u32)) -> Option<TileWriter<'_>> {
        TileWriter::new(&self.baseline, &self.blocks, size_px)
    }
}
