//! The records of a share in the order in which they are drawn, and prefixes of that order.
//!
//! Nothing is sorted without need: a prefix is found by selection, and whole epochs need no ranks at all.

use std::cmp::Ordering;

use manyframe_core::{IndexRow, RecordId, rank};

use super::error::MixError;
use super::fair_sequence::FairSequence;
use super::law::{Drawn, SourceShare, Stratify, StratumSplit};
use super::target::Epochs;
use crate::mix::law::Unit;
use crate::rows::Rows;

/// A record that can be drawn.
#[derive(Debug, Clone, Copy)]
struct DrawCandidate {
    /// Sorts candidates. Ties are broken by record id.
    key: u64,
    row: u32,
    /// [`LARGE`] if it is that much or more: most are small, and there is a candidate for every record.
    amount: u32,
}

const LARGE: u32 = u32::MAX;

/// What is drawn so far, and its units.
struct Taken {
    drawn: Vec<Drawn>,
    units: u64,
    /// How often what is drawn now was drawn before.
    repetition: u32,
}

impl Taken {
    fn take(&mut self, row: u32, units: u64) {
        self.drawn.push(Drawn { row, repetition: self.repetition });
        self.units = self.units.saturating_add(units);
    }
}

/// The eligible rows of a share.
///
/// # Invariants
/// Every eligible row is one of `rows`, and there is a stratum for each if the share is stratified.
pub(super) struct EligibleRows<'a, R: ?Sized> {
    rows: &'a R,
    share: &'a SourceShare,
    available: u64,
}

impl<'a, R: Rows + ?Sized> EligibleRows<'a, R> {
    pub(super) fn try_new(rows: &'a R, share: &'a SourceShare) -> Result<Self, MixError> {
        let name = || share.name.clone();
        if let Some(stratify) = &share.stratify
            && stratify.strata.len() != share.eligible.len()
        {
            let (num_eligible, num_strata) = (share.eligible.len(), stratify.strata.len());
            return Err(MixError::Strata { name: name(), num_eligible, num_strata });
        }
        let num_rows = rows.num_rows();
        if let Some(&row) = share.eligible.iter().find(|&&row| row as usize >= num_rows) {
            return Err(MixError::NoSuchRow { name: name(), row: row as usize, num_rows });
        }
        let mut eligible = Self { rows, share, available: 0 };
        let amounts = share.eligible.iter().map(|&row| eligible.amount(row));
        eligible.available = amounts.fold(0, u64::saturating_add);
        Ok(eligible)
    }

