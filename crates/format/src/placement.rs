//! Where a family's chat template puts the visuals of a turn, and which template that is.

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
    /// The visuals of a turn come before its text, each followed by a newline. This is between the texts that it had around it.
    First(&'static str),
}

impl Placement {
    pub(crate) fn of(family: &Family) -> Self {
        match family {
            Family::Longllava(_) | Family::Longvila(_) => Self::Llava,
            Family::Llava15(_) => Self::First(" "),
            Family::LlavaNext(_) | Family::LlavaOneVision(_) => Self::First(""),
            Family::InternVl(_) => Self::InPlace("\n"),
            Family::Qwen25Vl(_)
            | Family::Qwen3Vl(_)
            | Family::Idefics3(_)
            | Family::SmolVlm(_)
            | Family::NemotronNanoVl(_)
            | Family::NemotronHOmni(_)
            | Family::Granite4Vision(_) => Self::InPlace(""),
            Family::Qwen35(_) => Self::Trimmed,
        }
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
            Family::Longvila(_) | Family::LlavaOneVision(_) | Family::NemotronHOmni(_) => Some(Self::Chatml),
            Family::Idefics3(_) | Family::SmolVlm(_) | Family::NemotronNanoVl(_) | Family::Granite4Vision(_) => None,
        }
    }
}
