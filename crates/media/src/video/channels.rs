//! A decoded frame as the channels of a JPEG: 8 bits, BT.601 and full range (JFIF), whatever the video's are.
//!
//! Range, matrix and number of bits are changed in one step, in integers, so that no level is rounded twice and pixels depend
//! neither on the machine nor on the version of a library. Colours keep their resolution. Where the matrix is another one,
//! brightness needs the colour of its own pixel, which is interpolated as in a JPEG.

#![expect(
    clippy::inline_always,
    reason = "functions called in a vectorised loop must be compiled into it, for the same vector unit"
)]

use ffmpeg_next::frame;

use super::orientation::Orientation;
use super::planes::{is_rgb, planes};
use super::yuv::{YuvFormat, YuvView, shares};
use crate::avif::ColorCode;
use crate::ycbcr::{Channel, Halved, Plane};

/// The shares of red and blue in brightness in a JPEG (BT.601).
const JPEG_SHARES: (f64, f64) = (0.299, 0.114);

/// Matrices of ITU-T H.273 with constant luminance, which is read as if it were not, as FFmpeg does; and the same without.
const CONSTANT_LUMINANCE: u16 = 10;
const BT_2020: u16 = 9;

/// Fractional bits of weights: levels times weights stay below 2³¹, and the weights of 16-bit samples are exact to 1 in 4000.
const FRACTION_BITS: u32 = 20;
const ONE: f64 = (1 << FRACTION_BITS) as f64;
const HALF: f64 = ONE / 2.0;

/// Levels of colours are stored with this offset.
const NO_COLOUR: f64 = 128.0;

/// Converts frames; memory is reused.
#[derive(Default)]
pub(super) struct ChannelConverter {
    channels: [Plane; 3],
    /// Colours of the video's own matrix, at their own resolution.
    unmixed: [Plane; 2],
}

impl ChannelConverter {
    /// The upright channels of a frame. `None` if it is not stored as brightness and colours, or cannot be turned in this form.
    pub(super) fn convert(&mut self, frame: &frame::Video, orientation: Orientation) -> Option<&[Plane; 3]> {
        let view = planes(frame).filter(|_| !is_rgb(frame.format()))?;
        // Two columns that share a colour would no longer be the same two.
        let is_uneven = |Halved { columns, rows }: Halved| {
            (columns && view.size_px.0 % 2 == 1) || (rows && view.size_px.1 % 2 == 1)
        };
        if !orientation.is_upright() && view.format.colors.is_some_and(is_uneven) {
            return None;
        }
        self.read(&view);
        self.channels.iter_mut().for_each(|plane| orientation.turn(plane));
        Some(&self.channels)
    }

    fn read(&mut self, view: &YuvView<'_>) {
        let Conversion { brightness, colour, mixing } = Conversion::of(view.code, view.format);
        let [y, cb, cr] = &mut self.channels;
        let Some(mixing) = mixing else {
            read_plane(view, 0, y, brightness);
            read_plane(view, 1, cb, colour);
            read_plane(view, 2, cr, colour);
            return;
        };
        let [blue, red] = &mut self.unmixed;
        read_plane(view, 1, blue, colour);
        read_plane(view, 2, red, colour);
        let halved = view.format.colors.unwrap_or(Halved::NOT);
        let colours = [&*blue, &*red].map(|plane| Channel { halved, ..plane.channel() });
        resize(view, 0, y);
        pulp::Arch::new().dispatch(MixBrightness { view, colours, line: brightness, mixing, target: y });
        for ((plane, weights), offset) in [cb, cr].into_iter().zip(mixing.colours).zip(mixing.offsets) {
            resize(view, 1, plane);
            pulp::Arch::new().dispatch(MixColours { view, weights, offset, target: plane });
        }
    }
}

/// From samples to levels: `weight` × sample + `offset`, with a half for rounding.
#[derive(Debug, Clone, Copy)]
struct Line {
    weight: i32,
    offset: i32,
}

/// How samples become the levels of a JPEG.
struct Conversion {
    /// Of a sample of brightness.
    brightness: Line,
    /// Of a sample of colour, in the matrix of the video.
    colour: Line,
    /// What else there is to do if that is not the matrix of a JPEG.
    mixing: Option<Mixing>,
}

