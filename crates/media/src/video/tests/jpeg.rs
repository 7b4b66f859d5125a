//! Delivered frames beside those of FFmpeg's own way to JPEGs: its scaler converts range, matrix, size and subsampling of planes,
//! and its encoder `mjpeg` writes them.
//!
//! Compared are the planes that a decoder finds in our JPEG, at quality 100, where encoding changes a level by one or two. From
//! the planes that FFmpeg's encoder gets, they may differ by rounding: its scaler adds a pattern (dithering) to what has more than
//! 8 bits. Between matrices it goes through 8-bit RGB, and cuts off what is no RGB; its bicubic filter is another one than Pillow's,
//! which is that of our images. Of smooth pictures, both must find the same all the same: what is compared there is the place of
//! samples, and weights. From what is in FFmpeg's JPEG, ours must not differ more than that
//! differs from its own planes.

use std::path::Path;
use std::process::Command;

use super::clips::{Clips, index, open, source, write};
use crate::policy::{ImagePolicy, Subsampling};
use crate::video::convert::FrameConverter;
use crate::video::visit::ContainerVideo;
use ffmpeg_next::frame;

/// A frame of a clip, and the size at which it is delivered.
struct Case<'a> {
    /// Encoder and pixel format, for `ffmpeg`.
    clip: &'a str,
    /// The options of FFmpeg's scaler.
    scale: &'a str,
    size_px: (u32, u32),
    subsampling: Subsampling,
    /// Most levels between a sample and FFmpeg's, and most on average.
    most: (u8, f64),
}

/// Level by level: brightness, then both colours.
type Planes = [Vec<u8>; 3];

impl Case<'_> {
    fn check(&self) {
        let clips = Clips::new();
        let path = clips.make("a.mkv", self.clip);
        let ours = clips.path("ours.jpg");
        write(&ours, encoded(&path, self.size_px, self.subsampling));
        let theirs = clips.path("theirs.jpg");
        let scale = format!("scale={}:{}:{}", self.size_px.0, self.size_px.1, self.scale);
        let filter = ["-vf", &scale, "-pix_fmt", self.pixel(), "-frames:v", "1"];
        ffmpeg(
            &path,
            &[&filter[..], &["-f", "image2", "-c:v", "mjpeg", "-q:v", "1", "-qmin", "1"]].concat(),
            Some(&theirs),
        );
        let [input, ours, theirs] = [(&path, &filter[..]), (&ours, &[]), (&theirs, &[])]
            .map(|(path, filter)| self.planes(&ffmpeg(path, &[filter, &["-f", "rawvideo"]].concat(), None)));
        for (plane, ((input, ours), theirs)) in input.iter().zip(&ours).zip(&theirs).enumerate() {
            let (most, mean) = difference(ours, input);
            let what = format!("plane {plane} of {}: {most} levels at most, {mean:.3} on average", self.clip);
            assert!(most <= self.most.0 && mean <= self.most.1, "{what}");
            let (_, from_jpeg) = difference(ours, theirs);
            let (_, own) = difference(input, theirs);
            assert!(from_jpeg <= own + mean, "{what}; {from_jpeg:.3} from FFmpeg's JPEG, whose own error is {own:.3}");
        }
    }

    fn pixel(&self) -> &'static str {
        match self.subsampling {
            Subsampling::S420 => "yuvj420p",
            Subsampling::S422 => "yuvj422p",
            Subsampling::S444 => "yuvj444p",
        }
    }

    fn planes(&self, bytes: &[u8]) -> Planes {
        let (width, height) = (self.size_px.0 as usize, self.size_px.1 as usize);
        let num_colours = match self.subsampling {
            Subsampling::S420 => width.div_ceil(2) * height.div_ceil(2),
            Subsampling::S422 => width.div_ceil(2) * height,
            Subsampling::S444 => width * height,
        };
        assert_eq!(bytes.len(), width * height + 2 * num_colours, "planes of {}", self.clip);
        let (brightness, colours) = bytes.split_at(width * height);
        let (cb, cr) = colours.split_at(num_colours);
        [brightness, cb, cr].map(<[u8]>::to_vec)
    }
}

/// The first frame as it is delivered.
fn encoded(path: &Path, size_px: (u32, u32), subsampling: Subsampling) -> Vec<u8> {
    let (input, index) = (open(path).unwrap(), index(path).unwrap());
    let policy = ImagePolicy { quality: 100, subsampling, size_px: Some(size_px), ..ImagePolicy::default() };
    let mut converter = FrameConverter::new(index.orientation);
    let video = ContainerVideo { source: source(&input), index: &index, max_pixels: 1 << 24 };
    let mut image = None;
    let visited = video.visit_frames(&[0], None, &mut |_: usize, frame: &frame::Video| {
        image = Some(converter.encode(frame, &policy)?);
        Ok(())
    });
    visited.unwrap();
    image.unwrap().bytes
}

