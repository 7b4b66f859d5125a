//! The cosine transform of blocks (ITU-T T.81, A.3.3), in integers: the same on every machine.
//!
//! It serves the few blocks that are changed, and is exact to the rounding of its factors. It is not libjpeg's, bit for bit.

use super::blocks::Coefficients;

/// Samples or frequencies, row by row.
pub(super) type Square = [i64; 64];

/// The coefficient at each place of a coded block: along diagonals.
const ORDER: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
];

/// Fraction bits of a factor, and of a product of two.
const SHIFT: u32 = 16;
const SHIFT_2: u32 = 2 * SHIFT;
/// `cos(k × π ÷ 16) ÷ 2`, in 65536ths; for k = 0, divided by √2.
const HALF_COSINES: [i64; 9] = [23_170, 32_138, 30_274, 27_246, 23_170, 18_205, 12_540, 6_393, 0];
/// Middle of the range of samples.
const CENTRE: i64 = 128;

/// The weight of a sample in a frequency.
fn factor(frequency: usize, sample: usize) -> i64 {
    let of = |angle: usize| HALF_COSINES.get(angle).copied().unwrap_or_default();
    match (2 * sample + 1) * frequency % 32 {
        angle @ 0..=8 => of(angle),
        angle @ 9..=16 => -of(16 - angle),
        angle @ 17..=24 => -of(angle - 16),
        angle => of(32 - angle),
    }
}

/// Multiplies rows and columns with the weights, or with their transpose.
fn transformed(square: &Square, weight: impl Fn(usize, usize) -> i64) -> Square {
    let at = |square: &Square, row: usize, column: usize| square.get(8 * row + column).copied().unwrap_or_default();
    let along = |square: &Square| {
        let sum = |place: usize| (0..8).map(|from| weight(place % 8, from) * at(square, place / 8, from)).sum();
        std::array::from_fn::<i64, 64, _>(sum)
    };
    let turned = |square: &Square| std::array::from_fn::<i64, 64, _>(|place| at(square, place % 8, place / 8));
    turned(&along(&turned(&along(square))))
}

/// Samples from 0 to 255.
pub(super) fn samples(coefficients: &Coefficients, quantisation: &[u8; 64]) -> Square {
    let mut frequencies = [0; 64];
    for ((&coefficient, &step), place) in coefficients.iter().zip(quantisation).zip(ORDER) {
        if let Some(frequency) = frequencies.get_mut(usize::from(place)) {
            *frequency = i64::from(coefficient) * i64::from(step);
        }
    }
    let level = |sum: i64| (((sum + (1 << (SHIFT_2 - 1))) >> SHIFT_2) + CENTRE).clamp(0, 255);
    transformed(&frequencies, |sample, frequency| factor(frequency, sample)).map(level)
}

/// Coefficients of samples: the nearest whole number of steps.
pub(super) fn coefficients(samples: &Square, quantisation: &[u8; 64]) -> Coefficients {
    const MOST: i64 = 1023;
    let frequencies = transformed(&samples.map(|sample| sample - CENTRE), factor);
    let mut coefficients = [0; 64];
    for ((coefficient, &step), place) in coefficients.iter_mut().zip(quantisation).zip(ORDER) {
        let frequency = frequencies.get(usize::from(place)).copied().unwrap_or_default();
        let step = i64::from(step.max(1)) << SHIFT_2;
        let steps = (frequency.abs() + step / 2) / step;
        *coefficient = (steps.min(MOST) * frequency.signum()) as i16;
    }
    coefficients
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transform_and_back_is_the_same_block() {
        let samples: Square =
            std::array::from_fn(|at| (at.cast_signed() as i64 * 37 + at.cast_signed() as i64 / 8 * 11) % 256);
        let steps = [1; 64];
        let again = super::samples(&coefficients(&samples, &steps), &steps);
        assert!(again.iter().zip(samples).all(|(again, sample)| again.abs_diff(sample) <= 2), "{again:?}");
    }

    #[test]
    fn a_flat_block_has_eight_times_its_level_as_its_first_coefficient() {
        let found = coefficients(&[CENTRE + 40; 64], &[1; 64]);
        assert_eq!((found[0], found.iter().filter(|&&other| other != 0).count()), (320, 1));
        // A wave of the lowest frequency along rows.
        let wave: Square = std::array::from_fn(|at| CENTRE + factor(1, at % 8) * 200 / 65_536);
        let found = coefficients(&wave, &[1; 64]);
        assert!(found[1] > 500 && found[2..].iter().all(|other| other.abs() <= 2), "{found:?}");
    }
}