/// From one matrix to another. Brightness adds nothing to colours, because gray has none in any matrix.
#[derive(Debug, Clone, Copy)]
struct Mixing {
    /// What a level of each of the video's colours adds to brightness.
    brightness: [i32; 2],
    /// What a sample of each of them adds to each colour of the JPEG.
    colours: [[i32; 2]; 2],
    /// What these sums begin with.
    offsets: [i32; 2],
}

impl Line {
    #[inline(always)]
    fn level(self, sample: i32) -> i32 {
        self.weight * sample + self.offset
    }
}

impl Conversion {
    fn of(code: ColorCode, format: YuvFormat) -> Self {
        let step = f64::from(1_u32 << (format.depth_bits - 8));
        let full = f64::from((1_u32 << format.depth_bits) - 1);
        let (black, codes, colour_codes) =
            if code.is_full_range { (0.0, full, full) } else { (16.0 * step, 219.0 * step, 224.0 * step) };
        let middle = f64::from(1_u32 << (format.depth_bits - 1));
        // Offsets are made from rounded weights, so that black, and what has no colour, are exact.
        let line = |weight: f64, of: f64, level: f64| {
            let weight = fixed(weight);
            Line { weight, offset: (level * ONE + HALF - f64::from(weight) * of) as i32 }
        };
        let (brightness, colour) = (line(255.0 / codes, black, 0.0), line(255.0 / colour_codes, middle, NO_COLOUR));
        let matrix = if code.matrix == CONSTANT_LUMINANCE { BT_2020 } else { code.matrix };
        let shares = shares(matrix).filter(|_| format.colors.is_some()).unwrap_or(JPEG_SHARES);
        let mixing = (shares != JPEG_SHARES).then(|| {
            let (of_brightness, of_colours) = between_matrices(shares, JPEG_SHARES);
            let colours = of_colours.map(|weights| weights.map(|weight| fixed(weight * 255.0 / colour_codes)));
            let offset = |[by_blue, by_red]: [i32; 2]| {
                (NO_COLOUR * ONE + HALF - (f64::from(by_blue) + f64::from(by_red)) * middle) as i32
            };
            Mixing { brightness: of_brightness.map(fixed), colours, offsets: colours.map(offset) }
        });
        Self { brightness, colour, mixing }
    }
}

/// What each colour of one matrix adds to brightness, and to the colours of another; matrices by the shares of red and blue in
/// brightness. Source: ITU-T H.273, equations 38 to 43, forth and back.
fn between_matrices((red, blue): (f64, f64), (to_red, to_blue): (f64, f64)) -> ([f64; 2], [[f64; 2]; 2]) {
    // What each colour adds to red, green and blue.
    let (by_blue, by_red) = (2.0 * (1.0 - blue), 2.0 * (1.0 - red));
    let green = 1.0 - red - blue;
    let blues = [0.0, -by_blue * blue / green, by_blue];
    let reds = [by_red, -by_red * red / green, 0.0];
    let brightness = |[r, g, b]: [f64; 3]| to_red * r + (1.0 - to_red - to_blue) * g + to_blue * b;
    let cb = |of: [f64; 3]| (of[2] - brightness(of)) / (2.0 * (1.0 - to_blue));
    let cr = |of: [f64; 3]| (of[0] - brightness(of)) / (2.0 * (1.0 - to_red));
    ([brightness(blues), brightness(reds)], [[cb(blues), cb(reds)], [cr(blues), cr(reds)]])
}

fn fixed(weight: f64) -> i32 {
    libm::round(weight * ONE) as i32
}

#[inline(always)]
fn level(sum: i32) -> u8 {
    (sum >> FRACTION_BITS).clamp(0, 255) as u8
}

/// Makes a plane as large as one of a frame, of arbitrary content.
fn resize(view: &YuvView<'_>, number: usize, plane: &mut Plane) {
    let (columns, rows) = view.format.plane_px(number, view.size_px);
    plane.size = (columns as u32, rows as u32);
    plane.samples.resize(columns * rows, 0);
}

/// Reads a plane whose levels depend on no other.
fn read_plane(view: &YuvView<'_>, number: usize, plane: &mut Plane, line: Line) {
    resize(view, number, plane);
    pulp::Arch::new().dispatch(ReadPlane { view, number, line, target: plane });
}

struct ReadPlane<'a> {
    view: &'a YuvView<'a>,
    number: usize,
    line: Line,
    target: &'a mut Plane,
}

