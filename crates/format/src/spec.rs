//! The format settings, as they appear in a pipeline file.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::dialect::Dialect;
use crate::literals::LiteralTags;
use crate::template::{Template, TurnEnd};

/// The format of a dataset: how visuals and turns are written, and what an image costs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FormatSpec {
    /// How visuals are written. Default: `longllava`.
    pub dialect: Dialect,
    /// How turns are written. Default: `longllava`.
    pub template: Template,
    /// What follows an answer that is not the last one. Default: `eos`.
    pub turn_end: TurnEnd,
    /// Tokens that one image takes. Default: 144, which is 24×24 patches of CLIP ViT-L/14 at 336 px, pooled 2×2
    /// (LongLLaVA, arXiv 2409.02889). LongVILA uses 196 or 256 (arXiv 2408.10188).
    #[schemars(range(min = 1, max = 65536))]
    pub tokens_per_image: u32,
    /// What happens to texts that contain a placeholder, a role marker or a special token. Default: `uppercase`.
    pub literal_tags: LiteralTags,
}

impl Default for FormatSpec {
    fn default() -> Self {
        Self {
            dialect: Dialect::default(),
            template: Template::default(),
            turn_end: TurnEnd::default(),
            tokens_per_image: 144,
            literal_tags: LiteralTags::default(),
        }
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
        assert_eq!(spec.tokens_per_image, 144);
    }

    #[test]
    fn every_setting_has_its_documented_name() {
        let text = "dialect = \"longllava-2024-10\"\ntemplate = \"chatml\"\nturn_end = \"newline-in-eos-label\"\n\
                    tokens_per_image = 36\nliteral_tags = \"reject\"";
        let spec: FormatSpec = toml::from_str(text).unwrap();
        let expected = FormatSpec {
            dialect: Dialect::Longllava202410,
            template: Template::Chatml,
            turn_end: TurnEnd::NewlineInEosLabel,
            tokens_per_image: 36,
            literal_tags: LiteralTags::Reject,
        };
        assert_eq!(spec, expected);
    }

    #[test]
    fn a_template_can_be_written_out() {
        let spec: FormatSpec = toml::from_str("[template.custom]\nuser_prefix = \"U: \"\nend = \"</s>\"").unwrap();
        let expected = TemplateText { user_prefix: "U: ".into(), end: "</s>".into(), ..TemplateText::default() };
        assert_eq!(spec.template.text(), expected);
        assert!(toml::from_str::<FormatSpec>("[template.custom]\nuser = \"U: \"").is_err());
    }

    #[test]
    fn an_unknown_setting_is_an_error() {
        assert!(toml::from_str::<FormatSpec>("tokens = 3").is_err());
    }
}
