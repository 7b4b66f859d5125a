//! Brightness and colours of a still image as RGB, as libavif converts them: colours that pixels share lie in their middle.

use crate::avif::ColorCode;
use crate::pixels::{RGB_BYTES, RgbImage};
use crate::ycbcr::Halved;

/// How the samples of an image are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct YuvFormat {
    /// Bits of a sample; more than 8 take two bytes, the lower one first.
    pub depth_bits: u32,
    /// The resolution of colours; `None` if there are none.
    pub colors: Option<Halved>,
}

/// A decoded image: brightness, and two planes of colours.
#[derive(Debug, Clone, Copy)]
pub(crate) struct YuvView<'a> {
    pub format: YuvFormat,
    pub size_px: (u32, u32),
    pub code: ColorCode,
    /// The bytes of each plane, and the number of them from one row to the next.
    pub planes: [(&'a [u8], usize); 3],
}

/// An image that is put together from tiles.
pub(crate) struct YuvCanvas {
    format: YuvFormat,
    size_px: (u32, u32),
    code: ColorCode,
    planes: [Vec<u8>; 3],
}

impl YuvFormat {
    pub(super) fn sample_bytes(self) -> usize {
        if self.depth_bits > 8 { 2 } else { 1 }
    }

    /// Columns and rows of a plane.
    pub(super) fn plane_px(self, plane: usize, (width_px, height_px): (u32, u32)) -> (usize, usize) {
        let length = |length: u32, is_halved: bool| if is_halved { length.div_ceil(2) } else { length } as usize;
        match self.colors {
            _ if plane == 0 => (width_px as usize, height_px as usize),
            Some(Halved { columns, rows }) => (length(width_px, columns), length(height_px, rows)),
            None => (0, 0),
        }
    }
}

impl YuvView<'_> {
    /// The rows of a plane, each of which may have bytes after its samples.
    pub(super) fn rows(&self, plane: usize) -> impl Iterator<Item = &[u8]> {
        let (bytes, stride) = self.planes.get(plane).copied().unwrap_or_default();
        bytes.chunks(stride.max(1))
    }

    /// Writes a row of a plane as numbers.
    fn read_row(&self, plane: usize, y: usize, row: &mut [u16]) {
        let Some(&(bytes, stride)) = self.planes.get(plane) else { return };
        let bytes = bytes.get(y * stride..).unwrap_or_default();
        if self.format.sample_bytes() == 1 {
            row.iter_mut().zip(bytes).for_each(|(sample, &byte)| *sample = byte.into());
        } else {
            row.iter_mut().zip(bytes.as_chunks().0).for_each(|(sample, &pair)| *sample = u16::from_le_bytes(pair));
        }
    }
}

impl YuvCanvas {
    /// An empty image of a size, like its first tile.
    pub(crate) fn new(like: &YuvView<'_>, size_px: (u32, u32)) -> Self {
        let plane = |plane| {
            let (columns, rows) = like.format.plane_px(plane, size_px);
            vec![0; columns * rows * like.format.sample_bytes()]
        };
        Self { format: like.format, size_px, code: like.code, planes: [plane(0), plane(1), plane(2)] }
    }

    /// Copies what fits of a tile, whose left and top are even where colours have half the resolution. Returns whether it is
    /// coded like the others.
    pub(crate) fn place(&mut self, tile: &YuvView<'_>, (left, top): (u32, u32)) -> bool {
        let sample_bytes = self.format.sample_bytes();
        for (number, (plane, &(bytes, stride))) in self.planes.iter_mut().zip(&tile.planes).enumerate() {
            let (columns, _) = self.format.plane_px(number, self.size_px);
            let (left, top) = self.format.plane_px(number, (left, top));
            let (tile_columns, tile_rows) = self.format.plane_px(number, tile.size_px);
            if columns == 0 {
                continue;
            }
            let lines = plane.chunks_exact_mut(columns * sample_bytes).skip(top).take(tile_rows);
            for (line, row) in lines.zip(bytes.chunks(stride.max(1))) {
                let samples = line.iter_mut().skip(left * sample_bytes);
                samples.zip(row.iter().take(tile_columns * sample_bytes)).for_each(|(to, &from)| *to = from);
            }
        }
        tile.format == self.format && tile.code == self.code
    }

