//! The floor of the sub-image job: libjpeg-turbo alone, with nothing of manyframe around it.
//!
//! ```text
//! libjpeg_floor PHOTOS OUT    each *.jpg ──▶ decoded into a white canvas ──▶ every 336 × 336 tile jpeg ──▶ OUT
//! ```
//!
//! Library, settings and sub-images are those of `manyframe build` (quality 90, 4:2:0, accurate DCT), on one thread. It
//! does not scale: in the overview's place, a crop of the overview's size is jpeg. It neither checks, formats, counts
//! nor digests anything; JPEGs are written one after another.

use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use turbojpeg::{Compressor, Decompressor, Image, OutputBuf, PixelFormat, Subsamp};

const EDGE_PX: usize = 336;
const QUALITY: i32 = 90;
const RGB_BYTES: usize = 3;

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

fn photos_in(folder: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let paths: Result<Vec<PathBuf>, _> = folder.read_dir()?.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut photos = paths?;
    photos.retain(|path| path.extension().is_some_and(|extension| extension == "jpg"));
    photos.sort();
    Ok(photos)
}

struct Floor {
    decoder: Decompressor,
    encoder: Compressor,
    jpeg: OutputBuf<'static>,
    canvas: Vec<u8>,
    out: BufWriter<File>,
}

impl Floor {
    fn new(out: &Path) -> Result<Self, Box<dyn Error>> {
        let mut encoder = Compressor::new()?;
        encoder.set_quality(QUALITY)?;
        encoder.set_subsamp(Subsamp::Sub2x2)?;
        let (jpeg, out) = (OutputBuf::new_owned(), BufWriter::new(File::create(out)?));
        Ok(Self { decoder: Decompressor::new()?, encoder, jpeg, canvas: Vec::new(), out })
    }

    fn cut(&mut self, jpeg: &[u8]) -> Result<(), Box<dyn Error>> {
        let header = self.decoder.read_header(jpeg)?;
        let padded = |side: usize| side.next_multiple_of(EDGE_PX);
        let (padded_width, padded_height) = (padded(header.width), padded(header.height));
        let pitch = padded_width * RGB_BYTES;
        self.canvas.clear();
        self.canvas.resize(pitch * padded_height, u8::MAX);
        let (left, top) = ((padded_width - header.width) / 2, (padded_height - header.height) / 2);
        let pixels = self.canvas.get_mut(top * pitch + left * RGB_BYTES..).unwrap_or_default();
        let (width, height) = (header.width, header.height);
        self.decoder.decompress(jpeg, Image { pixels, width, pitch, height, format: PixelFormat::RGB })?;
        let overview = |side: usize| (side * EDGE_PX).div_ceil(width.max(height)).min(side);
        self.encode(pitch, (left, top), (overview(width), overview(height)))?;
        for top in (0..padded_height).step_by(EDGE_PX) {
            for left in (0..padded_width).step_by(EDGE_PX) {
                self.encode(pitch, (left, top), (EDGE_PX, EDGE_PX))?;
            }
        }
        Ok(())
    }

    fn encode(
        &mut self,
        pitch: usize,
        (left, top): (usize, usize),
        (width, height): (usize, usize),
    ) -> Result<(), Box<dyn Error>> {
        let pixels = self.canvas.get(top * pitch + left * RGB_BYTES..).unwrap_or_default();
        let image = Image { pixels, width, pitch, height, format: PixelFormat::RGB };
        self.encoder.compress(image, &mut self.jpeg)?;
        Ok(self.out.write_all(&self.jpeg)?)
    }
}
