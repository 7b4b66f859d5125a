//! `needle-scores.json`: accuracies by task, by cell and by group, and the text-only control.

use std::collections::{BTreeMap, BTreeSet};

use manyframe_core::{Digest, RecordId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::chance::{ChanceBounds, chance_bounds};
use super::measure::QuestionMeasure;
use super::question::Cell;
use super::run::NeedleUsage;
use crate::measure::{ModelFacts, TableEntry};

/// Raised whenever a reader of an older version would misread a report.
const REPORT_VERSION: u32 = 1;
/// Maximum number of questions that are listed by id.
const MAX_LISTED: usize = 20;

/// What a model finds in the haystacks of a dataset. The same dataset, model and device type yield the same report, except for `usage`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NeedleReport {
    /// Version of this format.
    pub report_version: u32,
    /// The file with a row for each question; absent if none was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<TableEntry>,
    /// The picture of `cells`; absent if none was drawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heat_map: Option<TableEntry>,
    /// The model that was run.
    pub model: ModelFacts,
    /// All questions.
    pub total: NeedleMeasures,
    /// By task; of a task that several sources ask, by source: `ordering_insert (fruits)`.
    pub by_task: BTreeMap<String, NeedleMeasures>,
    /// By length and depth, over all tasks, the shortest first.
    pub cells: Vec<CellMeasures>,
    /// The same for each task.
    pub cells_by_task: BTreeMap<String, Vec<CellMeasures>>,
    /// The questions as text alone.
    pub control: ControlMeasures,
    /// Questions that could not be run; at most 20.
    pub unusable: Vec<RecordId>,
    /// Time and memory of this run on this machine.
    pub usage: NeedleUsage,
}

/// How many of some questions are answered right. A question that could not be run is not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NeedleMeasures {
    /// Number of questions.
    pub num_questions: u64,
    /// Of these, answered right: the right option is the likeliest, or each token of a free answer is the most probable one.
    pub num_right: u64,
    /// Of these, questions whose right answer greedy decoding would write.
    pub num_greedy: u64,
    /// Of these, questions that could not be run.
    pub num_unusable: u64,
    /// `num_right / num_questions`.
    pub accuracy: f64,
    /// Groups of which every permutation is there.
    pub num_groups: u64,
    /// Of these, groups of which every permutation is answered right.
    pub num_right_groups: u64,
    /// `num_right_groups / num_groups`; absent without groups.
    pub group_accuracy: Option<f64>,
    /// Accuracies that guessing gives. Groups count as one question each, since their permutations are not independent.
    pub chance: ChanceBounds,
}

/// Accuracies of a cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CellMeasures {
    /// Length and depth.
    #[serde(flatten)]
    pub cell: Cell,
    /// Its questions.
    #[serde(flatten)]
    pub measures: NeedleMeasures,
}

/// The questions with options as text alone, without any visual. Groups that read the same count once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ControlMeasures {
    /// Groups of questions with options.
    pub num_groups: u64,
    /// Of these, groups that read differently.
    pub num_distinct: u64,
    /// Mean over them of the share of their permutations that are answered right; absent without any.
    pub accuracy: Option<f64>,
    /// Accuracies that guessing gives, if each distinct group counts as one question.
    pub chance: ChanceBounds,
    /// Whether `accuracy` is within them; if it is above, the texts give answers away.
    pub is_at_chance: bool,
    /// Questions with a free answer.
    pub num_free: u64,
    /// Of these, questions whose answer greedy decoding would write without any visual.
    pub num_free_right: u64,
}

impl NeedleReport {
    /// Summarises the measures of questions.
    pub fn new(measures: &[QuestionMeasure], model: ModelFacts, usage: NeedleUsage) -> Self {
        let mut sources: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for measure in measures {
            sources.entry(&measure.facts.task).or_default().insert(&measure.facts.source);
        }
        let mut by_task: BTreeMap<String, Vec<&QuestionMeasure>> = BTreeMap::new();
        for measure in measures {
            let (task, source) = (&measure.facts.task, &measure.facts.source);
            let is_of_one = sources.get(task.as_str()).is_none_or(|sources| sources.len() == 1);
            let name = if is_of_one { task.clone() } else { format!("{task} ({source})") };
            by_task.entry(name).or_default().push(measure);
        }
        let all: Vec<&QuestionMeasure> = measures.iter().collect();
        let unusable = measures.iter().filter(|measure| measure.unusable.is_some()).map(|measure| measure.facts.id);
        Self {
            report_version: REPORT_VERSION,
            table: None,
            heat_map: None,
            model,
            total: NeedleMeasures::of(&all),
            cells: cells(&all),
            cells_by_task: by_task.iter().map(|(task, members)| (task.clone(), cells(members))).collect(),
            by_task: by_task.iter().map(|(task, members)| (task.clone(), NeedleMeasures::of(members))).collect(),
            control: ControlMeasures::of(measures),
            unusable: unusable.take(MAX_LISTED).collect(),
            usage,
        }
    }
}

