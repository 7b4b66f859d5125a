//! Idefics3 and SmolVLM: an image is enlarged to a fixed longer side, cut into tiles, and shown as a whole, too.
//!
//! Sources, in `transformers` 5.23: `models/idefics3/image_processing_idefics3.py`, `models/idefics3/processing_idefics3.py`,
//! `models/smolvlm/video_processing_smolvlm.py`, `models/smolvlm/processing_smolvlm.py`.

use std::num::NonZeroU16;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::geometry::{Clip, Geometry, Size};
use crate::number::round_up;
use crate::plan::{Layout, Markup, VisualPlan};
use crate::processor::{ImageText, MediaToken, VisionProcessor, no_video, plan_each};
use crate::refusal::Refused;
use crate::sampling::{self, nonzero};

const IMAGE: &str = "<image>";
const VIDEO: &str = "<video>";
const AROUND: &str = "<fake_token_around_image>";
const OVERVIEW: &str = "<global-img>";
/// No side is longer, whatever the settings say.
const MAX_SIDE_PX: u32 = 4096;

/// Idefics3: tiles of 364 px with 169 tokens each. Images only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Idefics3 {
    /// The longer side of an image before it is cut, in pixels. Default: 1,456.
    pub longest_edge_px: NonZeroU16,
    /// Height and width of a tile, in pixels. Default: 364.
    pub tile_px: NonZeroU16,
    /// Tokens of a tile. Default: 169.
    pub tokens_per_tile: u16,
    /// Whether images are cut. Default: true.
    pub split: bool,
}

impl Default for Idefics3 {
    fn default() -> Self {
        Self { longest_edge_px: nonzero(1456), tile_px: nonzero(364), tokens_per_tile: 169, split: true }
    }
}

/// SmolVLM and SmolVLM2 (256M, 500M): tiles of 512 px with 64 tokens each; a frame is one tile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SmolVlm {
    /// The longer side of an image before it is cut, in pixels. Default: 2,048. SmolVLM-Instruct (2.2B): 1,536.
    pub longest_edge_px: NonZeroU16,
    /// Height and width of a tile, in pixels. Default: 512. SmolVLM-Instruct (2.2B): 384.
    pub tile_px: NonZeroU16,
    /// Tokens of a tile. Default: 64. SmolVLM-Instruct (2.2B): 81.
    pub tokens_per_tile: u16,
    /// Whether frames are taken from a video; otherwise all are, because they were chosen before. Default: true.
    pub sample: bool,
    /// Frames per second of a video. Default: 1.
    #[serde(deserialize_with = "sampling::rate")]
    pub fps: f64,
    /// The most frames of a video. Default: 64.
    pub max_frames: NonZeroU16,
}

impl Default for SmolVlm {
    fn default() -> Self {
        Self {
            longest_edge_px: nonzero(2048),
            tile_px: nonzero(512),
            tokens_per_tile: 64,
            sample: true,
            fps: 1.0,
            max_frames: nonzero(64),
        }
    }
}

impl VisionProcessor for Idefics3 {
    fn plan(&self, media: &[Geometry<'_>]) -> Result<Vec<VisualPlan>, Refused> {
        plan_each(media, |size| Ok(self.law().plan(size)), no_video)
    }

    fn tokens(&self) -> Vec<MediaToken> {
        vec![MediaToken::image(IMAGE), MediaToken::delimiter(AROUND), MediaToken::delimiter(OVERVIEW)]
    }

    fn image_text(&self) -> Option<ImageText> {
        Some(ImageText { first: AROUND.to_owned(), last: [OVERVIEW, IMAGE, AROUND].concat() })
    }
}

impl VisionProcessor for SmolVlm {
    fn plan(&self, media: &[Geometry<'_>]) -> Result<Vec<VisualPlan>, Refused> {
        let law = self.law(self.longest_edge_px);
        let videos = media.iter().filter_map(|medium| match medium {
            Geometry::Video(clip) => Some(self.frames(*clip).len()),
            Geometry::Image(_) | Geometry::Tiles { .. } => None,
        });
        // The processor pads the videos of a sample to the longest, and states the frames of that one for each.
        let announced = videos.max().unwrap_or(0) as u32;
        plan_each(media, |size| Ok(law.plan(size)), |clip| Ok(self.plan_video(clip, announced)))
    }

    fn tokens(&self) -> Vec<MediaToken> {
        vec![
            MediaToken::image(IMAGE),
            MediaToken::delimiter(AROUND),
            MediaToken::delimiter(OVERVIEW),
            MediaToken::delimiter(VIDEO),
        ]
    }
}

impl Idefics3 {
    fn law(&self) -> SplitLaw {
        SplitLaw {
            longest_edge_px: self.longest_edge_px.get().into(),
            tile_px: self.tile_px.get().into(),
            tokens_per_tile: self.tokens_per_tile.into(),
            split: self.split,
        }
    }

