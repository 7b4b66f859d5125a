//! Prompts as a tree: what several of them begin with runs once.
//!
//! ```text
//! ▒▒▒▒▒▒▒▒┬▒▒▒ needle ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒┬ question 1 ─ A? B? C? D?
//!         │                            └ question 2 ─ A? B? C? D?
//!         └▒▒▒▒▒▒▒▒▒▒▒▒┬▒▒▒ needle ▒▒▒▒▒ question 1 …
//!                      └ …
//! ```
//!
//! Nothing has to say what prompts share: it is found by comparing them, so questions about one haystack share all of it, and haystacks
//! that differ in the depth of the needle share what is before it.

use manyframe_media::RgbImage;

use super::scorer::Scorer;
use crate::error::ValidateError;
use crate::prefix::ContinuationScore;
use crate::prompt::PromptEntry;

/// A prompt, an answer to be scored after it, and whose they are.
#[derive(Debug, Clone)]
pub(super) struct Leaf {
    pub(super) prompt: Vec<PromptEntry>,
    pub(super) answer: Vec<u32>,
    /// Position of its question.
    pub(super) question: usize,
    /// Position of its option.
    pub(super) option: usize,
}

/// Who provides images and takes scores.
pub(super) trait TreeVisitor {
    type Error: From<ValidateError>;

    /// Reads the nth image of a question; `None` if it cannot be decoded.
    fn read_image(&mut self, question: usize, image: usize) -> Result<Option<RgbImage>, Self::Error>;

    /// Is told that a leaf cannot be scored, because an image before it cannot be decoded. Leaves of one prompt follow one another.
    fn lose(&mut self, leaf: &Leaf) -> Result<(), Self::Error>;

    /// Takes the score of a leaf. Leaves of one prompt follow one another.
    fn take(&mut self, leaf: &Leaf, score: ContinuationScore) -> Result<(), Self::Error>;

    /// Is told what runs.
    fn count(&mut self, entries: &[PromptEntry]);
}

/// Why entries were not read.
enum Stop<E> {
    /// An image cannot be decoded.
    Undecodable,
    Failed(E),
}

impl<E: From<ValidateError>> From<ValidateError> for Stop<E> {
    fn from(error: ValidateError) -> Self {
        Self::Failed(error.into())
    }
}

/// Scores all leaves, but for those with an image that cannot be decoded. What two prompts begin with runs once; what is remembered of it is dropped as soon as nothing goes on from it.
pub(super) fn score_leaves<S: Scorer, V: TreeVisitor>(
    mut leaves: Vec<Leaf>,
    scorer: &S,
    visitor: &mut V,
) -> Result<(), V::Error> {
    leaves.sort_by(|left, right| {
        left.prompt.cmp(&right.prompt).then((left.question, left.option).cmp(&(right.question, right.option)))
    });
    let mut walk = Walk { scorer, visitor };
    if leaves.is_empty() { Ok(()) } else { walk.visit(&leaves, 0, scorer.begin()?) }
}

struct Walk<'a, S, V> {
    scorer: &'a S,
    visitor: &'a mut V,
}

