//! What is in the directory that a dataset is to be built into, and that a build replaces as a whole.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use manyframe_base::read_regular;
use serde::Deserialize;

/// The file that every dataset has, and that says what it is. Others have files of this name, too.
pub(crate) const MANIFEST_FILE: &str = "manifest.json";

/// A table that every dataset has, and little else.
const LEDGER_FILE: &str = "ledger.parquet";

/// What is in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Occupant {
    /// Nothing; or there is no directory.
    Nothing,
    /// A dataset of this name, whatever version built it.
    Dataset(String),
    /// A dataset whose manifest is damaged, so that its name is not known.
    Nameless,
    /// Something that no build has made.
    Other,
}

impl Occupant {
    /// What is in a directory.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub fn of(directory: &Path) -> io::Result<Self> {
        #[derive(Deserialize)]
        struct Named {
            #[serde(rename = "manifest_version")]
            _manifest_version: u32,
            name: String,
        }
        match fs::read_dir(directory) {
            Ok(mut entries) => {
                if entries.next().is_none() {
                    return Ok(Self::Nothing);
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::Nothing),
            Err(error) if error.kind() == ErrorKind::NotADirectory => return Ok(Self::Other),
            Err(error) => return Err(error),
        }
        let text = match read_regular(&directory.join(MANIFEST_FILE)) {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidInput) => {
                return Ok(Self::Other);
            }
            text => text?,
        };
        Ok(match serde_json::from_slice(&text) {
            Ok(Named { name, .. }) => Self::Dataset(name),
            Err(_) if directory.join(LEDGER_FILE).is_file() => Self::Nameless,
            Err(_) => Self::Other,
        })
    }
}

/// The dataset, or work directory of one, that a directory is inside of, however deep. Its next build would remove all that is in it.
pub fn dataset_around(directory: &Path) -> Option<&Path> {
    let is_dataset = |path: &Path| {
        path.join(LEDGER_FILE).is_file() && matches!(Occupant::of(path), Ok(Occupant::Dataset(_) | Occupant::Nameless))
    };
    let is_work = |path: &Path| path.as_os_str().as_encoded_bytes().ends_with(b".work") && path.join("lock").is_file();
    let mut above = directory.ancestors().skip(1).filter(|path| !path.as_os_str().is_empty());
    above.find(|path| is_dataset(path) || is_work(path))
}

#[cfg(test)]
mod tests {
    use manyframe_base::write_atomic;

    use super::*;

    #[test]
    fn a_manifest_alone_makes_no_dataset() {
        let folder = tempfile::tempdir().unwrap();
        let with = |manifest: &str, ledger: bool| {
            let directory = folder.path().join("d");
            _ = fs::remove_dir_all(&directory);
            write_atomic(&directory.join(MANIFEST_FILE), manifest.as_bytes()).unwrap();
            write_atomic(&directory.join("f"), b"precious").unwrap();
            if ledger {
                write_atomic(&directory.join(LEDGER_FILE), b"PAR1").unwrap();
            }
            Occupant::of(&directory).unwrap()
        };
        let whole = r#"{"manifest_version": 3, "name": "a", "more": [1]}"#;
        assert_eq!(with(whole, true), Occupant::Dataset("a".to_owned()));
        // An unpacked image of Docker, the manifest of a web page, half of one of ours.
        for manifest in ["{}", "[{\"Config\": \"a.json\"}]", "{\"name\": \"A page\", \"icons\": []}", &whole[..20]] {
            assert_eq!(with(manifest, false), Occupant::Other, "{manifest}");
            assert_eq!(with(manifest, true), Occupant::Nameless, "{manifest}");
        }
        assert_eq!(dataset_around(&folder.path().join("d")), None);
        assert_eq!(with(whole, false), Occupant::Dataset("a".to_owned()));
        assert_eq!(dataset_around(&folder.path().join("d/more/inner")), None);
        _ = with(whole, true);
        assert_eq!(dataset_around(&folder.path().join("d/more/inner")), Some(&*folder.path().join("d")));
        assert_eq!(Occupant::of(&folder.path().join("none")).unwrap(), Occupant::Nothing);
        assert_eq!(Occupant::of(&folder.path().join("d/f")).unwrap(), Occupant::Other);
        fs::create_dir(folder.path().join("empty")).unwrap();
        assert_eq!(Occupant::of(&folder.path().join("empty")).unwrap(), Occupant::Nothing);
    }
}
