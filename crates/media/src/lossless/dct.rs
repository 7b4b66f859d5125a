//! The cosine transform of blocks (ITU-T T.81, A.3.3), in integers: the same on every machine.
//!
//! The inverse transform of the `N × N` lowest frequencies is that of 8 × 8 with cosines of another period: the block at N eighths
//! of its size, which libjpeg calls DCT scaling. Levels are libjpeg's, but for rounding.

use super::blocks::Coefficients;

/// The coefficient at each place of a coded block: along diagonals.
pub(super) const ORDER: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
];

/// Fraction bits of a factor, and those that are kept between rows and columns.
const SHIFT: u32 = 12;
const KEPT_BITS: u32 = 3;
/// Fraction bits of the sums of products.
const SUM_SHIFT: u32 = SHIFT + KEPT_BITS;
/// No frequency of samples of 8 bits is larger.
const MOST: i32 = 2047;
/// Middle of the range of samples.
const CENTRE: i32 = 128;

/// Samples or frequencies, row by row.
type Square<T, const N: usize> = [[T; N]; N];

/// The factors of the transform of `N × N` samples.
pub(super) struct Cosines<const N: usize> {
    /// The weight of each frequency (columns) in each sample (rows), and turned.
    by_sample: Square<i32, N>,
    by_frequency: Square<i32, N>,
}

/// What the coefficients of a block mean.
pub(super) struct Steps<const N: usize> {
    /// By place in the order of coefficients: the place among the frequencies, row by row, and the step of the quantisation.
    places: [(u8, u8); 64],
}

/// Frequencies of a block.
pub(super) struct Frequencies<const N: usize> {
    values: Square<i32, N>,
    /// Whether all but the first are zero.
    is_flat: bool,
}

impl<const N: usize> Steps<N> {
    pub(super) fn new(quantisation: &[u8; 64]) -> Self {
        const NONE: u8 = u8::MAX;
        let mut places = [(NONE, 1); 64];
        for ((place, &step), at) in places.iter_mut().zip(quantisation).zip(ORDER) {
            let (row, column) = (at / 8, at % 8);
            let is_low = usize::from(row) < N && usize::from(column) < N;
            *place = (if is_low { row * N as u8 + column } else { NONE }, step);
        }
        Self { places }
    }

    /// The frequencies of a block of which only the mean is known.
    #[inline]
    pub(super) fn flat(&self, mean: i16) -> Frequencies<N> {
        let mut frequencies = Frequencies { values: [[0; N]; N], is_flat: true };
        self.set(&mut frequencies, 0, mean.into());
        Frequencies { is_flat: true, ..frequencies }
    }

    /// Sets the frequency of the coefficient at a place, if it is among these.
    #[inline]
    pub(super) fn set(&self, frequencies: &mut Frequencies<N>, place: usize, coefficient: i32) {
        let Some(&(at, step)) = self.places.get(place) else { return };
        if let Some(frequency) = frequencies.values.as_flattened_mut().get_mut(usize::from(at)) {
            *frequency = (coefficient * i32::from(step)).clamp(-MOST, MOST);
            frequencies.is_flat = false;
        }
    }
}

impl<const N: usize> Cosines<N> {
    pub(super) fn new() -> Self {
        // cos((2x + 1) × u × π ÷ 2N) ÷ 2 for sample x and frequency u, divided by √2 for u = 0.
        let weight = |sample: usize, frequency: usize| {
            let angle = (2 * sample + 1) as f64 * frequency as f64 * std::f64::consts::PI / (2 * N) as f64;
            let cosine = if frequency == 0 { std::f64::consts::FRAC_1_SQRT_2 } else { libm::cos(angle) };
            libm::round(cosine / 2.0 * f64::from(1 << SHIFT)) as i32
        };
        Self {
            by_sample: std::array::from_fn(|sample| std::array::from_fn(|frequency| weight(sample, frequency))),
            by_frequency: std::array::from_fn(|frequency| std::array::from_fn(|sample| weight(sample, frequency))),
        }
    }