impl pulp::NullaryFnOnce for ReadPlane<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { view, number, line, target } = self;
        for (row, target) in view.rows(number).zip(target.rows_mut()) {
            if view.format.sample_bytes() == 1 {
                target.iter_mut().zip(row).for_each(|(target, &sample)| *target = level(line.level(sample.into())));
            } else {
                let samples = row.as_chunks().0.iter().map(|&pair| u16::from_le_bytes(pair));
                target.iter_mut().zip(samples).for_each(|(target, sample)| *target = level(line.level(sample.into())));
            }
        }
    }
}

struct MixBrightness<'a> {
    view: &'a YuvView<'a>,
    /// The colours of the video, at the resolution of brightness.
    colours: [Channel<'a>; 2],
    line: Line,
    mixing: Mixing,
    target: &'a mut Plane,
}

impl pulp::NullaryFnOnce for MixBrightness<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { view, colours: [cb, cr], line, mixing: Mixing { brightness: [by_blue, by_red], .. }, target } = self;
        let width = view.size_px.0 as usize;
        let (mut blues, mut reds, mut sums) = (vec![0; width], vec![0; width], Vec::new());
        let line = Line { offset: line.offset - (by_blue + by_red) * NO_COLOUR as i32, ..line };
        let mixed =
            |sample: i32, cb: u8, cr: u8| level(line.level(sample) + by_blue * i32::from(cb) + by_red * i32::from(cr));
        for (y, (row, target)) in view.rows(0).zip(target.rows_mut()).enumerate() {
            cb.write_row((0, y), &mut blues, &mut sums);
            cr.write_row((0, y), &mut reds, &mut sums);
            let targets = target.iter_mut().zip(blues.iter().zip(&reds));
            if view.format.sample_bytes() == 1 {
                targets.zip(row).for_each(|((target, (&cb, &cr)), &sample)| *target = mixed(sample.into(), cb, cr));
            } else {
                let samples = row.as_chunks().0.iter().map(|&pair| u16::from_le_bytes(pair));
                targets.zip(samples).for_each(|((target, (&cb, &cr)), sample)| *target = mixed(sample.into(), cb, cr));
            }
        }
    }
}

struct MixColours<'a> {
    view: &'a YuvView<'a>,
    /// Of a sample of each of the video's colours.
    weights: [i32; 2],
    offset: i32,
    target: &'a mut Plane,
}

