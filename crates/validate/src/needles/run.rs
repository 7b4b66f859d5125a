//! Asks questions, haystack by haystack, and continues where an earlier run stopped.

use std::ops::Range;
use std::path::Path;

use manyframe_base::Progress;
use manyframe_core::Digest;
use manyframe_media::RgbImage;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::measure::{PendingScores, QuestionMeasure};
use super::question::{NeedleSample, OptionPrompt, QuestionFacts, QuestionImage};
use super::scorer::Scorer;
use super::tree::{Leaf, TreeVisitor, score_leaves};
use crate::error::ValidateError;
use crate::measure::{Journal, Meter};
use crate::prefix::ContinuationScore;
use crate::prompt::{PromptEntry, prompt_entries};
use crate::sequence::{SequenceSizes, Unusable};

/// The questions of a run, by index. Each may be read several times.
pub trait QuestionSource {
    /// Why a question cannot be read.
    type Error: From<ValidateError>;

    /// Consecutive questions about the same haystack, which are asked together; all questions, in order. The ids of all their prompts
    /// are in memory at once.
    fn batches(&self) -> Vec<Range<usize>>;

    /// Reads a question with its images.
    ///
    /// # Errors
    ///
    /// It cannot be read. A question that can be read but not asked is no error.
    fn read(&self, index: usize) -> Result<NeedleSample, Self::Error>;
}

/// Questions, and who answers them.
pub struct NeedleRun<'a, Q, S> {
    /// The questions.
    pub questions: &'a Q,
    /// Who answers them.
    pub scorer: &'a S,
    /// The sizes of the model.
    pub sizes: SequenceSizes,
    /// Whether it sees images.
    pub has_tower: bool,
    /// Measures time.
    pub meter: &'a dyn Meter,
}

/// Time and amount of work of this run; what an earlier one did is left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NeedleUsage {
    /// Questions that were asked.
    pub num_questions: u64,
    /// Tokens of their prompts, if each ran by itself once: with its visuals, and as text alone.
    pub num_prompt_tokens: u64,
    /// Tokens that were run: what prompts begin with in common once.
    pub num_run_tokens: u64,
    /// Images that were run.
    pub num_images: u64,
    /// Seconds.
    pub seconds: f64,
    /// The most memory that the process had, in bytes; absent where it is not known.
    pub peak_memory_bytes: Option<u64>,
}

impl NeedleUsage {
    /// How many times as many tokens would have run without shared beginnings; `None` if nothing ran.
    pub fn sharing(&self) -> Option<f64> {
        (self.num_run_tokens > 0).then(|| self.num_prompt_tokens as f64 / self.num_run_tokens as f64)
    }
}

impl<Q: QuestionSource, S: Scorer> NeedleRun<'_, Q, S> {
    /// Asks all questions that are not in the journal, and adds each to it as soon as all of its options are scored. Returns the
    /// measures of all questions in order.
    ///
    /// The file name of the journal must identify questions and model: a journal is only good for the same ones.
    ///
    /// # Errors
    ///
    /// A question cannot be read, a computation fails, or the journal cannot be read or written. What was done by then is in the
    /// journal.
    pub fn run(self, journal: &Path, progress: &dyn Progress) -> Result<(Vec<QuestionMeasure>, NeedleUsage), Q::Error> {
        let start_s = self.meter.seconds();
        let mut journal = Journal::open(journal)?;
        let mut usage = NeedleUsage::default();
        let mut measures = Vec::new();
        for batch in self.questions.batches() {
            let done: Vec<Option<QuestionMeasure>> =
                batch.clone().map(|index| journal.take(&(index..index + 1)).and_then(|mut one| one.pop())).collect();
            let num_done = done.iter().flatten().count() as u64;
            progress.advance(num_done, num_done);
            let mut asked = BatchRun {
                run: &self,
                first: batch.start,
                slots: Vec::new(),
                usage: &mut usage,
                journal: &mut journal,
                progress,
                last_read: None,
            };
            let leaves = asked.prepare(done)?;
            // Text alone takes next to no time, so that a question is in the journal as soon as it was seen.
            let (blind, seen): (Vec<_>, Vec<_>) = leaves.into_iter().partition(|leaf| leaf.is_blind);
            asked.score(blind)?;
            asked.score(seen)?;
            measures.extend(asked.slots.into_iter().map(|slot| slot.measure));
        }
        usage.seconds = self.meter.seconds() - start_s;
        usage.peak_memory_bytes = self.meter.peak_memory_bytes();
        Ok((measures, usage))
    }
}

