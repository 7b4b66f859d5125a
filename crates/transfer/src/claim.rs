//! A claim at the destination: as long as it is there, no other dataset is uploaded to the same place.
//!
//! Shards have plain names, because trainers list directories. Two datasets that are sent at the same time would therefore
//! overwrite each other's. Whoever sends the same dataset, such as an upload that goes on after a kill, finds its own claim.

use manyframe_core::Digest;
use manyframe_storage::{Condition, Storage, Written};
use serde::{Deserialize, Serialize};

use crate::error::TransferError;
use crate::files::DatasetFiles;

/// The file of the claim.
pub const CLAIM_FILE: &str = "upload.json";

/// What a claim says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claim {
    /// The name of the dataset.
    pub(crate) name: String,
    /// The digest of its manifest.
    pub(crate) manifest: Digest,
    /// What the dataset before had and this one does not: it is known here only, once the new manifest is there.
    #[serde(default)]
    pub(crate) left_over: Vec<String>,
}

impl Claim {
    /// Claims the destination for a dataset.
    ///
    /// # Errors
    ///
    /// [`TransferError::Busy`] if it is claimed for another one, and that claim is not to be replaced.
    pub(crate) fn make(
        storage: &dyn Storage,
        dataset: &DatasetFiles,
        is_replaced: impl Fn(&Self) -> bool,
    ) -> Result<Self, TransferError> {
        let name = dataset.manifest.name.clone();
        let claim = Self { name, manifest: dataset.manifest_digest, left_over: Vec::new() };
        loop {
            if storage.write_if(CLAIM_FILE, &claim.text(), &Condition::Absent)? == Written::Done {
                return Ok(claim);
            }
            match Self::read(storage)? {
                Some(found) if found.manifest == claim.manifest => return Ok(found),
                Some(found) if is_replaced(&found) => {
                    let claim = Self { left_over: found.left_over, ..claim };
                    claim.write(storage)?;
                    return Ok(claim);
                }
                Some(found) => {
                    let location = storage.location().to_owned();
                    return Err(TransferError::Busy { location, name: found.name, digest: found.manifest });
                }
                // Its upload has ended just now.
                None => {}
            }
        }
    }

    pub(crate) fn read(storage: &dyn Storage) -> Result<Option<Self>, TransferError> {
        if storage.num_bytes(CLAIM_FILE)?.is_none() {
            return Ok(None);
        }
        let text = storage.read(CLAIM_FILE)?;
        let unknown = Self { name: "?".to_owned(), manifest: Digest([0; 32]), left_over: Vec::new() };
        Ok(Some(serde_json::from_slice(&text).unwrap_or(unknown)))
    }

    /// Whether the destination is still claimed for this dataset.
    pub(crate) fn is_held(&self, storage: &dyn Storage) -> Result<bool, TransferError> {
        Ok(Self::read(storage)?.is_some_and(|found| found.manifest == self.manifest))
    }

    pub(crate) fn write(&self, storage: &dyn Storage) -> Result<(), TransferError> {
        Ok(storage.write(CLAIM_FILE, &self.text())?)
    }

    /// Ends it. Another upload may have ended it already, and a third one may have made its own since.
    pub(crate) fn end(&self, storage: &dyn Storage) -> Result<(), TransferError> {
        if self.is_held(storage)? {
            storage.remove(CLAIM_FILE)?;
        }
        Ok(())
    }

    #[expect(clippy::expect_used, reason = "texts, a digest and a list of texts are JSON")]
    fn text(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a claim is JSON")
    }
}
