//! Where a family's chat template puts the visuals of a turn, which template that is, and whose tokenizer reads it.

use manyframe_core::{Part, Turn, Visual, VisualKind};
use manyframe_vision::Family;

use crate::template::Template;

/// Where visuals are in their turn, and what is around them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Placement {
    /// LLaVA and LongLLaVA: a single visual of a record is first; the markup ends with a newline, which the end of a turn
    /// does not have.
    Llava,
    /// Each visual is where it is in the conversation, followed by this text.
    InPlace(&'static str),
    /// Each visual is where it is in the conversation. A turn neither starts nor ends with white space.
    Trimmed,
    /// The visuals of a turn come before its text, images before videos, each followed by a newline. This is between the texts
    /// that it had around it.
    First(&'static str),
}

impl Placement {
    /// That of a template in Jinja, which decides itself where visuals are.
    pub(crate) fn of_jinja(family: &Family) -> Self {
        if family.constant().is_some() { Self::Llava } else { Self::InPlace("") }
    }

    pub(crate) fn of(family: &Family) -> Self {
        match family {
            Family::Longllava(_) | Family::Longvila(_) | Family::Nvila(_) => Self::Llava,
            Family::Llava15(_) => Self::First(" "),
            Family::LlavaNext(_) | Family::LlavaOneVision(_) => Self::First(""),
            Family::InternVl(_) => Self::InPlace("\n"),
            Family::Qwen25Vl(_)
            | Family::Qwen3Vl(_)
            | Family::Idefics3(_)
            | Family::SmolVlm(_)
            | Family::NemotronNanoVl(_)
            | Family::NemotronHOmni(_)
            | Family::Granite4Vision(_)
            | Family::Custom(_) => Self::InPlace(""),
            Family::Qwen35(_) => Self::Trimmed,
        }
    }
}

/// Whether the tokenizer of a family is Llama's, which begins every text with `<s>`. A SentencePiece model does not say so itself.
pub(crate) fn has_tokenizer_of_llama(family: &Family) -> bool {
    matches!(family, Family::Llava15(_) | Family::LlavaNext(_))
}

/// The order in which a family shows the visuals of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VisualOrder {
    /// As they are in the conversation.
    AsWritten,
    /// Images before videos, as the chat templates of LLaVA's converters in `transformers` do, which put visuals before the text
    /// (`models/llava_onevision/convert_llava_onevision_weights_to_hf.py`).
    ImagesFirst,
}

impl VisualOrder {
    /// The order of a family.
    pub fn of(family: &Family) -> Self {
        if matches!(Placement::of(family), Placement::First(_)) { Self::ImagesFirst } else { Self::AsWritten }
    }

    /// Brings the visuals of the turns of a record, and with them its media, into this order.
    pub fn apply<M: Clone>(self, turns: &mut [Turn], media: &mut Vec<M>) {
        let is_video = |visual: &Visual| visual.kind == VisualKind::Video;
        let is_ordered = |turn: &Turn| turn.visuals().is_sorted_by_key(|visual| is_video(&visual));
        if self == Self::AsWritten || turns.iter().all(is_ordered) {
            return;
        }
        let mut ordered_media = Vec::with_capacity(media.len());
        for turn in turns {
            let mut visuals: Vec<Visual> = turn.visuals().collect();
            visuals.sort_by_key(is_video);
            let places = turn.parts.iter_mut().filter(|part| matches!(part, Part::Visual(_)));
            for (place, visual) in places.zip(visuals) {
                *place = Part::Visual(Visual { media: ordered_media.len(), ..visual });
                ordered_media.extend(media.get(visual.media).cloned());
            }
        }
        *media = ordered_media;
    }
}

impl Template {
    /// The template of a family, where a pipeline file names none. `None` if it has to.
    pub fn of(family: &Family) -> Option<Self> {
        match family {
            Family::Longllava(_) => Some(Self::Longllava),
            Family::Qwen25Vl(_) => Some(Self::Qwen25Vl),
            Family::Qwen3Vl(_) | Family::InternVl(_) => Some(Self::Qwen3Vl),
            Family::Qwen35(_) => Some(Self::Qwen35),
            Family::Llava15(_) => Some(Self::Llava15),
            Family::LlavaNext(_) => Some(Self::LlavaNext),
            Family::Longvila(_) | Family::Nvila(_) | Family::LlavaOneVision(_) | Family::NemotronHOmni(_) => {
                Some(Self::Chatml)
            }
            Family::Idefics3(_) => Some(Self::Idefics3),
            Family::SmolVlm(_) => Some(Self::Smolvlm),
            Family::NemotronNanoVl(_) | Family::Granite4Vision(_) | Family::Custom(_) => None,
        }
    }
}
