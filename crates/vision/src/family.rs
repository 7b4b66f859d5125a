//! The model families, by name, with the settings of each.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::idefics::{Idefics3, SmolVlm};
use crate::llava::{Granite4Vision, Llava15, LlavaNext, LlavaOneVision};
use crate::nemotron::NemotronHOmni;
use crate::processor::VisionProcessor;
use crate::qwen::{Qwen3Vl, Qwen25Vl};
use crate::tiles::{InternVl, NemotronNanoVl};

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

            /// What its processor makes of media.
            pub fn processor(&self) -> &dyn VisionProcessor {
                match self {
                    $(Self::$variant(settings) => settings,)*
                }
            }
        }
    };
}

/// Qwen3.5 reads images and videos as Qwen3-VL does.
type Qwen35 = Qwen3Vl;

families! {
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
    fn settings_are_read_and_unknown_ones_are_errors() {
        let text =
            "family = \"qwen3-vl\"\nmax_pixels = 1310720\n[video]\nframes = { num_frames = 8 }\nbudget = \"capped\"";
        let Family::Qwen3Vl(read) = toml::from_str(text).unwrap() else { panic!("another family") };
        assert_eq!((read.max_pixels, read.video.frames), (1_310_720, crate::Frames::count(8)));
        assert!(toml::from_str::<Family>("family = \"qwen3-vl\"\nmax_pixel = 3").is_err());
    }
}
