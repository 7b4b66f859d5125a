//! What settings require of each other: rules that involve more than one key.

pub(crate) mod file;
pub(crate) mod pack;
pub(crate) mod paths;
pub(crate) mod source;

use crate::document::Node;
use crate::problem::Problem;

const NAME: &str = "1 to 64 letters, digits, '-' and '_'";

fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// Names as a sentence lists them: `a, b and c`.
fn enumeration(names: &[&str], conjunction: &str) -> String {
    match names {
        [first @ .., last] if !first.is_empty() => format!("{} {conjunction} {last}", first.join(", ")),
        _ => names.concat(),
    }
}

/// Collects the broken rules of one table.
pub(crate) struct Rules<'a> {
    pub(crate) table: &'a Node,
    /// The table as messages call it: `source.NAME`; empty for the whole file.
    pub(crate) name: &'a str,
    pub(crate) problems: &'a mut Vec<Problem>,
}

impl Rules<'_> {
    /// Reports a broken rule at the value of a path of keys, or at the table that lacks it.
    fn broken(&mut self, path: &[&str], message: &str, allowed: &str) {
        let message = format!("{}{message}", self.name);
        self.problems.push(Problem::new(self.table.location_of(path), &message).with_allowed(allowed));
    }

    fn has(&self, key: &str) -> bool {
        self.table.has(key)
    }
}
