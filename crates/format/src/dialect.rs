//! Dialects: how an image, a video and a tiled image are written.
//!
//! | visual | `longllava` | `longllava-2024-10` | `plain` |
//! |---|---|---|---|
//! | image | `<Image>↵` | `<Image>↵` | `<image>↵` |
//! | video | `<vid><Image><t><Image>…<Image></vid>↵` | `<vid><Image><t>…<img><image></img</vid>` | `<image>↵<image>↵…<image>↵` |
//! | tiled (AnyRes) | `<Image>↵`, then a line of `<Image><Image>…` per row | as `longllava` | `<image>↵` for the overview and each tile |
//!
//! Here, `<Image>` is `<img><image></img>`, and `↵` is a newline. `<image>` is the placeholder that a trainer replaces
//! with the image; `<img>`, `</img>`, `<vid>`, `</vid>` and `<t>` are ordinary text.
//!
//! Sources: LongLLaVA (arXiv 2409.02889), figure 2, for `longllava`; its released inference code of October 2024 for
//! `longllava-2024-10`, which strips the characters `<`, `t`, `>` from the end of the frames before it closes the
//! video, and writes no newline after it; LLaVA and VILA for `plain`.
//!
//! The position of a visual in its turn is decided in `compose`, not here.

use std::iter::repeat_n;

use manyframe_core::{Grid, VisualKind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How visuals are written as text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Dialect {
    /// LongLLaVA as published: a newline follows every visual.
    #[default]
    Longllava,
    /// LongLLaVA as its inference code of October 2024 writes it, for models that were trained with that code.
    #[serde(rename = "longllava-2024-10")]
    Longllava202410,
    /// LLaVA and VILA: one `<image>` and a newline per image, including frames and tiles.
    Plain,
}

/// A visual whose number of images is known, because its frames were chosen or its tiles counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResolvedVisual {
    /// One image.
    Image,
    /// Frames of a video, in time.
    Video {
        /// How many, at least 1.
        num_frames: u32,
    },
    /// An image cut into tiles (AnyRes): an overview, then the tiles row by row.
    Tiled {
        /// Rows and columns of tiles, without the overview.
        grid: Grid,
    },
}

/// The string that a trainer replaces with an image, in every dialect.
pub(crate) const PLACEHOLDER: &str = "<image>";

const IMAGE: &str = "<img><image></img>";

impl ResolvedVisual {
    /// How it is shown.
    pub fn kind(self) -> VisualKind {
        match self {
            Self::Image => VisualKind::Image,
            Self::Video { .. } => VisualKind::Video,
            Self::Tiled { .. } => VisualKind::Tiled,
        }
    }

    /// How many images it consists of: frames, or the overview and all tiles.
    pub fn num_images(self) -> u64 {
        match self {
            Self::Image => 1,
            Self::Video { num_frames } => u64::from(num_frames),
            Self::Tiled { grid } => grid.num_tiles().saturating_add(1),
        }
    }
}

impl Dialect {
    /// The placeholder of one image: `<image>` in every dialect.
    pub fn placeholder(self) -> &'static str {
        PLACEHOLDER
    }

    /// Strings that trainers of this dialect replace with images or videos. No text of a record may contain them.
    pub(crate) fn reserved(self) -> &'static [&'static str] {
        match self {
            Self::Longllava | Self::Longllava202410 => &[PLACEHOLDER],
            Self::Plain => &[PLACEHOLDER, "<video>"],
        }
    }

    /// Writes a visual and the separator that follows it. The length grows with `num_images`, which the caller bounds.
    pub(crate) fn write(self, visual: ResolvedVisual, text: &mut String) {
        match (self, visual) {
            (Self::Plain, _) => {
                let num_images = usize::try_from(visual.num_images()).unwrap_or(usize::MAX);
                text.extend(repeat_n("<image>\n", num_images));
            }
            (_, ResolvedVisual::Image) => text.push_str("<img><image></img>\n"),
            (Self::Longllava, ResolvedVisual::Video { num_frames }) => {
                text.push_str("<vid>");
                write_separated(num_frames, "<t>", text);
                text.push_str("</vid>\n");
            }
            (Self::Longllava202410, ResolvedVisual::Video { num_frames }) => {
                text.push_str("<vid>");
                write_separated(num_frames, "<t>", text);
                text.truncate(text.trim_end_matches(['<', 't', '>']).len());
                text.push_str("</vid>");
            }
            (_, ResolvedVisual::Tiled { grid }) => {
                text.push_str(IMAGE);
                text.push('\n');
                for _row in 0..grid.rows {
                    write_separated(grid.columns, "", text);
                    text.push('\n');
                }
            }
        }
    }
}

fn write_separated(num_images: u32, separator: &str, text: &mut String) {
    for index in 0..num_images {
        if index > 0 {
            text.push_str(separator);
        }
        text.push_str(IMAGE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(dialect: Dialect, visual: ResolvedVisual) -> String {
        let mut text = String::new();
        dialect.write(visual, &mut text);
        text.replace(IMAGE, "I")
    }

    const VIDEO: ResolvedVisual = ResolvedVisual::Video { num_frames: 3 };
    const TILED: ResolvedVisual = ResolvedVisual::Tiled { grid: Grid { rows: 2, columns: 3 } };

    #[test]
    fn longllava_is_figure_2_of_the_paper() {
        assert_eq!(written(Dialect::Longllava, ResolvedVisual::Image), "I\n");
        assert_eq!(written(Dialect::Longllava, VIDEO), "<vid>I<t>I<t>I</vid>\n");
        assert_eq!(written(Dialect::Longllava, TILED), "I\nIII\nIII\n");
    }

    #[test]
    fn the_released_code_drops_the_last_bracket_and_the_newline_of_a_video() {
        let dialect = Dialect::Longllava202410;
        assert_eq!(written(dialect, VIDEO), "<vid>I<t>I<t><img><image></img</vid>");
        assert_eq!(written(dialect, ResolvedVisual::Image), "I\n");
        assert_eq!(written(dialect, TILED), "I\nIII\nIII\n");
    }

    #[test]
    fn plain_writes_one_line_per_image() {
        assert_eq!(written(Dialect::Plain, VIDEO), "<image>\n<image>\n<image>\n");
        assert_eq!(written(Dialect::Plain, TILED), "<image>\n".repeat(7));
    }

    #[test]
    fn a_visual_has_as_many_placeholders_as_images() {
        for dialect in [Dialect::Longllava, Dialect::Longllava202410, Dialect::Plain] {
            for visual in [ResolvedVisual::Image, VIDEO, TILED] {
                let mut text = String::new();
                dialect.write(visual, &mut text);
                assert_eq!(text.matches(PLACEHOLDER).count() as u64, visual.num_images());
            }
        }
    }
}
