//! One name for each tensor, whichever way a checkpoint spells it.
//!
//! | here | Hugging Face Jamba and CLIP | LongLLaVA and LLaVA |
//! |---|---|---|
//! | `model.layers.0…`, `lm_head.weight` | the same | the same, or after `language_model.` |
//! | `projector.0.weight`, `projector.2.weight` | `multi_modal_projector.linear_1.weight` … | `model.mm_projector.0.weight` … |
//! | `vision.encoder…` | `vision_model.encoder…`, or `encoder…` in a folder of its own | `model.vision_tower.vision_tower.vision_model.encoder…` |

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// A language model, perhaps with the rest.
    Whole,
    /// A vision tower alone.
    Vision,
}

/// Parts of CLIP that no vision tower needs, and buffers that are not parameters.
const IGNORED: [&str; 5] =
    ["text_model.", "text_projection.", "visual_projection.", "logit_scale", "embeddings.position_ids"];

/// The name here; `None` for what is not needed.
pub(super) fn canonical(found: &str, part: Part) -> Option<String> {
    let name =
        strip(found, &["model."], &["language_model.", "vision_tower.", "mm_projector.", "multi_modal_projector."]);
    if let Some(rest) = after_any(name, &["vision_tower.", "vision_model."]) {
        return vision(rest);
    }
    if let Some(rest) = name.strip_prefix("mm_projector.") {
        return Some(format!("projector.{rest}"));
    }
    if let Some(rest) = name.strip_prefix("multi_modal_projector.") {
        return Some(format!("projector.{}", rest.replace("linear_1.", "0.").replace("linear_2.", "2.")));
    }
    if part == Part::Vision {
        return vision(name);
    }
    match name.strip_prefix("language_model.") {
        // Newer versions write `model.language_model.layers…` and `lm_head.weight`.
        Some(rest) if !rest.starts_with("model.") && !rest.starts_with("lm_head.") => Some(format!("model.{rest}")),
        Some(rest) => Some(rest.to_owned()),
        None => Some(name.to_owned()),
    }
}

fn vision(name: &str) -> Option<String> {
    let mut rest = name;
    while let Some(inner) = after_any(rest, &["vision_tower.", "vision_model."]) {
        rest = inner;
    }
    let is_needed = !IGNORED.iter().any(|ignored| rest.starts_with(ignored));
    is_needed.then(|| format!("vision.{rest}"))
}

/// The name without its first part, if what follows is one of these.
fn strip<'a>(name: &'a str, prefixes: &[&str], followers: &[&str]) -> &'a str {
    let rest = after_any(name, prefixes);
    rest.filter(|rest| followers.iter().any(|follower| rest.starts_with(follower))).unwrap_or(name)
}

fn after_any<'a>(name: &'a str, prefixes: &[&str]) -> Option<&'a str> {
    prefixes.iter().find_map(|prefix| name.strip_prefix(prefix))
}

/// The name in the files written here: LLaVA's.
pub(super) fn written(name: &str) -> String {
    if let Some(rest) = name.strip_prefix("projector.") {
        return format!("model.mm_projector.{rest}");
    }
    match name.strip_prefix("vision.") {
        Some(rest) => format!("model.vision_tower.vision_tower.vision_model.{rest}"),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_means_the_same_tensor() {
        let whole = |name| canonical(name, Part::Whole).unwrap_or_default();
        for name in
            ["model.layers.3.mamba.D", "language_model.model.layers.3.mamba.D", "model.language_model.layers.3.mamba.D"]
        {
            assert_eq!(whole(name), "model.layers.3.mamba.D");
        }
        for name in ["model.mm_projector.2.bias", "mm_projector.2.bias", "multi_modal_projector.linear_2.bias"] {
            assert_eq!(whole(name), "projector.2.bias");
        }
        for name in [
            "model.vision_tower.vision_tower.vision_model.pre_layrnorm.bias",
            "vision_tower.vision_model.pre_layrnorm.bias",
        ] {
            assert_eq!(whole(name), "vision.pre_layrnorm.bias");
        }
        assert_eq!(canonical("pre_layrnorm.bias", Part::Vision).as_deref(), Some("vision.pre_layrnorm.bias"));
        assert_eq!(
            canonical("vision_model.pre_layrnorm.bias", Part::Vision).as_deref(),
            Some("vision.pre_layrnorm.bias")
        );
    }

    #[test]
    fn what_no_tower_needs_is_left_out() {
        assert_eq!(canonical("vision_model.embeddings.position_ids", Part::Vision), None);
        assert_eq!(canonical("text_model.final_layer_norm.bias", Part::Vision), None);
    }

    #[test]
    fn written_names_are_understood() {
        for name in ["projector.0.weight", "vision.post_layernorm.bias", "model.layers.0.mamba.D", "lm_head.weight"] {
            assert_eq!(canonical(&written(name), Part::Whole).as_deref(), Some(name));
        }
    }
}
