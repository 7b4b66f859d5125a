//! The model families, by name, with the settings of each.

use std::num::{NonZeroU16, NonZeroU32};

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::constant::{Constant, Dialect, Longllava, Longvila};
use crate::custom::{Custom, CustomLaw};
use crate::geometry::{Clip, Geometry};
use crate::idefics::{Idefics3, SmolVlm};
use crate::llava::{Granite4Vision, Llava15, LlavaNext, LlavaOneVision};
use crate::nemotron::NemotronHOmni;
use crate::nvila::Nvila;
use crate::plan::VisualPlan;
use crate::problem::{SettingsProblem, crossed};
use crate::processor::VisionProcessor;
use crate::qwen::{Qwen3Vl, Qwen25Vl};
use crate::sampling::Frames;
use crate::tiles::{InternVl, NemotronNanoVl};

/// Reads the settings of a family, whichever it is.
pub trait SettingsReader {
    /// The settings.
    fn read<T: DeserializeOwned + Default + JsonSchema>(&mut self) -> T;
}

/// Declares the families: a variant, its name, and the type of its settings.
macro_rules! families {
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal,)*) => {
        /// A model family with its settings. An empty table of settings is the published checkpoint's.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(tag = "family")]
        pub enum Family {
            $($(#[doc = $doc])* #[serde(rename = $name)] $variant($variant),)*
        }

        impl Family {
            /// The names of all families, with a line about each.
            pub const NAMES: &[(&str, &str)] = &[$(($name, concat!($($doc),*)),)*];

            /// Its name.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $name,)*
                }
            }

            /// The family of that name, with the published settings.
            pub fn named(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant($variant::default())),)*
                    _ => None,
                }
            }

            /// The family of that name, with settings that are read somehow.
            pub fn read(name: &str, reader: &mut impl SettingsReader) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant(reader.read())),)*
                    _ => None,
                }
            }

            /// What its processor makes of media.
            pub fn processor(&self) -> &dyn VisionProcessor {
                match self {
                    $(Self::$variant(settings) => settings,)*
                }
            }
        }
    };
}

impl Family {
    /// The cost of every image, if they all cost the same.
    pub fn constant(&self) -> Option<Constant> {
        match self {
            Self::Longllava(settings) => Some(settings.constant()),
            Self::Longvila(settings) => Some(settings.constant()),
            _ => None,
        }
    }

    /// Whether the model sees images at a size of their own, to which they can be brought beforehand.
    pub fn has_dynamic_size(&self) -> bool {
        self.pixels_per_token().is_some()
    }

    /// Pixels that become one token, if the model sees images at a size of their own.
    pub fn pixels_per_token(&self) -> Option<u64> {
        match self {
            Self::Qwen25Vl(_) => Some(Qwen25Vl::PIXELS_PER_TOKEN),
            Self::Qwen3Vl(_) | Self::Qwen35(_) => Some(Qwen3Vl::PIXELS_PER_TOKEN),
            Self::NemotronHOmni(_) => Some(NemotronHOmni::PIXELS_PER_TOKEN),
            Self::Custom(Custom { law: Some(CustomLaw::Patches(law)), .. }) => Some(law.patch().pixels_per_token()),
            _ => None,
        }
    }

    /// Whether the frames of a video share a budget of pixels, so that fewer can cost more each.
    pub fn frames_share_pixels(&self) -> bool {
        match self {
            Self::Qwen25Vl(_) | Self::Qwen3Vl(_) | Self::Qwen35(_) => true,
            Self::Custom(custom) => matches!(custom.law, Some(CustomLaw::Patches(_))),
            _ => false,
        }
    }

    /// The family, asked for `num_frames` frames of every video, which its own law chooses. Families that take no frames stay as they are.
    #[must_use]
    pub fn with_num_frames(mut self, num_frames: NonZeroU16) -> Self {
        let frames = match &mut self {
            Self::Qwen25Vl(settings) => &mut settings.video.frames,
            Self::Qwen3Vl(settings) | Self::Qwen35(settings) => &mut settings.video.frames,
            Self::InternVl(settings) => &mut settings.frames,
            Self::Nvila(settings) => &mut settings.frames,
            Self::LlavaNext(settings) => &mut settings.frames,
            Self::LlavaOneVision(settings) => &mut settings.frames,
            Self::NemotronHOmni(settings) => &mut settings.video.frames,
            Self::Custom(settings) => &mut settings.video.frames,
            Self::SmolVlm(settings) => {
                settings.max_frames = settings.max_frames.min(num_frames);
                return self;
            }
            _ => return self,
        };
        *frames = Frames::NumFrames(num_frames);
        self
    }

