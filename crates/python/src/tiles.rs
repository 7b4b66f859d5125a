//! Pixel values as tiles: what a vision tower sees of images that are brought to one size, or cut into parts of one size.
//!
//! How an image is laid out is what its plan says (`manyframe_vision::Layout`); this applies it to pixels.

use std::ops::Range;

use manyframe_core::{Sample, SampleVisual, VisualKind, VisualShape};
use manyframe_format::ResolvedVisual;
use manyframe_media::{RgbImage, resize, resize_lanczos};
use manyframe_vision::{CanvasFit, Family, Geometry, Layout, Size};

use crate::values::{Levels, PixelValues, visuals_within};

/// How images become tiles.
pub(crate) struct TileCut {
    pub(crate) fit: CanvasFit,
    pub(crate) levels: Levels,
    /// What squares are padded with.
    pub(crate) padding: [u8; 3],
}

/// The shape of a tile.
pub(crate) fn shape(family: &Family) -> Result<Vec<usize>, String> {
    let planned = family.processor().plan(&[Geometry::Image(Size::square(448))]);
    let planned =
        planned.map_err(|refused| format!("the family {:?} takes no image: {}", family.name(), refused.reason))?;
    let size = planned.first().map_or(Size::square(0), |plan| tile_size(plan.layout));
    Ok(vec![3, size.height_px as usize, size.width_px as usize])
}

/// The number of values of a sample, as far as it is planned.
pub(crate) fn num_values(family: &Family, sample: &Sample) -> u64 {
    let layouts = layouts(family, sample).unwrap_or_default();
    let of_visual = |(visual, layout): (&SampleVisual, &Layout)| {
        visual.num_images as u64 * layout.num_tiles() * tile_size(*layout).num_pixels() * 3
    };
    sample.visuals.iter().zip(&layouts).map(of_visual).sum()
}

/// How each visual of a sample is laid out.
fn layouts(family: &Family, sample: &Sample) -> Result<Vec<Layout>, String> {
    let shapes: Vec<VisualShape> = sample.visuals.iter().map(SampleVisual::shape).collect();
    let planned = ResolvedVisual::plan_all(family, &shapes, sample.max_pixels());
    let planned = planned.map_err(|rejection| format!("sample {}: {rejection}", sample.id))?;
    Ok(planned.into_iter().map(|visual| visual.plan.layout).collect())
}

/// The size of what the tower sees.
fn tile_size(layout: Layout) -> Size {
    match layout {
        Layout::Stretch(size)
        | Layout::CenterCrop(size)
        | Layout::PadSquare(size)
        | Layout::Tiles { tile: size, .. } => size,
    }
}

impl TileCut {
    /// Appends the values of some images of a sample, which are these.
    pub(crate) fn extend(
        &self,
        family: &Family,
        values: &mut PixelValues,
        sample: &Sample,
        images: &[RgbImage],
        range: Range<usize>,
    ) -> Result<(), String> {
        let PixelValues { images: of_images, videos: of_videos, parts, .. } = values;
        let parts = parts.get_or_insert_default();
        let layouts = layouts(family, sample)?;
        let visuals = visuals_within(sample, range.clone()).zip(layouts);
        for ((visual, shown), layout) in visuals.filter(|((_, shown), _)| !shown.is_empty()) {
            let shown = images.get(shown.start - range.start..shown.end - range.start);
            let shown = shown.ok_or_else(|| format!("sample {} lacks images", sample.id))?;
            let is_video = visual.kind == VisualKind::Video;
            if is_video {
                parts.video_frames.push(shown.len().cast_signed() as i64);
            }
            for image in shown {
                let own = Size::new(image.height_px(), image.width_px());
                let first = family.first_size(own, is_video).map(|size| self.scaled(image, size)).transpose()?;
                let target = if is_video { &mut *of_videos } else { &mut *of_images };
                self.append(first.as_ref().unwrap_or(image), layout, target)?;
                if !is_video {
                    parts.image_tiles.push(layout.num_tiles().cast_signed());
                    parts.image_sizes.extend([image.height_px(), image.width_px()].map(i64::from));
                }
            }
        }
        Ok(())
    }