    /// One behind the place of the last coefficient that is needed.
    pub(super) fn num_places() -> usize {
        let is_low = |place: u8| usize::from(place / 8) < N && usize::from(place % 8) < N;
        ORDER.iter().rposition(|&place| is_low(place)).map_or(0, |last| last + 1)
    }

    #[inline]
    pub(super) fn samples(&self, frequencies: &Frequencies<N>) -> Square<u8, N> {
        let level = |sum: i32| (rounded(sum, SUM_SHIFT) + CENTRE).clamp(0, 255) as u8;
        if frequencies.is_flat {
            let first =
                |square: &Square<i32, N>| square.first().and_then(|row| row.first()).copied().unwrap_or_default();
            let weight = first(&self.by_sample);
            let mean = rounded(first(&frequencies.values) * weight, SHIFT - KEPT_BITS);
            return [[level(mean * weight); N]; N];
        }
        let columns = turned(&frequencies.values, |row| self.waves(row).map(|sum| rounded(sum, SHIFT - KEPT_BITS)));
        turned(&columns, |column| self.waves(column).map(level))
    }

    /// The sums of waves with these frequencies, at each sample. From both ends, waves are the same, but for the sign of every
    /// second one.
    #[inline]
    fn waves(&self, frequencies: &[i32; N]) -> [i32; N] {
        let mut sums = [0; N];
        for (x, weights) in self.by_sample.iter().enumerate().take(N.div_ceil(2)) {
            let (mut even, mut odd) = (0, 0);
            for (u, (frequency, weight)) in frequencies.iter().zip(weights).enumerate() {
                *(if u % 2 == 0 { &mut even } else { &mut odd }) += frequency * weight;
            }
            for (at, sum) in [(N - 1 - x, even - odd), (x, even + odd)] {
                sums.get_mut(at).into_iter().for_each(|target| *target = sum);
            }
        }
        sums
    }
}

impl Cosines<8> {
    /// Coefficients of samples: the nearest whole number of steps.
    pub(super) fn coefficients(&self, samples: &Square<u8, 8>, quantisation: &[u8; 64]) -> Coefficients {
        const MOST: i32 = 1023;
        let centred = samples.map(|row| row.map(|sample| i32::from(sample) - CENTRE));
        let rows = product(&centred, &self.by_sample).map(|row| row.map(|sum| rounded(sum, SHIFT - KEPT_BITS)));
        let frequencies = product(&self.by_frequency, &rows);
        let mut coefficients = [0; 64];
        for ((coefficient, &step), place) in coefficients.iter_mut().zip(quantisation).zip(ORDER) {
            let frequency = frequencies.as_flattened().get(usize::from(place)).copied().unwrap_or_default();
            let step = i32::from(step.max(1)) << SUM_SHIFT;
            let steps = (frequency.abs() + step / 2) / step;
            *coefficient = (steps.min(MOST) * frequency.signum()) as i16;
        }
        coefficients
    }
}

/// What becomes of each row, as the columns of another square.
#[inline]
fn turned<T: Copy + Default, const N: usize>(
    square: &Square<i32, N>,
    transform: impl Fn(&[i32; N]) -> [T; N],
) -> Square<T, N> {
    let mut turned = [[T::default(); N]; N];
    for (at, row) in square.iter().enumerate() {
        for (target, value) in turned.iter_mut().zip(transform(row)) {
            target.get_mut(at).into_iter().for_each(|target| *target = value);
        }
    }
    turned
}

/// The product of two matrices.
#[inline]
fn product<const N: usize>(left: &Square<i32, N>, right: &Square<i32, N>) -> Square<i32, N> {
    let mut product = [[0; N]; N];
    for (row, targets) in left.iter().zip(&mut product) {
        for (&factor, others) in row.iter().zip(right) {
            targets.iter_mut().zip(others).for_each(|(target, other)| *target += factor * other);
        }
    }
    product
}