    pub(crate) fn view(&self) -> YuvView<'_> {
        let mut planes = [(&[][..], 0); 3];
        for (number, (plane, view)) in self.planes.iter().zip(&mut planes).enumerate() {
            let (columns, _) = self.format.plane_px(number, self.size_px);
            *view = (&plane[..], columns * self.format.sample_bytes());
        }
        YuvView { format: self.format, size_px: self.size_px, code: self.code, planes }
    }
}

/// Calls `merge` with each pixel of `image`, from its left and top, and the one of `view` in its place.
///
/// # Errors
/// Says what about the colours is unknown; the text continues "the AVIF …".
pub(crate) fn merge_rgb(
    view: &YuvView<'_>,
    image: &mut RgbImage,
    merge: impl Fn(&mut [u8; RGB_BYTES], [u8; RGB_BYTES]),
) -> Result<(), String> {
    let conversion = Conversion::of(view.code, view.format)?;
    let width = view.size_px.0 as usize;
    let (mut brightness, mut rows) = (vec![0; width], ColorRows::new(view));
    let last = width.saturating_sub(1);
    let is_last_alone = is_read_by_libyuv(view.code.matrix);
    let stride = image.stride();
    for (y, line) in image.pixels_mut().chunks_exact_mut(stride).take(view.size_px.1 as usize).enumerate() {
        view.read_row(0, y, &mut brightness);
        rows.read(view, y);
        for (x, (pixel, &y)) in line.as_chunks_mut().0.iter_mut().zip(&brightness).enumerate() {
            merge(pixel, conversion.rgb(y.into(), rows.colors(x, is_last_alone && x == last)));
        }
    }
    Ok(())
}

/// Weights of colours between samples are sixteenths.
const SIXTEENTHS: i32 = 16;

/// The rows of colours around a row of pixels.
struct ColorRows {
    resolution: Option<Halved>,
    /// Weighted sums of the nearer and the farther row, of quarters.
    sums: [Vec<u16>; 2],
    row: Vec<u16>,
}

impl ColorRows {
    fn new(view: &YuvView<'_>) -> Self {
        let (columns, _) = view.format.plane_px(1, view.size_px);
        Self { resolution: view.format.colors, sums: [vec![0; columns], vec![0; columns]], row: vec![0; columns] }
    }

    fn read(&mut self, view: &YuvView<'_>, y: usize) {
        let Some(Halved { rows: is_halved, .. }) = self.resolution else { return };
        let (_, rows) = view.format.plane_px(1, view.size_px);
        let (near, far) = neighbours(y, rows, is_halved);
        for (plane, sums) in self.sums.iter_mut().enumerate() {
            view.read_row(plane + 1, near, sums);
            view.read_row(plane + 1, far, &mut self.row);
            sums.iter_mut().zip(&self.row).for_each(|(sum, far)| *sum = *sum * 3 + far);
        }
    }

    /// The colours of a pixel, in sixteenths, interpolated between columns or not.
    fn colors(&self, x: usize, is_alone: bool) -> Option<[i32; 2]> {
        let Halved { columns: is_halved, .. } = self.resolution?;
        let color = |sums: &[u16]| {
            let (near, far) = neighbours(x, sums.len(), is_halved);
            let far = if is_alone { near } else { far };
            Some(i32::from(*sums.get(near)?) * 3 + i32::from(*sums.get(far)?))
        };
        let [u, v] = &self.sums;
        Some([color(u)?, color(v)?])
    }
}

/// Whether libavif leaves colours of this matrix to libyuv, which does not interpolate those of the last column.
fn is_read_by_libyuv(matrix: u16) -> bool {
    matches!(matrix, 1 | 2 | 5 | 6 | 9 | 12)
}

/// The nearest sample and the next one, of `length`.
fn neighbours(position: usize, length: usize, is_halved: bool) -> (usize, usize) {
    if !is_halved {
        return (position, position);
    }
    let near = position / 2;
    let far =
        if position.is_multiple_of(2) { near.saturating_sub(1) } else { (near + 1).min(length.saturating_sub(1)) };
    (near, far)
}

/// From samples to RGB, in fixed point.
struct Conversion {
    kind: Kind,
    /// The code of black, and the codes without colour.
    black: i32,
    no_color: i32,
    /// Levels a step of brightness.
    brightness: i32,
    /// Levels of red, green and blue a step of a sixteenth of each colour.
    weights: [[i32; 2]; RGB_BYTES],
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// The planes are green, blue and red.
    Planes,
    /// Brightness and two differences.
    Differences,
}

/// Fractional bits of weights: with 12 bits a sample and sixteenths of them, products stay below 2³¹.
const FRACTION_BITS: u32 = 18;