impl<S: Scorer, V: TreeVisitor> Walk<'_, S, V> {
    /// Scores leaves, sorted by prompt, whose prompts begin with the same `num_done` entries, which `prefix` has read.
    fn visit(&mut self, leaves: &[Leaf], num_done: usize, mut prefix: S::Prefix) -> Result<(), V::Error> {
        let [first, ..] = leaves else { return Ok(()) };
        // Of sorted prompts, all share what the first and the last share.
        let num_shared = leaves.last().map_or(0, |last| num_common(&first.prompt, &last.prompt));
        match self.extend(first, num_done..num_shared, &mut prefix) {
            Ok(()) => {}
            // All of them begin with this image.
            Err(Stop::Undecodable) => return leaves.iter().try_for_each(|leaf| self.visitor.lose(leaf)),
            Err(Stop::Failed(error)) => return Err(error),
        }
        let (ending, going_on) = leaves.split_at(leaves.partition_point(|leaf| leaf.prompt.len() == num_shared));
        for leaf in ending {
            let score = self.scorer.score(&prefix, &leaf.answer)?;
            self.visitor.take(leaf, score)?;
        }
        let mut branches: Vec<&[Leaf]> =
            going_on.chunk_by(|left, right| left.prompt.get(num_shared) == right.prompt.get(num_shared)).collect();
        // The largest comes last and takes the state with it, so that a chain of needles at ever greater depths keeps one state.
        branches.sort_by_key(|branch| branch.len());
        let Some((last, others)) = branches.split_last() else { return Ok(()) };
        for branch in others {
            self.visit(branch, num_shared, prefix.clone())?;
        }
        self.visit(last, num_shared, prefix)
    }

    /// Reads a range of the entries of a leaf.
    fn extend(
        &mut self,
        leaf: &Leaf,
        entries: std::ops::Range<usize>,
        prefix: &mut S::Prefix,
    ) -> Result<(), Stop<V::Error>> {
        let (before, after) = leaf.prompt.split_at(entries.start);
        let entries = after.get(..entries.len()).unwrap_or(after);
        let first_image = before.iter().filter(|entry| entry.is_image()).count();
        let visitor = &mut *self.visitor;
        let mut read = |image| {
            let decoded = visitor.read_image(leaf.question, first_image + image).map_err(Stop::Failed)?;
            decoded.ok_or(Stop::Undecodable)
        };
        self.scorer.extend(prefix, entries, &mut read)?;
        self.visitor.count(entries);
        Ok(())
    }
}

