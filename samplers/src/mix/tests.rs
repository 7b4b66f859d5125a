//! What the laws promise: exact counts, nested draws, independent sources.

use proptest::prelude::*;

use manyframe_core::IndexRow;

use super::*;
use crate::reference::{draw, row};

/// Rows of several lengths, the ids of which depend on `name`.
fn rows(name: &str, num: usize) -> Vec<IndexRow> {
    (0..num)
        .map(|n| {
            let mut row = row(&format!("{name}{n}"));
            row.cost.text_tokens = (n as u64 * 37) % 101;
            row.cost.num_images = n as u64 % 5;
            row
        })
        .collect()
}

fn share(name: &str, eligible: impl IntoIterator<Item = usize>, law: Law) -> SourceShare {
    SourceShare {
        name: name.to_owned(),
        eligible: eligible.into_iter().map(|row| row as u32).collect(),
        law,
        unit: Unit::Records,
        on_exhausted: OnExhausted::Stop,
        replacement: Replacement::Without,
        seed: 7,
        stratify: None,
    }
}

fn mix_one(rows: &[IndexRow], share: SourceShare) -> DrawnShare {
    mix(rows, &[share], MixTotal::Largest).unwrap().shares.remove(0)
}

fn contains(large: &[Drawn], small: &[Drawn]) -> bool {
    small.iter().all(|drawn| large.binary_search(drawn).is_ok())
}

fn any_unit() -> impl Strategy<Value = Unit> {
    prop::sample::select(vec![Unit::Records, Unit::Tokens, Unit::Images])
}

fn any_stratify(num: usize) -> impl Strategy<Value = Option<Stratify>> {
    let split = prop::sample::select(vec![StratumSplit::Proportional, StratumSplit::Equal]);
    prop::option::of(
        (prop::collection::vec(0u32..6, num), split).prop_map(|(strata, split)| Stratify { strata, split }),
    )
}

