//! A family that is not there: the law of its images and its tokens, as the pipeline file states them.
//!
//! Three laws cover the models of today: the same number of tokens for every image; patches at the image's own size; tiles of
//! one size. Patches are rounded as Qwen's, and grids of tiles chosen as InternVL's; frames are taken by
//! `default_sample_indices_fn` of `transformers`' `video_utils.py`.

use std::num::{NonZeroU16, NonZeroU32};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::geometry::{Clip, Geometry, Size};
use crate::patches::{Area, Patch};
use crate::plan::{Layout, Markup, PatchGrid, VisualPlan};
use crate::problem::SettingsProblem;
use crate::processor::{MediaMarks, MediaToken, VIDEO_MARK, VisionProcessor, ensure_few_frames, plan_each};
use crate::refusal::{Refusal, Refused};
use crate::sampling::{self, Frames, nonzero};
use crate::tiles::TileGrid;

/// Any other model, described by its law and its tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Custom {
    /// What an image costs. Default: none, it has to be set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub law: Option<CustomLaw>,
    /// The token that is repeated, as often as an image has features. Default: `<image>`.
    pub placeholder: String,
    /// What is written before the tokens of an image. Default: nothing.
    pub before_image: String,
    /// What is written after the tokens of an image. Default: nothing.
    pub after_image: String,
    /// How videos are read.
    pub video: CustomVideo,
}

/// What an image costs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CustomLaw {
    /// The same, whatever its size.
    Fixed(FixedLaw),
    /// A token for each group of patches. The image keeps a size of its own, rounded and limited as Qwen does.
    Patches(PatchLaw),
    /// A number of tokens for each tile. The grid of tiles is the one whose shape is nearest to the image's, as in InternVL.
    Tiles(TileLaw),
}

/// Every image costs the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FixedLaw {
    /// Tokens of an image.
    pub tokens: NonZeroU32,
    /// Tokens of a frame. Default: those of an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_frame: Option<NonZeroU32>,
    /// Height and width that the vision tower sees, in pixels. Default: 336.
    #[serde(default = "default_side_px")]
    pub side_px: NonZeroU16,
}

fn default_side_px() -> NonZeroU16 {
    nonzero(336)
}

/// An image at a size of its own, in patches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PatchLaw {
    /// Height and width of a patch, in pixels. Default: 14.
    pub patch_px: NonZeroU16,
    /// Patches that become one token, on a side: both sides of an image are multiples of that many patches. Default: 2.
    pub merge: NonZeroU16,
    /// The smallest area of an image. Default: 3,136.
    pub min_pixels: u64,
    /// The largest area of an image. Default: 12,845,056.
    pub max_pixels: u64,
    /// The smallest area of a frame. Default: that of an image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_frame_pixels: Option<u64>,
    /// The largest area of a frame. Default: that of an image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_frame_pixels: Option<u64>,
    /// The area that all frames of a video share. Default: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_video_pixels: Option<u64>,
}

impl Default for PatchLaw {
    fn default() -> Self {
        Self {
            patch_px: nonzero(14),
            merge: nonzero(2),
            min_pixels: 3136,
            max_pixels: 12_845_056,
            min_frame_pixels: None,
            max_frame_pixels: None,
            max_video_pixels: None,
        }
    }
}

/// An image in tiles of one size. A frame is one tile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TileLaw {
    /// Height and width of a tile, in pixels. Default: 448.
    pub tile_px: NonZeroU16,
    /// The fewest tiles, without the thumbnail. Default: 1.
    pub min_tiles: NonZeroU16,
    /// The most tiles, without the thumbnail. Default: 12.
    pub max_tiles: NonZeroU16,
    /// Whether an image with several tiles is also shown as a whole, at the size of one. Default: true.
    pub thumbnail: bool,
    /// Tokens of a tile. Default: 256.
    pub tokens_per_tile: NonZeroU16,
}

