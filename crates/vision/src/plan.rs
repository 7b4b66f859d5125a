//! What becomes of a medium: frames, size, tiles, grid, and the tokens and text that take its place in the prompt.

use std::borrow::Cow;

use crate::geometry::Size;
use crate::refusal::Refusal;
use crate::sampling::Sampled;

/// What a processor makes of one image or video.
#[derive(Debug, Clone, PartialEq)]
pub struct VisualPlan {
    /// The frames of a video that are taken, in their order. One may be taken twice. Empty for an image.
    pub frames: Vec<u32>,
    /// How the image, or each frame, is scaled and cut.
    pub layout: Layout,
    /// Patches in time, height and width, where the model is told: `image_grid_thw`, `video_grid_thw`.
    pub grid: Option<PatchGrid>,
    /// Seconds between two steps of the grid in time, where the model is told: `second_per_grid_ts`.
    pub seconds_per_step: Option<f64>,
    /// The token that is repeated: `<|image_pad|>`.
    pub placeholder: Cow<'static, str>,
    /// Text and tokens that take the place of the medium, in order.
    pub markup: Vec<Markup>,
    /// Why the processor of `transformers` itself ends with an error where it takes these frames. A trainer to which the frames
    /// are delivered does not ask for that (`do_sample_frames=False`).
    pub processor_error: Option<Refusal>,
}

impl VisualPlan {
    /// A plan of which only the text is known.
    pub fn of_markup(placeholder: &'static str, markup: Vec<Markup>) -> Self {
        Self::of_image(placeholder, Layout::Stretch(Size::new(0, 0)), markup)
    }

    /// The plan of an image, of whose patches the model is not told.
    pub(crate) fn of_image(placeholder: impl Into<Cow<'static, str>>, layout: Layout, markup: Vec<Markup>) -> Self {
        Self {
            frames: Vec::new(),
            layout,
            grid: None,
            seconds_per_step: None,
            placeholder: placeholder.into(),
            markup,
            processor_error: None,
        }
    }

    /// The plan of these frames of a video, each in that layout.
    pub(crate) fn with_frames(self, sampled: Sampled) -> Self {
        let Sampled { frames, processor_error } = sampled;
        Self { frames, processor_error, ..self }
    }

    /// Whether both show the same frames at the same size, and are written the same, whether or not the processor chose them.
    pub(crate) fn shows_the_same(&self, other: &Self) -> bool {
        let shown = |plan: &Self| (plan.layout, plan.grid, plan.seconds_per_step);
        shown(self) == shown(other) && self.frames == other.frames && self.markup == other.markup
    }

    /// Tokens that are replaced with features of the vision tower. The text around them costs tokens, too, which a tokenizer counts.
    pub fn num_tokens(&self) -> u64 {
        self.runs().map(u64::from).sum()
    }

    /// The number of its runs of placeholders.
    pub fn num_runs(&self) -> u64 {
        self.runs().count() as u64
    }

    /// The number of tokens of each run of placeholders, in order.
    pub fn runs(&self) -> impl Iterator<Item = u32> {
        self.markup.iter().filter_map(|part| match part {
            Markup::Placeholders(count) => Some(*count),
            Markup::Text(_) => None,
        })
    }

    /// The markup as the text that the processor tokenizes, with every placeholder written out.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for part in &self.markup {
            match part {
                Markup::Text(part) => text.push_str(part),
                Markup::Placeholders(count) => text.extend(std::iter::repeat_n(&*self.placeholder, *count as usize)),
            }
        }
        text
    }

    /// Appends the markup to a text, with one placeholder for each run.
    pub fn write(&self, text: &mut String) {
        for part in &self.markup {
            text.push_str(match part {
                Markup::Text(part) => part,
                Markup::Placeholders(_) => &self.placeholder,
            });
        }
    }
}

/// A part of what is written in place of a medium.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Markup {
    /// Text, which may hold special tokens.
    Text(Cow<'static, str>),
    /// The placeholder, so many times.
    Placeholders(u32),
}

impl Markup {
    pub(crate) fn text(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Text(text.into())
    }
}

/// How an image, or each frame of a video, is scaled and cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// It is stretched to this size.
    Stretch(Size),
    /// It is scaled until it covers this size, and its centre is kept.
    CenterCrop(Size),
    /// It is padded to a square, and scaled to this size.
    PadSquare(Size),
    /// It is brought to the size of the canvas, which is cut into tiles.
    Tiles {
        /// The size before it is cut.
        canvas: Size,
        /// The size of a tile.
        tile: Size,
        /// Whether the whole image is shown beside its tiles, at the size of one.
        overview: bool,
    },
}

impl Layout {
    /// How many images the vision tower sees of an image, or of each frame.
    pub fn num_tiles(self) -> u64 {
        match self {
            Self::Stretch(_) | Self::CenterCrop(_) | Self::PadSquare(_) => 1,
            Self::Tiles { canvas, tile, overview } => {
                let rows = u64::from(canvas.height_px.div_ceil(tile.height_px));
                let columns = u64::from(canvas.width_px.div_ceil(tile.width_px));
                rows * columns + u64::from(overview)
            }
        }
    }

    /// The size to which it is brought before it is cut.
    pub fn size(self) -> Size {
        match self {
            Self::Stretch(size) | Self::CenterCrop(size) | Self::PadSquare(size) | Self::Tiles { canvas: size, .. } => {
                size
            }
        }
    }
}

/// Patches of a visual.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PatchGrid {
    /// Steps in time: 1 for an image.
    pub t: u32,
    /// Rows.
    pub h: u32,
    /// Columns.
    pub w: u32,
}
