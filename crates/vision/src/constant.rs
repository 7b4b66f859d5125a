//! LongLLaVA, LongVILA and LLaVA: every image costs the same, whatever its size, and each is written with one placeholder.
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
//! video, and writes no newline after it; LLaVA and VILA for `plain`. Tokens: LongVILA (arXiv 2408.10188).

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::geometry::{Geometry, Size};
use crate::plan::{Layout, Markup, VisualPlan};
use crate::processor::{MediaToken, VisionProcessor, ensure_few, ensure_few_frames};
use crate::refusal::{Refusal, Refused};
use crate::sampling::{self, nonzero};

/// The string that a trainer replaces with an image.
const PLACEHOLDER: &str = "<image>";

/// How visuals are written as text, where every image costs the same.
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

/// What every image costs, and how it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Constant {
    /// How visuals are written.
    pub dialect: Dialect,
    /// Tokens of one image.
    pub tokens_per_image: NonZeroU32,
    /// How the model's vision tower sees it.
    layout: Layout,
}

/// LongLLaVA on Jamba.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Longllava {
    /// How visuals are written. Default: `longllava`.
    pub dialect: Dialect,
    /// Tokens that one image takes. Default: 144, which is 24×24 patches of CLIP ViT-L/14 at 336 px, pooled 2×2; with more
    /// images, LongLLaVA pools 4×4 to 36.
    pub tokens_per_image: NonZeroU32,
}

/// LongVILA.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Longvila {
    /// How visuals are written. Default: `plain`.
    pub dialect: Dialect,
    /// Tokens that one image takes. Default: 196; 256 for LongVILA's longest stages. NVILA's tiles of 121 tokens are the family
    /// `nvila`.
    pub tokens_per_image: NonZeroU32,
}

impl Default for Longllava {
    fn default() -> Self {
        Self { dialect: Dialect::Longllava, tokens_per_image: nonzero(144).into() }
    }
}

impl Default for Longvila {
    fn default() -> Self {
        Self { dialect: Dialect::Plain, tokens_per_image: nonzero(196).into() }
    }
}

impl Longllava {
    pub(crate) fn constant(&self) -> Constant {
        let Self { dialect, tokens_per_image } = *self;
        Constant { dialect, tokens_per_image, layout: Layout::PadSquare(Size::square(336)) }
    }
}

impl Longvila {
    pub(crate) fn constant(&self) -> Constant {
        let Self { dialect, tokens_per_image } = *self;
        Constant { dialect, tokens_per_image, layout: Layout::Stretch(Size::square(384)) }
    }
}

impl VisionProcessor for Longllava {
    fn plan(&self, media: &[Geometry<'_>]) -> Result<Vec<VisualPlan>, Refused> {
        self.constant().plan(media)
    }

    fn tokens(&self) -> Vec<MediaToken> {
        self.constant().tokens()
    }
}

impl VisionProcessor for Longvila {
    fn plan(&self, media: &[Geometry<'_>]) -> Result<Vec<VisualPlan>, Refused> {
        self.constant().plan(media)
    }

    fn tokens(&self) -> Vec<MediaToken> {
        self.constant().tokens()
    }
}

impl Constant {
    /// Strings that trainers replace with images or videos.
    fn tokens(self) -> Vec<MediaToken> {
        match self.dialect {
            Dialect::Longllava | Dialect::Longllava202410 => vec![MediaToken::image(PLACEHOLDER)],
            Dialect::Plain => vec![MediaToken::image(PLACEHOLDER), MediaToken::delimiter("<video>")],
        }
    }

