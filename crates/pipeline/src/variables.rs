//! Variables of a pipeline file: `${name}` in a string is replaced by the variable's value. Variables may refer to each other.
//!
//! **Invariant:** time and memory grow with the size of the file: each variable is filled in once, and what it comes to is
//! bounded.

use std::collections::{BTreeMap, BTreeSet};

/// The longest text that variables may come to. No path of a file system is as long.
const MAX_TEXT_BYTES: usize = 1 << 16;
/// The most text that the variables of one file may come to, all settings together.
const MAX_FILE_BYTES: usize = 1 << 26;

/// Why a text cannot be filled in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unfilled {
    /// It refers to a variable that there is not.
    #[error("the variable {0:?} is not declared")]
    Undeclared(String),
    /// It refers to a variable without a value, which is reported where that is declared.
    #[error("the variable {0:?} has no value")]
    WithoutValue(String),
    /// Variables refer to each other, or one to itself: each in this list to the next one, and the last to the first.
    #[error("{}", cycle_text(.0))]
    Cyclic(Vec<String>),
    /// A brace is missing.
    #[error("\"${{\" without a \"}}\"")]
    Unclosed,
    /// The text would be too long.
    #[error("its variables come to more than {MAX_TEXT_BYTES} bytes")]
    TooLong,
    /// All texts of the file would be too long.
    #[error("the variables of the whole file come to more than {} MiB", MAX_FILE_BYTES >> 20)]
    FileTooLong,
}

/// The values of variables, as far as they have any.
#[derive(Debug, Clone, Default)]
pub(crate) struct Values {
    pub(crate) known: BTreeMap<String, String>,
    /// The variables without a value, and why they have none.
    pub(crate) unfilled: BTreeMap<String, Unfilled>,
    num_bytes: usize,
}

impl Values {
    /// Fills in the definitions, each after those that it refers to.
    pub(crate) fn of(definitions: &BTreeMap<String, String>) -> Self {
        let mut found = Self::default();
        // How many references of each definition are not filled in yet, and which definitions wait for a variable.
        let mut num_missing: BTreeMap<&str, usize> = BTreeMap::new();
        let mut waiting: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let mut ready: Vec<&str> = Vec::new();
        for (name, text) in definitions {
            let references = references(text).filter(|reference| definitions.contains_key(*reference));
            let number = references.map(|reference| waiting.entry(reference).or_default().push(name)).count();
            num_missing.insert(name, number);
            if number == 0 {
                ready.push(name);
            }
        }
        while let Some(name) = ready.pop() {
            let Some(text) = definitions.get(name) else { continue };
            match found.fill(text) {
                Ok(value) => _ = found.known.insert(name.to_owned(), value),
                Err(reason) => _ = found.unfilled.insert(name.to_owned(), reason),
            }
            for waiter in waiting.remove(name).unwrap_or_default() {
                let Some(number) = num_missing.get_mut(waiter) else { continue };
                *number -= 1;
                if *number == 0 {
                    ready.push(waiter);
                }
            }
        }
        let left = num_missing.into_iter().filter(|(_, number)| *number > 0).map(|(name, _)| name).collect();
        found.explain_cycles(definitions, &left);
        found
    }

    /// The reasons of variables that wait for each other: a cycle is reported once, and what refers to it has no value.
    fn explain_cycles(&mut self, definitions: &BTreeMap<String, String>, left: &BTreeSet<&str>) {
        for start in left {
            let mut way: Vec<&str> = Vec::new();
            let mut at = *start;
            while !self.unfilled.contains_key(at) {
                let text = definitions.get(at).map_or("", String::as_str);
                let Some(next) = references(text).find(|reference| left.contains(reference)) else { break };
                way.push(at);
                self.unfilled.insert(at.to_owned(), Unfilled::WithoutValue(next.to_owned()));
                at = next;
            }
            let Some(first) = way.iter().position(|name| *name == at) else { continue };
            let cycle: Vec<String> = way.iter().skip(first).map(|name| (*name).to_owned()).collect();
            self.unfilled.insert(at.to_owned(), Unfilled::Cyclic(cycle));
        }
    }

    /// The text with its variables filled in.
    pub(crate) fn fill(&mut self, text: &str) -> Result<String, Unfilled> {
        let mut filled = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let (name, tail) = after.split_once('}').ok_or(Unfilled::Unclosed)?;
            let value = self.known.get(name).ok_or_else(|| {
                if self.unfilled.contains_key(name) {
                    Unfilled::WithoutValue(name.to_owned())
                } else {
                    Unfilled::Undeclared(name.to_owned())
                }
            })?;
            filled.push_str(before);
            filled.push_str(value);
            rest = tail;
            if filled.len() + rest.len() > MAX_TEXT_BYTES {
                return Err(Unfilled::TooLong);
            }
        }
        filled.push_str(rest);
        self.num_bytes = self.num_bytes.saturating_add(filled.len().saturating_sub(text.len()));
        if self.num_bytes > MAX_FILE_BYTES { Err(Unfilled::FileTooLong) } else { Ok(filled) }
    }
}

