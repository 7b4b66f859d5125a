//! When to give up on a video: hostile files make a demuxer or a decoder work for hours.
//!
//! A deadline is far beyond what any good file needs, so that no result depends on the speed of a machine.

use std::time::{Duration, Instant};

use manyframe_core::RejectCode;

use crate::error::MediaError;

/// Time that any video may take, however small it is.
const LEAST: Duration = Duration::from_mins(1);

/// Bytes that even the slowest storage delivers in a second.
const READ_BYTES_PER_SECOND: u64 = 1 << 20;

/// Bytes of a video that even the slowest machine decodes in a second. It bounds still pictures of high resolution.
const DECODED_BYTES_PER_SECOND: u64 = 1 << 16;

/// Frames that even the slowest machine decodes and encodes in a second. It bounds long videos of small frames.
const FRAMES_PER_SECOND: u64 = 8;

/// The time at which a video is given up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    started: Instant,
    limit: Duration,
}

impl Deadline {
    /// For reading a file of this size once, from now on.
    pub(super) fn of_reading(num_bytes: u64) -> Self {
        Self::after(LEAST + Duration::from_secs(num_bytes / READ_BYTES_PER_SECOND))
    }

    /// For decoding so many frames of a file of this size, from now on.
    pub(super) fn of_decoding(num_bytes: u64, num_frames: usize) -> Self {
        let seconds = num_bytes / DECODED_BYTES_PER_SECOND + num_frames as u64 / FRAMES_PER_SECOND;
        Self::after(LEAST + Duration::from_secs(seconds))
    }

    fn after(limit: Duration) -> Self {
        Self { started: Instant::now(), limit }
    }

    /// A deadline that was missed.
    #[cfg(test)]
    pub(super) fn passed() -> Self {
        Self::after(Duration::ZERO)
    }

    pub(super) fn has_passed(&self) -> bool {
        self.started.elapsed() >= self.limit
    }

    /// The rejection `decoder_stalled` once the deadline has passed.
    pub(super) fn check(&self) -> Result<(), MediaError> {
        if self.has_passed() {
            let detail = format!("gave up after {} s", self.limit.as_secs());
            return Err(MediaError::rejected(RejectCode::DecoderStalled, detail));
        }
        Ok(())
    }
}
