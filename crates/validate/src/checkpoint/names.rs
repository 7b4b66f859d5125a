//! One name per tensor, whichever common spelling a checkpoint uses.
//!
//! | here | Hugging Face Jamba and CLIP | LongLLaVA and LLaVA |
//! |---|---|---|
//! | `model.layers.0…`, `lm_head.weight` | the same | the same, or after `language_model.` |
//! | `projector.0.weight`, `projector.2.weight` | `multi_modal_projector.linear_1.weight` … | `model.mm_projector.0.weight` … |
//! | `vision.encoder…` | `vision_model.encoder…`, or `encoder…` in `vision_tower/` | `model.vision_tower.vision_tower.vision_model.encoder…` |

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileContents {
    /// A model or parts of it.
    Model,
    /// A vision tower alone.
    VisionTower,
}

/// Prefixes of tensors that a vision tower does not need: other parts of CLIP, and buffers.
const UNNEEDED: [&str; 5] =
    ["text_model.", "text_projection.", "visual_projection.", "logit_scale", "embeddings.position_ids"];

/// The name used here; `None` for tensors that are not needed.
pub(super) fn canonical(written: &str, contents: FileContents) -> Option<String> {
    let name =
        strip(written, &["model."], &["language_model.", "vision_tower.", "mm_projector.", "multi_modal_projector."]);
    if let Some(rest) = after_any(name, &["vision_tower.", "vision_model."]) {
        return vision(rest);
    }
    if let Some(rest) = name.strip_prefix("mm_projector.") {
        return Some(format!("projector.{rest}"));
    }
    if let Some(rest) = name.strip_prefix("multi_modal_projector.") {
        return Some(format!("projector.{}", rest.replace("linear_1.", "0.").replace("linear_2.", "2.")));
    }
    if contents == FileContents::VisionTower {
        return vision(name);
    }
    match name.strip_prefix("language_model.") {
        // Newer versions write `model.language_model.layers…` and `lm_head.weight`.
        Some(rest) if !rest.starts_with("model.") && !rest.starts_with("lm_head.") => Some(format!("model.{rest}")),
        Some(rest) => Some(rest.to_owned()),
        None => Some(name.to_owned()),
    }
}

/// The name of a tensor of the vision tower; `None` if it is not needed.
fn vision(name: &str) -> Option<String> {
    let mut rest = name;
    while let Some(inner) = after_any(rest, &["vision_tower.", "vision_model."]) {
        rest = inner;
    }
    let is_needed = !UNNEEDED.iter().any(|prefix| rest.starts_with(prefix));
    is_needed.then(|| format!("vision.{rest}"))
}

/// The name without one of the prefixes, if one of the followers comes after it.
fn strip<'a>(name: &'a str, prefixes: &[&str], followers: &[&str]) -> &'a str {
    let rest = after_any(name, prefixes);
    rest.filter(|rest| followers.iter().any(|follower| rest.starts_with(follower))).unwrap_or(name)
}

/// What follows the first prefix that matches.
fn after_any<'a>(name: &'a str, prefixes: &[&str]) -> Option<&'a str> {
    prefixes.iter().find_map(|prefix| name.strip_prefix(prefix))
}

/// The name in the files that are written here, as in LLaVA.
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
    fn every_spelling_is_the_same_tensor() {
        let in_model = |name| canonical(name, FileContents::Model).unwrap();
        for name in
            ["model.layers.3.mamba.D", "language_model.model.layers.3.mamba.D", "model.language_model.layers.3.mamba.D"]
        {
            assert_eq!(in_model(name), "model.layers.3.mamba.D");
        }
        for name in ["model.mm_projector.2.bias", "mm_projector.2.bias", "multi_modal_projector.linear_2.bias"] {
            assert_eq!(in_model(name), "projector.2.bias");
        }
        for name in [
            "model.vision_tower.vision_tower.vision_model.pre_layrnorm.bias",
            "vision_tower.vision_model.pre_layrnorm.bias",
        ] {
            assert_eq!(in_model(name), "vision.pre_layrnorm.bias");
        }
        assert_eq!(
            canonical("pre_layrnorm.bias", FileContents::VisionTower).as_deref(),
            Some("vision.pre_layrnorm.bias")
        );
        assert_eq!(
            canonical("vision_model.pre_layrnorm.bias", FileContents::VisionTower).as_deref(),
            Some("vision.pre_layrnorm.bias")
        );
    }

    #[test]
    fn tensors_that_no_tower_needs_are_left_out() {
        assert_eq!(canonical("vision_model.embeddings.position_ids", FileContents::VisionTower), None);
        assert_eq!(canonical("text_model.final_layer_norm.bias", FileContents::VisionTower), None);
    }

    #[test]
    fn names_that_are_written_are_read_again() {
        for name in ["projector.0.weight", "vision.post_layernorm.bias", "model.layers.0.mamba.D", "lm_head.weight"] {
            assert_eq!(canonical(&written(name), FileContents::Model).as_deref(), Some(name));
        }
    }
}