impl Conversion {
    fn of(code: ColorCode, format: YuvFormat) -> Result<Self, String> {
        let full = f64::from((1_u32 << format.depth_bits) - 1);
        let step = f64::from(1_u32 << (format.depth_bits - 8));
        let (black, brightness_codes, color_codes) =
            if code.is_full_range { (0.0, full, full) } else { (16.0 * step, 219.0 * step, 224.0 * step) };
        let fixed = |weight: f64| libm::round(weight * 255.0 * f64::from(1 << FRACTION_BITS)) as i32;
        let matrix = match (code.matrix, format.colors) {
            (_, None) => Matrix::Shares(0.0, 0.0),
            (8, _) if !code.is_full_range => {
                return Err("has differences to green and orange in a limited range, which is not decoded".to_owned());
            }
            (matrix, Some(resolution)) => Matrix::of(matrix, code.primaries, resolution)?,
        };
        let (kind, weights) = match matrix {
            Matrix::Planes => (Kind::Planes, [[0.0; 2]; RGB_BYTES]),
            Matrix::GreenOrange => (Kind::Differences, [[-1.0, 1.0], [1.0, 0.0], [-1.0, -1.0]]),
            Matrix::Shares(red, blue) => {
                let green = 1.0 - red - blue;
                let (by_red, by_blue) = (2.0 * (1.0 - red), 2.0 * (1.0 - blue));
                let of_green = [-by_blue * blue / green, -by_red * red / green];
                (Kind::Differences, [[0.0, by_red], of_green, [by_blue, 0.0]])
            }
        };
        Ok(Self {
            kind,
            black: black as i32,
            no_color: 1 << (format.depth_bits - 1),
            brightness: fixed(1.0 / brightness_codes),
            weights: weights.map(|pair| pair.map(|weight| fixed(weight / color_codes / f64::from(SIXTEENTHS)))),
        })
    }

    fn rgb(&self, y: i32, colors: Option<[i32; 2]>) -> [u8; RGB_BYTES] {
        const HALF: i32 = 1 << (FRACTION_BITS - 1);
        let level = |fixed: i32| ((fixed + HALF) >> FRACTION_BITS).clamp(0, 255) as u8;
        let bright = |sample: i32| (sample - self.black) * self.brightness;
        let Some(colors) = colors else { return [level(bright(y)); RGB_BYTES] };
        if self.kind == Kind::Planes {
            let [blue, red] = colors.map(|sample| level(bright(sample / SIXTEENTHS)));
            return [red, level(bright(y)), blue];
        }
        let [u, v] = colors.map(|sample| sample - self.no_color * SIXTEENTHS);
        let y = bright(y);
        self.weights.map(|[by_u, by_v]| level(y + u * by_u + v * by_v))
    }
}

/// What colours are made of.
enum Matrix {
    /// Nothing: the planes are green, blue and red.
    Planes,
    /// Differences to green and orange.
    GreenOrange,
    /// Differences of red and blue to brightness, in which these are their shares.
    Shares(f64, f64),
}

impl Matrix {
    /// By its number, as libavif reads it.
    fn of(matrix: u16, primaries: u16, resolution: Halved) -> Result<Self, String> {
        match (matrix, primaries) {
            (0, _) if resolution == Halved::NOT => Ok(Self::Planes),
            (0, _) => Err("has RGB of which two channels have less resolution".to_owned()),
            (8, _) => Ok(Self::GreenOrange),
            (12, 1 | 2) => Self::of(1, primaries, resolution),
            (12, 9) => Self::of(9, primaries, resolution),
            (12, _) => {
                Err(format!("has a matrix of colours that is derived from primaries {primaries}, which is not decoded"))
            }
            _ => match shares(matrix) {
                Some((red, blue)) => Ok(Self::Shares(red, blue)),
                None => Err(format!("has the matrix of colours {matrix}, which is not decoded")),
            },
        }
    }
}

/// The shares of red and blue in brightness, by the number of a matrix in ITU-T H.273; `None` if it is no such matrix.
pub(super) fn shares(matrix: u16) -> Option<(f64, f64)> {
    match matrix {
        1 => Some((0.2126, 0.0722)),
        4 => Some((0.30, 0.11)),
        2 | 5 | 6 => Some((0.299, 0.114)),
        7 => Some((0.212, 0.087)),
        9 => Some((0.2627, 0.0593)),
        _ => None,
    }
}