/// A question of a batch.
struct Slot {
    measure: QuestionMeasure,
    /// With visuals, and as text alone, until both are complete.
    seen: PendingScores,
    blind: PendingScores,
}

/// An answer to be scored, and whether without visuals.
struct SideLeaf {
    leaf: Leaf,
    is_blind: bool,
}

struct BatchRun<'a, Q, S> {
    run: &'a NeedleRun<'a, Q, S>,
    first: usize,
    slots: Vec<Slot>,
    usage: &'a mut NeedleUsage,
    journal: &'a mut Journal<QuestionMeasure>,
    progress: &'a dyn Progress,
    /// The question whose images were read last.
    last_read: Option<(usize, NeedleSample)>,
}

impl<Q: QuestionSource, S: Scorer> BatchRun<'_, Q, S> {
    /// Reads the questions of the batch that are not done, and lists their answers.
    fn prepare(&mut self, done: Vec<Option<QuestionMeasure>>) -> Result<Vec<SideLeaf>, Q::Error> {
        let mut leaves = Vec::new();
        for (question, done) in done.into_iter().enumerate() {
            if let Some(measure) = done {
                self.slots.push(Slot { measure, seen: PendingScores::of(0, 0), blind: PendingScores::of(0, 0) });
                continue;
            }
            let sample = self.run.questions.read(self.first + question)?;
            let right = sample.facts.right as usize;
            let mut slot = Slot {
                measure: QuestionMeasure::of(&sample),
                seen: PendingScores::of(sample.prompts.len(), right),
                blind: PendingScores::of(sample.blind.len(), right),
            };
            match self.lay_out(question, &sample) {
                Ok(of_question) => {
                    let prompt = of_question.iter().find(|side| !side.is_blind).map(|side| &side.leaf.prompt);
                    slot.measure.num_tokens = prompt.map_or(0, |prompt| self.num_tokens(prompt));
                    let blind = of_question.iter().find(|side| side.is_blind).map(|side| &side.leaf.prompt);
                    self.usage.num_questions += 1;
                    self.usage.num_prompt_tokens +=
                        slot.measure.num_tokens + blind.map_or(0, |prompt| self.num_tokens(prompt));
                    self.slots.push(slot);
                    leaves.extend(of_question);
                }
                Err(reason) => {
                    slot.measure.unusable = Some(reason);
                    self.slots.push(slot);
                    self.finish(question)?;
                }
            }
        }
        Ok(leaves)
    }

    /// The answers of a question, or why it cannot be asked.
    fn lay_out(&self, question: usize, sample: &NeedleSample) -> Result<Vec<SideLeaf>, Unusable> {
        if !sample.images.is_empty() && !self.run.has_tower {
            return Err(Unusable::NoTower);
        }
        let keys: Vec<u64> = sample.images.iter().map(QuestionImage::key).collect();
        let side = |prompts: &[OptionPrompt], keys: &[u64], is_blind: bool| -> Result<Vec<SideLeaf>, Unusable> {
            let leaf = |(option, prompt): (usize, &OptionPrompt)| {
                let answer = prompt_entries(&prompt.answer, &[], self.run.sizes)?;
                let answer = answer.iter().filter_map(PromptEntry::token).collect();
                let prompt = prompt_entries(&prompt.input_ids, keys, self.run.sizes)?;
                Ok(SideLeaf { leaf: Leaf { prompt, answer, question, option }, is_blind })
            };
            prompts.iter().enumerate().map(leaf).collect()
        };
        let mut leaves = side(&sample.prompts, &keys, false)?;
        leaves.extend(side(&sample.blind, &[], true)?);
        Ok(leaves)
    }

    fn num_tokens(&self, prompt: &[PromptEntry]) -> u64 {
        prompt.iter().map(|entry| entry.num_tokens(self.run.sizes.tokens_per_image) as u64).sum()
    }

    fn score(&mut self, leaves: Vec<SideLeaf>) -> Result<(), Q::Error> {
        let is_blind = leaves.iter().any(|side| side.is_blind);
        let leaves = leaves.into_iter().map(|side| side.leaf).collect();
        let scorer = self.run.scorer;
        score_leaves(leaves, scorer, &mut SideRun { batch: self, is_blind })
    }

    /// Puts a question into the journal.
    fn finish(&mut self, question: usize) -> Result<(), Q::Error> {
        let Some(slot) = self.slots.get_mut(question) else { return Ok(()) };
        self.journal.append(self.first + question, vec![slot.measure.clone()])?;
        self.progress.advance(1, 1);
        Ok(())
    }
}