    /// The size to which an image is brought before it is stretched to its canvas.
    pub(crate) fn first_size(&self, image: Size) -> Size {
        self.law().scaled(image)
    }
}

impl SmolVlm {
    fn law(&self, longest_edge_px: NonZeroU16) -> SplitLaw {
        SplitLaw {
            longest_edge_px: longest_edge_px.get().into(),
            tile_px: self.tile_px.get().into(),
            tokens_per_tile: self.tokens_per_tile.into(),
            split: true,
        }
    }

    /// The size to which an image, or a frame, is brought before it is stretched to its canvas.
    pub(crate) fn first_size(&self, image: Size, is_frame: bool) -> Size {
        self.law(if is_frame { self.tile_px } else { self.longest_edge_px }).scaled(image)
    }

    fn frames(&self, clip: Clip<'_>) -> Vec<u32> {
        if self.sample && clip.taken.is_none() {
            sampling::smolvlm(clip, self.fps, self.max_frames.get().into())
        } else {
            sampling::all(clip)
        }
    }

    /// Each frame is introduced by its time, and the video by its length, in words.
    fn plan_video(&self, clip: Clip<'_>, announced: u32) -> VisualPlan {
        let frames = self.frames(clip);
        let duration_s = clip.duration_s() as u64;
        let (hours, minutes, seconds) = (duration_s / 3600, duration_s / 60 % 60, duration_s % 60);
        let mut before = format!(
            "You are provided the following series of {} frames from a {hours}:{minutes:02}:{seconds:02} [H:MM:SS] video.\n",
            in_words(announced)
        );
        let mut markup = Vec::with_capacity(2 * frames.len() + 1);
        for &frame in &frames {
            let time_s = f64::from(frame) / clip.rate;
            let (minutes, seconds) = ((time_s / 60.0) as u64, (time_s % 60.0) as u64);
            before.push_str(&format!("\nFrame from {minutes:02}:{seconds:02}:{AROUND}{OVERVIEW}"));
            markup.push(Markup::text(std::mem::replace(&mut before, AROUND.to_owned())));
            markup.push(Markup::Placeholders(self.tokens_per_tile.into()));
        }
        markup.push(Markup::text(before + "\n\n"));
        let layout = Layout::Stretch(Size::square(self.tile_px.get().into()));
        VisualPlan::of_image(IMAGE, layout, markup).with_frames(frames.into())
    }
}

/// An image is brought to a fixed longer side, and cut where it is larger than a tile.
struct SplitLaw {
    longest_edge_px: u32,
    tile_px: u32,
    tokens_per_tile: u32,
    split: bool,
}

impl SplitLaw {
    fn plan(&self, size: Size) -> VisualPlan {
        let canvas = if self.split { self.canvas(size) } else { Size::square(self.tile_px) };
        let (rows, columns) = (canvas.height_px / self.tile_px, canvas.width_px / self.tile_px);
        let is_split = rows > 1 || columns > 1;
        let layout = Layout::Tiles { canvas, tile: Size::square(self.tile_px), overview: is_split };
        let markup = if is_split { self.split_markup(rows, columns) } else { self.overview_markup(String::new()) };
        VisualPlan::of_image(IMAGE, layout, markup)
    }