/// Questions with their options in another order.
#[derive(Default)]
struct Group {
    num_expected: u64,
    num_there: u64,
    num_right: u64,
    /// Of each question, what it reads like.
    texts: Vec<Digest>,
    num_right_blind: u64,
    chance: f64,
}

/// By source and group.
fn groups<'a>(measures: impl IntoIterator<Item = &'a QuestionMeasure>) -> BTreeMap<(&'a str, &'a str), Group> {
    let mut groups: BTreeMap<(&str, &str), Group> = BTreeMap::new();
    for measure in measures {
        let facts = &measure.facts;
        let group = groups.entry((&facts.source, &facts.group)).or_default();
        group.num_expected = facts.num_permutations;
        group.num_there += 1;
        group.num_right += u64::from(measure.is_right());
        group.texts.push(measure.text);
        group.num_right_blind += u64::from(measure.is_right_blind());
        group.chance = facts.chance();
    }
    groups
}

impl NeedleMeasures {
    fn of(measures: &[&QuestionMeasure]) -> Self {
        let count = |keep: &dyn Fn(&QuestionMeasure) -> bool| measures.iter().filter(|one| keep(one)).count() as u64;
        let num_right = count(&QuestionMeasure::is_right);
        let groups = groups(measures.iter().copied());
        let whole = || groups.values().filter(|group| group.num_there == group.num_expected);
        let num_groups = whole().count() as u64;
        let num_right_groups = whole().filter(|group| group.num_right == group.num_there).count() as u64;
        let chances = measures.iter().map(|measure| measure.facts.chance()).sum::<f64>();
        Self {
            num_questions: measures.len() as u64,
            num_right,
            num_greedy: count(&QuestionMeasure::is_greedy),
            num_unusable: count(&|measure| measure.unusable.is_some()),
            accuracy: ratio(num_right as f64, measures.len() as u64).unwrap_or(0.0),
            num_groups,
            num_right_groups,
            group_accuracy: ratio(num_right_groups as f64, num_groups),
            chance: chance_bounds(groups.len() as u64, ratio(chances, measures.len() as u64).unwrap_or(0.0)),
        }
    }
}

fn cells(measures: &[&QuestionMeasure]) -> Vec<CellMeasures> {
    let mut members: BTreeMap<Cell, Vec<&QuestionMeasure>> = BTreeMap::new();
    for measure in measures {
        members.entry(measure.facts.cell).or_default().push(measure);
    }
    members.into_iter().map(|(cell, members)| CellMeasures { cell, measures: NeedleMeasures::of(&members) }).collect()
}

impl ControlMeasures {
    fn of(measures: &[QuestionMeasure]) -> Self {
        let (with_options, free): (Vec<&QuestionMeasure>, Vec<_>) =
            measures.iter().filter(|measure| measure.blind.is_some()).partition(|one| one.facts.has_options());
        let groups = groups(with_options);
        let num_groups = groups.len() as u64;
        let mut distinct: BTreeMap<Vec<Digest>, Group> = BTreeMap::new();
        for mut group in groups.into_values() {
            group.texts.sort_unstable();
            // What reads the same may have another answer in each haystack.
            let alike = distinct.entry(group.texts.clone()).or_default();
            alike.num_there += group.num_there;
            alike.num_right_blind += group.num_right_blind;
            alike.chance = group.chance;
        }
        let num_distinct = distinct.len() as u64;
        let shares = distinct.values().filter_map(|group| ratio(group.num_right_blind as f64, group.num_there));
        let accuracy = ratio(shares.sum(), num_distinct);
        let chances = distinct.values().map(|group| group.chance).sum();
        let chance = chance_bounds(num_distinct, ratio(chances, num_distinct).unwrap_or(0.0));
        Self {
            num_groups,
            num_distinct,
            accuracy,
            chance,
            is_at_chance: accuracy.is_none_or(|accuracy| chance.contains(accuracy)),
            num_free: free.len() as u64,
            num_free_right: free.iter().filter(|measure| measure.is_right_blind()).count() as u64,
        }
    }
}

fn ratio(sum: f64, num: u64) -> Option<f64> {
    (num > 0).then(|| sum / num as f64)
}