impl Default for TileLaw {
    fn default() -> Self {
        Self {
            tile_px: nonzero(448),
            min_tiles: nonzero(1),
            max_tiles: nonzero(12),
            thumbnail: true,
            tokens_per_tile: nonzero(256),
        }
    }
}

/// How a custom model reads videos.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CustomVideo {
    /// Which frames are taken, each at the start of its share of the video. Default: 8, whatever its length.
    pub frames: Frames,
    /// How many frames become one step, with the tokens of a single frame. Default: 1.
    pub frames_per_step: NonZeroU16,
    /// The token that is repeated. Default: that of images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placeholder: Option<String>,
    /// What is written before a video. Default: nothing.
    pub before: String,
    /// What is written after a video. Default: nothing.
    pub after: String,
    /// What is written before the tokens of each frame, or step of frames; `{number}` stands for its number, from 1, and
    /// `{seconds}` for its time. Default: nothing.
    pub before_frame: String,
    /// What is written after the tokens of each frame, or step. Default: nothing.
    pub after_frame: String,
}

impl Default for Custom {
    fn default() -> Self {
        Self {
            law: None,
            placeholder: "<image>".to_owned(),
            before_image: String::new(),
            after_image: String::new(),
            video: CustomVideo::default(),
        }
    }
}

impl Default for CustomVideo {
    fn default() -> Self {
        Self {
            frames: Frames::count(8),
            frames_per_step: nonzero(1),
            placeholder: None,
            before: String::new(),
            after: String::new(),
            before_frame: String::new(),
            after_frame: String::new(),
        }
    }
}

/// What becomes of an image, or of each step of a video.
struct Seen {
    layout: Layout,
    /// Rows and columns of patches.
    grid: Option<PatchGrid>,
    num_tokens: u32,
}

impl VisionProcessor for Custom {
    fn plan(&self, media: &[Geometry<'_>]) -> Result<Vec<VisualPlan>, Refused> {
        plan_each(media, |size| self.plan_image(size), |clip| self.plan_video(clip))
    }

    fn tokens_of_frames(&self, size: Size, num_frames: u32) -> Option<u64> {
        let Some(CustomLaw::Patches(law)) = &self.law else { return None };
        let Seen { num_tokens, .. } = law.seen(size, law.area_of_frame(num_frames.into())).ok()?;
        let num_steps = num_frames.div_ceil(self.video.frames_per_step.get().into());
        Some(u64::from(num_steps) * u64::from(num_tokens))
    }

    fn tokens(&self) -> Vec<MediaToken> {
        let image = MediaToken::image(self.placeholder.clone());
        let video = self.video.placeholder.clone().filter(|video| *video != self.placeholder).map(MediaToken::video);
        [image].into_iter().chain(video).collect()
    }

    /// The placeholder with or without what is around it; `<video>` for a video, too.
    fn marks(&self) -> MediaMarks {
        let video = self.video.placeholder.as_ref().filter(|video| **video != self.placeholder);
        let of_video = video.map(|video| [[&*self.video.before, video, &self.video.after].concat(), video.clone()]);
        let of_image = [[&*self.before_image, &self.placeholder, &self.after_image].concat(), self.placeholder.clone()];
        MediaMarks {
            image: of_image.map(Into::into).into(),
            video: of_video.into_iter().flatten().map(Into::into).chain([VIDEO_MARK.into()]).collect(),
        }
    }
}

impl Custom {
    /// What does not fit together.
    pub(crate) fn problem(&self) -> Option<SettingsProblem> {
        let problem = |key, message, allowed| Some(SettingsProblem { key, message, allowed });
        let Some(law) = &self.law else {
            return problem("law", "there is none".to_owned(), "fixed, patches or tiles with their settings");
        };
        if let Some(limits) = law.crossed_limits() {
            return problem("law", limits, "a minimum that is at most its maximum");
        }
        let placeholder = self.video.placeholder.as_deref().unwrap_or(&self.placeholder);
        if self.placeholder.is_empty() || placeholder.is_empty() {
            return problem("placeholder", "it is empty".to_owned(), "a token of the tokenizer");
        }
        let video = &self.video;
        let written = [&self.before_image, &self.after_image, &video.before, &video.after];
        let written = written.into_iter().chain([&video.before_frame, &video.after_frame]);
        let is_written = |text: &String| text.contains(&self.placeholder) || text.contains(placeholder);
        let shown = written.filter(|text| is_written(text)).map(|text| format!("{text:?} contains it")).next()?;
        problem("placeholder", shown, "text around the tokens without the placeholder")
    }