proptest! {
    #[test]
    fn a_take_of_records_is_the_reference_draw(num in 0usize..200, take in 0u64..250) {
        let rows = rows("x", num);
        let all: Vec<usize> = (0..num).collect();
        let drawn = mix_one(&rows, share("x", 0..num, Law::Take(take)));
        prop_assert_eq!(drawn.drawn.iter().map(|drawn| drawn.position()).collect::<Vec<_>>(), draw(&rows, &all, Some(take), 7));
        prop_assert_eq!(drawn.difference, if take > num as u64 { Difference::Exhausted } else { Difference::None });
    }

    #[test]
    fn a_larger_take_keeps_the_smaller_one(
        (num, stratify) in (1usize..150).prop_flat_map(|num| (Just(num), any_stratify(num))),
        small in 0u64..8000, more in 0u64..2000, unit in any_unit(),
    ) {
        let rows = rows("x", num);
        let repeating = SourceShare { unit, stratify, on_exhausted: OnExhausted::Repeat, ..share("x", 0..num, Law::All) };
        let take = |units| mix_one(&rows, SourceShare { law: Law::Take(units), ..repeating.clone() });
        let available = mix_one(&rows, repeating.clone()).available;
        prop_assume!(available > 0 && small + more < available * 100);
        let (small, large) = (take(small), take(small + more));
        prop_assert!(contains(&large.drawn, &small.drawn));
    }

    #[test]
    fn draws_with_replacement_are_met_and_nested(
        num in 1usize..150, small in 0u64..3000, more in 0u64..2000, unit in any_unit(),
    ) {
        let rows = rows("x", num);
        let most = rows.iter().map(|row| unit.amount(row)).max().unwrap();
        let share = SourceShare { unit, replacement: Replacement::With, ..share("x", 0..num, Law::All) };
        let available: u64 = rows.iter().map(|row| unit.amount(row)).sum();
        prop_assume!(available > 0 && small + more < available * 100);
        let take = |units| mix_one(&rows, SourceShare { law: Law::Take(units), ..share.clone() });
        let (small_draw, large) = (take(small), take(small + more));
        prop_assert!(contains(&large.drawn, &small_draw.drawn));
        prop_assert!(small_draw.achieved <= small && (small - small_draw.achieved) < most.max(1));
        prop_assert_eq!(small_draw.achieved, small_draw.drawn.iter().map(|drawn| unit.amount(&rows[drawn.position()])).sum::<u64>());
        prop_assert!(small_draw.drawn.is_sorted());
        // A record that is left out changes no draw of another before its own draws are filled up by later ones.
        let without = SourceShare { eligible: (1..num as u32).collect(), law: Law::Take(small), ..share };
        if num > 1 && unit == Unit::Records {
            let others = small_draw.drawn.iter().filter(|drawn| drawn.row > 0).copied().collect::<Vec<_>>();
            prop_assert!(contains(&mix_one(&rows, without).drawn, &others));
        }
    }

    #[test]
    fn a_take_is_met_to_within_one_record(num in 1usize..150, take in 0u64..3000, unit in any_unit()) {
        let rows = rows("x", num);
        prop_assume!(rows.iter().any(|row| unit.amount(row) > 0));
        let drawn = mix_one(&rows, SourceShare { unit, ..share("x", 0..num, Law::Take(take)) });
        let most = rows.iter().map(|row| unit.amount(row)).max().unwrap();
        let target = take.min(drawn.available);
        prop_assert!(drawn.achieved <= target);
        prop_assert!(target - drawn.achieved < most.max(1));
        let sum: u64 = drawn.drawn.iter().map(|drawn| unit.amount(&rows[drawn.position()])).sum();
        prop_assert_eq!(sum, drawn.achieved);
    }

    #[test]
    fn a_larger_factor_keeps_the_smaller_one(num in 1usize..100, small in 0.0f64..3.0, more in 0.0f64..2.0, unit in any_unit()) {
        let rows = rows("x", num);
        let repeat = |factor| mix_one(&rows, SourceShare { unit, ..share("x", 0..num, Law::Repeat(factor)) });
        let (small, large) = (repeat(small), repeat(small + more));
        prop_assert!(contains(&large.drawn, &small.drawn));
    }

    #[test]
    fn a_larger_total_keeps_what_a_smaller_one_drew(
        weights in prop::collection::vec(0.0f64..5.0, 1..6), small in 0u64..300, more in 0u64..100, unit in any_unit(),
    ) {
        prop_assume!(weights.iter().sum::<f64>() > 0.1);
        let rows = rows("x", weights.len() * 40);
        let shares: Vec<SourceShare> = weights
            .iter()
            .enumerate()
            .map(|(n, &weight)| SourceShare { unit, ..share(&n.to_string(), n * 40..(n + 1) * 40, Law::Weight(weight)) })
            .collect();
        let (small, large) = (mix(&rows, &shares, MixTotal::Units(small)).unwrap(), mix(&rows, &shares, MixTotal::Units(small + more)).unwrap());
        for (small, large) in small.shares.iter().zip(&large.shares) {
            prop_assert!(contains(&large.drawn, &small.drawn));
        }
    }

    #[test]
    fn weighted_records_add_up_and_are_within_one_record(weights in prop::collection::vec(0.01f64..5.0, 1..8), total in 0u64..200) {
        let rows = rows("x", weights.len() * 200);
        let shares: Vec<SourceShare> = weights
            .iter()
            .enumerate()
            .map(|(n, &weight)| share(&n.to_string(), n * 200..(n + 1) * 200, Law::Weight(weight)))
            .collect();
        let mixture = mix(&rows, &shares, MixTotal::Units(total)).unwrap();
        prop_assert_eq!(mixture.shares.iter().map(|share| share.achieved).sum::<u64>(), total);
        for share in &mixture.shares {
            prop_assert!((share.achieved as f64 - share.asked).abs() < 1.0 + 1e-9);
        }
    }

    #[test]
    fn the_largest_total_exhausts_one_source_and_no_more(sizes in prop::collection::vec(1usize..80, 1..6), unit in any_unit()) {
        let rows = rows("x", sizes.iter().sum());
        let mut start = 0;
        let mut shares = Vec::new();
        for (n, &size) in sizes.iter().enumerate() {
            let weighted = share(&n.to_string(), start..start + size, Law::Weight((n + 1) as f64));
            shares.push(SourceShare { unit, on_exhausted: OnExhausted::Error, ..weighted });
            start += size;
        }
        match mix(&rows, &shares, MixTotal::Largest) {
            Err(error) => {
                let is_empty = matches!(error, MixError::Empty { .. });
                prop_assert!(is_empty && unit != Unit::Records);
            }
            Ok(mixture) => {
                let whole = |share: &DrawnShare| share.achieved == share.available;
                prop_assert!(unit != Unit::Records || mixture.shares.iter().any(whole));
                prop_assert!(mixture.shares.iter().all(|share| share.asked <= share.available as f64 + 1.0));
            }
        }
    }

    #[test]
    fn changing_a_take_changes_no_other_source(first in 0u64..60, second in 0u64..60, weight in 0.1f64..3.0) {
        let rows = rows("x", 150);
        let with = |take| {
            let shares = [
                share("changed", 0..50, Law::Take(take)),
                share("taken", 50..100, Law::Take(20)),
                share("weighted", 100..130, Law::Weight(weight)),
                share("other", 130..150, Law::Weight(1.0)),
            ];
            mix(&rows, &shares, MixTotal::Largest).unwrap().shares.split_off(1)
        };
        prop_assert_eq!(with(first), with(second));
    }

    #[test]
    fn changing_a_weight_makes_other_draws_longer_or_shorter_only(first in 0.1f64..3.0, second in 0.1f64..3.0, total in 0u64..80, unit in any_unit()) {
        let rows = rows("x", 150);
        let with = |weight| {
            let weighted = |name, range, weight| SourceShare { unit, ..share(name, range, Law::Weight(weight)) };
            let shares = [weighted("changed", 0..50, weight), weighted("one", 50..100, 1.0), weighted("two", 100..150, 2.0)];
            mix(&rows, &shares, MixTotal::Units(total)).unwrap().shares
        };
        for (one, other) in with(first).iter().zip(&with(second)) {
            prop_assert!(contains(&one.drawn, &other.drawn) || contains(&other.drawn, &one.drawn));
        }
    }

    #[test]
    fn strata_keep_their_proportions(strata in prop::collection::vec(0u32..5, 1..200), take in 0usize..200) {
        let num = strata.len();
        let take = take.min(num);
        let rows = rows("x", num);
        let stratify = Some(Stratify { strata: strata.clone(), split: StratumSplit::Proportional });
        let drawn = mix_one(&rows, SourceShare { stratify, ..share("x", 0..num, Law::Take(take as u64)) });
        prop_assert_eq!(drawn.drawn.len(), take);
        for stratum in 0..5 {
            let size = strata.iter().filter(|&&of| of == stratum).count();
            let count = drawn.drawn.iter().filter(|drawn| strata[drawn.position()] == stratum).count();
            prop_assert!((count as f64 - (take * size) as f64 / num as f64).abs() < 1.0 + 1e-9);
        }
    }

    #[test]
    fn equal_strata_differ_by_one_unless_exhausted(strata in prop::collection::vec(0u32..5, 1..200), take in 0usize..200) {
        let num = strata.len();
        let rows = rows("x", num);
        let stratify = Some(Stratify { strata: strata.clone(), split: StratumSplit::Equal });
        let drawn = mix_one(&rows, SourceShare { stratify, ..share("x", 0..num, Law::Take(take as u64)) });
        let count = |stratum| drawn.drawn.iter().filter(|drawn| strata[drawn.position()] == stratum).count();
        let size = |stratum| strata.iter().filter(|&&of| of == stratum).count();
        let most = (0..5).map(count).max().unwrap();
        prop_assert!((0..5).all(|stratum| count(stratum) + 1 >= most || count(stratum) == size(stratum)));
    }
}

