//! What was found wrong, up to a number that people read.

use manyframe_core::RecordId;
use serde_json::Value;

/// The names of the fields in which two rows differ. It does not compile unless every field is listed.
macro_rules! differences {
    ($found:expr, $expected:expr, $row:ident { $($field:ident),* $(,)? }) => {{
        let ($row { $($field),* }, expected) = ($found, $expected);
        let mut names = Vec::new();
        $(if *$field != expected.$field {
            names.push(stringify!($field));
        })*
        names
    }};
}
pub(super) use differences;

/// Problems in the order in which they were found.
#[derive(Debug, Default)]
pub(super) struct Findings {
    problems: Vec<String>,
    num_unlisted: u64,
}

impl Findings {
    /// Problems beyond this many are counted only.
    pub(super) const MOST_PROBLEMS: usize = 100;

    pub(super) fn problem(&mut self, problem: String) {
        if self.problems.len() < Self::MOST_PROBLEMS {
            self.problems.push(problem);
        } else {
            self.num_unlisted += 1;
        }
    }

    /// Adds what is wrong with a sample.
    pub(super) fn faults(&mut self, shard: &str, id: RecordId, faults: &[String]) {
        for fault in faults {
            self.problem(format!("{shard}: sample {id}: {fault}"));
        }
    }

    /// Adds the problems of others.
    pub(super) fn extend(&mut self, others: Self) {
        others.problems.into_iter().for_each(|problem| self.problem(problem));
        self.num_unlisted += others.num_unlisted;
    }

    /// How many problems there are, listed or not.
    pub(super) fn num_problems(&self) -> u64 {
        self.problems.len() as u64 + self.num_unlisted
    }

    /// The problems, and how many more there are.
    pub(super) fn into_problems(mut self) -> Vec<String> {
        if self.num_unlisted > 0 {
            self.problems.push(format!("{} more problems are not listed", self.num_unlisted));
        }
        self.problems
    }

    /// A problem for each part of a value that is not as expected.
    pub(super) fn compare(&mut self, name: &str, found: &Value, expected: &Value) {
        match (found, expected) {
            (Value::Object(found), Value::Object(expected)) => {
                for (key, expected) in expected {
                    self.compare(&format!("{name}.{key}"), found.get(key).unwrap_or(&Value::Null), expected);
                }
                for (key, found) in found.iter().filter(|(key, _)| !expected.contains_key(*key)) {
                    self.compare(&format!("{name}.{key}"), found, &Value::Null);
                }
            }
            (Value::Array(found), Value::Array(expected)) if found.len() == expected.len() => {
                for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
                    self.compare(&format!("{name}[{index}]"), found, expected);
                }
            }
            (Value::Array(found), Value::Array(expected)) => {
                self.problem(format!("{name} has {} elements, expected {}", found.len(), expected.len()));
            }
            _ if found == expected => {}
            (Value::Null, _) => self.problem(format!("{name} is missing, expected {expected}")),
            (_, Value::Null) => self.problem(format!("{name} is {found}, expected to be absent")),
            _ => self.problem(format!("{name} is {found}, expected {expected}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_difference_is_named_by_its_path() {
        let mut findings = Findings::default();
        let found = json!({ "a": [1, { "b": 2 }], "c": "x", "more": 1, "list": [1] });
        findings.compare("m", &found, &json!({ "a": [1, { "b": 3 }], "c": "x", "gone": true, "list": [] }));
        assert_eq!(
            findings.into_problems(),
            [
                "m.a[1].b is 2, expected 3",
                "m.gone is missing, expected true",
                "m.list has 1 elements, expected 0",
                "m.more is 1, expected to be absent",
            ]
        );
    }

    #[test]
    fn problems_beyond_the_first_hundred_are_counted() {
        let mut findings = Findings::default();
        (0..103).for_each(|number| findings.problem(number.to_string()));
        let problems = findings.into_problems();
        assert_eq!((problems.len(), problems[100].as_str()), (101, "3 more problems are not listed"));
    }
}