/// Variables that refer to each other, as a sentence.
fn cycle_text(names: &[String]) -> String {
    const MOST_NAMES: usize = 10;
    let [first, _, ..] = names else { return format!("the variable {:?} refers to itself", names.concat()) };
    let more = if names.len() > MOST_NAMES { " → …" } else { "" };
    let shown = names.iter().take(MOST_NAMES).map(String::as_str).collect::<Vec<_>>().join(" → ");
    format!("variables refer to each other: {shown}{more} → {first}")
}

/// The variables that a text refers to, in order; one may occur more than once.
pub(crate) fn references(text: &str) -> impl Iterator<Item = &str> {
    text.split("${").skip(1).filter_map(|after| after.split_once('}')).map(|(name, _)| name)
}

/// The variable that a path begins with, and what follows: the end, or a slash.
pub(crate) fn leading_variable(text: &str) -> Option<(&str, &str)> {
    let (name, rest) = text.strip_prefix("${")?.split_once('}')?;
    (rest.is_empty() || rest.starts_with('/')).then_some((name, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(definitions: &[(&str, &str)]) -> Values {
        Values::of(&definitions.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect())
    }

    #[test]
    fn variables_refer_to_each_other_in_any_order() {
        let mut values = values(&[("a", "${c}/x"), ("b", "/b"), ("c", "${b}/${b}")]);
        assert_eq!(values.fill("${a}:${b}"), Ok("/b//b/x:/b".to_owned()));
        assert_eq!(values.fill("${d}"), Err(Unfilled::Undeclared("d".to_owned())));
        assert_eq!(values.fill("${a"), Err(Unfilled::Unclosed));
    }

    #[test]
    fn what_refers_to_itself_has_no_value_and_neither_has_what_refers_to_it() {
        let mut values = values(&[("a", "${b}"), ("b", "${a}"), ("c", "${a}"), ("d", "/d"), ("e", "${nothing}")]);
        assert_eq!(values.fill("${a}"), Err(Unfilled::WithoutValue("a".to_owned())));
        assert_eq!(values.unfilled.get("a"), Some(&Unfilled::Cyclic(vec!["a".to_owned(), "b".to_owned()])));
        for name in ["b", "c"] {
            assert_eq!(values.unfilled.get(name), Some(&Unfilled::WithoutValue("a".to_owned())));
        }
        assert_eq!(values.unfilled.get("e"), Some(&Unfilled::Undeclared("nothing".to_owned())));
        assert_eq!(values.fill("${d}"), Ok("/d".to_owned()));
    }

    #[test]
    fn variables_that_repeat_each_other_end_early() {
        let ten = |name: &str| format!("${{{name}}}").repeat(10);
        let mut definitions = vec![("v00".to_owned(), "0123456789".to_owned())];
        definitions.extend((1..30).map(|i| (format!("v{i:02}"), ten(&format!("v{:02}", i - 1)))));
        let mut values = Values::of(&definitions.into_iter().collect());
        assert_eq!(values.unfilled.get("v04"), Some(&Unfilled::TooLong));
        assert_eq!(values.fill("${v29}"), Err(Unfilled::WithoutValue("v29".to_owned())));
        // A text within the limit, used very often.
        let results: Vec<_> = (0..20_000).map(|_| values.fill("${v03}").map(|text| text.len())).collect();
        assert_eq!(results.first(), Some(&Ok(10_000)));
        assert_eq!(results.last(), Some(&Err(Unfilled::FileTooLong)));
    }

    #[test]
    fn a_chain_of_many_variables_is_filled_in_at_once() {
        let mut definitions: BTreeMap<String, String> =
            (1..50_000).map(|i| (format!("v{i}"), format!("${{v{}}}", i - 1))).collect();
        definitions.insert("v0".to_owned(), "/data".to_owned());
        assert_eq!(Values::of(&definitions).fill("${v49999}/x"), Ok("/data/x".to_owned()));
    }

    #[test]
    fn a_path_begins_with_a_variable_only_at_a_slash() {
        assert_eq!(leading_variable("${data}/a.json"), Some(("data", "/a.json")));
        assert_eq!(leading_variable("${data}"), Some(("data", "")));
        assert_eq!(leading_variable("${here}q/bin.parquet"), None);
        assert_eq!(leading_variable("x/${data}"), None);
    }
}