/// Entries that both prompts begin with.
fn num_common(left: &[PromptEntry], right: &[PromptEntry]) -> usize {
    left.iter().zip(right).take_while(|(left, right)| left == right).count()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    /// Remembers every entry and every image that it was shown; its likelihoods are numbers of entries.
    struct Rememberer;

    impl Scorer for Rememberer {
        type Prefix = Vec<PromptEntry>;

        fn begin(&self) -> Result<Self::Prefix, ValidateError> {
            Ok(Vec::new())
        }

        fn extend<E: From<ValidateError>>(
            &self,
            prefix: &mut Self::Prefix,
            entries: &[PromptEntry],
            read_image: &mut dyn FnMut(usize) -> Result<RgbImage, E>,
        ) -> Result<(), E> {
            let mut num_images = 0;
            for entry in entries {
                prefix.push(if entry.is_image() {
                    num_images += 1;
                    PromptEntry::Image(u64::from(read_image(num_images - 1)?.width_px()))
                } else {
                    *entry
                });
            }
            Ok(())
        }

        fn score(&self, prefix: &Self::Prefix, answer: &[u32]) -> Result<ContinuationScore, ValidateError> {
            let hash = prefix.iter().fold(0_u64, |hash, entry| {
                let (kind, value) = match entry {
                    PromptEntry::Token(id) => (1, u64::from(*id)),
                    PromptEntry::Image(key) => (2, *key),
                };
                (hash * 31 + kind * 7 + value) % 1_000_003
            });
            Ok(ContinuationScore { log_likelihood: (hash * 31 + answer.len() as u64) as f64, is_greedy: false })
        }
    }

    struct Prompts {
        of_questions: Vec<Vec<PromptEntry>>,
        scores: BTreeMap<(usize, usize), f64>,
        lost: BTreeSet<(usize, usize)>,
        num_run: usize,
    }

    /// The key of an image that nobody can decode.
    const UNDECODABLE: u64 = 77;

    impl TreeVisitor for Prompts {
        type Error = ValidateError;

        fn read_image(&mut self, question: usize, image: usize) -> Result<Option<RgbImage>, ValidateError> {
            let mut images = self.of_questions[question].iter().filter(|entry| entry.is_image());
            let Some(PromptEntry::Image(key)) = images.nth(image) else { panic!("no image {image}") };
            Ok((*key != UNDECODABLE).then(|| RgbImage::gray(*key as u32, 1, 0).unwrap()))
        }

        fn lose(&mut self, leaf: &Leaf) -> Result<(), ValidateError> {
            assert!(self.lost.insert((leaf.question, leaf.option)));
            Ok(())
        }

        fn take(&mut self, leaf: &Leaf, score: ContinuationScore) -> Result<(), ValidateError> {
            assert!(self.scores.insert((leaf.question, leaf.option), score.log_likelihood).is_none());
            Ok(())
        }

        fn count(&mut self, entries: &[PromptEntry]) {
            self.num_run += entries.len();
        }
    }

    /// Scores of two options for each prompt, and the entries that were run.
    fn scored(prompts: &[Vec<PromptEntry>]) -> (BTreeMap<(usize, usize), f64>, usize) {
        let visitor = walked(prompts);
        assert!(visitor.lost.is_empty());
        (visitor.scores, visitor.num_run)
    }

    fn walked(prompts: &[Vec<PromptEntry>]) -> Prompts {
        let leaf = |(question, option): (usize, usize)| Leaf {
            prompt: prompts[question].clone(),
            answer: vec![0; option + 1],
            question,
            option,
        };
        let leaves = (0..prompts.len()).flat_map(|question| [(question, 0), (question, 1)]).map(leaf).collect();
        let mut visitor =
            Prompts { of_questions: prompts.to_vec(), scores: BTreeMap::new(), lost: BTreeSet::new(), num_run: 0 };
        score_leaves(leaves, &Rememberer, &mut visitor).unwrap();
        visitor
    }

    fn entry() -> impl Strategy<Value = PromptEntry> {
        prop_oneof![(0_u32..3).prop_map(PromptEntry::Token), (1_u64..4).prop_map(PromptEntry::Image)]
    }

    #[test]
    fn a_needle_at_each_depth_runs_again_only_what_is_behind_it() {
        let haystack = |depth: usize| -> Vec<PromptEntry> {
            let image = |place| PromptEntry::Image(if place == depth { 99 } else { place as u64 + 1 });
            (0..10).map(image).chain([PromptEntry::Token(1)]).collect()
        };
        let prompts: Vec<_> = [2, 5, 9].map(haystack).to_vec();
        let (scores, num_run) = scored(&prompts);
        assert_eq!(scores.len(), 6);
        // 10 frames and a token; the needle at 2 or at 5, and what follows it, once more.
        assert_eq!(num_run, 11 + 9 + 6);
    }

    proptest! {
        #[test]
        fn an_image_that_cannot_be_decoded_costs_the_prompts_that_have_it(
            prompts in prop::collection::vec(prop::collection::vec(entry(), 1..8), 1..12),
            spoilt in 1_u64..4
        ) {
            let spoil = |entry: &PromptEntry| match entry {
                PromptEntry::Image(key) if *key == spoilt => PromptEntry::Image(UNDECODABLE),
                other => *other,
            };
            let damaged: Vec<Vec<PromptEntry>> = prompts.iter().map(|prompt| prompt.iter().map(spoil).collect()).collect();
            let found = walked(&damaged);
            for (question, prompt) in damaged.iter().enumerate() {
                let is_lost = prompt.contains(&PromptEntry::Image(UNDECODABLE));
                for option in 0..2 {
                    prop_assert_eq!(found.lost.contains(&(question, option)), is_lost);
                    let alone = (!is_lost).then(|| scored(std::slice::from_ref(prompt)).0[&(0, option)]);
                    prop_assert_eq!(found.scores.get(&(question, option)).copied(), alone);
                }
            }
        }

        #[test]
        fn scores_are_those_of_prompts_that_run_alone(
            prompts in prop::collection::vec(prop::collection::vec(entry(), 1..8), 1..12)
        ) {
            let (scores, num_run) = scored(&prompts);
            prop_assert_eq!(scores.len(), 2 * prompts.len());
            for (question, prompt) in prompts.iter().enumerate() {
                let alone = scored(std::slice::from_ref(prompt)).0;
                for option in 0..2 {
                    prop_assert_eq!(scores[&(question, option)].to_bits(), alone[&(0, option)].to_bits());
                }
            }
            // As many as a trie of the prompts has nodes.
            let mut nodes: Vec<&[PromptEntry]> =
                prompts.iter().flat_map(|prompt| (1..=prompt.len()).map(|end| &prompt[..end])).collect();
            nodes.sort_unstable();
            nodes.dedup();
            prop_assert_eq!(num_run, nodes.len());
        }
    }
}