    /// Appends what the tower sees of an image.
    fn append(&self, image: &RgbImage, layout: Layout, target: &mut Vec<f32>) -> Result<(), String> {
        match layout {
            Layout::Stretch(size) => self.append_scaled(image, size, target),
            Layout::PadSquare(size) => {
                let square = Size::square(image.height_px().max(image.width_px()));
                self.append_scaled(&padded(image, square, self.padding)?, size, target)
            }
            Layout::CenterCrop(size) => {
                let covering = self.scaled(image, covering(image, size))?;
                let offset = ((covering.width_px() - size.width_px) / 2, (covering.height_px() - size.height_px) / 2);
                self.append_part(&covering, offset, size, target)
            }
            Layout::Tiles { canvas, tile, overview } => match self.fit {
                CanvasFit::Stretched | CanvasFit::StretchedTwice => {
                    let stretched = self.scaled(image, canvas)?;
                    self.append_tiles(&stretched, tile, target)?;
                    let whole = if self.fit == CanvasFit::Stretched { image } else { &stretched };
                    if overview { self.append_scaled(whole, tile, target) } else { Ok(()) }
                }
                CanvasFit::Padded => {
                    if overview {
                        self.append_scaled(image, tile, target)?;
                    }
                    let fitting = self.scaled(image, fitting(image, canvas))?;
                    self.append_tiles(&padded(&fitting, canvas, [0; 3])?, tile, target)
                }
            },
        }
    }

    /// An image at another size; a copy at its own.
    fn scaled(&self, image: &RgbImage, size: Size) -> Result<RgbImage, String> {
        let resize = if self.fit == CanvasFit::StretchedTwice { resize_lanczos } else { resize };
        resize(image.view(), size.width_px, size.height_px).map_err(|error| error.to_string())
    }

    fn append_scaled(&self, image: &RgbImage, size: Size, target: &mut Vec<f32>) -> Result<(), String> {
        self.levels.append_planes(self.scaled(image, size)?.view(), target);
        Ok(())
    }

    /// Appends the tiles of a canvas, row by row.
    fn append_tiles(&self, canvas: &RgbImage, tile: Size, target: &mut Vec<f32>) -> Result<(), String> {
        for top in (0..canvas.height_px()).step_by(tile.height_px as usize) {
            for left in (0..canvas.width_px()).step_by(tile.width_px as usize) {
                self.append_part(canvas, (left, top), tile, target)?;
            }
        }
        Ok(())
    }

    fn append_part(
        &self,
        image: &RgbImage,
        offset: (u32, u32),
        size: Size,
        target: &mut Vec<f32>,
    ) -> Result<(), String> {
        let part = image.crop(offset, (size.width_px, size.height_px));
        let part = part.ok_or_else(|| format!("a tile of {size} px at {offset:?} is beyond its canvas"))?;
        self.levels.append_planes(part, target);
        Ok(())
    }
}

/// The smallest size of the image's shape that covers another: its shorter side has that length, the other one is cut to whole
/// pixels.
fn covering(image: &RgbImage, size: Size) -> Size {
    let longer = |long: u32, short: u32, side: u32| (u64::from(side) * u64::from(long) / u64::from(short)) as u32;
    let (height, width) = (image.height_px(), image.width_px());
    if height <= width {
        Size::new(size.height_px, longer(width, height, size.height_px))
    } else {
        Size::new(longer(height, width, size.width_px), size.width_px)
    }
}

/// `get_patch_output_size`: the largest size of the image's shape within another, its shorter side rounded up.
fn fitting(image: &RgbImage, canvas: Size) -> Size {
    let (height, width) = (f64::from(image.height_px()), f64::from(image.width_px()));
    let (by_height, by_width) = (f64::from(canvas.height_px) / height, f64::from(canvas.width_px) / width);
    if by_width < by_height {
        Size::new(((height * by_width).ceil() as u32).min(canvas.height_px), canvas.width_px)
    } else {
        Size::new(canvas.height_px, ((width * by_height).ceil() as u32).min(canvas.width_px))
    }
}

