//! What readers make of files, through the public interface only.

mod conversations;
mod files;
mod images;
mod real_samples;
mod support;
mod videos;