#[test]
fn a_factor_of_1_7_draws_all_once_and_seven_tenths_again() {
    let rows = rows("x", 10);
    let drawn = mix_one(&rows, share("x", 0..10, Law::Repeat(1.7)));
    let again: Vec<usize> =
        drawn.drawn.iter().filter(|drawn| drawn.repetition == 1).map(|drawn| drawn.position()).collect();
    assert_eq!(drawn.drawn.len(), 17);
    assert_eq!(again, draw(&rows, &(0..10).collect::<Vec<_>>(), Some(7), 7));
    assert_eq!((drawn.asked, drawn.achieved, drawn.difference), (17.0, 17, Difference::None));
}

#[test]
fn an_exhausted_source_stops_repeats_or_fails() {
    let rows = rows("x", 10);
    let with = |on_exhausted| {
        mix(&rows, &[SourceShare { on_exhausted, ..share("x", 0..10, Law::Take(25)) }], MixTotal::Largest)
    };
    let stopped = with(OnExhausted::Stop).unwrap().shares.remove(0);
    assert_eq!((stopped.achieved, stopped.difference), (10, Difference::Exhausted));
    let repeated = with(OnExhausted::Repeat).unwrap().shares.remove(0);
    assert_eq!((repeated.achieved, repeated.difference), (25, Difference::None));
    assert_eq!(repeated.drawn.iter().filter(|drawn| drawn.repetition == 2).count(), 5);
    assert!(matches!(with(OnExhausted::Error), Err(MixError::Exhausted { available: 10, .. })));
}

