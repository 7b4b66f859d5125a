//! Files whose names say how many there are: `train-00002-of-00004.parquet`.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use manyframe_base::FileAccess;

/// How many of those that are missing are named.
const MOST_NAMED: usize = 3;

/// The number of digits of a count that is believed: of more files, nobody has one a number.
const MAX_DIGITS: usize = 7;

/// A name around its number.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Around {
    directory: PathBuf,
    start: String,
    num_digits: usize,
    /// From `-of-` on.
    end: String,
}

/// What is missing of files whose names say how many there are, if any is: neither among them nor beside them.
pub fn missing_files(access: &FileAccess, paths: &[PathBuf]) -> Option<String> {
    let mut sets: BTreeMap<(Around, u64), BTreeSet<u64>> = BTreeMap::new();
    for path in paths {
        if let Some((around, number, count)) = numbered(path) {
            sets.entry((around, count)).or_default().insert(number);
        }
    }
    sets.into_iter().find_map(|((around, count), numbers)| {
        // Some count from 1, as the files of checkpoints do.
        let first = u64::from(numbers.contains(&count) && !numbers.contains(&0));
        let absent = (first..first + count).filter(|number| !numbers.contains(number));
        let absent = absent.map(|number| around.path(number)).filter(|path| is_absent(access, path));
        let absent: Vec<PathBuf> = absent.take(MOST_NAMED + 1).collect();
        let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let named = absent.iter().take(MOST_NAMED).map(name).collect::<Vec<_>>().join(", ");
        let more = if absent.len() > MOST_NAMED { " and others" } else { "" };
        (!absent.is_empty())
            .then(|| format!("{named}{more} missing: the names of the other files say that there are {count}"))
    })
}

fn is_absent(access: &FileAccess, path: &Path) -> bool {
    access.num_bytes(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// A name with a number and a count, taken apart.
fn numbered(path: &Path) -> Option<(Around, u64, u64)> {
    let name = path.file_name()?.to_str()?;
    let (before, after) = name.rsplit_once("-of-")?;
    let start = before.trim_end_matches(|character: char| character.is_ascii_digit());
    let number = before.strip_prefix(start)?;
    let end = after.trim_start_matches(|character: char| character.is_ascii_digit());
    let count = after.strip_suffix(end).filter(|digits| (1..=MAX_DIGITS).contains(&digits.len()))?;
    let around = Around {
        directory: path.parent()?.to_owned(),
        start: start.to_owned(),
        num_digits: number.len(),
        end: format!("-of-{after}"),
    };
    let (number, count) = (number.parse().ok()?, count.parse().ok()?);
    (number <= count).then_some((around, number, count))
}

impl Around {
    fn path(&self, number: u64) -> PathBuf {
        let Self { directory, start, num_digits, end } = self;
        directory.join(format!("{start}{number:0num_digits$}{end}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_are_neither_named_nor_there_are_missing() {
        let folder = tempfile::tempdir().unwrap();
        let missing = |names: &[&str]| {
            let paths: Vec<PathBuf> = names.iter().map(|name| folder.path().join(name)).collect();
            missing_files(&FileAccess::default(), &paths)
        };
        let three = ["train-00000-of-00004.parquet", "train-00001-of-00004.parquet", "train-00003-of-00004.parquet"];
        let expected = "train-00002-of-00004.parquet missing: the names of the other files say that there are 4";
        assert_eq!(missing(&three).as_deref(), Some(expected));
        manyframe_base::write_atomic(&folder.path().join("train-00002-of-00004.parquet"), b"").unwrap();
        assert_eq!(missing(&three), None, "it is there, and was not asked for");
        assert_eq!(missing(&["a-1-of-2.tar", "a-2-of-2.tar", "b-0-of-1.tar"]), None);
        let expected = "a-1-of-9.tar, a-2-of-9.tar, a-3-of-9.tar and others missing: the names of the other files say that there are 9";
        assert_eq!(missing(&["a-0-of-9.tar"]).as_deref(), Some(expected));
        assert_eq!(missing(&["five-of-2.json", "9-of-2.json", "one-of-us.json", "1-of-99999999.json"]), None);
    }
}