    fn split_markup(&self, rows: u32, columns: u32) -> Vec<Markup> {
        let mut markup = Vec::new();
        let mut before = String::new();
        for row in 1..=rows {
            for column in 1..=columns {
                before.push_str(&format!("{AROUND}<row_{row}_col_{column}>"));
                markup.push(Markup::text(std::mem::take(&mut before)));
                markup.push(Markup::Placeholders(self.tokens_per_tile));
            }
            before.push('\n');
        }
        before.push('\n');
        markup.extend(self.overview_markup(before));
        markup
    }

    fn overview_markup(&self, before: String) -> Vec<Markup> {
        vec![Markup::text(before + AROUND + OVERVIEW), Markup::Placeholders(self.tokens_per_tile), Markup::text(AROUND)]
    }

    /// The size that is cut: the longer side is fixed, the other follows; both are then multiples of a tile.
    fn canvas(&self, size: Size) -> Size {
        let scaled = self.scaled(size);
        let ratio = scaled.width() / scaled.height();
        let multiple = |side_px: u32| round_up(side_px, self.tile_px);
        if scaled.width_px >= scaled.height_px {
            let width_px = multiple(scaled.width_px);
            Size::new(multiple((f64::from(width_px) / ratio) as u32), width_px)
        } else {
            let height_px = multiple(scaled.height_px);
            Size::new(height_px, multiple((f64::from(height_px) * ratio) as u32))
        }
    }

    /// `get_resize_output_image_size`: the longer side is fixed, the other one even; neither is longer than [`MAX_SIDE_PX`].
    fn scaled(&self, size: Size) -> Size {
        let ratio = size.width() / size.height();
        let longest = f64::from(self.longest_edge_px);
        let even = |side: f64| (side as u32).next_multiple_of(2);
        let (width, height) = if size.width_px >= size.height_px {
            (self.longest_edge_px, even(longest / ratio))
        } else {
            (even(longest * ratio), self.longest_edge_px)
        };
        let (width, height) = (width.max(1), height.max(1));
        let ratio = f64::from(width) / f64::from(height);
        let most = f64::from(MAX_SIDE_PX);
        let (width, height) = if width >= height && width > MAX_SIDE_PX {
            (MAX_SIDE_PX, (most / ratio) as u32)
        } else if height > width && height > MAX_SIDE_PX {
            ((most * ratio) as u32, MAX_SIDE_PX)
        } else {
            (width, height)
        };
        Size::new(height.max(1), width.max(1))
    }
}

/// A number below a million in English words, as `num2words` writes it.
fn in_words(number: u32) -> String {
    const SMALL: [&str; 20] = [
        "zero",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
        "thirteen",
        "fourteen",
        "fifteen",
        "sixteen",
        "seventeen",
        "eighteen",
        "nineteen",
    ];
    const TENS: [&str; 10] = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
    let word = |words: &[&str], index: u32| words.get(index as usize).copied().unwrap_or_default().to_owned();
    match number {
        0..20 => word(&SMALL, number),
        20..100 if number.is_multiple_of(10) => word(&TENS, number / 10),
        20..100 => format!("{}-{}", word(&TENS, number / 10), in_words(number % 10)),
        100..1000 if number.is_multiple_of(100) => format!("{} hundred", in_words(number / 100)),
        100..1000 => format!("{} hundred and {}", in_words(number / 100), in_words(number % 100)),
        _ if number.is_multiple_of(1000) => format!("{} thousand", in_words(number / 1000)),
        _ if number % 1000 < 100 => format!("{} thousand and {}", in_words(number / 1000), in_words(number % 1000)),
        _ => format!("{} thousand, {}", in_words(number / 1000), in_words(number % 1000)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_num2words_does() {
        let words = [0, 7, 19, 40, 64, 100, 119, 768, 1000, 1001, 1234, 12_000];
        let expected = [
            "zero",
            "seven",
            "nineteen",
            "forty",
            "sixty-four",
            "one hundred",
            "one hundred and nineteen",
            "seven hundred and sixty-eight",
            "one thousand",
            "one thousand and one",
            "one thousand, two hundred and thirty-four",
            "twelve thousand",
        ];
        assert_eq!(words.map(in_words), expected);
    }
}
