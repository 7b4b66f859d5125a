//! Images are padded and scaled to Pillow's bytes.

use manyframe_media::RgbImage;
use manyframe_validate::preprocess;

use crate::support::{expected, references};

fn noise(width_px: u32, height_px: u32) -> RgbImage {
    let levels = (0..width_px * height_px * 3).map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8);
    RgbImage::try_new(width_px, height_px, levels.collect()).unwrap()
}

#[test]
fn preprocessed_images_have_the_bytes_of_pillow() {
    let pictures: Vec<_> = references().into_iter().filter(|path| path.ends_with("pictures")).collect();
    assert!(!pictures.is_empty());
    for (size, truth) in pictures.iter().flat_map(|path| expected(path)) {
        let (width, height) = size.split_once('x').unwrap();
        let ours = preprocess(&noise(width.parse().unwrap(), height.parse().unwrap()), truth.dim(0).unwrap() as u32);
        assert_eq!(ours, truth.flatten_all().unwrap().to_vec1::<u8>().unwrap(), "{size}");
    }
}

#[test]
fn a_line_of_pixels_is_not_padded_in_memory() {
    let square = preprocess(&RgbImage::gray(1, 65_535, 255).unwrap(), 28);
    assert_eq!((square.len(), square.get(..3)), (28 * 28 * 3, Some(&[122, 116, 104][..])));
}
