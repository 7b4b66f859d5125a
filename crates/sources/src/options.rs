//! The choices that upstream files leave open. Every default is the strict one: reject rather than repair.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::SourceKind;

/// How a reader decides where upstream leaves a choice.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SourceOptions {
    /// What happens to a record with fewer placeholders than images or videos.
    pub missing_placeholders: MissingPlaceholders,
    /// What happens to a record whose placeholders stand in the answers, as in M4-Instruct's `twitter_post`.
    pub swapped_roles: SwappedRoles,
    /// What happens to a conversation that starts with an answer, as ShareGPT's often do.
    pub leading_answer: LeadingAnswer,
    /// Questions for captions that have none (`sharegpt4video`). With several, each record takes one by a hash of its
    /// id and path. Default: one sentence.
    pub questions: Vec<String>,
    /// Which captions answer (`sharegpt4video`).
    pub captions: Captions,
    /// Answers that are artefacts of upstream's generation, besides the known ones: a record with an answer equal to
    /// one of them, white space around it aside, is rejected.
    pub artefacts: Vec<String>,
    /// Frames per second of videos that cannot say it themselves, such as directories of frames. Greater than 0.
    pub fps: Option<f64>,
}

/// What happens to a record with fewer placeholders than images or videos.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MissingPlaceholders {
    /// The record is rejected.
    #[default]
    Reject,
    /// The missing ones are put before the first user turn, as Mantis' own loader does.
    Prepend,
}

/// What happens to a record whose placeholders stand in the answers and nowhere else.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SwappedRoles {
    /// The record is rejected.
    #[default]
    Reject,
    /// User and assistant change places in all of its turns.
    Fix,
}

/// What happens to a conversation that starts with an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LeadingAnswer {
    /// The record is rejected.
    #[default]
    Reject,
    /// The answers before the first question are left out.
    Drop,
}

/// Which captions of a video answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Captions {
    /// The caption of the whole video.
    #[default]
    Whole,
    /// The captions of the key frames in order, with an empty line between them.
    Keyframes,
}

/// An option that cannot be used as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("option {option:?} {problem}")]
pub struct OptionProblem {
    /// Name of the option in pipeline files.
    pub option: &'static str,
    /// What was found and what is allowed.
    pub problem: String,
}

impl SourceOptions {
    /// Everything that is wrong with these options for a kind of source: values out of range, and options that are set
    /// although the kind does not read them. Empty if they can be used.
    pub fn problems(&self, kind: SourceKind) -> Vec<OptionProblem> {
        let mut problems = Vec::new();
        if let Some(fps) = self.fps.filter(|fps| !fps.is_finite() || *fps <= 0.0) {
            problems.push(OptionProblem { option: "fps", problem: format!("is {fps}, expected a number above 0") });
        }
        for (option, texts) in [("questions", &self.questions), ("artefacts", &self.artefacts)] {
            if texts.iter().any(|text| text.trim().is_empty()) {
                problems.push(OptionProblem { option, problem: "has an empty text".to_owned() });
            }
            if texts.iter().collect::<BTreeSet<_>>().len() < texts.len() {
                problems.push(OptionProblem { option, problem: "has the same text twice".to_owned() });
            }
        }
        let default = Self::default();
        let only_captions =
            [("questions", self.questions != default.questions), ("captions", self.captions != default.captions)];
        for (option, _) in only_captions.into_iter().filter(|(_, is_set)| *is_set && kind != SourceKind::Sharegpt4video)
        {
            let problem = format!("is not read by kind {:?}, only by \"sharegpt4video\"", kind.as_str());
            problems.push(OptionProblem { option, problem });
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_fit_every_kind() {
        for &kind in SourceKind::ALL {
            assert_eq!(SourceOptions::default().problems(kind), []);
        }
    }

    #[test]
    fn all_problems_are_named_together() {
        let options = SourceOptions {
            fps: Some(f64::NAN),
            artefacts: vec!["x".into(), "x".into()],
            questions: vec![" ".into()],
            ..SourceOptions::default()
        };
        let named: Vec<_> = options.problems(SourceKind::Llava).iter().map(|problem| problem.option).collect();
        assert_eq!(named, ["fps", "questions", "artefacts", "questions"]);
    }

    #[test]
    fn an_unknown_option_is_refused() {
        assert!(serde_json::from_str::<SourceOptions>(r#"{"question": ["x"]}"#).is_err());
        assert!(serde_json::from_str::<SourceOptions>(r#"{"captions": "keyframes"}"#).is_ok());
    }
}
