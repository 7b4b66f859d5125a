//! The grid of a set: which cell and question the n-th record is of.
//!
//! Records of one length come first, then those of one task; permutations of a question follow each other.

use manyframe_core::NeedleTask;

use super::options::NeedleOptions;

/// What the n-th record asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) task: NeedleTask,
    pub(crate) length: u32,
    /// In thousandths; `None` if needles are at several places.
    pub(crate) depth: Option<u32>,
    /// Number of the question in its cell.
    pub(crate) number: u32,
    pub(crate) permutation: u32,
}

/// Number of records.
pub(crate) fn num_records(options: &NeedleOptions) -> u64 {
    let of_length: u64 = options.tasks.iter().map(|&task| num_of_task(task, options)).sum();
    of_length * options.lengths.len() as u64
}

/// Number of records of a task with one length.
fn num_of_task(task: NeedleTask, options: &NeedleOptions) -> u64 {
    let num_depths = if task.has_depth() { options.depths.len() as u64 } else { 1 };
    num_depths * u64::from(options.questions_per_cell) * u64::from(options.num_permutations())
}

/// The cell of a record; `None` if there are not so many.
pub(crate) fn cell(options: &NeedleOptions, record: u64) -> Option<Cell> {
    let of_length: u64 = options.tasks.iter().map(|&task| num_of_task(task, options)).sum();
    let length = *options.lengths.get(usize::try_from(record.checked_div(of_length)?).ok()?)?;
    let mut rest = record % of_length;
    let is_of = |task: &&NeedleTask| {
        let num = num_of_task(**task, options);
        let is_here = rest < num;
        rest -= if is_here { 0 } else { num };
        is_here
    };
    let task = *options.tasks.iter().find(is_of)?;
    let permutations = u64::from(options.num_permutations());
    let (question, permutation) = (rest / permutations, (rest % permutations) as u32);
    let per_cell = u64::from(options.questions_per_cell);
    let depth = options.depths.get((question / per_cell) as usize).copied().filter(|_| task.has_depth());
    Some(Cell { task, length, depth, number: (question % per_cell) as u32, permutation })
}

impl Cell {
    /// What its question is called, whatever the permutation.
    pub(crate) fn key(&self) -> String {
        let depth = self.depth.map_or_else(|| "-".to_owned(), |depth| depth.to_string());
        format!("{}/{}/{depth}/{}", self.task.as_str(), self.length, self.number)
    }
}

/// Where a needle at a depth is among `num_places` places, for a haystack of so many frames: `floor(depth × length ÷ 1000)`, or the
/// last place.
pub(crate) fn index_at(depth: u32, length: u32, num_places: u32) -> u32 {
    let index = u64::from(depth) * u64::from(length) / 1000;
    u32::try_from(index).unwrap_or(u32::MAX).min(num_places.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_has_its_questions_in_all_permutations() {
        let options = NeedleOptions {
            tasks: vec![NeedleTask::VNiah, NeedleTask::CountingEdit],
            lengths: vec![8, 16],
            depths: vec![0, 500],
            questions_per_cell: 3,
            ..NeedleOptions::default()
        };
        let cells: Vec<Cell> = (0..num_records(&options)).map(|record| cell(&options, record).unwrap()).collect();
        assert_eq!(cells.len(), 2 * (2 * 3 + 3) * 4);
        assert_eq!(cell(&options, cells.len() as u64), None);
        let keys: std::collections::BTreeSet<String> =
            cells.iter().map(|cell| format!("{}/{}", cell.key(), cell.permutation)).collect();
        assert_eq!(keys.len(), cells.len());
        assert_eq!(cells[5].key(), "v_niah/8/0/1");
        assert_eq!(cells[24].key(), "counting_edit/8/-/0");
        assert_eq!(cells[36].length, 16);
    }

    #[test]
    fn a_depth_is_a_place_that_exists() {
        assert_eq!(index_at(500, 65, 66), 32);
        assert_eq!(index_at(1000, 64, 65), 64);
        assert_eq!(index_at(1000, 64, 64), 63);
        assert_eq!(index_at(0, 64, 64), 0);
    }
}
