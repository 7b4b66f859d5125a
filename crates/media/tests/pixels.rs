//! Promise: an image that is brought to a model's size has the pixels that the model's processor would make: of a thousand
//! samples, at most one differs by more than one level.
//!
//! References are from `transformers` with torchvision: small ones in `tests/golden/vision/pixels`, made by
//! `tests/parity/make_vision.py`; with `MANYFRAME_PARITY`, others; and those in `shared/parity/vision`, if they are at hand.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use manyframe_media::{MediaLimits, RgbImage, decode_rgb, resize};
use manyframe_skip::skip;

/// How far levels are from those of a processor.
#[derive(Debug, Default)]
struct Difference {
    num_samples: usize,
    num_above_one: usize,
    greatest: f64,
}

impl Difference {
    fn add(&mut self, ours: &RgbImage, expected: impl ExactSizeIterator<Item = f64>) {
        assert_eq!(ours.pixels().len(), expected.len());
        for (ours, expected) in ours.pixels().iter().zip(expected) {
            let difference = (f64::from(*ours) - expected).abs();
            self.num_samples += 1;
            self.num_above_one += usize::from(difference > 1.0);
            self.greatest = self.greatest.max(difference);
        }
    }

    fn assert_small(&self) {
        println!("{self:?}");
        assert!(self.num_samples > 0 && 1000 * self.num_above_one <= self.num_samples, "{self:?}");
    }
}

fn decoded(path: &Path) -> RgbImage {
    decode_rgb(&std::fs::read(path).unwrap(), &MediaLimits::default()).unwrap()
}

/// The noise of `make_vision.py`.
fn noise(height_px: u32, width_px: u32) -> RgbImage {
    let sample = |index: u64| {
        let pixel = index / 3;
        let (row, column) = (pixel / u64::from(width_px), pixel % u64::from(width_px));
        let edge = (row / 9 + column / 7) % 2 * 200;
        (((index * 2_654_435_761 % (1 << 32)) >> 24) % 56 + edge) as u8
    };
    let num_samples = 3 * u64::from(width_px) * u64::from(height_px);
    RgbImage::try_new(width_px, height_px, (0..num_samples).map(sample).collect()).unwrap()
}

#[test]
fn pixels_are_those_of_the_processors() {
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/vision");
    let folder = std::env::var_os("MANYFRAME_PARITY").map_or(committed, |fresh| PathBuf::from(fresh).join("vision"));
    let mut difference = Difference::default();
    for entry in std::fs::read_dir(folder.join("pixels")).unwrap() {
        let path = entry.unwrap().path();
        // HEIGHTxWIDTH-HEIGHTxWIDTH.png
        let sides: Vec<u32> =
            path.file_stem().unwrap().to_str().unwrap().split(['x', '-']).map(|side| side.parse().unwrap()).collect();
        let expected = decoded(&path);
        assert_eq!((expected.height_px(), expected.width_px()), (sides[2], sides[3]));
        let ours = resize(noise(sides[0], sides[1]).view(), sides[3], sides[2]).unwrap();
        difference.add(&ours, expected.pixels().iter().map(|level| f64::from(*level)));
    }
    difference.assert_small();
}

/// Sizes and samples of an array of NumPy with a `u1` or an `i2` for each sample.
fn array(npy: &[u8]) -> (Vec<u32>, Vec<f64>) {
    let header_len = usize::from(u16::from_le_bytes([npy[8], npy[9]]));
    let (header, samples) = npy[10..].split_at(header_len);
    let header = std::str::from_utf8(header).unwrap();
    let shape = header.split_once("'shape': (").unwrap().1.split_once(')').unwrap().0;
    let shape = shape.split(',').filter_map(|side| side.trim().parse().ok()).collect();
    let samples = if header.contains("u1") {
        samples.iter().map(|level| f64::from(*level)).collect()
    } else {
        // Nemotron's floats times 64, which keep what overshoots.
        let pairs = samples.as_chunks::<2>().0.iter();
        pairs.map(|pair| (f64::from(i16::from_le_bytes(*pair)) / 64.0).clamp(0.0, 255.0)).collect()
    };
    (shape, samples)
}

#[test]
fn photographs_are_those_of_the_processors_of_families_with_a_size_of_their_own() {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let folder = std::env::var_os("MANYFRAME_SHARED").map_or_else(beside, PathBuf::from).join("parity/vision");
    let Ok(rows) = std::fs::read_to_string(folder.join("pixels.jsonl")) else {
        return skip(&format!("no pixels in {}; set MANYFRAME_SHARED to compare with them", folder.display()));
    };
    let resized = std::fs::File::open(folder.join("pixels/resized.npz")).unwrap();
    let mut resized = zip::ZipArchive::new(resized).unwrap();
    let mut difference = Difference::default();
    for row in rows.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()) {
        if !["qwen2_vl", "qwen3_vl", "nemotron_h_omni"].contains(&row["family"].as_str().unwrap()) {
            continue;
        }
        let mut npy = Vec::new();
        let name = format!("{}.npy", row["npz"].as_str().unwrap());
        resized.by_name(&name).unwrap().read_to_end(&mut npy).unwrap();
        let (shape, expected) = array(&npy);
        let source = decoded(&folder.join("pixels").join(row["source"].as_str().unwrap()));
        difference.add(&resize(source.view(), shape[1], shape[0]).unwrap(), expected.into_iter());
    }
    difference.assert_small();
}
