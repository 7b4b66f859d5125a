//! Indexes of long videos, kept: a second plan over the same videos, and the worker after the planner, read no packet of them.
//!
//! Each is a file, named after everything that it depends on. Of a short video none is kept: its packets are read as fast.

use std::fs;
use std::path::PathBuf;

use manyframe_base::write_atomic;
use manyframe_core::Digest;

use super::index::{VideoIndex, index_video};
use super::index_bytes::{from_bytes, to_bytes, version};
use super::input::VideoInput;
use super::version::VideoVersion;
use crate::error::MediaError;
use crate::identity::MediaIdentity;
use crate::limits::MediaLimits;

/// Fewest packets of a video whose index is kept: those of 40 seconds.
const MIN_PACKETS: usize = 1000;

/// Where indexes are kept, if anywhere.
#[derive(Debug, Clone, Default)]
pub struct KeptIndexes {
    directory: Option<PathBuf>,
}

impl KeptIndexes {
    /// Indexes in a directory, which is made when there is one to keep.
    pub fn in_directory(directory: Option<PathBuf>) -> Self {
        Self { directory }
    }

    /// The index of a video as [`index_video`] makes it, from what was kept if it is there.
    ///
    /// # Errors
    /// Those of [`index_video`]. That an index cannot be kept is none.
    pub fn index_video(
        &self,
        (input, version): (&VideoInput, VideoVersion),
        limits: &MediaLimits,
        fps: Option<f64>,
    ) -> Result<VideoIndex, MediaError> {
        let path = self.directory.as_ref().filter(|_| version.identity != MediaIdentity::UNKNOWN);
        let path = path.map(|directory| directory.join(name(version, limits, fps)));
        if let Some(index) = path.as_ref().and_then(|path| fs::read(path).ok()).and_then(|bytes| from_bytes(&bytes)) {
            return Ok(index);
        }
        let index = index_video(input, limits, fps)?;
        if let Some(path) = path.filter(|_| index.packets.len() >= MIN_PACKETS) {
            let made = path.parent().map_or(Ok(()), fs::create_dir_all).map_err(|error| error.to_string());
            let kept = made.and_then(|()| write_atomic(&path, &to_bytes(&index)).map_err(|error| error.to_string()));
            if let Err(error) = kept {
                tracing::debug!(error, "an index of a video is not kept");
            }
        }
        Ok(index)
    }
}

/// Equal for indexes that are the same.
fn name(place: VideoVersion, limits: &MediaLimits, fps: Option<f64>) -> String {
    let VideoVersion { identity, offset, num_bytes } = place;
    let numbers = [version(), identity.0, offset, num_bytes].map(u64::to_le_bytes);
    let settings = format!("{limits:?} {:?}", fps.map(f64::to_bits));
    let digest = Digest::of_fields([numbers.as_flattened(), settings.as_bytes()]).to_string();
    digest.get(..32).unwrap_or(&digest).to_owned()
}