#[inline]
fn rounded(sum: i32, shift: u32) -> i32 {
    (sum + (1 << (shift - 1))) >> shift
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frequencies<const N: usize>(coefficients: &Coefficients) -> Frequencies<N> {
        let steps = Steps::new(&[1; 64]);
        let mut frequencies = steps.flat(coefficients[0]);
        (1..64).for_each(|place| steps.set(&mut frequencies, place, coefficients[place].into()));
        frequencies
    }

    #[test]
    fn a_transform_and_back_is_the_same_block() {
        let cosines = Cosines::<8>::new();
        let samples: Square<u8, 8> =
            std::array::from_fn(|y| std::array::from_fn(|x| ((y * 8 + x) * 37 + y * 11) as u8));
        let again = cosines.samples(&frequencies(&cosines.coefficients(&samples, &[1; 64])));
        let pairs = again.as_flattened().iter().zip(samples.as_flattened());
        assert!(pairs.clone().all(|(again, sample)| again.abs_diff(*sample) <= 2), "{again:?}");
    }

    #[test]
    fn a_flat_block_has_eight_times_its_level_as_its_first_coefficient() {
        let cosines = Cosines::<8>::new();
        let found = cosines.coefficients(&[[168; 8]; 8], &[1; 64]);
        assert_eq!((found[0], found.iter().filter(|&&other| other != 0).count()), (320, 1));
        // A wave of the lowest frequency along rows.
        let wave: Square<u8, 8> =
            [std::array::from_fn(|x| (CENTRE + cosines.by_frequency[1][x] * 200 / 4096) as u8); 8];
        let found = cosines.coefficients(&wave, &[1; 64]);
        assert!(found[1] > 500 && found[2..].iter().all(|other| other.abs() <= 2), "{found:?}");
    }

    #[test]
    fn a_block_at_fewer_eighths_has_the_means_of_its_parts() {
        // A slope: its lowest frequencies are nearly all of it.
        let cosines = Cosines::<8>::new();
        let slope: Square<u8, 8> = std::array::from_fn(|y| std::array::from_fn(|x| (60 + 10 * x + 5 * y) as u8));
        let coefficients = cosines.coefficients(&slope, &[1; 64]);
        let halves = Cosines::<4>::new().samples(&frequencies(&coefficients));
        for (y, row) in halves.iter().enumerate() {
            for (x, &sample) in row.iter().enumerate() {
                let mean = 60 + 5 + 20 * x + 2 + 10 * y;
                assert!(mean.abs_diff(sample.into()) <= 2, "{halves:?}");
            }
        }
        assert_eq!(Cosines::<1>::new().samples(&frequencies(&coefficients)), [[112]]);
    }

    #[test]
    fn a_flat_block_is_transformed_like_any_other() {
        for mean in [-1024, -513, -8, 0, 3, 77, 1023] {
            let mut other = Steps::<3>::new(&[1; 64]).flat(mean);
            let flat = Cosines::<3>::new().samples(&other);
            other.is_flat = false;
            assert_eq!(Cosines::<3>::new().samples(&other), flat, "{mean}");
        }
    }

    /// Checks sums of waves against those of the definition.
    fn check_waves<const N: usize>() {
        let cosines = Cosines::<N>::new();
        let mut next = 13;
        let numbers: [i32; N] = std::array::from_fn(|_| {
            next = (next * 7919 + 13) % 4095;
            next - 2047
        });
        let sum = |weight: &dyn Fn(usize) -> i32| (0..N).map(|at| numbers[at] * weight(at)).sum::<i32>();
        for at in 0..N {
            assert_eq!(cosines.waves(&numbers)[at], sum(&|u| cosines.by_sample[at][u]), "sample {at} of {N}");
        }
    }

    #[test]
    fn waves_are_the_same_from_both_ends_but_for_the_sign_of_every_second_one() {
        check_waves::<1>();
        check_waves::<2>();
        check_waves::<3>();
        check_waves::<4>();
        check_waves::<5>();
        check_waves::<6>();
        check_waves::<7>();
        check_waves::<8>();
    }

    #[test]
    fn the_needed_coefficients_end_with_the_highest_frequency() {
        let ends = [Cosines::<1>::num_places(), Cosines::<2>::num_places(), Cosines::<3>::num_places()];
        assert_eq!((ends, Cosines::<8>::num_places()), ([1, 5, 13], 64));
    }
}