/// An image in the middle of a canvas that is as large or larger; an odd pixel is on the right, or below.
fn padded(image: &RgbImage, canvas: Size, colour: [u8; 3]) -> Result<RgbImage, String> {
    let beyond = || format!("{}×{} px are beyond a canvas of {canvas} px", image.width_px(), image.height_px());
    let left = canvas.width_px.checked_sub(image.width_px()).ok_or_else(beyond)? / 2;
    let top = canvas.height_px.checked_sub(image.height_px()).ok_or_else(beyond)? / 2;
    let mut pixels = colour.repeat(canvas.width_px as usize * canvas.height_px as usize);
    let rows = pixels.chunks_mut(3 * canvas.width_px as usize).skip(top as usize);
    for (row, own) in rows.zip(image.view().rows()) {
        row.iter_mut().skip(3 * left as usize).zip(own).for_each(|(level, own)| *level = *own);
    }
    RgbImage::try_new(canvas.width_px, canvas.height_px, pixels).ok_or_else(beyond)
}

#[cfg(test)]
mod tests {
    use manyframe_vision::Normalisation;

    use super::*;

    /// An image whose red is the column and green the row.
    fn image(width: u8, height: u8) -> RgbImage {
        let pixels = (0..height).flat_map(|row| (0..width).flat_map(move |column| [column, row, 9])).collect();
        RgbImage::try_new(width.into(), height.into(), pixels).unwrap()
    }

    fn tiles(fit: CanvasFit, image: &RgbImage, layout: Layout) -> Vec<Vec<u8>> {
        let plain = Normalisation { mean: [0.0; 3], deviation: [1.0 / 255.0; 3] };
        let cut = TileCut { fit, levels: Levels::of(&plain), padding: [7; 3] };
        let mut values = Vec::new();
        cut.append(image, layout, &mut values).unwrap();
        let size = tile_size(layout).num_pixels() as usize * 3;
        values.chunks(size).map(|tile| tile.iter().map(|value| value.round() as u8).collect()).collect()
    }

    #[test]
    fn tiles_go_row_by_row_and_channels_come_first() {
        let layout = Layout::Tiles { canvas: Size::new(4, 4), tile: Size::square(2), overview: true };
        let stretched = tiles(CanvasFit::Stretched, &image(4, 4), layout);
        assert_eq!(stretched.len(), 5);
        assert_eq!(stretched[1], [2, 3, 2, 3, 0, 0, 1, 1, 9, 9, 9, 9]);
        assert_eq!(stretched[2], [0, 1, 0, 1, 2, 2, 3, 3, 9, 9, 9, 9]);
        let padded = tiles(CanvasFit::Padded, &image(4, 4), layout);
        assert_eq!((&padded[0], &padded[1..]), (&stretched[4], &stretched[..4]));
    }

    #[test]
    fn a_canvas_is_black_around_an_image_that_keeps_its_shape() {
        let layout = Layout::Tiles { canvas: Size::new(2, 5), tile: Size::new(2, 5), overview: false };
        let padded = tiles(CanvasFit::Padded, &image(2, 2), layout);
        assert_eq!(padded[0][..10], [0, 0, 1, 0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn a_square_has_the_mean_colour_around_the_image_and_a_crop_its_middle() {
        let square = tiles(CanvasFit::Padded, &image(1, 3), Layout::PadSquare(Size::square(3)));
        assert_eq!(square[0][..9], [7, 0, 7, 7, 0, 7, 7, 0, 7]);
        let crop = tiles(CanvasFit::Padded, &image(5, 2), Layout::CenterCrop(Size::square(2)));
        assert_eq!(crop[0][..4], [1, 2, 1, 2]);
    }
}
