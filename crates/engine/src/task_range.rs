//! Tasks by number, as people and schedulers write them: `7`, `0-99`, `3,8-11`.

use std::fmt;
use std::str::FromStr;

/// Numbers of tasks in increasing order, without repetition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskRanges(Vec<(u32, u32)>);

/// A text that names no tasks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a task or a range of tasks, such as 7, 0-99 or 3,8-11")]
pub struct NotTasks(String);

impl TaskRanges {
    /// The tasks with these numbers.
    pub fn of(tasks: impl IntoIterator<Item = u32>) -> Self {
        let tasks: std::collections::BTreeSet<u32> = tasks.into_iter().collect();
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        for task in tasks {
            match ranges.last_mut() {
                Some((_, last)) if last.checked_add(1) == Some(task) => *last = task,
                _ => ranges.push((task, task)),
            }
        }
        Self(ranges)
    }

    /// The numbers below a bound, and the first that is not below it.
    pub fn below(&self, bound: u32) -> (Vec<u32>, Option<u32>) {
        let beyond = self.0.iter().find(|(_, last)| *last >= bound).map(|(first, _)| bound.max(*first));
        let inside = self.0.iter().flat_map(|&(first, last)| first..=last.min(bound.saturating_sub(1)));
        (if bound == 0 { Vec::new() } else { inside.collect() }, beyond)
    }

    /// The first number.
    pub fn first(&self) -> u32 {
        self.0.first().map_or(0, |(first, _)| *first)
    }
}

impl FromStr for TaskRanges {
    type Err = NotTasks;

    fn from_str(text: &str) -> Result<Self, NotTasks> {
        let not_tasks = || NotTasks(text.to_owned());
        let number = |digits: &str| digits.trim().parse::<u32>().map_err(|_not_a_number| not_tasks());
        let mut ranges = Vec::new();
        for part in text.split(',') {
            let (first, last) = match part.split_once('-') {
                Some((first, last)) => (number(first)?, number(last)?),
                None => (number(part)?, number(part)?),
            };
            if first > last {
                return Err(not_tasks());
            }
            ranges.push((first, last));
        }
        ranges.sort_unstable();
        let mut merged: Vec<(u32, u32)> = Vec::new();
        for (first, last) in ranges {
            match merged.last_mut() {
                Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
                _ => merged.push((first, last)),
            }
        }
        Ok(Self(merged))
    }
}

impl fmt::Display for TaskRanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, (first, last)) in self.0.iter().enumerate() {
            let comma = if position > 0 { "," } else { "" };
            if first == last { write!(f, "{comma}{first}")? } else { write!(f, "{comma}{first}-{last}")? }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_and_written_as_schedulers_write_them() {
        for (text, written) in [("7", "7"), ("0-3", "0-3"), ("3, 8-11,9,4", "3-4,8-11"), ("5-5", "5"), ("2,2", "2")] {
            let ranges: TaskRanges = text.parse().unwrap();
            assert_eq!(ranges.to_string(), written);
            assert_eq!(TaskRanges::of(ranges.below(100).0), ranges);
        }
        for text in ["", "a", "3-", "4-2", "1,,2", "-1", "4294967296"] {
            assert_eq!(text.parse::<TaskRanges>(), Err(NotTasks(text.to_owned())));
        }
    }

    #[test]
    fn what_is_beyond_the_last_task_is_named() {
        let ranges: TaskRanges = "1,3-5".parse().unwrap();
        assert_eq!(ranges.below(6), (vec![1, 3, 4, 5], None));
        assert_eq!(ranges.below(4), (vec![1, 3], Some(4)));
        assert_eq!(ranges.below(2), (vec![1], Some(3)));
        assert_eq!(ranges.below(0), (vec![], Some(1)));
    }
}