    /// The family with a lower limit on the pixels of each image and frame, but not below its minimum. Families without such
    /// a limit stay as they are.
    #[must_use]
    pub fn with_max_pixels(mut self, max_pixels: u64) -> Self {
        match &mut self {
            Self::Qwen25Vl(settings) => settings.limit_pixels(max_pixels),
            Self::Qwen3Vl(settings) | Self::Qwen35(settings) => settings.limit_pixels(max_pixels),
            Self::NemotronHOmni(settings) => settings.limit_pixels(max_pixels),
            Self::Custom(Custom { law: Some(CustomLaw::Patches(law)), .. }) => law.limit_pixels(max_pixels),
            _ => {}
        }
        self
    }

    /// What does not fit together among its settings.
    pub fn problem(&self) -> Option<SettingsProblem> {
        let tiles = |min: NonZeroU16, max: NonZeroU16| crossed("min_tiles", min, ("max_tiles", max));
        match self {
            Self::Custom(custom) => custom.problem(),
            Self::InternVl(settings) => tiles(settings.min_tiles, settings.max_tiles),
            Self::Nvila(settings) => tiles(settings.min_tiles, settings.max_tiles),
            Self::Qwen25Vl(settings) => settings.problem(),
            Self::Qwen3Vl(settings) | Self::Qwen35(settings) => settings.problem(),
            // No patches at most: as many as the context holds.
            Self::NemotronHOmni(settings) if settings.max_patches > 0 => {
                crossed("min_patches", settings.min_patches.get(), ("max_patches", settings.max_patches))
            }
            _ => None,
        }
    }

