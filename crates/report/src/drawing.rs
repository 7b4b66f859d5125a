//! A drawing of rectangles and texts, as SVG for a page and as pixels for a PNG.
//!
//! Letters of the PNG are those of DejaVu Sans, filled with additions and multiplications only and rounded to sixteenths, so that they
//! are the same on every machine. A page uses the reader's fonts.

use std::fmt::Write as _;

use ab_glyph::{Font, FontRef, PxScale, ScaleFont, point};

use crate::error::ReportError;

/// Pixels of a PNG per unit.
const SCALE: usize = 2;
/// Coverage of a pixel by a letter is rounded to so many steps.
const STEPS: f32 = 16.0;

/// Red, green and blue.
pub(crate) type Colour = [u8; 3];

/// Rectangles and texts; later ones are above earlier ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Drawing {
    pub(crate) title: String,
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) rectangles: Vec<Rectangle>,
    pub(crate) texts: Vec<Text>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rectangle {
    /// Left and top.
    pub(crate) at: (usize, usize),
    /// Width and height.
    pub(crate) size: (usize, usize),
    pub(crate) colour: Colour,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text {
    /// Where on its base line the anchor is.
    pub(crate) at: (usize, usize),
    pub(crate) anchor: Anchor,
    /// `None` is the colour of text on the page, and black in a PNG.
    pub(crate) colour: Option<Colour>,
    pub(crate) content: String,
}

/// What part of a text is at its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// Height of texts.
const TEXT_SIZE: usize = 11;

impl Drawing {
    /// An element of HTML, as wide as there is room, up to its own width.
    pub(crate) fn svg(&self) -> String {
        let (width, height) = (self.width, self.height);
        let mut svg = format!(
            "<svg viewBox=\"0 0 {width} {height}\" style=\"max-width:{width}px\" role=\"img\" font-family=\"sans-serif\" \
             font-size=\"{TEXT_SIZE}\" fill=\"currentColor\"><title>{}</title>",
            escaped(&self.title)
        );
        // Writing to a string cannot fail.
        for Rectangle { at: (x, y), size: (width, height), colour: [red, green, blue] } in &self.rectangles {
            _ = write!(
                svg,
                "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" fill=\"rgb({red},{green},{blue})\"/>"
            );
        }
        for Text { at: (x, y), anchor, colour, content } in &self.texts {
            let anchor = match anchor {
                Anchor::Start => "start",
                Anchor::Middle => "middle",
                Anchor::End => "end",
            };
            let fill =
                colour.map_or(String::new(), |[red, green, blue]| format!(" fill=\"rgb({red},{green},{blue})\""));
            _ = write!(svg, "<text x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\"{fill}>{}</text>", escaped(content));
        }
        svg.push_str("</svg>");
        svg
    }

    /// A PNG on white, at two pixels per unit.
    pub(crate) fn png(&self) -> Result<Vec<u8>, ReportError> {
        let failed = |detail: String| ReportError::Drawing { detail };
        let font = FontRef::try_from_slice(dejavu::sans::regular()).map_err(|error| failed(error.to_string()))?;
        let mut canvas = Canvas::white(self.width * SCALE, self.height * SCALE);
        for rectangle in &self.rectangles {
            canvas.fill(rectangle);
        }
        for text in &self.texts {
            canvas.write(&font, text);
        }
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, canvas.width as u32, (self.height * SCALE) as u32);
        encoder.set_color(png::ColorType::Rgb);
        let written = encoder.write_header().and_then(|mut writer| {
            writer.write_image_data(&canvas.pixels)?;
            writer.finish()
        });
        written.map_err(|error| failed(error.to_string()))?;
        Ok(bytes)
    }
}

/// Pixels, row by row.
struct Canvas {
    width: usize,
    pixels: Vec<u8>,
}

impl Canvas {
    fn white(width: usize, height: usize) -> Self {
        Self { width, pixels: vec![255; width * height * 3] }
    }

    fn fill(&mut self, rectangle: &Rectangle) {
        let Rectangle { at: (left, top), size: (width, height), colour } = *rectangle;
        for y in top * SCALE..(top + height) * SCALE {
            for x in left * SCALE..(left + width) * SCALE {
                self.blend((x, y), colour, 1.0);
            }
        }
    }

    fn write(&mut self, font: &FontRef<'_>, text: &Text) {
        let scaled = font.as_scaled(PxScale::from((TEXT_SIZE * SCALE) as f32));
        let width: f32 = text.content.chars().map(|letter| scaled.h_advance(font.glyph_id(letter))).sum();
        let start = (text.at.0 * SCALE) as f32;
        let mut right = match text.anchor {
            Anchor::Start => start,
            Anchor::Middle => (start - width / 2.0).round(),
            Anchor::End => (start - width).round(),
        };
        let base_line = (text.at.1 * SCALE) as f32;
        for letter in text.content.chars() {
            let mut glyph = scaled.scaled_glyph(letter);
            glyph.position = point(right, base_line);
            right += scaled.h_advance(glyph.id);
            let Some(outline) = font.outline_glyph(glyph) else { continue };
            let bounds = outline.px_bounds();
            outline.draw(|x, y, coverage| {
                let coverage = (coverage.clamp(0.0, 1.0) * STEPS).round() / STEPS;
                // Letters beyond the left or the upper edge are cut; the casts saturate.
                let (x, y) = (bounds.min.x as i64 + i64::from(x), bounds.min.y as i64 + i64::from(y));
                if let (Ok(x), Ok(y)) = (usize::try_from(x), usize::try_from(y)) {
                    self.blend((x, y), text.colour.unwrap_or_default(), coverage);
                }
            });
        }
    }

    /// Covers a part of a pixel with a colour. Pixels outside are left alone.
    fn blend(&mut self, (x, y): (usize, usize), colour: Colour, coverage: f32) {
        let start = (y * self.width + x) * 3;
        if x >= self.width {
            return;
        }
        if let Some(pixel) = self.pixels.get_mut(start..start + 3) {
            for (level, colour) in pixel.iter_mut().zip(colour) {
                *level = (f32::from(*level) * (1.0 - coverage) + f32::from(colour) * coverage).round() as u8;
            }
        }
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
