//! Splits that are not trained on: where one source is called `train`, and another beside it `val` or `test`.

use std::path::Path;

use super::found::FoundSource;

const TRAINING: &[&str] = &["train", "training"];

/// Splits that others are held out for, by the names that people give them.
const HELD_OUT: &[(&str, &[&str])] = &[
    ("validation", &["val", "valid", "validation", "dev", "eval", "evaluation"]),
    ("test", &["test", "testing", "testdev"]),
];

/// Says of sources which split they are, if it is not trained on and the split that is trained on is beside them.
pub(super) fn hold_out(sources: &mut [FoundSource]) {
    let trained: Vec<String> = sources.iter().filter_map(|source| beside(&source.annotations, TRAINING)).collect();
    for source in sources.iter_mut() {
        let is_beside = |names| beside(&source.annotations, names).is_some_and(|place| trained.contains(&place));
        source.held_out = HELD_OUT.iter().find(|(_, names)| is_beside(names)).map(|(split, _)| *split);
    }
}

/// Where the last part of a path is that has one of some names in it: the directories before it.
fn beside(path: &str, names: &[&str]) -> Option<String> {
    let is_named = |part: &&Path| words(part).any(|word| names.contains(&word.as_str()));
    let part = Path::new(path).ancestors().find(is_named)?;
    Some(part.parent()?.to_string_lossy().into_owned())
}

/// The words of the last name of a path: letters in a row, small.
fn words(path: &Path) -> impl Iterator<Item = String> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let words = name.split(|character: char| !character.is_alphabetic()).map(str::to_owned);
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_is_the_last_part_of_a_path_that_is_called_so() {
        let place = |path: &str, names: &[&str]| beside(path, names).unwrap_or_default();
        assert_eq!(place("/data/train-*-of-*.parquet", TRAINING), "/data");
        assert_eq!(place("/data/captions_val2017.json", HELD_OUT[0].1), "/data");
        assert_eq!(place("/data/test/metadata.csv", HELD_OUT[1].1), "/data");
        assert_eq!(place("/data/test/train/metadata.csv", HELD_OUT[1].1), "/data");
        assert_eq!(place("/data/constraint.json", TRAINING), "");
    }
}
