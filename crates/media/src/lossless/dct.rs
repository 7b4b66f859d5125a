//! The cosine transform of blocks (ITU-T T.81, A.3.3), in integers: the same on every machine.
//!
//! It serves the few blocks that are changed, and is exact to the rounding of its factors. It is not libjpeg's, bit for bit.

use super::blocks::Coefficients;

/// Samples or frequencies, row by row.
pub(super) type Square = [i64; 64];

/// The coefficient at each place of a coded block: along diagonals.
pub(super) const ORDER: [u8; 64] = [
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

/// The weight of each sample in each frequency, and of each frequency in each sample.
const BY_FREQUENCY: Weights = weights(false);
const BY_SAMPLE: Weights = weights(true);

type Weights = [[i64; 8]; 8];

#[expect(clippy::indexing_slicing, reason = "indices run from 0 to 7, and angles from 0 to 8")]
const fn weights(is_by_sample: bool) -> Weights {
    let mut weights = [[0; 8]; 8];
    let mut at = 0;
    while at < 64 {
        let (first, second) = (at / 8, at % 8);
        let (frequency, sample) = if is_by_sample { (second, first) } else { (first, second) };
        weights[first][second] = match (2 * sample + 1) * frequency % 32 {
            angle @ 0..=8 => HALF_COSINES[angle],
            angle @ 9..=16 => -HALF_COSINES[16 - angle],
            angle @ 17..=24 => -HALF_COSINES[angle - 16],
            angle => HALF_COSINES[32 - angle],
        };
        at += 1;
    }
    weights
}

/// Multiplies rows and columns with weights.
fn transformed(square: &Square, weights: &Weights) -> Square {
    // Rows become columns, and columns rows again.
    rows_to_columns(&rows_to_columns(square, weights), weights)
}

fn rows_to_columns(square: &Square, weights: &Weights) -> Square {
    let mut turned = [0; 64];
    for (number, row) in square.as_chunks::<8>().0.iter().enumerate() {
        for (target, weights) in turned.iter_mut().skip(number).step_by(8).zip(weights) {
            *target = row.iter().zip(weights).map(|(value, weight)| value * weight).sum();
        }
    }
    turned
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
    transformed(&frequencies, &BY_SAMPLE).map(level)
}

/// Coefficients of samples: the nearest whole number of steps.
pub(super) fn coefficients(samples: &Square, quantisation: &[u8; 64]) -> Coefficients {
    const MOST: i64 = 1023;
    let frequencies = transformed(&samples.map(|sample| sample - CENTRE), &BY_FREQUENCY);
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
        let samples: Square = std::array::from_fn::<u8, 64, _>(|at| (at * 37 + at / 8 * 11) as u8).map(i64::from);
        let steps = [1; 64];
        let again = super::samples(&coefficients(&samples, &steps), &steps);
        assert!(again.iter().zip(samples).all(|(again, sample)| again.abs_diff(sample) <= 2), "{again:?}");
    }

    #[test]
    fn a_flat_block_has_eight_times_its_level_as_its_first_coefficient() {
        let found = coefficients(&[CENTRE + 40; 64], &[1; 64]);
        assert_eq!((found[0], found.iter().filter(|&&other| other != 0).count()), (320, 1));
        // A wave of the lowest frequency along rows.
        let wave: Square = std::array::from_fn(|at| CENTRE + BY_FREQUENCY[1][at % 8] * 200 / 65_536);
        let found = coefficients(&wave, &[1; 64]);
        assert!(found[1] > 500 && found[2..].iter().all(|other| other.abs() <= 2), "{found:?}");
    }
}
