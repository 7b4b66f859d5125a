//! The questions of a needle dataset as a model is asked them: each option in place of the answer, with and without visuals.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::Path;

use manyframe_core::{Digest, Part, RecordId, Sample};
use manyframe_dataset::{DatasetError, DatasetReader, NeedleEntry};
use manyframe_format::{Formatter, turns_from_messages};
use manyframe_validate::needles::{Cell, NeedleSample, OptionPrompt, QuestionFacts, QuestionImage, QuestionSource};

use super::samples::{DatasetSamples, list_samples};
use crate::error::EngineError;

/// The questions of a dataset: those about short haystacks first, and those about one haystack together.
pub struct DatasetQuestions {
    samples: DatasetSamples,
    questions: Vec<(RecordId, NeedleEntry)>,
}

impl DatasetQuestions {
    /// Finds the questions of a dataset in its shards. Reads no image.
    ///
    /// # Errors
    ///
    /// [`EngineError::NoQuestions`] if it has none, [`EngineError::NoTokenizer`] without its tokenizer, [`EngineError::Dataset`] if it
    /// cannot be read.
    pub fn open(dataset: &DatasetReader, variables: &BTreeMap<String, String>) -> Result<Self, EngineError> {
        let damaged = |detail: String| DatasetError::NotADataset { path: dataset.location().to_owned(), detail };
        let mut questions = Vec::new();
        for entry in dataset.needles()? {
            questions.push((entry.sample, entry));
        }
        if questions.is_empty() {
            return Err(EngineError::NoQuestions { path: dataset.location().to_owned() });
        }
        let haystack = |(_, entry): &(RecordId, NeedleEntry)| (entry.question.length, entry.question.haystack.clone());
        questions.sort_by_key(haystack);
        let listed: HashMap<RecordId, _> =
            list_samples(dataset)?.into_iter().map(|listed| (listed.candidate.id, listed)).collect();
        let chosen = questions.iter().map(|(id, _)| {
            listed.get(id).cloned().ok_or_else(|| damaged(format!("needles: sample {id} is not in the ledger")))
        });
        let chosen = chosen.collect::<Result<Vec<_>, _>>()?;
        Ok(Self { samples: DatasetSamples::open(dataset, &chosen, variables)?, questions })
    }

    /// Number of questions.
    #[expect(clippy::len_without_is_empty, reason = "there is always a question")]
    pub fn len(&self) -> usize {
        self.questions.len()
    }

    /// Identifies the dataset and its questions.
    pub(super) fn digest(&self) -> Digest {
        self.samples.digest()
    }

    /// Where the dataset is.
    pub(super) fn location(&self) -> &Path {
        self.samples.location()
    }

    fn question(&self, id: RecordId, entry: &NeedleEntry, sample: &Sample) -> Result<NeedleSample, EngineError> {
        let formatter = self.samples.formatter();
        let none = |detail: String| EngineError::NoTokens {
            path: self.location().to_owned(),
            detail: format!("sample {id}: {detail}"),
        };
        let question = &entry.question;
        let letters: Vec<&str> = question.options.iter().map(|option| option.letter.as_str()).collect();
        let right = letters.iter().position(|letter| *letter == question.answer);
        let no_option = || none(format!("its answer {:?} is none of its options", question.answer));
        let right = if letters.is_empty() { 0 } else { right.ok_or_else(no_option)? };
        let answers = if letters.is_empty() { vec![question.answer.as_str()] } else { letters };
        let runs = formatter.runs_of(sample).map_err(|rejection| none(rejection.to_string()))?;
        let seen = AnsweredPrompt { text: &sample.prompt, label_spans: &sample.label_spans, runs: &runs };
        let (prompt, label_spans) = without_visuals(formatter, sample).map_err(none)?;
        let blind = AnsweredPrompt { text: &prompt, label_spans: &label_spans, runs: &[] };
        Ok(NeedleSample {
            facts: QuestionFacts {
                id,
                source: entry.source.clone(),
                task: question.task.as_str().to_owned(),
                cell: Cell { length: u64::from(question.length), depth: question.depth },
                group: question.group.clone(),
                permutation: u64::from(question.permutation),
                num_permutations: u64::from(question.num_permutations),
                num_options: question.options.len() as u64,
                right: right as u64,
            },
            prompts: seen.with_answers(formatter, &question.answer, &answers).map_err(none)?,
            blind: blind.with_answers(formatter, &question.answer, &answers).map_err(none)?,
            // Haystacks are delivered as images, never as clips.
            images: sample.images.iter().map(|image| QuestionImage(image.bytes.clone())).collect(),
        })
    }
}

