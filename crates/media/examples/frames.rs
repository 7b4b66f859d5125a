//! Frames of a video as JPEGs, without a build around them: what `tests/bench/frames.py` does with other libraries.
//!
//! ```text
//! frames VIDEO NUMBER OUT    index ──▶ NUMBER even positions ──▶ decoded, 336 pixels at most, quality 90 ──▶ OUT
//! ```
//!
//! One thread. The JPEGs are written one after another.

use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use manyframe_media::video::{FrameSelection, choose_frames, decode_frames, ensure_enabled, index_video, open_input};
use manyframe_media::{ImagePolicy, Located, Sampling};

const MAX_EDGE_PX: u32 = 336;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(video), Some(number), Some(out)) = (arguments.next(), arguments.next(), arguments.next()) else {
        return Err("usage: frames VIDEO NUMBER OUT".into());
    };
    ensure_enabled()?;
    let num_frames = number.to_str().ok_or("a number of frames")?.parse()?;
    let policy = ImagePolicy { max_edge_px: Some(MAX_EDGE_PX), ..ImagePolicy::default() };
    let input = open_input(&Located::File(PathBuf::from(video)))?;
    let index = index_video(&input, &policy.limits, None)?;
    let positions = choose_frames(&index, None, &Sampling::Uniform { num_frames })?;
    let selection = FrameSelection { index: &index, positions: &positions };
    let decoded = decode_frames(&input, selection, &policy, &mut ())?;
    let mut out = BufWriter::new(File::create(out)?);
    decoded.frames.iter().try_for_each(|frame| out.write_all(&frame.image.bytes))?;
    Ok(out.flush()?)
}