/// One of the two ways in which the questions of a batch are asked.
struct SideRun<'a, 'b, Q, S> {
    batch: &'a mut BatchRun<'b, Q, S>,
    is_blind: bool,
}

impl<Q: QuestionSource, S: Scorer> TreeVisitor for SideRun<'_, '_, Q, S> {
    type Error = Q::Error;

    fn read_image(&mut self, question: usize, image: usize) -> Result<Option<RgbImage>, Q::Error> {
        if self.batch.last_read.as_ref().is_none_or(|(read, _)| *read != question) {
            // Before the next is read, so that two are never in memory.
            self.batch.last_read = None;
            self.batch.last_read = Some((question, self.batch.run.questions.read(self.batch.first + question)?));
        }
        let images = self.batch.last_read.as_ref().map(|(_, sample)| sample.images.as_slice()).unwrap_or_default();
        Ok(images.get(image).and_then(QuestionImage::decode))
    }

    fn lose(&mut self, leaf: &Leaf) -> Result<(), Q::Error> {
        let Some(slot) = self.batch.slots.get_mut(leaf.question) else { return Ok(()) };
        // Its other options are lost with it.
        let is_known = slot.measure.unusable.replace(Unusable::UndecodableImage).is_some();
        if is_known || self.is_blind { Ok(()) } else { self.batch.finish(leaf.question) }
    }

    fn take(&mut self, leaf: &Leaf, score: ContinuationScore) -> Result<(), Q::Error> {
        let Some(slot) = self.batch.slots.get_mut(leaf.question) else { return Ok(()) };
        if self.is_blind {
            slot.blind.take(leaf.option, score);
            slot.measure.blind = slot.blind.complete();
            return Ok(());
        }
        slot.seen.take(leaf.option, score);
        slot.measure.seen = slot.seen.complete();
        if slot.measure.seen.is_some() { self.batch.finish(leaf.question) } else { Ok(()) }
    }

    fn count(&mut self, entries: &[PromptEntry]) {
        self.batch.usage.num_run_tokens += self.batch.num_tokens(entries);
        self.batch.usage.num_images += entries.iter().filter(|entry| entry.is_image()).count() as u64;
    }
}

impl QuestionMeasure {
    /// A question that was not asked yet.
    fn of(sample: &NeedleSample) -> Self {
        let facts: QuestionFacts = sample.facts.clone();
        let ids = |prompt: &OptionPrompt| -> [Vec<u8>; 2] {
            [&prompt.input_ids, &prompt.answer].map(|ids| ids.iter().flat_map(|id| id.to_le_bytes()).collect())
        };
        let mut text: Vec<Vec<u8>> = sample.blind.iter().flat_map(ids).collect();
        text.push(facts.right.to_le_bytes().to_vec());
        Self {
            facts,
            num_images: sample.images.len() as u64,
            num_tokens: 0,
            seen: None,
            blind: None,
            text: Digest::of_fields(text.iter().map(Vec::as_slice)),
            unusable: None,
        }
    }
}