    fn plan_image(&self, size: Size) -> Result<VisualPlan, Refusal> {
        let Seen { layout, grid, num_tokens } = self.law()?.image(size)?;
        let mut markup = Vec::with_capacity(3);
        push_text(&mut markup, self.before_image.clone());
        markup.push(Markup::Placeholders(num_tokens));
        push_text(&mut markup, self.after_image.clone());
        Ok(VisualPlan { grid, ..VisualPlan::of_image(self.placeholder.clone(), layout, markup) })
    }

    fn plan_video(&self, clip: Clip<'_>) -> Result<VisualPlan, Refusal> {
        let video = &self.video;
        let sampled = sampling::starts_of_shares(clip, video.frames);
        ensure_few_frames(sampled.frames.len())?;
        let Seen { layout, grid, num_tokens } = self.law()?.frame(clip.size, sampled.frames.len() as u64)?;
        let steps = sampled.frames.chunks(video.frames_per_step.get().into());
        let grid = grid.map(|grid| PatchGrid { t: steps.len() as u32, ..grid });
        let mut markup = Vec::with_capacity(2 * steps.len() + 1);
        let mut text = video.before.clone();
        for (number, step) in (1..).zip(steps) {
            let time_s = |frame: Option<&u32>| frame.map_or(0.0, |frame| f64::from(*frame) / clip.rate);
            let seconds = f64::midpoint(time_s(step.first()), time_s(step.last()));
            text.push_str(&filled(&video.before_frame, number, seconds));
            push_text(&mut markup, std::mem::take(&mut text));
            markup.push(Markup::Placeholders(num_tokens));
            text.push_str(&filled(&video.after_frame, number, seconds));
        }
        text.push_str(&video.after);
        push_text(&mut markup, text);
        let placeholder = video.placeholder.as_ref().unwrap_or(&self.placeholder);
        let plan = VisualPlan::of_image(placeholder.clone(), layout, markup).with_frames(sampled);
        Ok(VisualPlan { grid, ..plan })
    }

    fn law(&self) -> Result<&CustomLaw, Refusal> {
        self.law.as_ref().ok_or(Refusal::NoLaw)
    }
}

impl CustomLaw {
    fn image(&self, size: Size) -> Result<Seen, Refusal> {
        Ok(match self {
            Self::Fixed(law) => law.seen(law.tokens),
            Self::Patches(law) => law.seen(size, Area { min: law.min_pixels, max: law.max_pixels })?,
            Self::Tiles(law) => law.seen(law.grid().layout(size)),
        })
    }

    fn frame(&self, size: Size, num_frames: u64) -> Result<Seen, Refusal> {
        Ok(match self {
            Self::Fixed(law) => law.seen(law.tokens_per_frame.unwrap_or(law.tokens)),
            Self::Patches(law) => law.seen(size, law.area_of_frame(num_frames))?,
            Self::Tiles(law) => law.seen(Layout::Stretch(Size::square(law.tile_px.get().into()))),
        })
    }

