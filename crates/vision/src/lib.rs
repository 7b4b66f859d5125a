//! What the processors of vision-language models make of images and videos: sizes, tiles, grids, frames, tokens and markup.
//!
//! ```text
//! Geometry (a header) ─ Family::processor().plan ─▶ VisualPlan: frames, size, tiles, grid, placeholders and text
//! ```
//!
//! Each family repeats the arithmetic of its processor in Hugging Face `transformers`, to the last bit, and names the files
//! it follows. A processor that would raise an error is a [`Refusal`]; where only its choice of frames would, there is a plan
//! all the same, with the error beside it ([`VisualPlan::processor_error`]).
//!
//! **Invariant:** nothing here performs I/O, decodes a pixel, or loads a tokenizer.
//!
//! ```
//! use manyframe_vision::{Family, Geometry, Size};
//!
//! let family = Family::named("qwen3-vl").ok_or("no such family")?;
//! let plans = family.processor().plan(&[Geometry::Image(Size::new(1080, 1920))])?;
//! assert_eq!(plans[0].layout.size(), Size::new(1088, 1920));
//! assert_eq!(plans[0].num_tokens(), 2040);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod constant;
mod custom;
mod family;
mod geometry;
mod idefics;
mod llava;
mod nemotron;
mod number;
mod nvila;
mod patches;
mod pixels;
mod plan;
mod problem;
mod processor;
mod qwen;
mod refusal;
mod sampling;
mod tiles;

pub use constant::{Constant, Dialect, Longllava, Longvila};
pub use custom::{Custom, CustomLaw, CustomVideo, FixedLaw, PatchLaw, TileLaw};
pub use family::{Family, SettingsReader};
pub use geometry::{Clip, Geometry, Size};
pub use idefics::{Idefics3, SmolVlm};
pub use llava::{Granite4Vision, Llava15, LlavaNext, LlavaOneVision};
pub use nemotron::{NemotronHOmni, NemotronVideo};
pub use nvila::Nvila;
pub use pixels::{CanvasFit, Normalisation, PixelForm};
pub use plan::{Layout, Markup, PatchGrid, VisualPlan};
pub use problem::SettingsProblem;
pub use processor::{ImageText, MediaMarks, MediaToken, VisionProcessor};
pub use qwen::{ImageResize, Qwen3Video, Qwen3Vl, Qwen25Video, Qwen25Vl, VideoBudget, VideoWrapping};
pub use refusal::{Refusal, Refused};
pub use sampling::Frames;
pub use tiles::{InternVl, NemotronNanoVl};
