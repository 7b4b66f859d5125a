//! Images in frames of another shape, and texts on them.

use std::ops::RangeInclusive;

use ab_glyph::{Font, FontRef, Glyph, PxScale, ScaleFont, point};
use manyframe_core::{RejectCode, Rejection};

use crate::error::MediaError;
use crate::pixels::{RGB_BYTES, RgbImage, RgbView, no_pixels};
use crate::resize::resize;

/// Height of a written line, as a part of the height of its frame.
const LINE: (u32, u32) = (1, 12);
/// Letters that are not set one after the other from left to right: marks above, below and around others, scripts that join letters,
/// change their order or run from right to left, and characters that only say how others are shown.
const SHAPED: [RangeInclusive<char>; 16] = [
    '\u{0300}'..='\u{036f}',
    '\u{0483}'..='\u{0489}',
    // From Hebrew and Arabic to the scripts of South and Southeast Asia.
    '\u{0590}'..='\u{109f}',
    '\u{135d}'..='\u{135f}',
    '\u{1700}'..='\u{18af}',
    '\u{1900}'..='\u{1cff}',
    '\u{1dc0}'..='\u{1dff}',
    '\u{200b}'..='\u{200f}',
    '\u{202a}'..='\u{202e}',
    '\u{2060}'..='\u{206f}',
    '\u{20d0}'..='\u{20ff}',
    '\u{a800}'..='\u{abff}',
    '\u{fb1d}'..='\u{fdff}',
    '\u{fe00}'..='\u{feff}',
    '\u{10800}'..='\u{11fff}',
    '\u{1e800}'..='\u{1efff}',
];
/// Coverage of a pixel by a letter is rounded to so many steps.
const STEPS: f32 = 16.0;

/// The largest size with the shape of an image that fits into a frame: one side is that of the frame, the other is rounded, halves
/// up, and at least 1 pixel.
pub fn fitting_px((width_px, height_px): (u32, u32), (frame_width, frame_height): (u32, u32)) -> (u32, u32) {
    let scaled = |side: u32, to: u32, from: u32| {
        let doubled = 2 * u64::from(side) * u64::from(to) + u64::from(from);
        u32::try_from(doubled / (2 * u64::from(from.max(1)))).unwrap_or(u32::MAX).max(1)
    };
    let is_wide = u64::from(width_px) * u64::from(frame_height) >= u64::from(frame_width) * u64::from(height_px);
    if is_wide {
        (frame_width, scaled(height_px, frame_width, width_px).min(frame_height))
    } else {
        (scaled(width_px, frame_height, height_px).min(frame_width), frame_height)
    }
}

/// The image as large as it fits into a frame, in its middle, with black around it.
///
/// # Errors
/// A rejection if the frame has no pixels, or more than can be addressed.
pub fn fit_into(image: RgbView<'_>, frame_px: (u32, u32)) -> Result<RgbImage, MediaError> {
    let mut frame = RgbImage::gray(frame_px.0, frame_px.1, 0).ok_or_else(no_pixels)?;
    put(&mut frame, image, ((0, 0), frame_px, frame_px))?;
    Ok(frame)
}

/// Puts an image into the middle of a quarter of a frame, as large as it fits into two thirds of the width and height of the quarter.
/// Quarters are counted from the top left one, 0, to the bottom right one, 3.
///
/// # Errors
/// A rejection if the frame has fewer than three pixels in a row or column, or there is no such quarter.
pub fn paste_into_quarter(frame: &mut RgbImage, image: RgbView<'_>, quarter: u8) -> Result<(), MediaError> {
    let (half, third) = ((frame.width_px() / 2, frame.height_px() / 2), (frame.width_px() / 3, frame.height_px() / 3));
    if third.0 == 0 || third.1 == 0 || quarter > 3 {
        return Err(MediaError::rejected(RejectCode::MediaShape, format!("the frame has no quarter {quarter}")));
    }
    let corner = (u32::from(quarter % 2) * half.0, u32::from(quarter / 2) * half.1);
    put(frame, image, (corner, half, third))
}

