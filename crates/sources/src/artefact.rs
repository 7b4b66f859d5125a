//! Text left over from the generation of a dataset, where an answer should be.

use manyframe_core::{RejectCode, Rejection, Role};
use memchr::memmem::Finder;

use crate::draft::{DraftPart, DraftTurn};
use crate::reject::quoted;

/// Answers that are not answers, compared as a whole, without white space around them.
const ANSWERS: [&str; 2] = [
    // Shot2Story, issue 14.
    "Placeholder for visual caption.",
    // SVIT, issue 5: the model was called without a message.
    "message is empty",
];

/// Names of internal files and formats that leaked into turns, anywhere in the text.
const LEAKS: [&str; 2] = [
    // VideoInstruct-100K; LLaVA-NeXT's trainer removes it.
    "QA_GT_caption_based_noisy",
    // LLaVA-NeXT-Data.
    "GPT-T-COCO format",
];

/// A letter that is in each of them and that most turns lack: these are searched once, for it.
const LETTER_OF_LEAKS: u8 = b'G';

/// What to look for in the turns of a source.
pub(crate) struct Artefacts {
    answers: Vec<String>,
    leaks: [Finder<'static>; LEAKS.len()],
}

impl Artefacts {
    /// The known artefacts, and those that the options of a source add.
    pub(crate) fn with_answers(more: &[String]) -> Self {
        let more = more.iter().map(String::as_str);
        let answers = ANSWERS.into_iter().chain(more).map(|answer| answer.trim().to_owned()).collect();
        Self { answers, leaks: LEAKS.map(Finder::new) }
    }

    fn is_no_answer(&self, text: &str) -> bool {
        self.answers.iter().any(|answer| answer == text)
    }

    fn has_leak(&self, text: &str) -> bool {
        let text = text.as_bytes();
        memchr::memchr(LETTER_OF_LEAKS, text).is_some() && self.leaks.iter().any(|leak| leak.find(text).is_some())
    }

    /// Rejects a record if one of its turns is an artefact, or contains one.
    pub(crate) fn reject_in(&self, turns: &[DraftTurn<'_>]) -> Result<(), Rejection> {
        for (index, turn) in turns.iter().enumerate() {
            for part in &turn.parts {
                let DraftPart::Text(text) = part else { continue };
                let is_answer = turn.role == Role::Assistant && turn.parts.len() == 1;
                let is_artefact = is_answer && self.is_no_answer(text.trim());
                if is_artefact || self.has_leak(text) {
                    let detail = format!("turn {index} is an artefact, or contains one: {}", quoted(text));
                    return Err(Rejection::new(RejectCode::ArtefactText, detail));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_leak_is_found_within_a_text() {
        let artefacts = Artefacts::with_answers(&[]);
        assert!(LEAKS.iter().all(|leak| artefacts.has_leak(&format!("It says {leak}."))));
        assert!(!artefacts.has_leak("Good, in the format of COCO."));
    }
}
