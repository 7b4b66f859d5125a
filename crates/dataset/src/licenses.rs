//! The licenses of a dataset, and how much of it is under each. What is replayed keeps the licenses that it has in its dataset.

use std::collections::BTreeSet;

use manyframe_core::Total;
use manyframe_pipeline::{Kind, LicenseTerms, ReplayKind};

use crate::manifest::Manifest;
use crate::source::{ReplayedSource, SourceSummary};

/// Licenses that hold together, with what is delivered under them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LicenseShare<'m> {
    /// One that is not stated is empty.
    pub(crate) licenses: BTreeSet<&'m str>,
    pub(crate) terms: LicenseTerms,
    /// Names of the sources.
    pub(crate) sources: Vec<String>,
    pub(crate) num_samples: u64,
    pub(crate) num_tokens: u64,
}

impl ReplayedSource {
    /// The sources of a dataset that delivered something, of which nothing is delivered yet.
    pub fn all_of(manifest: &Manifest) -> Vec<Self> {
        let delivering = manifest.sources.iter().filter(|source| source.delivered.num_samples > 0);
        let replayed = delivering.map(|source| Self {
            name: source.budget.name.clone(),
            licenses: source.licenses().into_iter().map(str::to_owned).collect(),
            delivered: Total::default(),
        });
        replayed.collect()
    }
}

impl SourceSummary {
    /// The licenses that hold for its samples: the one that the pipeline file states, and those of what is replayed. One that is not
    /// stated is empty, and so are those of what earlier versions replayed, which did not keep them.
    pub fn licenses(&self) -> BTreeSet<&str> {
        let mut licenses: BTreeSet<&str> = self.replayed.iter().flat_map(ReplayedSource::licenses).collect();
        licenses.extend(self.stated_license());
        if self.replayed.is_empty() && self.is_replay() {
            licenses.insert("");
        }
        licenses
    }

    /// These licenses as text; empty if none is stated.
    pub fn license_text(&self) -> String {
        text_of(&self.licenses())
    }

    /// The strictest license of what is replayed, if the one that the pipeline file states asks for less.
    pub fn stricter_than_stated(&self) -> Option<&str> {
        let stated = LicenseTerms::of(self.stated_license()?);
        let replayed = self.replayed.iter().flat_map(ReplayedSource::licenses);
        replayed.min_by_key(|license| LicenseTerms::of(license)).filter(|license| LicenseTerms::of(license) < stated)
    }

    fn is_replay(&self) -> bool {
        self.budget.kind == Kind::Replay(ReplayKind::Dataset).as_str()
    }

    /// What the pipeline file states; nothing if it leaves that to what is replayed.
    fn stated_license(&self) -> Option<&str> {
        (!self.is_replay() || !self.license.trim().is_empty()).then_some(&self.license)
    }

    /// Its parts under different licenses: their names, their licenses, and what is delivered of them.
    fn parts(&self) -> Vec<(String, BTreeSet<&str>, Total)> {
        let name = &self.budget.name;
        if self.replayed.is_empty() {
            return vec![(name.clone(), self.licenses(), self.delivered)];
        }
        let parts = self.replayed.iter().map(|part| {
            let licenses = part.licenses().chain(self.stated_license()).collect();
            (format!("{name} ({})", part.name), licenses, part.delivered)
        });
        parts.collect()
    }
}

/// The licenses of what was delivered, the strictest first, and then those with the most tokens.
pub(crate) fn licenses_of(manifest: &Manifest) -> Vec<LicenseShare<'_>> {
    let mut shares: Vec<LicenseShare<'_>> = Vec::new();
    let parts = manifest.sources.iter().flat_map(SourceSummary::parts);
    for (source, licenses, delivered) in parts.filter(|(_, _, delivered)| delivered.num_samples > 0) {
        let (num_samples, num_tokens) = (delivered.num_samples, delivered.cost.num_tokens());
        match shares.iter_mut().find(|share| share.licenses == licenses) {
            Some(share) => {
                share.sources.push(source);
                share.num_samples += num_samples;
                share.num_tokens += num_tokens;
            }
            None => shares.push(LicenseShare {
                terms: licenses.iter().map(|license| LicenseTerms::of(license)).min().unwrap_or(LicenseTerms::Unstated),
                licenses,
                sources: vec![source],
                num_samples,
                num_tokens,
            }),
        }
    }
    shares.sort_by(|one, other| {
        let order = |share: &LicenseShare<'_>| (share.terms, std::cmp::Reverse(share.num_tokens));
        order(one).cmp(&order(other)).then_with(|| one.licenses.cmp(&other.licenses))
    });
    shares
}

/// Licenses as text, those that are not stated included; empty if none is stated.
pub(crate) fn text_of(licenses: &BTreeSet<&str>) -> String {
    if licenses.iter().all(|license| license.is_empty()) {
        return String::new();
    }
    let named = licenses.iter().map(|license| if license.is_empty() { "not stated" } else { license });
    named.collect::<Vec<_>>().join(", ")
}