    /// The share whose rows these are.
    pub(super) fn share(&self) -> &'a SourceShare {
        self.share
    }

    /// Units of all candidates.
    pub(super) fn available(&self) -> u64 {
        self.available
    }

    /// Each eligible row with its position, in the order of the share.
    pub(super) fn rows(&self) -> impl Iterator<Item = (u32, IndexRow)> {
        self.share.eligible.iter().map(|&row| (row, self.rows.row(row as usize)))
    }

    pub(super) fn id(&self, row: u32) -> RecordId {
        self.rows.id(row as usize)
    }

    /// How many units a row holds.
    fn amount(&self, row: u32) -> u64 {
        match self.share.unit {
            Unit::Records => 1,
            unit => unit.amount(&self.rows.row(row as usize)),
        }
    }

    /// What these epochs draw, ascending, and its units.
    pub(super) fn draw(&self, epochs: Epochs) -> (Vec<Drawn>, u64) {
        let num_whole = epochs.num_whole;
        let mut drawn = Vec::with_capacity(self.share.eligible.len().saturating_mul(num_whole as usize));
        for &row in &self.share.eligible {
            drawn.extend((0..num_whole).map(|repetition| Drawn { row, repetition }));
        }
        let units = self.available.saturating_mul(u64::from(num_whole));
        let mut taken = Taken { drawn, units, repetition: num_whole };
        if epochs.rest > 0 {
            let (mut undecided, target) = match &self.share.stratify {
                Some(stratify) => (self.by_strata(stratify), epochs.rest),
                None => self.by_rank(epochs.rest, &mut taken),
            };
            let num_taken = self.prefix(&mut undecided, target);
            taken.drawn.reserve_exact(num_taken);
            undecided.iter().take(num_taken).for_each(|candidate| taken.take(candidate.row, self.units(candidate)));
        }
        let Taken { mut drawn, units, .. } = taken;
        if !drawn.is_sorted() {
            drawn.sort_unstable();
        }
        (drawn, units)
    }

    /// Moves the longest prefix of the order that fits into a target to the front, and returns its length.
    fn prefix(&self, candidates: &mut [DrawCandidate], target: u64) -> usize {
        let mut num_taken = 0;
        let mut left = target;
        let mut undecided = candidates;
        while !undecided.is_empty() {
            let middle = undecided.len() / 2;
            let (lower, middle, upper) = undecided.select_nth_unstable_by(middle, |a, b| self.compare(a, b));
            let amount =
                lower.iter().fold(self.units(middle), |sum, candidate| sum.saturating_add(self.units(candidate)));
            if amount <= left {
                left -= amount;
                num_taken += lower.len() + 1;
                undecided = upper;
            } else {
                undecided = lower;
            }
        }
        num_taken
    }

    /// Takes rows in the order of their ranks, but for those around the one that does not fit into the target any more. Returns these,
    /// and what is left of the target.
    ///
    /// Ranks are spread evenly: their first bits tell nearly all rows that are drawn from those that are not, so that no others are
    /// kept to be compared.
    fn by_rank(&self, target: u64, taken: &mut Taken) -> (Vec<DrawCandidate>, u64) {
        const BITS: u32 = 12;
        let part = |row: u32| self.rank(row) >> (u64::BITS - BITS);
        // The units of each part, and its number of rows.
        let mut parts = vec![(0_u64, 0_usize); 1 << BITS];
        for &row in &self.share.eligible {
            #[expect(clippy::indexing_slicing, reason = "there are sums for each value of so many bits")]
            let (amount, num_rows) = &mut parts[part(row) as usize];
            *amount = amount.saturating_add(self.amount(row));
            *num_rows += 1;
        }
        let mut left = target;
        let fits = |(amount, _): &&(u64, usize)| left.checked_sub(*amount).map(|rest| left = rest).is_some();
        let num_fitting = parts.iter().take_while(fits).count();
        // Made as large as it will be, or nearly: a list that grows is in memory twice for a moment.
        taken.drawn.reserve_exact(parts.iter().take(num_fitting + 1).map(|(_, num_rows)| num_rows).sum());
        let mut undecided = Vec::new();
        for &row in &self.share.eligible {
            match part(row).cmp(&(num_fitting as u64)) {
                Ordering::Less => taken.take(row, self.amount(row)),
                Ordering::Equal => undecided.push(self.candidate(row)),
                Ordering::Greater => {}
            }
        }
        (undecided, left)
    }

    fn rank(&self, row: u32) -> u64 {
        rank(self.share.seed, "draw", self.id(row))
    }

    fn candidate(&self, row: u32) -> DrawCandidate {
        DrawCandidate { key: self.rank(row), row, amount: u32::try_from(self.amount(row)).unwrap_or(LARGE) }
    }

    /// Candidates whose keys are an order in which strata follow in proportion.
    fn by_strata(&self, stratify: &Stratify) -> Vec<DrawCandidate> {
        let mut candidates = Vec::new();
        let ranked = self.share.eligible.iter().map(|&row| self.candidate(row));
        let mut of_stratum: Vec<(u32, DrawCandidate)> = stratify.strata.iter().copied().zip(ranked).collect();
        of_stratum.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| self.compare(&a.1, &b.1)));
        let strata: Vec<&[(u32, DrawCandidate)]> = of_stratum.chunk_by(|a, b| a.0 == b.0).collect();
        let sizes: Vec<f64> = strata.iter().map(|stratum| stratum.len() as f64).collect();
        let mut members: Vec<_> = strata.iter().map(|stratum| stratum.iter()).collect();
        candidates.reserve(of_stratum.len());
        match stratify.split {
            StratumSplit::Proportional => {
                for stratum in FairSequence::new(&sizes).take(of_stratum.len()) {
                    #[expect(clippy::indexing_slicing, reason = "a fair sequence yields positions of its weights")]
                    candidates.extend(members[stratum].next().map(|member| member.1));
                }
                // A stratum that rounding of floats served too late has members left.
                candidates.extend(members.into_iter().flatten().map(|member| member.1));
            }
            StratumSplit::Equal => {
                while !members.is_empty() {
                    members.retain_mut(|stratum| stratum.next().map(|member| candidates.push(member.1)).is_some());
                }
            }
        }
        for (key, candidate) in candidates.iter_mut().enumerate() {
            candidate.key = key as u64;
        }
        candidates
    }

    fn compare(&self, a: &DrawCandidate, b: &DrawCandidate) -> Ordering {
        a.key.cmp(&b.key).then_with(|| (self.id(a.row), a.row).cmp(&(self.id(b.row), b.row)))
    }

    fn units(&self, candidate: &DrawCandidate) -> u64 {
        if candidate.amount == LARGE { self.amount(candidate.row) } else { candidate.amount.into() }
    }
}
