//! What readers make of files, through the public interface only.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

mod auto;
mod conversations;
mod files;
mod hostile;
mod images;
mod placeholders;
mod real_samples;
mod support;
mod tables;
mod unread;
mod videos;