/// What `ffmpeg` prints, or writes to a file.
fn ffmpeg(input: &Path, arguments: &[&str], output: Option<&Path>) -> Vec<u8> {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-y", "-threads", "1", "-i"]).arg(input).args(arguments);
    let output = command.arg(output.unwrap_or(Path::new("-"))).output().unwrap();
    assert!(output.status.success(), "ffmpeg {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// The largest difference of two samples, and the mean one.
fn difference(one: &[u8], other: &[u8]) -> (u8, f64) {
    let differences = one.iter().zip(other).map(|(one, other)| one.abs_diff(*other));
    let sum: f64 = differences.clone().map(f64::from).sum();
    (differences.max().unwrap(), sum / one.len() as f64)
}

const SHARP: &str = "-f lavfi -i testsrc2=size=96x64:rate=30:duration=0.1 -threads 1";
const SMOOTH: &str = "-f lavfi -i testsrc2=size=96x64:rate=30:duration=0.1,hue=s=0.5,gblur=sigma=5 -threads 1";
/// The scaling of images, with the weights of Catmull and Rom.
const BICUBIC: &str = "flags=bicubic:param0=0:param1=0.5";
const TO_JPEG: &str = "out_color_matrix=bt601:out_range=full";
/// Between matrices: FFmpeg's most exact way, with colours that are interpolated.
const EXACT: &str = "flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp";

/// At its own size, in the subsampling of most videos.
fn check_levels(source: &str, encoder: &str, most: (u8, f64)) {
    let (clip, scale) = (format!("{source} {encoder}"), format!("{EXACT}:{TO_JPEG}"));
    Case { clip: &clip, scale: &scale, size_px: (96, 64), subsampling: Subsampling::S420, most }.check();
}

#[test]
fn a_limited_range_becomes_the_full_one() {
    check_levels(SHARP, "-c:v libx264 -pix_fmt yuv420p", (2, 0.6));
}

#[test]
fn a_full_range_stays() {
    check_levels(SHARP, "-c:v libx264 -pix_fmt yuvj420p", (2, 0.6));
}

#[test]
fn more_bits_are_rounded() {
    check_levels(SHARP, "-c:v ffv1 -pix_fmt yuv420p10le", (3, 0.8));
    check_levels(SHARP, "-c:v ffv1 -pix_fmt yuv420p16le", (3, 0.8));
    check_levels(SHARP, "-c:v libx265 -x265-params log-level=none -pix_fmt yuv420p10le", (3, 0.8));
}

#[test]
fn other_matrices_become_that_of_jpegs() {
    for matrix in ["bt709", "fcc", "smpte240m", "bt2020nc"] {
        check_levels(SMOOTH, &format!("-c:v ffv1 -pix_fmt yuv420p -colorspace {matrix}"), (2, 0.7));
    }
    check_levels(SMOOTH, "-c:v ffv1 -pix_fmt yuv420p10le -colorspace bt2020nc -color_range pc", (3, 0.8));
}

#[test]
fn what_is_of_no_known_matrix_is_read_as_bt_601() {
    check_levels(SHARP, "-c:v ffv1 -pix_fmt yuv420p -colorspace ycgco", (2, 0.6));
}

#[test]
fn gray_has_no_colour_and_transparency_is_left_out() {
    check_levels(SHARP, "-c:v ffv1 -pix_fmt gray", (2, 0.6));
    check_levels(SHARP, "-c:v ffv1 -pix_fmt gray10le", (2, 0.6));
    check_levels(SHARP, "-c:v ffv1 -pix_fmt yuva420p", (2, 0.6));
}

#[test]
fn each_channel_is_scaled_once() {
    for (encoder, subsampling) in [
        ("-c:v libx264 -pix_fmt yuv420p", Subsampling::S420),
        ("-c:v libx264 -pix_fmt yuv420p", Subsampling::S444),
        ("-c:v libx264 -pix_fmt yuv422p", Subsampling::S420),
        ("-c:v libx264 -pix_fmt yuv444p", Subsampling::S422),
        ("-c:v ffv1 -pix_fmt yuv440p", Subsampling::S420),
        ("-c:v ffv1 -pix_fmt yuv420p10le", Subsampling::S420),
    ] {
        for size_px in [(48, 32), (96, 64), (37, 51)] {
            let (clip, scale) = (format!("{SMOOTH} {encoder}"), format!("{BICUBIC}:{TO_JPEG}"));
            Case { clip: &clip, scale: &scale, size_px, subsampling, most: (4, 1.0) }.check();
        }
    }
}
