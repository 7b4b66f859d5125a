//! What a model found in the haystacks of a dataset: `needle-scores.json`.

use std::collections::BTreeMap;

use manyframe_dataset::{DatasetError, DatasetReader};
use manyframe_validate::needles::{NeedleMeasures, NeedleReport};
use serde::Serialize;

use crate::heat_map::heat_map_svg;

const SCORES_FILE: &str = "needle-scores.json";

/// What the page shows of the scores.
#[derive(Debug, Serialize)]
pub(crate) struct ShownNeedles {
    device: String,
    is_random: bool,
    tasks: Vec<Task>,
    control: Control,
    /// Drawings, that of all tasks first.
    maps: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Task {
    name: String,
    num_questions: u64,
    accuracy: f64,
    chance: f64,
    num_groups: u64,
    group_accuracy: Option<f64>,
    num_greedy: u64,
    num_unusable: u64,
}

#[derive(Debug, Serialize)]
struct Control {
    num_distinct: u64,
    accuracy: Option<f64>,
    lower: f64,
    upper: f64,
    is_at_chance: bool,
}

impl ShownNeedles {
    /// The scores of a dataset; `None` if there are none that this version can read.
    pub(crate) fn read(dataset: &DatasetReader) -> Result<Option<Self>, DatasetError> {
        let storage = dataset.storage();
        if storage.num_bytes(SCORES_FILE)?.is_none() {
            return Ok(None);
        }
        let Ok(report) = serde_json::from_slice::<NeedleReport>(&storage.read(SCORES_FILE)?) else { return Ok(None) };
        Ok(Some(Self::of(&report)))
    }

    fn of(report: &NeedleReport) -> Self {
        let all = BTreeMap::from([("all".to_owned(), report.total.clone())]);
        let has_several = report.by_task.len() > 1;
        let tasks = report.by_task.iter().chain(all.iter().filter(|_| has_several));
        let maps = [("all tasks", &report.cells)].into_iter().filter(|_| has_several);
        let maps = maps.chain(report.cells_by_task.iter().map(|(task, cells)| (task.as_str(), cells)));
        let (control, chance) = (&report.control, report.control.chance);
        Self {
            device: report.model.device.clone(),
            is_random: report.model.is_random,
            tasks: tasks.map(|(name, measures)| Task::of(name, measures)).collect(),
            control: Control {
                num_distinct: control.num_distinct,
                accuracy: control.accuracy,
                lower: chance.lower,
                upper: chance.upper,
                is_at_chance: control.is_at_chance,
            },
            maps: maps.filter_map(|(name, cells)| heat_map_svg(name, cells)).collect(),
        }
    }
}

impl Task {
    fn of(name: &str, measures: &NeedleMeasures) -> Self {
        Self {
            name: name.to_owned(),
            num_questions: measures.num_questions,
            accuracy: measures.accuracy,
            chance: measures.chance.mean,
            num_groups: measures.num_groups,
            group_accuracy: measures.group_accuracy,
            num_greedy: measures.num_greedy,
            num_unusable: measures.num_unusable,
        }
    }
}