    /// Which media the processor would resize once more, or refuse, if it were given them at the sizes to which it brings them.
    /// `media` and `plans` are those of one sample, in order.
    ///
    /// Rounding can miss the limits of an area: a strip keeps at least one patch, an odd number of frames is counted as an even
    /// one, and no multiple may lie between two limits. The processor's own size is then not one that it keeps.
    pub fn resizes_again(&self, media: &[Geometry<'_>], plans: &[VisualPlan]) -> Vec<bool> {
        if !self.has_dynamic_size() {
            return vec![false; plans.len()];
        }
        let resized: Vec<Geometry<'_>> = media.iter().zip(plans).map(|(medium, plan)| resized(*medium, plan)).collect();
        let again = |media: &[Geometry<'_>]| self.processor().plan(media).ok();
        if let Some(again) = again(&resized) {
            return again.iter().zip(plans).map(|(again, plan)| !again.shows_the_same(plan)).collect();
        }
        // One that is refused says nothing about the others.
        let alone = |(index, plan): (usize, &VisualPlan)| {
            let media: Vec<Geometry<'_>> = media
                .iter()
                .zip(&resized)
                .enumerate()
                .map(|(other, (medium, resized))| if other == index { *resized } else { *medium })
                .collect();
            again(&media).is_none_or(|again| !again.get(index).is_some_and(|again| again.shows_the_same(plan)))
        };
        plans.iter().enumerate().map(alone).collect()
    }

    /// The family, written in this dialect and at this cost, if all its images cost the same. Others stay as they are.
    #[must_use]
    pub fn with_constant(mut self, dialect: Option<Dialect>, tokens_per_image: Option<NonZeroU32>) -> Self {
        let set = match &mut self {
            Self::Longllava(Longllava { dialect, tokens_per_image })
            | Self::Longvila(Longvila { dialect, tokens_per_image }) => Some((dialect, tokens_per_image)),
            _ => None,
        };
        if let Some((own_dialect, own_tokens)) = set {
            *own_dialect = dialect.unwrap_or(*own_dialect);
            *own_tokens = tokens_per_image.unwrap_or(*own_tokens);
        }
        self
    }
}

/// The medium at the size that a plan says, and with the frames that it takes.
fn resized<'p>(medium: Geometry<'p>, plan: &'p VisualPlan) -> Geometry<'p> {
    let size = plan.layout.size();
    match medium {
        Geometry::Image(_) => Geometry::Image(size),
        Geometry::Tiles { .. } => medium,
        Geometry::Video(clip) => Geometry::Video(Clip { size, ..clip.with_frames(&plan.frames) }),
    }
}

impl Default for Family {
    fn default() -> Self {
        Self::Longllava(Longllava::default())
    }
}

/// Qwen3.5 reads images and videos as Qwen3-VL does.
type Qwen35 = Qwen3Vl;

families! {
    /// LongLLaVA
    Longllava = "longllava",
    /// LongVILA, and NVILA without tiles
    Longvila = "longvila",
    /// NVILA
    Nvila = "nvila",
    /// Qwen2-VL and Qwen2.5-VL
    Qwen25Vl = "qwen2.5-vl",
    /// Qwen3-VL
    Qwen3Vl = "qwen3-vl",
    /// Qwen3.5
    Qwen35 = "qwen3.5",
    /// InternVL 2.5 to 3.5
    InternVl = "internvl",
    /// LLaVA-1.5
    Llava15 = "llava-1.5",
    /// LLaVA-NeXT (LLaVA-1.6) and LLaVA-NeXT-Video
    LlavaNext = "llava-next",
    /// LLaVA-OneVision
    LlavaOneVision = "llava-onevision",
    /// Idefics3
    Idefics3 = "idefics3",
    /// SmolVLM and SmolVLM2
    SmolVlm = "smolvlm",
    /// Nemotron Nano 12B v2 VL
    NemotronNanoVl = "nemotron-nano-vl",
    /// Nemotron 3 Nano Omni
    NemotronHOmni = "nemotron-3-nano-omni",
    /// Granite 4 Vision
    Granite4Vision = "granite-4-vision",
    /// Any other model: its law and its tokens are settings
    Custom = "custom",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_that_of_its_family() {
        for (name, _) in Family::NAMES {
            assert_eq!(Family::named(name).unwrap().name(), *name);
        }
        assert_eq!(Family::named("qwen"), None);
    }

    #[test]
    fn a_table_without_settings_is_the_published_checkpoint() {
        for (name, _) in Family::NAMES {
            let read: Family = toml::from_str(&format!("family = {name:?}")).unwrap();
            assert_eq!(Some(read), Family::named(name));
        }
    }

    #[test]
    fn no_more_tiles_are_asked_for_than_are_allowed() {
        for name in ["internvl", "nvila"] {
            assert_eq!(problem(name, "min_tiles = 13"), Some("min_tiles"));
            assert_eq!(problem(name, "min_tiles = 12"), None);
        }
    }

    #[test]
    fn a_minimum_is_at_most_its_maximum() {
        for name in ["qwen2.5-vl", "qwen3-vl", "qwen3.5"] {
            assert_eq!(problem(name, "min_pixels = 2000000\nmax_pixels = 1000000"), Some("min_pixels"));
            assert_eq!(problem(name, "max_pixels = 3000"), Some("min_pixels"), "below the minimum by default");
            assert_eq!(problem(name, "video = { min_frames = 9, max_frames = 8 }"), Some("video.min_frames"));
            assert_eq!(problem(name, "video = { min_pixels = 30000000 }"), Some("video.min_pixels"));
            assert_eq!(problem(name, "min_pixels = 100352\nmax_pixels = 100352\nvideo = { max_frames = 4 }"), None);
        }
        assert_eq!(problem("nemotron-3-nano-omni", "max_patches = 1000"), Some("min_patches"));
        assert_eq!(problem("nemotron-3-nano-omni", "max_patches = 0"), None);
    }

    fn problem(name: &str, text: &str) -> Option<&'static str> {
        let family: Family = toml::from_str(&format!("family = {name:?}\n{text}")).unwrap();
        family.problem().map(|problem| problem.key)
    }

    #[test]
    fn settings_are_read_and_unknown_ones_are_errors() {
        let text =
            "family = \"qwen3-vl\"\nmax_pixels = 1310720\n[video]\nframes = { num_frames = 8 }\nbudget = \"capped\"";
        let Family::Qwen3Vl(read) = toml::from_str(text).unwrap() else { panic!("another family") };
        assert_eq!((read.max_pixels, read.video.frames), (1_310_720, crate::Frames::count(8)));
        assert!(toml::from_str::<Family>("family = \"qwen3-vl\"\nmax_pixel = 3").is_err());
    }
}