    /// A minimum above its maximum.
    fn crossed_limits(&self) -> Option<String> {
        let crossed =
            |what: &str, min: u64, max: u64| (min > max).then(|| format!("min_{what} = {min} is more than {max}"));
        match self {
            Self::Fixed(_) => None,
            Self::Patches(law) => {
                let frames = law.area_of_frame(1);
                crossed("pixels", law.min_pixels, law.max_pixels)
                    .or_else(|| crossed("frame_pixels", frames.min, law.max_frame_pixels.unwrap_or(law.max_pixels)))
            }
            Self::Tiles(law) => crossed("tiles", law.min_tiles.get().into(), law.max_tiles.get().into()),
        }
    }
}

impl FixedLaw {
    fn seen(&self, tokens: NonZeroU32) -> Seen {
        let layout = Layout::Stretch(Size::square(self.side_px.get().into()));
        Seen { layout, grid: None, num_tokens: tokens.get() }
    }
}

impl PatchLaw {
    pub(crate) fn patch(&self) -> Patch {
        Patch { side_px: self.patch_px.get().into(), merge: self.merge.get().into() }
    }

    /// Lowers the limit on the pixels of each image and frame, but not below the minimum.
    pub(crate) fn limit_pixels(&mut self, max_pixels: u64) {
        let frames = self.area_of_frame(1);
        self.max_frame_pixels = Some(frames.max.min(max_pixels.max(frames.min)));
        self.max_pixels = self.max_pixels.min(max_pixels.max(self.min_pixels));
    }

    fn area_of_frame(&self, num_frames: u64) -> Area {
        let min = self.min_frame_pixels.unwrap_or(self.min_pixels);
        let max = self.max_frame_pixels.unwrap_or(self.max_pixels);
        let share = self.max_video_pixels.map_or(u64::MAX, |all| all / num_frames.max(1));
        Area { min, max: max.min(share.max(min)) }
    }

    fn seen(&self, size: Size, area: Area) -> Result<Seen, Refusal> {
        let patch = self.patch();
        let resized = patch.smart_resize(size, area)?;
        let grid = patch.grid(resized, 1);
        Ok(Seen { layout: Layout::Stretch(resized), grid: Some(grid), num_tokens: patch.tokens_per_step(grid) })
    }
}

impl TileLaw {
    fn grid(&self) -> TileGrid {
        TileGrid {
            tile_px: self.tile_px.get().into(),
            min_tiles: self.min_tiles.get().into(),
            max_tiles: self.max_tiles.get().into(),
            overview: self.thumbnail,
        }
    }

