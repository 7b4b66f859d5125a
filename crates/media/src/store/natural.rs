//! Natural order: runs of digits compare as numbers, so `frame2` comes before `frame10`.

use std::cmp::Ordering;

/// Compares two names. Numbers that differ only in leading zeros compare by their bytes.
pub(crate) fn natural_order(left: &str, right: &str) -> Ordering {
    let (mut a, mut b) = (left.as_bytes(), right.as_bytes());
    while let ([x, rest_a @ ..], [y, rest_b @ ..]) = (a, b) {
        let order = if x.is_ascii_digit() && y.is_ascii_digit() {
            let (number_a, number_b);
            (number_a, a) = split_number(a);
            (number_b, b) = split_number(b);
            // Without leading zeros, the longer number is the larger one.
            number_a.len().cmp(&number_b.len()).then_with(|| number_a.cmp(number_b))
        } else {
            (a, b) = (rest_a, rest_b);
            x.cmp(y)
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    a.len().cmp(&b.len()).then_with(|| left.cmp(right))
}

/// Splits off the digits at the start, without leading zeros.
fn split_number(text: &[u8]) -> (&[u8], &[u8]) {
    let num_digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = text.split_at(num_digits);
    let num_zeros = digits.iter().take_while(|&&digit| digit == b'0').count();
    (digits.split_at(num_zeros).1, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_count_as_numbers() {
        let mut names = ["frame10.jpg", "frame2.jpg", "Frame3.jpg", "frame02.jpg", "frame.jpg", "frame2a.jpg", "f"];
        names.sort_by(|a, b| natural_order(a, b));
        let expected = ["Frame3.jpg", "f", "frame.jpg", "frame02.jpg", "frame2.jpg", "frame2a.jpg", "frame10.jpg"];
        assert_eq!(names, expected);
    }

    proptest::proptest! {
        #[test]
        fn it_is_a_total_order(a in "[ab019]{0,6}", b in "[ab019]{0,6}", c in "[ab019]{0,6}") {
            proptest::prop_assert_eq!(natural_order(&a, &b), natural_order(&b, &a).reverse());
            proptest::prop_assert_eq!(natural_order(&a, &b) == Ordering::Equal, a == b);
            if natural_order(&a, &b).is_le() && natural_order(&b, &c).is_le() {
                proptest::prop_assert!(natural_order(&a, &c).is_le());
            }
        }
    }
}