#[test]
fn laws_that_ask_for_the_impossible_are_errors() {
    let rows = rows("x", 4);
    let refused = |shares: &[SourceShare], total| mix(&rows, shares, total).unwrap_err();
    for factor in [f64::NAN, f64::INFINITY, -1.0] {
        assert!(matches!(
            refused(&[share("x", 0..4, Law::Repeat(factor))], MixTotal::Largest),
            MixError::Factor { .. }
        ));
        assert!(matches!(
            refused(&[share("x", 0..4, Law::Weight(factor))], MixTotal::Largest),
            MixError::Factor { .. }
        ));
    }
    assert!(matches!(refused(&[share("x", 0..4, Law::Repeat(1e9))], MixTotal::Largest), MixError::Repetitions { .. }));
    let repeating = SourceShare { on_exhausted: OnExhausted::Repeat, ..share("x", 0..4, Law::Take(u64::MAX)) };
    assert!(matches!(refused(&[repeating], MixTotal::Largest), MixError::Repetitions { .. }));
    let weighted = share("x", 0..4, Law::Weight(1.0));
    assert!(matches!(
        refused(std::slice::from_ref(&weighted), MixTotal::Units(u64::MAX)),
        MixError::TotalTooLarge { .. }
    ));
    let other = SourceShare { unit: Unit::Tokens, ..weighted.clone() };
    assert!(matches!(refused(&[weighted.clone(), other], MixTotal::Largest), MixError::Units { .. }));
    assert!(matches!(
        refused(&[share("x", [], Law::Weight(1.0)), weighted], MixTotal::Largest),
        MixError::Empty { .. }
    ));
    assert!(matches!(refused(&[share("x", 0..4, Law::Weight(0.0))], MixTotal::Largest), MixError::Weights { .. }));
    assert!(matches!(refused(&[share("x", 0..5, Law::All)], MixTotal::Largest), MixError::NoSuchRow { row: 4, .. }));
    let stratify = Some(Stratify { strata: vec![1], split: StratumSplit::Equal });
    assert!(matches!(
        refused(&[SourceShare { stratify, ..share("x", 0..4, Law::All) }], MixTotal::Largest),
        MixError::Strata { .. }
    ));
}

/// Of n draws from n records, a part of 1/e misses a record, as many meet it once, and half as many twice.
#[test]
fn draws_with_replacement_are_uniform() {
    let rows = rows("x", 20_000);
    let share = SourceShare { replacement: Replacement::With, ..share("x", 0..20_000, Law::Take(20_000)) };
    let mut times = vec![0usize; 20_000];
    mix_one(&rows, share).drawn.iter().for_each(|drawn| times[drawn.position()] += 1);
    let part = |wanted: usize| times.iter().filter(|&&times| times == wanted).count() as f64 / 20_000.0;
    for (wanted, expected) in [(0, 0.3679), (1, 0.3679), (2, 0.1839), (3, 0.0613)] {
        assert!((part(wanted) - expected).abs() < 0.012, "{wanted} times: {}", part(wanted));
    }
}

#[test]
fn a_unit_of_which_a_source_has_none_is_an_error() {
    let rows = rows("x", 10);
    let asked = |law| mix(&rows, &[SourceShare { unit: Unit::Frames, ..share("x", 0..10, law) }], MixTotal::Units(5));
    let nothing = Err(MixError::NothingOfUnit { name: "x".to_owned(), unit: Unit::Frames });
    assert_eq!(asked(Law::Take(1)), nothing);
    assert_eq!(asked(Law::Take(0)).unwrap().shares[0].drawn, []);
    assert_eq!(asked(Law::All).unwrap().shares[0].drawn.len(), 10);
}
