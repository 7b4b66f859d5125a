//! Splits that are not trained on: where one source is called `train`, and another beside it `val` or `test`.

use std::path::{Path, PathBuf};

use super::found::FoundSource;

const TRAINING: &str = "train";

/// Splits by the names that people give them.
const SPLITS: &[(&str, &[&str])] = &[
    (TRAINING, &["train", "training"]),
    ("validation", &["val", "valid", "validation", "dev", "eval", "evaluation"]),
    ("test", &["test", "testing", "testdev"]),
];

/// Says of sources which split they are, if it is not trained on and the split that is trained on is beside them. `given` is what was
/// looked at.
pub(super) fn hold_out(sources: &mut [FoundSource], given: &[PathBuf]) {
    let paths: Vec<PathBuf> = sources.iter().map(|source| PathBuf::from(&source.annotations)).collect();
    let splits: Vec<_> = paths.iter().map(|path| split_of(path, given)).collect();
    for (source, split) in sources.iter_mut().zip(&splits) {
        let Some((name, place)) = split.as_ref().filter(|(name, _)| *name != TRAINING) else { continue };
        let is_beside = splits.iter().flatten().any(|(other, beside)| *other == TRAINING && beside == place);
        source.held_out = is_beside.then_some(*name);
    }
}

/// The split that a path names, and the directory before the part that does: the last part that names any, below what was looked at.
/// One that names several is none.
fn split_of<'p>(path: &'p Path, given: &[PathBuf]) -> Option<(&'static str, &'p Path)> {
    let is_given =
        |part: &&Path| given.iter().any(|given| part == given || given.parent() == Some(part) && !given.is_dir());
    let mut parts = path.ancestors().take_while(|part| *part == path || !is_given(part));
    let named = |part: &Path| {
        let words = words(part);
        let is_named = |names: &[&str]| words.iter().any(|word| names.contains(&word.as_str()));
        SPLITS.iter().filter(|(_, names)| is_named(names)).map(|(split, _)| *split).collect::<Vec<_>>()
    };
    let (splits, part) = parts.find_map(|part| Some((named(part), part)).filter(|(splits, _)| !splits.is_empty()))?;
    match splits[..] {
        [split] => Some((split, part.parent()?)),
        _ => None,
    }
}

/// The words of the last name of a path: letters in a row, small.
fn words(path: &Path) -> Vec<String> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let words = name.split(|character: char| !character.is_alphabetic()).map(str::to_owned);
    words.filter(|word| !word.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_is_the_last_part_of_a_path_that_is_called_so() {
        let given = [PathBuf::from("/train_val/data"), PathBuf::from("/absent/train/b.json")];
        for (path, expected) in [
            ("/data/train-*-of-*.parquet", Some(("train", "/data"))),
            ("/data/captions_val2017.json", Some(("validation", "/data"))),
            ("/data/test/metadata.csv", Some(("test", "/data"))),
            ("/data/test/train/metadata.csv", Some(("train", "/data/test"))),
            ("/data/constraint.json", None),
            ("/data/train_val.jsonl", None),
            ("/train_val/data/mix.json", None),
            ("/train_val/data/dev.json", Some(("validation", "/train_val/data"))),
            ("/absent/train/b.json", None),
        ] {
            let expected = expected.map(|(split, place)| (split, Path::new(place)));
            assert_eq!(split_of(Path::new(path), &given), expected, "{path}");
        }
    }
}
