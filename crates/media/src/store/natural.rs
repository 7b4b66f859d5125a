//! Natural order: runs of digits compare as numbers, so `frame2` comes before `frame10`.

use std::cmp::Ordering;

/// Compares two names. Numbers that differ only in leading zeros compare by their bytes.
pub fn natural_order(left: &str, right: &str) -> Ordering {
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

/// Where numbered names, in order, leave out numbers: positions in the sequence that they would be without gaps. None where names
/// do not end with numbers in even steps, but for some gaps, or where more would be absent than there are.
pub(crate) fn absent_numbers<'n>(names: impl Iterator<Item = &'n str>) -> Vec<usize> {
    absent_positions(names).unwrap_or_default()
}

fn absent_positions<'n>(names: impl Iterator<Item = &'n str>) -> Option<Vec<usize>> {
    /// Of so many steps, at most one may be a gap.
    const STEPS_A_GAP: usize = 10;
    let numbers: Vec<(&str, u64)> = names.map(final_number).collect::<Option<_>>()?;
    let step = |pair: &[(&str, u64)]| match pair {
        [(text, number), (next_text, next)] if text == next_text => next.checked_sub(*number).filter(|step| *step > 0),
        _ => None,
    };
    let steps: Vec<u64> = numbers.windows(2).map(step).collect::<Option<_>>()?;
    let mut sorted = steps.clone();
    sorted.sort_unstable();
    let usual = *sorted.get(sorted.len() / 2)?;
    let num_gaps = steps.iter().filter(|step| **step != usual).count();
    if num_gaps * STEPS_A_GAP > steps.len() || steps.iter().any(|step| step % usual != 0) {
        return None;
    }
    // A step is a multiple of the usual one, and no shorter.
    let num_absent = steps.iter().map(|step| step / usual - 1).fold(0, u64::saturating_add);
    if num_absent > numbers.len() as u64 {
        return None;
    }
    let mut position = 0;
    let mut absent = Vec::new();
    for step in steps {
        let next = position + usize::try_from(step / usual).ok()?;
        absent.extend(position + 1..next);
        position = next;
    }
    Some(absent)
}

/// What is before the number at the end of a name, without its extension, and the number.
fn final_number(name: &str) -> Option<(&str, u64)> {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let text = stem.trim_end_matches(|c: char| c.is_ascii_digit());
    Some((text, stem.get(text.len()..)?.parse().ok()?))
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

    #[test]
    fn numbers_that_are_left_out_are_found() {
        let names = |numbers: &[u32]| numbers.iter().map(|number| format!("v/img_{number:03}.jpg")).collect::<Vec<_>>();
        let absent = |numbers: &[u32]| absent_numbers(names(numbers).iter().map(String::as_str));
        let all: Vec<u32> = (0..24).collect();
        assert_eq!(absent(&all), [0; 0]);
        assert_eq!(absent(&[&all[..8], &all[16..]].concat()), (8..16).collect::<Vec<_>>());
        // Every fifth frame, and one of them is gone.
        let fifth: Vec<u32> = (0..24).filter(|number| *number != 7).map(|number| 3 + 5 * number).collect();
        assert_eq!(absent(&fifth), [7]);
        // Frames that were picked, and two pieces that are far apart.
        assert_eq!(absent(&[3, 17, 44, 45, 90, 91, 120, 122, 300, 301, 302]), [0; 0]);
        assert_eq!(absent(&[&all[..], &[90_000]].concat()), [0; 0]);
        // Steps that are shorter than the usual one.
        assert_eq!(absent(&[1, 2, 10, 20]), [0; 0]);
        assert_eq!(absent_numbers(["a", "b1"].into_iter()), [0; 0]);
        assert_eq!(absent_numbers(["a1.jpg", "b3.jpg"].into_iter()), [0; 0]);
        assert_eq!(absent_numbers(std::iter::empty()), [0; 0]);
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
