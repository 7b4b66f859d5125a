//! The format settings, as they appear in a pipeline file.

use std::num::NonZeroU32;

use manyframe_vision::{Dialect, Family};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::literals::LiteralTags;
use crate::template::{Template, TurnEnd};

/// The format of a dataset: how visuals and turns are written, and what an image costs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FormatSpec {
    /// How visuals are written; for the families `longllava` and `longvila`. Default: the family's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dialect: Option<Dialect>,
    /// How turns are written: a template that is built in; `"tokenizer"` for that of the checkpoint; `{ jinja = "FILE" }` for a
    /// chat template in Jinja, with `path`, `variables` and `answers` in a table `[format.template.jinja]`; `{ custom = … }` for your own
    /// strings. Default: the template of the model family, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<Template>,
    /// What follows an answer that is not the last one. Default: `eos`.
    pub turn_end: TurnEnd,
    /// Tokens that one image takes; for the families `longllava` and `longvila`, to which every image costs the same: 144 are 24×24
    /// patches of CLIP ViT-L/14 at 336 px, pooled 2×2 (LongLLaVA, arXiv 2409.02889); LongVILA uses 196 or 256 (arXiv 2408.10188).
    /// Default: the family's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65536))]
    pub tokens_per_image: Option<NonZeroU32>,
    /// What `input_ids` contain in place of images. Default: `one` for `longllava` and `longvila`, otherwise `expanded`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placeholders: Option<Placeholders>,
    /// What happens to texts that contain a placeholder, a role marker or a special token. Default: `uppercase`.
    pub literal_tags: LiteralTags,
}

/// What `input_ids` contain in place of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Placeholders {
    /// One id, −200, for each run of tokens, as LLaVA's trainers expect: for each image, tile or frame; with Qwen for every two
    /// frames.
    One,
    /// The id of the model's own placeholder, as often as the model sees a feature there: what its processor returns.
    Expanded,
}

impl FormatSpec {
    /// The family with the dialect and the tokens per image of this table.
    pub fn family(&self, family: &Family) -> Family {
        family.clone().with_constant(self.dialect, self.tokens_per_image)
    }

    /// How turns are written. A family without a template of its own has none, which a check of the pipeline file reports.
    pub fn template(&self, family: &Family) -> Template {
        self.template.clone().or_else(|| Template::of(family)).unwrap_or_else(|| Template::Custom(Box::default()))
    }

    /// The table without the paths of files, whose contents matter.
    #[must_use]
    pub fn without_paths(&self) -> Self {
        Self { template: self.template.clone().map(Template::without_path), ..self.clone() }
    }

    /// Whether the placeholders of prompts have to be tokens of the tokenizer. Otherwise prompts are cut at them.
    pub fn needs_placeholders(&self, family: &Family) -> bool {
        family.constant().is_none() || self.placeholders(family) == Placeholders::Expanded
    }

    /// What `input_ids` contain in place of images.
    pub fn placeholders(&self, family: &Family) -> Placeholders {
        let default = || if family.constant().is_some() { Placeholders::One } else { Placeholders::Expanded };
        self.placeholders.unwrap_or_else(default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::TemplateText;

    #[test]
    fn an_empty_table_is_the_default() {
        let spec: FormatSpec = toml::from_str("").unwrap();
        assert_eq!(spec, FormatSpec::default());
        let family = Family::default();
        assert_eq!(spec.family(&family).constant().map(|constant| constant.tokens_per_image.get()), Some(144));
        assert_eq!((spec.template(&family), spec.placeholders(&family)), (Template::Longllava, Placeholders::One));
    }

    #[test]
    fn every_setting_has_its_documented_name() {
        let text = "dialect = \"longllava-2024-10\"\ntemplate = \"chatml\"\nturn_end = \"newline-in-eos-label\"\n\
                    tokens_per_image = 36\nplaceholders = \"expanded\"\nliteral_tags = \"reject\"";
        let spec: FormatSpec = toml::from_str(text).unwrap();
        let expected = FormatSpec {
            dialect: Some(Dialect::Longllava202410),
            template: Some(Template::Chatml),
            turn_end: TurnEnd::NewlineInEosLabel,
            tokens_per_image: NonZeroU32::new(36),
            placeholders: Some(Placeholders::Expanded),
            literal_tags: LiteralTags::Reject,
        };
        assert_eq!(spec, expected);
    }

    #[test]
    fn a_template_can_be_written_out() {
        let spec: FormatSpec = toml::from_str("[template.custom]\nuser_prefix = \"U: \"\nend = \"</s>\"").unwrap();
        let expected = TemplateText { user_prefix: "U: ".into(), end: "</s>".into(), ..TemplateText::default() };
        assert_eq!(spec.template.and_then(|template| template.text()), Some(expected));
        assert!(toml::from_str::<FormatSpec>("[template.custom]\nuser = \"U: \"").is_err());
    }

    #[test]
    fn an_unknown_setting_is_an_error() {
        assert!(toml::from_str::<FormatSpec>("tokens = 3").is_err());
    }
}
