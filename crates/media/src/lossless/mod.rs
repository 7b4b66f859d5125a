//! Tiles cut out of a JPEG without decoding it: the coded blocks of the photograph are those of its tiles.
//!
//! ```text
//! JPEG ──Baseline──▶ tables, scan ──Blocks──▶ where each block is coded ──Tiles──▶ JPEGs
//!   │                            └──low frequencies──▶ overview
//!   └─ turned, progressive, in several scans: rearranged first by libjpeg-turbo (`upright`), which leaves coefficients alone
//! ```
//!
//! A block of a baseline JPEG is coded as the difference of its mean to that of the block before, followed by codes that depend
//! on no other block. A tile therefore takes these codes bit for bit, and only the differences are written again. Coefficients
//! are decoded in two cases only: in blocks that the right or bottom border of the image crosses, where everything outside the
//! image becomes white, and, at the lowest frequencies, for an overview (`scaled`), on the way.
//!
//! All of it reads untrusted bytes in safe code. A file with anything unusual is left to the decoder.

mod baseline;
mod bits;
mod blocks;
mod border;
mod dct;
mod huffman;
mod recent;
mod scaled;
mod upright;
mod write;

use self::baseline::Baseline;
use self::blocks::Blocks;
use self::scaled::{Scaling, read_scaled};
pub(crate) use self::write::TileWriter;
use crate::probe::{JpegColor, ProbedImage};
use crate::ycbcr::Ycbcr;

/// An overview that is made of low frequencies while blocks are read.
pub(crate) struct OverviewRequest<'m> {
    /// Its longest side in pixels, or less.
    pub(crate) least_px: u32,
    /// Where it goes.
    pub(crate) memory: &'m mut Vec<u8>,
}

/// A JPEG whose blocks are known.
pub(crate) struct LosslessJpeg {
    baseline: Baseline,
    blocks: Blocks,
    /// How its overview was scaled, if it was asked for and could be.
    scaling: Option<Scaling>,
    /// Whether libjpeg-turbo rearranged the file.
    is_rearranged: bool,
}

impl LosslessJpeg {
    /// Reads a JPEG, and its overview into the memory that is given for it, as [`LosslessJpeg::overview`] has it. `None` if the
    /// image is not a JPEG, is damaged, or cannot be brought into this form without changing pixels.
    pub(crate) fn read(source: &ProbedImage<'_>, mut overview: Option<OverviewRequest<'_>>) -> Option<Self> {
        let header = source.parsed.jpeg.as_ref()?;
        if header.precision_bits != 8 || !matches!(header.color, JpegColor::Gray | JpegColor::YCbCr) {
            return None;
        }
        if source.header.orientation == 1
            && let Some(jpeg) = Self::parse(source.bytes, overview.as_mut())
        {
            return Some(jpeg);
        }
        let rearranged = upright::rearranged(source.bytes, source.header.orientation)?;
        let rearranged = Self::parse(&rearranged, overview.as_mut())?;
        Some(Self { is_rearranged: true, ..rearranged })
    }

    fn parse(bytes: &[u8], overview: Option<&mut OverviewRequest<'_>>) -> Option<Self> {
        let (mut baseline, scan) = Baseline::parse(bytes)?;
        let scaling = overview.and_then(|request| Some((Scaling::of(&baseline, request.least_px)?, request)));
        let (mut blocks, scaling) = match scaling {
            Some((scaling, request)) => (read_scaled(&baseline, scan, (&scaling, request.memory))?, Some(scaling)),
            None => (Blocks::read(&baseline, scan, &mut [(), (), ()])?, None),
        };
        border::whiten(&mut baseline, &mut blocks)?;
        Some(Self { baseline, blocks, scaling, is_rearranged: false })
    }

    /// Width and height in pixels of the areas that can be cut: those of which each border is one of a block, in every channel.
    pub(crate) fn unit_px(&self) -> (u32, u32) {
        self.baseline.unit_px()
    }

    /// Whether libjpeg-turbo rearranged the file first, and found nothing wrong with it.
    pub(crate) fn is_rearranged(&self) -> bool {
        self.is_rearranged
    }

    /// The image, in the memory that it was read into, at the smallest number of eighths of its size that is as large as was
    /// asked for on its longest side. `None` if its colours have less than half of its resolution.
    pub(crate) fn overview<'m>(&self, memory: &'m [u8]) -> Option<Ycbcr<'m>> {
        self.scaling.as_ref()?.image(memory)
    }

    /// A writer of tiles of this width and height.
    pub(crate) fn tiles(&self, size_px: (u32, u32)) -> Option<TileWriter<'_>> {
        TileWriter::new(&self.baseline, &self.blocks, size_px)
    }
}
