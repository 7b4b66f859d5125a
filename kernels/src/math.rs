//! `exp`, `softplus` and `silu` in a form that compilers vectorise, accurate to a few units in the last place.
//!
//! NaN stays NaN, so that a validation can report it.

/// 1.5·2²³: adding it rounds to an integer, which is then in the low bits.
const ROUND: f32 = 12_582_912.0;

/// `eˣ`, relative error below 3e-7. The argument is clamped to the range of `f32`: 1.2e-38 below −87.3, 2.4e38 above 88.4.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // Comparisons, because `clamp` and `max` would replace NaN.
    let x = if x < -87.3 { -87.3 } else { x };
    let x = if x > 88.37 { 88.37 } else { x };
    // x = n·ln 2 + r.
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * 0.693_359_4) + n * 2.121_944_4e-4;
    let mut p = 1.987_569_1e-4;
    p = p * r + 1.398_199_9e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_5e-2;
    p = p * r + 1.666_666_6e-1;
    p = p * r + 0.5;
    let mantissa = (p * r) * r + r + 1.0;
    let scale = f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000));
    mantissa * scale
}

/// `ln(1 + eˣ)`.
#[inline(always)]
pub(crate) fn softplus(x: f32) -> f32 {
    let y = exp(-x.abs());
    // ln(1 + y) = 2·artanh(y / (2 + y)), whose argument is at most 1/3.
    let s = y / (2.0 + y);
    let q = s * s;
    let mut p = 1.0 / 15.0;
    p = p * q + 1.0 / 13.0;
    p = p * q + 1.0 / 11.0;
    p = p * q + 1.0 / 9.0;
    p = p * q + 1.0 / 7.0;
    p = p * q + 1.0 / 5.0;
    p = p * q + 1.0 / 3.0;
    p = p * q + 1.0;
    let positive = if x < 0.0 { 0.0 } else { x };
    positive + 2.0 * s * p
}

/// `x / (1 + e⁻ˣ)`; −0 where `e⁻ˣ` is too large for `f32`, and NaN for −∞, as on CUDA.
#[inline(always)]
pub(crate) fn silu(x: f32) -> f32 {
    let quotient = x / (1.0 + exp(-x));
    if x < -88.37 { x * 0.0 } else { quotient }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nan_stays_nan() {
        assert!(exp(f32::NAN).is_nan() && softplus(f32::NAN).is_nan() && silu(f32::NAN).is_nan());
    }

    #[test]
    fn extreme_arguments_neither_overflow_nor_become_negative() {
        assert!(exp(-1e30) < 1e-37 && exp(-1e30) >= 0.0);
        assert!(exp(1e30).is_finite());
        assert!((softplus(1e5) - 1e5).abs() < 1.0 && softplus(-1e5) < 1e-37);
        assert!(silu(-3e38).abs() < 1e-37 && silu(f32::NEG_INFINITY).is_nan() && silu(3e38) > 2e38);
    }

    proptest! {
        #[test]
        fn they_agree_with_double_precision(x in -80.0_f32..80.0) {
            let wide = f64::from(x);
            let close = |ours: f32, truth: f64| (f64::from(ours) - truth).abs() <= 4e-7 * truth.abs() + 1e-37;
            prop_assert!(close(exp(x), wide.exp()), "exp({x})");
            prop_assert!(close(softplus(x), wide.exp().ln_1p()), "softplus({x})");
            prop_assert!(close(silu(x), wide / (1.0 + (-wide).exp())), "silu({x})");
        }
    }
}