impl QuestionSource for DatasetQuestions {
    type Error = EngineError;

    fn batches(&self) -> Vec<Range<usize>> {
        let mut start = 0;
        let of_haystack = self.questions.chunk_by(|(_, left), (_, right)| {
            (left.question.length, &left.question.haystack) == (right.question.length, &right.question.haystack)
        });
        let batches = of_haystack.map(|questions| {
            start += questions.len();
            start - questions.len()..start
        });
        batches.collect()
    }

    #[expect(clippy::indexing_slicing, reason = "batches are ranges of questions")]
    fn read(&self, index: usize) -> Result<NeedleSample, EngineError> {
        let (id, entry) = &self.questions[index];
        self.question(*id, entry, &self.samples.sample(index)?)
    }
}

/// A prompt whose last label span begins with the right answer.
struct AnsweredPrompt<'a> {
    text: &'a str,
    /// In characters.
    label_spans: &'a [(usize, usize)],
    runs: &'a [u32],
}

impl AnsweredPrompt<'_> {
    /// The ids of the prompt with each of these answers in place of `right`, the last thing in it: what the template writes after an
    /// answer is not scored.
    fn with_answers(&self, formatter: &Formatter, right: &str, answers: &[&str]) -> Result<Vec<OptionPrompt>, String> {
        let no_answer = || format!("its prompt does not end with the answer {right:?}");
        let (start, _) = self.label_spans.last().ok_or_else(no_answer)?;
        let start = self.text.char_indices().nth(*start).map_or(self.text.len(), |(byte, _)| byte);
        let (before, span) = self.text.split_at(start);
        // Templates may begin an answer with white space.
        let space = span.len() - span.trim_start().len();
        if !span.trim_start().starts_with(right) {
            return Err(no_answer());
        }
        let before = format!("{before}{}", span.get(..space).unwrap_or_default());
        answers.iter().map(|answer| self.with_answer(formatter, &before, answer)).collect()
    }

    fn with_answer(&self, formatter: &Formatter, before: &str, answer: &str) -> Result<OptionPrompt, String> {
        let first = before.chars().count();
        let span = [(first, first + answer.chars().count())];
        let tokens = formatter.encode(&format!("{before}{answer}"), &span, self.runs);
        let tokens = tokens.map_err(|error| error.to_string())?;
        let num_before =
            tokens.labels.iter().take_while(|label| **label == manyframe_core::SampleTokens::IGNORED).count();
        let mut input_ids: Vec<i64> = tokens.input_ids.into_iter().map(i64::from).collect();
        let answer = input_ids.split_off(num_before);
        Ok(OptionPrompt { input_ids, answer })
    }
}

/// The prompt of a sample without its visuals, and where its labels are.
fn without_visuals(formatter: &Formatter, sample: &Sample) -> Result<(String, Vec<(usize, usize)>), String> {
    let mut turns =
        turns_from_messages(&sample.messages, &sample.visuals).map_err(|misplaced| misplaced.to_string())?;
    for turn in &mut turns {
        let texts = turn.parts.iter().filter_map(|part| match part {
            Part::Text(text) => Some(text.as_str()),
            Part::Visual(_) => None,
        });
        // What separates visuals from one another and from the question.
        let text = texts.collect::<String>().trim().to_owned();
        turn.parts = vec![Part::Text(text)];
    }
    let bare = formatter.format(&turns, &[]).map_err(|rejection| rejection.to_string())?;
    Ok((bare.prompt, bare.label_spans))
}
