//! The lower bound of the tiling job: libjpeg-turbo alone, without manyframe around it.
//!
//! ```text
//! libjpeg_floor PHOTOS OUT    each *.jpg ──▶ channels, on white ──▶ every 336 × 336 tile jpeg ──▶ OUT
//! ```
//!
//! Library, settings and tiles are those of `manyframe build` (quality 90, 4:2:0, accurate DCT), on one thread, from channels
//! to channels. It does not scale: instead of the overview, it encodes a part of the same size. Colours are not interpolated
//! but copied, or dropped where there are too many. It checks, formats, counts and digests nothing, and writes the JPEGs one
//! after another.

mod photos;

use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use turbojpeg::{Compressor, Decompressor, OutputBuf, Subsamp, YuvImage, YuvPlanesImage, yuv_pixels_len};

use photos::photos_in;

const EDGE_PX: usize = 336;
const QUALITY: i32 = 90;
/// Levels of white.
const WHITE: [u8; 3] = [255, 128, 128];

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(photos), Some(out), None) = (arguments.next(), arguments.next(), arguments.next()) else {
        return Err("usage: libjpeg_floor PHOTOS OUT".into());
    };
    let mut floor = Floor::new(Path::new(&out))?;
    for photo in photos_in(Path::new(&photos))? {
        floor.cut(&std::fs::read(photo)?)?;
    }
    Ok(floor.out.flush()?)
}

struct Floor {
    decoder: Decompressor,
    encoder: Compressor,
    jpeg: OutputBuf<'static>,
    /// The channels as stored in the photo.
    stored: Vec<u8>,
    /// Brightness, and colours of half its resolution, with white around them.
    canvas: [Vec<u8>; 3],
    out: BufWriter<File>,
}

impl Floor {
    fn new(out: &Path) -> Result<Self, Box<dyn Error>> {
        let mut encoder = Compressor::new()?;
        encoder.set_quality(QUALITY)?;
        let (jpeg, out) = (OutputBuf::new_owned(), BufWriter::new(File::create(out)?));
        let (stored, canvas) = (Vec::new(), Default::default());
        Ok(Self { decoder: Decompressor::new()?, encoder, jpeg, stored, canvas, out })
    }

    fn cut(&mut self, jpeg: &[u8]) -> Result<(), Box<dyn Error>> {
        let header = self.decoder.read_header(jpeg)?;
        let (width, height, subsamp) = (header.width, header.height, header.subsamp);
        self.stored.resize(yuv_pixels_len(width, 1, height, subsamp)?, 0);
        let image = YuvImage { pixels: &mut self.stored[..], width, align: 1, height, subsamp };
        let sizes = [image.y_size(), image.uv_size(), image.uv_size()];
        self.decoder.decompress_to_yuv(jpeg, image)?;
        let (padded_width, padded_height) = (width.next_multiple_of(EDGE_PX), height.next_multiple_of(EDGE_PX));
        let (left, top) = ((padded_width - width) / 2, (padded_height - height) / 2);
        let mut stored = &self.stored[..];
        let channels = self.canvas.iter_mut().zip(sizes).zip(WHITE).enumerate();
        for (number, ((canvas, (stored_width, stored_height)), white)) in channels {
            let (channel, rest) = stored.split_at_checked(stored_width * stored_height).ok_or("too few samples")?;
            stored = rest;
            let halves = 1 + usize::from(number > 0);
            canvas.clear();
            canvas.resize(padded_width * padded_height / (halves * halves), white);
            let steps = if stored_width > width.next_multiple_of(2) / halves { 2 } else { 1 };
            let rows = canvas.chunks_exact_mut(padded_width / halves).skip(top / halves);
            for (target, row) in rows.zip(channel.chunks_exact(stored_width).step_by(steps)) {
                let target = target.iter_mut().skip(left / halves);
                target.zip(row.iter().step_by(steps)).for_each(|(target, &sample)| *target = sample);
            }
        }
        let overview = |side: usize| (side * EDGE_PX).div_ceil(width.max(height)).min(side);
        self.encode(padded_width, (left, top), (overview(width) & !1, overview(height) & !1))?;
        for top in (0..padded_height).step_by(EDGE_PX) {
            for left in (0..padded_width).step_by(EDGE_PX) {
                self.encode(padded_width, (left, top), (EDGE_PX, EDGE_PX))?;
            }
        }
        Ok(())
    }

    fn encode(
        &mut self,
        stride: usize,
        (left, top): (usize, usize),
        (width, height): (usize, usize),
    ) -> Result<(), Box<dyn Error>> {
        let [y, u, v] = &self.canvas;
        let first_colour = top / 2 * (stride / 2) + left / 2;
        let image = YuvPlanesImage {
            y_plane: y.get(top * stride + left..).ok_or("too little brightness")?,
            u_plane: u.get(first_colour..).ok_or("too few colours")?,
            v_plane: v.get(first_colour..).ok_or("too few colours")?,
            width,
            height,
            y_stride: stride,
            u_stride: stride / 2,
            v_stride: stride / 2,
            subsamp: Subsamp::Sub2x2,
        };
        self.encoder.compress_yuv_planes(&image, &mut self.jpeg)?;
        Ok(self.out.write_all(&self.jpeg)?)
    }
}