/// Puts an image into the middle of a part of a frame, which is given by its corner and size, as large as it fits into a size.
#[expect(clippy::indexing_slicing, reason = "the image was scaled to fit")]
fn put(
    frame: &mut RgbImage,
    image: RgbView<'_>,
    (corner, part_px, most_px): ((u32, u32), (u32, u32), (u32, u32)),
) -> Result<(), MediaError> {
    let (width_px, height_px) = fitting_px((image.width_px(), image.height_px()), most_px);
    let fitted = resize(image, width_px, height_px)?;
    let (left, top) = (corner.0 + (part_px.0 - width_px) / 2, corner.1 + (part_px.1 - height_px) / 2);
    let (stride, num_bytes) = (frame.stride(), width_px as usize * RGB_BYTES);
    for (number, row) in fitted.view().rows().enumerate() {
        let start = (top as usize + number) * stride + left as usize * RGB_BYTES;
        frame.pixels_mut()[start..start + num_bytes].copy_from_slice(row);
    }
    Ok(())
}

/// Rejects a text that [`write_text`] would not show as it is read.
///
/// # Errors
/// A rejection that names the first letter which the font lacks, or whose script is not written letter by letter from left to right.
pub fn ensure_writable(text: &str) -> Result<(), Rejection> {
    match unwritable_letter(text) {
        None => Ok(()),
        Some(letter) => {
            let detail = format!("{letter:?} of {text:?} cannot be written on a frame");
            Err(Rejection::new(RejectCode::UnwritableText, detail))
        }
    }
}

fn unwritable_letter(text: &str) -> Option<char> {
    let font = FontRef::try_from_slice(dejavu::sans::regular()).ok();
    let has_glyph = |letter: char| font.as_ref().is_some_and(|font| font.glyph_id(letter).0 != 0);
    let is_shaped = |letter: &char| SHAPED.iter().any(|range| range.contains(letter));
    text.chars().find(|letter| is_shaped(letter) || !letter.is_whitespace() && !has_glyph(*letter))
}

/// Writes a text in white on black into the lower part of an image, in lines of a twelfth of its height, as subtitles are.
///
/// The font is DejaVu Sans, which is in the program. Its letters are the same on every machine: their outlines are filled with
/// additions and multiplications only, and coverage is rounded to sixteenths.
///
/// # Errors
/// A rejection if the text cannot be written ([`ensure_writable`]), or does not fit.
pub fn write_text(image: &mut RgbImage, text: &str) -> Result<(), MediaError> {
    let rejected = |detail: String| MediaError::rejected(RejectCode::MediaShape, detail);
    let font = FontRef::try_from_slice(dejavu::sans::regular()).map_err(|error| rejected(error.to_string()))?;
    ensure_writable(text).map_err(MediaError::Rejected)?;
    let line_px = (image.height_px() * LINE.0 / LINE.1).max(8);
    let lines = lines_of(&font, text, (line_px, image.width_px()));
    let too_long = lines.len() as u32 * line_px > image.height_px() / 2;
    let widest = lines.iter().map(|line| line.width_px).max().unwrap_or(0);
    if too_long || widest > image.width_px() {
        let (width_px, height_px) = (image.width_px(), image.height_px());
        return Err(rejected(format!("the text {text:?} does not fit into {width_px}×{height_px} pixels")));
    }
    let first_top = image.height_px() - line_px * (lines.len() as u32 + 1) + line_px / 2;
    for (number, line) in (0_u32..).zip(&lines) {
        let left = (image.width_px() - line.width_px) / 2;
        draw_line(image, &font, line, (left, first_top + number * line_px, line_px));
    }
    Ok(())
}

/// A line of a text, set from 0 on.
struct Line {
    glyphs: Vec<Glyph>,
    width_px: u32,
}

/// The text in as few lines as fit into a width, broken between words.
fn lines_of(font: &FontRef<'_>, text: &str, (line_px, width_px): (u32, u32)) -> Vec<Line> {
    let mut lines: Vec<(String, Line)> = Vec::new();
    for word in text.split_whitespace() {
        let longer = lines.last().map(|(before, _)| format!("{before} {word}"));
        let longer = longer.map(|text| (set_line(font, &text, line_px), text));
        match longer.filter(|(line, _)| line.width_px <= width_px) {
            Some((line, text)) => {
                lines.pop();
                lines.push((text, line));
            }
            None => lines.push((word.to_owned(), set_line(font, word, line_px))),
        }
    }
    lines.into_iter().map(|(_, line)| line).collect()
}

fn set_line(font: &FontRef<'_>, text: &str, line_px: u32) -> Line {
    let scaled = font.as_scaled(PxScale::from(line_px as f32));
    let mut right = 0.0;
    let glyphs = text.chars().map(|letter| {
        let mut glyph = scaled.scaled_glyph(letter);
        glyph.position = point(right, scaled.ascent());
        right += scaled.h_advance(glyph.id);
        glyph
    });
    let glyphs = glyphs.collect();
    // The cast saturates.
    Line { glyphs, width_px: right.ceil() as u32 }
}