impl pulp::NullaryFnOnce for MixColours<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { view, weights: [by_blue, by_red], offset, target } = self;
        let mixed = |cb: i32, cr: i32| level(by_blue * cb + by_red * cr + offset);
        for ((blues, reds), target) in view.rows(1).zip(view.rows(2)).zip(target.rows_mut()) {
            if view.format.sample_bytes() == 1 {
                let samples = blues.iter().zip(reds);
                target.iter_mut().zip(samples).for_each(|(target, (&cb, &cr))| *target = mixed(cb.into(), cr.into()));
            } else {
                let [blues, reds] =
                    [blues, reds].map(|row| row.as_chunks().0.iter().map(|&pair| u16::from_le_bytes(pair)));
                let samples = blues.zip(reds);
                target.iter_mut().zip(samples).for_each(|(target, (cb, cr))| *target = mixed(cb.into(), cr.into()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: Option<Halved> = Some(Halved { columns: true, rows: true });

    fn code(matrix: u16, is_full_range: bool) -> ColorCode {
        ColorCode { primaries: 2, matrix, is_full_range }
    }

    /// A pixel by the equations of H.273 in floating-point numbers.
    fn exact(samples: [f64; 3], depth_bits: u32, code: ColorCode) -> [f64; 3] {
        let full = f64::from((1_u32 << depth_bits) - 1);
        let step = f64::from(1_u32 << (depth_bits - 8));
        let (black, codes, colour_codes) =
            if code.is_full_range { (0.0, full, full) } else { (16.0 * step, 219.0 * step, 224.0 * step) };
        let y = (samples[0] - black) / codes;
        let [cb, cr] = [samples[1], samples[2]].map(|sample| (sample - 128.0 * step) / colour_codes);
        let (share_of_red, share_of_blue) = shares(code.matrix).unwrap();
        let red = y + 2.0 * (1.0 - share_of_red) * cr;
        let blue = y + 2.0 * (1.0 - share_of_blue) * cb;
        let green = (y - share_of_red * red - share_of_blue * blue) / (1.0 - share_of_red - share_of_blue);
        let y = 0.299 * red + 0.587 * green + 0.114 * blue;
        [y * 255.0, (blue - y) / 1.772 * 255.0 + 128.0, (red - y) / 1.402 * 255.0 + 128.0]
    }

    /// An image of one colour, 4×2 pixels, as it is converted.
    fn converted(samples: [u16; 3], format: YuvFormat, code: ColorCode) -> [u8; 3] {
        let bytes = samples.map(|sample| {
            let sample = if format.depth_bits > 8 { sample.to_le_bytes().to_vec() } else { vec![sample as u8] };
            sample.repeat(8)
        });
        let stride = 4 * format.sample_bytes();
        let view =
            YuvView { format, size_px: (4, 2), code, planes: [0, 1, 2].map(|plane| (&bytes[plane][..], stride)) };
        let mut converter = ChannelConverter::default();
        converter.read(&view);
        converter.channels.map(|plane| {
            assert!(plane.samples.iter().all(|level| *level == plane.samples[0]), "{plane:?}");
            plane.samples[0]
        })
    }

    #[test]
    fn levels_are_the_nearest_ones() {
        for (depth_bits, is_full_range) in [(8, true), (8, false), (10, true), (10, false), (12, false), (16, false)] {
            let format = YuvFormat { depth_bits, colors: BOTH };
            for sample in (0..1_u32 << depth_bits).step_by(1.max((1 << depth_bits) / 1024)) {
                let samples = [sample as u16; 3];
                let exact = exact(samples.map(f64::from), depth_bits, code(6, is_full_range));
                for (level, exact) in converted(samples, format, code(6, is_full_range)).into_iter().zip(exact) {
                    let distance = (f64::from(level) - exact.clamp(0.0, 255.0)).abs();
                    assert!(distance < 0.53, "{sample} of {depth_bits} bits is {level}, and not {exact}");
                }
            }
        }
    }

    #[test]
    fn colours_keep_their_place_in_another_matrix() {
        for matrix in [1, 4, 7, 9] {
            for depth_bits in [8, 10] {
                let format = YuvFormat { depth_bits, colors: BOTH };
                for number in 0..500_u32 {
                    let of = |factor: u32| (number.wrapping_mul(factor) >> 8) as u16 % (1 << depth_bits);
                    let samples = [of(2_654_435), of(40_503_000), of(97_003)];
                    let exact = exact(samples.map(f64::from), depth_bits, code(matrix, false));
                    let levels = converted(samples, format, code(matrix, false));
                    for (level, exact) in levels.into_iter().zip(exact) {
                        // Brightness takes the video's colours in 8 bits, in which very loud ones are cut off.
                        let is_loud = |sample: &u16| !(16..=240).contains(&(*sample >> (depth_bits - 8)));
                        let is_cut = samples.iter().any(is_loud);
                        let distance = (f64::from(level) - exact.clamp(0.0, 255.0)).abs();
                        assert!(is_cut || distance < 0.8, "{samples:?} of matrix {matrix} is {levels:?}, not {exact}");
                    }
                }
            }
        }
    }

    #[test]
    fn gray_has_no_colour_in_any_matrix() {
        for matrix in [0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 14, 255] {
            for (depth_bits, colors) in [(8, BOTH), (10, BOTH), (16, Some(Halved::NOT))] {
                let middle = 1 << (depth_bits - 1);
                for y in [16, 77, 235] {
                    let samples = [y << (depth_bits - 8), middle, middle];
                    let [level, cb, cr] = converted(samples, YuvFormat { depth_bits, colors }, code(matrix, false));
                    let expected = (f64::from(y - 16) * 255.0 / 219.0).round() as u8;
                    assert_eq!([level, cb, cr], [expected, 128, 128], "{y} of matrix {matrix} in {depth_bits} bits");
                }
            }
        }
    }

    #[test]
    fn rows_may_have_more_bytes_than_samples() {
        let format = YuvFormat { depth_bits: 8, colors: BOTH };
        let planes: [(&[u8], usize); 3] = [(&[1, 2, 3, 9, 9, 4, 5, 6, 9, 9], 5), (&[7, 8, 9], 3), (&[5, 6, 9], 3)];
        let view = YuvView { format, size_px: (3, 2), code: code(2, true), planes };
        let mut converter = ChannelConverter::default();
        converter.read(&view);
        let expected: [(&[u8], (u32, u32)); 3] = [(&[1, 2, 3, 4, 5, 6], (3, 2)), (&[7, 8], (2, 1)), (&[5, 6], (2, 1))];
        assert_eq!(converter.channels, expected.map(|(samples, size)| Plane { samples: samples.to_vec(), size }));
    }
}
