//! Makes the questions of evaluation sets again, and compares the file with them.

use manyframe_dataset::{DatasetReader, NeedlesEntry};

use crate::error::{EngineError, with_causes};
use crate::verify::findings::Findings;
use crate::verify::sources::Replanned;

/// Checks the file; returns what the manifest has to say of it.
pub(super) fn check_needles(
    dataset: &DatasetReader,
    replanned: Option<&Replanned>,
    findings: &mut Findings,
) -> Result<Option<NeedlesEntry>, EngineError> {
    let stated = dataset.manifest().needles.clone();
    if let Some(entry) = &stated {
        let storage = dataset.storage();
        if storage.num_bytes(&entry.path)?.is_none() || storage.digest(&entry.path)? != entry.digest {
            findings.problem(format!("{} is not the file that the manifest names", entry.path));
            return Ok(stated);
        }
        if let Err(error) = dataset.needles() {
            findings.problem(format!("{} cannot be read: {}", entry.path, with_causes(&error)));
        }
    }
    let Some(replanned) = replanned.filter(|replanned| !replanned.changed_since_build) else { return Ok(stated) };
    let Ok(ledger) = dataset.ledger() else { return Ok(stated) };
    match replanned.needles(ledger.map_while(Result::ok).map(Ok)) {
        Ok(expected) => Ok(expected),
        Err(error) => {
            findings.problem(format!("the questions about needles cannot be made again: {}", with_causes(&error)));
            Ok(stated)
        }
    }
}
