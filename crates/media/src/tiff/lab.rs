//! CIE L*a*b* under D50, as TIFF stores it, to sRGB: as littleCMS, and so Pillow, converts it.

use std::sync::LazyLock;

/// White of the profile connection space.
const D50: [f64; 3] = [0.9642, 1.0, 0.8249];

/// From XYZ under D50 to linear sRGB, adapted by Bradford's method.
const SRGB_FROM_XYZ: [[f64; 3]; 3] = [
    [3.133_856_1, -1.616_866_7, -0.490_614_6],
    [-0.978_768_4, 1.916_141_5, 0.033_454_0],
    [0.071_945_3, -0.228_991_4, 1.405_242_7],
];

/// Steps of the table from linear to coded levels.
const STEPS: usize = 1 << 14;

/// Coded levels at equal steps of linear ones. `libm`, because the functions of the system differ between machines.
static CODED: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let coded = |step: usize| {
        let linear = step as f64 / STEPS as f64;
        let level = if linear <= 0.003_130_8 { 12.92 * linear } else { 1.055 * libm::pow(linear, 1.0 / 2.4) - 0.055 };
        (level * 255.0 + 0.5) as u8
    };
    (0..=STEPS).map(coded).collect()
});

/// The colour of a pixel: lightness from 0 to 255, and two signed bytes.
pub(super) fn rgb_from_lab([lightness, a, b]: [u8; 3]) -> [u8; 3] {
    let coded_y = (f64::from(lightness) * 100.0 / 255.0 + 16.0) / 116.0;
    let coded_x = coded_y + f64::from(a.cast_signed()) / 500.0;
    let coded_z = coded_y - f64::from(b.cast_signed()) / 200.0;
    let [white_x, white_y, white_z] = D50;
    let xyz = [cube_of(coded_x) * white_x, cube_of(coded_y) * white_y, cube_of(coded_z) * white_z];
    SRGB_FROM_XYZ.map(|row| {
        let linear: f64 = row.iter().zip(xyz).map(|(weight, value)| weight * value).sum();
        let step = (linear.clamp(0.0, 1.0) * STEPS as f64 + 0.5) as usize;
        CODED.get(step).copied().unwrap_or(255)
    })
}

/// The inverse of CIE's function, which is a cube root above a linear part.
fn cube_of(value: f64) -> f64 {
    if value > 6.0 / 29.0 { value * value * value } else { (value - 4.0 / 29.0) * 108.0 / 841.0 }
}
