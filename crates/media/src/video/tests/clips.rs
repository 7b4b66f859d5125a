//! Clips made by the `ffmpeg` program, which `make setup` installs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::error::MediaError;
use crate::limits::MediaLimits;
use crate::located::Located;
use crate::video::index::{VideoIndex, index_video};
use crate::video::input::{ByteSource, VideoInput, open_input};

/// A moving picture, 90 frames of 96×64 pixels at 30 frames per second.
pub(super) const PICTURE: &str = "-f lavfi -i testsrc2=size=96x64:rate=30:duration=3 -threads 1";

/// A directory for clips.
pub(super) struct Clips(TempDir);

impl Clips {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Makes a clip. `{dir}` in the arguments is the directory.
    pub(super) fn make(&self, name: &str, arguments: &str) -> PathBuf {
        let path = self.path(name);
        let directory = self.0.path().to_str().unwrap();
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "error", "-y", "-nostdin"]);
        command.args(arguments.split_whitespace().map(|argument| argument.replace("{dir}", directory)));
        let output = command.arg(&path).output().expect("the ffmpeg program (run: make setup)");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "ffmpeg {arguments}: {complaint}");
        path
    }
}

/// Writes a file of a test's own.
#[expect(clippy::disallowed_methods, reason = "nobody reads it after a crash")]
pub(super) fn write(path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) {
    std::fs::write(path, bytes).unwrap();
}

/// The command that prints every frame of a clip as RGB24.
pub(super) fn ffmpeg_frames(path: &Path) -> std::process::Child {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "quiet", "-nostdin", "-threads", "1", "-i"]).arg(path);
    command.args(["-vsync", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]);
    command.stdout(Stdio::piped()).spawn().unwrap()
}

pub(super) fn open(path: &Path) -> Result<VideoInput, MediaError> {
    open_input(&Located::File(path.to_owned()))
}

pub(super) fn index(path: &Path) -> Result<VideoIndex, MediaError> {
    index_video(&open(path)?, &MediaLimits::default(), None)
}

/// The bytes behind an input.
pub(super) fn source(input: &VideoInput) -> &ByteSource {
    match input {
        VideoInput::Container(source) => source,
        VideoInput::Frames(_) => panic!("a directory of frames"),
    }
}