/// White letters on a black box.
fn draw_line(image: &mut RgbImage, font: &FontRef<'_>, line: &Line, (left, top, line_px): (u32, u32, u32)) {
    for row in top..top + line_px {
        for column in left..left + line.width_px {
            set_level(image, (column, row), 0);
        }
    }
    for glyph in &line.glyphs {
        let Some(outline) = font.outline_glyph(glyph.clone()) else { continue };
        let bounds = outline.px_bounds();
        outline.draw(|x, y, coverage| {
            let level = ((coverage.clamp(0.0, 1.0) * STEPS).round() / STEPS * 255.0) as u8;
            let at = |start: f32, offset: u32, origin: u32| (start as i64) + i64::from(offset) + i64::from(origin);
            let column = u32::try_from(at(bounds.min.x, x, left));
            let row = u32::try_from(at(bounds.min.y, y, top));
            if let (Ok(column), Ok(row), true) = (column, row, level > 0) {
                set_level(image, (column, row), level);
            }
        });
    }
}

/// Makes a pixel at least as bright as a level; 0 makes it black. Pixels outside are left alone.
fn set_level(image: &mut RgbImage, (column, row): (u32, u32), level: u8) {
    if column >= image.width_px() {
        return;
    }
    let start = row as usize * image.stride() + column as usize * RGB_BYTES;
    if let Some(pixel) = image.pixels_mut().get_mut(start..start + RGB_BYTES) {
        for value in pixel {
            *value = if level == 0 { 0 } else { level.max(*value) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_in_the_middle_of_its_frame() {
        let image = RgbImage::gray(20, 10, 200).unwrap();
        let frame = fit_into(image.view(), (40, 40)).unwrap();
        let level = |column: usize, row: usize| frame.pixels()[(row * 40 + column) * 3];
        assert_eq!((level(0, 9), level(0, 10), level(39, 29), level(39, 30)), (0, 200, 200, 0));
        assert_eq!(fitting_px((641, 360), (336, 189)), (336, 189));
        assert_eq!(fitting_px((10, 1000), (64, 64)), (1, 64));
    }

    #[test]
    fn a_pasted_image_is_in_the_middle_of_its_quarter() {
        let image = RgbImage::gray(10, 10, 200).unwrap();
        let mut frame = RgbImage::gray(60, 36, 50).unwrap();
        paste_into_quarter(&mut frame, image.view(), 3).unwrap();
        let changed: Vec<(usize, usize)> =
            (0..60 * 36).filter(|at| frame.pixels()[at * 3] == 200).map(|at| (at % 60, at / 60)).collect();
        // 12 by 12 pixels in the middle of the 30 by 18 from (30, 18) on.
        assert_eq!((changed.len(), changed[0], changed[143]), (144, (39, 21), (50, 32)));
        assert!(paste_into_quarter(&mut frame, image.view(), 4).is_err());
        assert!(paste_into_quarter(&mut RgbImage::gray(2, 9, 0).unwrap(), image.view(), 0).is_err());
    }

    #[test]
    fn a_text_is_white_on_black_and_nothing_else_changes() {
        let mut image = RgbImage::gray(320, 240, 100).unwrap();
        write_text(&mut image, "SAKURA").unwrap();
        let rows: Vec<&[u8]> = image.view().rows().collect();
        assert!(rows[..200].iter().all(|row| row.iter().all(|&level| level == 100)));
        let written: Vec<u8> = rows[200..].iter().flat_map(|row| row.iter().copied()).collect();
        assert!(written.contains(&255) && written.contains(&0));
        let mut again = RgbImage::gray(320, 240, 100).unwrap();
        write_text(&mut again, "SAKURA").unwrap();
        assert_eq!(again, image);
    }

    #[test]
    fn a_text_that_cannot_be_written_is_rejected() {
        let mut image = RgbImage::gray(64, 48, 0).unwrap();
        assert!(write_text(&mut image, "a word and many more than fit into such a small picture").is_err());
        assert!(write_text(&mut image, "\u{2603}\u{fffff}").is_err());
        for (text, letter) in [("שלום", 'ש'), ("a مرحبا", 'م'), ("e\u{301}", '\u{301}'), ("桜", '桜'), ("ลิง", 'ล')]
        {
            assert_eq!(unwritable_letter(text), Some(letter), "{text}");
        }
        for text in ["SAKURA, 4 times", "Übung é ñ", "Ελλάδα", "Привет", "\u{2603}"] {
            assert_eq!(unwritable_letter(text), None, "{text}");
        }
    }
}