    fn seen(&self, layout: Layout) -> Seen {
        let num_tokens = layout.num_tiles() as u32 * u32::from(self.tokens_per_tile.get());
        Seen { layout, grid: None, num_tokens }
    }
}

fn push_text(markup: &mut Vec<Markup>, text: String) {
    if !text.is_empty() {
        markup.push(Markup::text(text));
    }
}

/// A text with the number and the time of a frame.
fn filled(text: &str, number: usize, seconds: f64) -> String {
    text.replace("{number}", &number.to_string()).replace("{seconds}", &format!("{seconds:.1}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::family::Family;

    fn custom(text: &str) -> Family {
        toml::from_str(&format!("family = \"custom\"\n{text}")).unwrap()
    }

    fn plan(family: &Family, medium: Geometry<'_>) -> VisualPlan {
        family.processor().plan(&[medium]).unwrap().remove(0)
    }

    /// What a family makes of sizes and of a video, apart from its text.
    fn made(family: &Family) -> Vec<(Layout, u64, Vec<u32>)> {
        let sizes = [(480, 640), (1000, 333), (60, 90), (3000, 4000)].map(|(height, width)| Size::new(height, width));
        let clip = Clip::new(Size::new(360, 640), 300, 30.0);
        let media = sizes.map(Geometry::Image).into_iter().chain([Geometry::Video(clip)]);
        let made = media.map(|medium| plan(family, medium));
        made.map(|plan| (plan.layout, plan.num_tokens(), plan.frames)).collect()
    }

    #[test]
    fn the_laws_of_known_families_can_be_written_out() {
        let qwen = "law = { patches = { min_frame_pixels = 100352, max_frame_pixels = 602112 } }\n\
                    video = { frames = { num_frames = 8 }, frames_per_step = 2 }";
        let known = "family = \"qwen2.5-vl\"\nvideo = { frames = { num_frames = 8 } }";
        assert_eq!(made(&custom(qwen)), made(&toml::from_str(known).unwrap()));
        let video = "video = { frames = \"all\" }";
        let tiles = made(&custom(&format!("law = {{ tiles = {{}} }}\n{video}")));
        let internvl: Family = toml::from_str("family = \"internvl\"\nframes = \"all\"").unwrap();
        assert_eq!(tiles, made(&internvl));
        let fixed = custom("law = { fixed = { tokens = 576, tokens_per_frame = 144 } }");
        let tokens: Vec<u64> = made(&fixed).into_iter().map(|(_, tokens, _)| tokens).collect();
        assert_eq!(tokens, [576, 576, 576, 576, 8 * 144]);
    }

    #[test]
    fn frames_share_the_area_of_a_video_down_to_their_minimum() {
        let tokens = |num_frames: u32, video: u64| {
            let law =
                format!("law = {{ patches = {{ patch_px = 16, min_pixels = 16384, max_video_pixels = {video} }} }}");
            let family = custom(&format!("{law}\nvideo = {{ frames = {{ num_frames = {num_frames} }} }}"));
            plan(&family, Geometry::Video(Clip::new(Size::new(512, 512), 100, 10.0))).num_tokens()
        };
        assert_eq!(tokens(4, 4 * 256 * 256), 4 * 64);
        assert_eq!(tokens(16, 4 * 256 * 256), 16 * 16);
        assert_eq!(tokens(64, 4 * 256 * 256), 64 * 16);
    }

    #[test]
    fn text_is_written_around_images_videos_and_frames() {
        let family = custom(
            "placeholder = \"<i>\"\nbefore_image = \"<img>\"\nafter_image = \"</img>\\n\"\nlaw = { fixed = { tokens = 2 } }\n\
             [video]\nframes = { num_frames = 3 }\nframes_per_step = 2\nplaceholder = \"<v>\"\nbefore = \"[\"\nafter = \"]\"\n\
             before_frame = \"{number} at {seconds} s: \"\nafter_frame = \";\"",
        );
        assert_eq!(plan(&family, Geometry::Image(Size::square(9))).text(), "<img><i><i></img>\n");
        let clip = Clip::new(Size::square(9), 30, 10.0);
        assert_eq!(plan(&family, Geometry::Video(clip)).text(), "[1 at 0.5 s: <v><v>;2 at 2.0 s: <v><v>;]");
        let tokens: Vec<_> = family.processor().tokens().into_iter().map(|token| (token.text, token.type_id)).collect();
        assert_eq!(tokens, [("<i>".into(), 1), ("<v>".into(), 2)]);
    }

    #[test]
    fn settings_that_do_not_fit_together_are_named() {
        let key = |text: &str| custom(text).problem().map(|problem| problem.key);
        assert_eq!(key(""), Some("law"));
        assert_eq!(key("law = { tiles = { min_tiles = 9, max_tiles = 4 } }"), Some("law"));
        assert_eq!(key("law = { patches = { min_pixels = 9000, max_frame_pixels = 4 } }"), Some("law"));
        assert_eq!(key("law = { tiles = {} }\nplaceholder = \"\""), Some("placeholder"));
        assert_eq!(key("law = { tiles = {} }\nbefore_image = \"<image>\""), Some("placeholder"));
        assert_eq!(key("law = { tiles = {} }\nbefore_image = \"<img>\""), None);
        assert!(toml::from_str::<Family>("family = \"custom\"\nlaw = { tile = {} }").is_err());
        assert!(toml::from_str::<Family>("family = \"custom\"\nlaw = { fixed = {} }").is_err());
    }
}
