//! Arithmetic as Python, NumPy and PyTorch do it, to the last bit.

/// Python's `round(x)`: half to even.
pub(crate) fn round(x: f64) -> f64 {
    x.round_ties_even()
}

/// Python's `int(round(x, 7))` of a number that is not negative.
pub(crate) fn truncated_to_7_digits(x: f64) -> u32 {
    let whole = x.trunc();
    // Only a number that is as close to the next integer can become it.
    if x - whole < 0.999_999 {
        return whole as u32;
    }
    let rounded: f64 = format!("{x:.7}").parse().unwrap_or(x);
    rounded.trunc() as u32
}

/// Python's `a // b` of floats, of which `b` is positive and `a` not negative.
pub(crate) fn floor_divide(a: f64, b: f64) -> f64 {
    let quotient = (a - a % b) / b;
    let floor = quotient.floor();
    if quotient - floor > 0.5 { floor + 1.0 } else { floor }
}

/// The next multiple that is not below a number.
pub(crate) fn round_up(number: u32, multiple: u32) -> u32 {
    number.div_ceil(multiple) * multiple
}