    fn plan(self, media: &[Geometry<'_>]) -> Result<Vec<VisualPlan>, Refused> {
        let plan_one = |(medium_index, &medium): (usize, &Geometry<'_>)| {
            self.plan_one(medium).map_err(|reason| Refused { medium_index, reason })
        };
        media.iter().enumerate().map(plan_one).collect()
    }

    fn plan_one(self, medium: Geometry<'_>) -> Result<VisualPlan, Refusal> {
        let frames = match medium {
            Geometry::Image(_) => Vec::new(),
            Geometry::Tiles { rows, columns, .. } => {
                ensure_few(u64::from(rows).saturating_mul(columns.into()).saturating_add(1))?;
                Vec::new()
            }
            Geometry::Video(clip) => {
                ensure_few_frames(clip.taken.map_or(clip.num_frames as usize, <[u32]>::len))?;
                sampling::all(clip)
            }
        };
        let mut markup = Vec::with_capacity(3);
        self.write(medium, frames.len() as u32, &mut Writer { image: self.image(), markup: &mut markup });
        Ok(VisualPlan::of_image(PLACEHOLDER, self.layout, markup).with_frames(frames.into()))
    }

    fn image(self) -> Markup {
        Markup::Placeholders(self.tokens_per_image.get())
    }

    /// Writes a visual and the separator that follows it.
    fn write(self, medium: Geometry<'_>, num_frames: u32, writer: &mut Writer<'_>) {
        match (self.dialect, medium) {
            (Dialect::Plain, _) => {
                let num_images = match medium {
                    Geometry::Image(_) => 1,
                    Geometry::Tiles { rows, columns, .. } => rows.saturating_mul(columns).saturating_add(1),
                    Geometry::Video(_) => num_frames,
                };
                (0..num_images).for_each(|_| writer.image("", "\n"));
            }
            (_, Geometry::Image(_)) => writer.image("<img>", "</img>\n"),
            (_, Geometry::Tiles { rows, columns, .. }) => {
                writer.image("<img>", "</img>\n");
                for place in 0..rows.saturating_mul(columns) {
                    let ends_row = (place + 1) % columns == 0;
                    writer.image("<img>", if ends_row { "</img>\n" } else { "</img>" });
                }
            }
            (dialect, Geometry::Video(_)) => {
                let last = if dialect == Dialect::Longllava { "</img></vid>\n" } else { "</img</vid>" };
                for place in 0..num_frames {
                    let after = if place + 1 == num_frames { last } else { "</img><t>" };
                    writer.image(if place == 0 { "<vid><img>" } else { "<img>" }, after);
                }
            }
        }
    }
}

/// Writes images one after another, and joins the texts between two of them.
struct Writer<'m> {
    image: Markup,
    markup: &'m mut Vec<Markup>,
}

impl Writer<'_> {
    fn image(&mut self, before: &'static str, after: &'static str) {
        if !before.is_empty() {
            self.markup.push(Markup::text(before));
        }
        self.markup.push(self.image.clone());
        self.markup.push(Markup::text(after));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Clip;

    const ONE: Geometry<'_> = Geometry::Image(Size::square(8));
    const TILED: Geometry<'_> = Geometry::Tiles { rows: 2, columns: 3 };
    const VIDEO: Geometry<'_> = Geometry::Video(Clip::new(Size::square(8), 3, 1.0));

    fn plan(dialect: Dialect, medium: Geometry<'_>) -> VisualPlan {
        Longllava { dialect, ..Longllava::default() }.plan(&[medium]).unwrap().remove(0)
    }

    fn written(dialect: Dialect, medium: Geometry<'_>) -> String {
        let mut text = String::new();
        plan(dialect, medium).write(&mut text);
        text.replace("<img><image></img>", "I")
    }

    #[test]
    fn longllava_is_figure_2_of_the_paper() {
        assert_eq!(written(Dialect::Longllava, ONE), "I\n");
        assert_eq!(written(Dialect::Longllava, VIDEO), "<vid>I<t>I<t>I</vid>\n");
        assert_eq!(written(Dialect::Longllava, TILED), "I\nIII\nIII\n");
    }

    #[test]
    fn the_released_code_drops_the_last_bracket_and_the_newline_of_a_video() {
        let dialect = Dialect::Longllava202410;
        assert_eq!(written(dialect, VIDEO), "<vid>I<t>I<t><img><image></img</vid>");
        assert_eq!(written(dialect, ONE), "I\n");
        assert_eq!(written(dialect, TILED), "I\nIII\nIII\n");
    }

    #[test]
    fn plain_writes_one_line_per_image() {
        assert_eq!(written(Dialect::Plain, VIDEO), "<image>\n<image>\n<image>\n");
        assert_eq!(written(Dialect::Plain, TILED), "<image>\n".repeat(7));
    }

    #[test]
    fn every_image_has_a_placeholder_and_costs_the_same() {
        for dialect in [Dialect::Longllava, Dialect::Longllava202410, Dialect::Plain] {
            for (medium, num_images) in [(ONE, 1), (VIDEO, 3), (TILED, 7)] {
                let plan = plan(dialect, medium);
                assert_eq!((plan.num_runs(), plan.num_tokens()), (num_images, 144 * num_images));
            }
        }
    }
}
