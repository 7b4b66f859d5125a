//! The licenses of a dataset, and how much of it is under each.

use manyframe_pipeline::LicenseTerms;

use crate::manifest::Manifest;

/// A license with what is delivered under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LicenseShare<'m> {
    /// As the pipeline file states it; empty if it does not.
    pub(crate) license: &'m str,
    pub(crate) terms: LicenseTerms,
    /// Names of the sources.
    pub(crate) sources: Vec<&'m str>,
    pub(crate) num_samples: u64,
    pub(crate) num_tokens: u64,
}

/// The licenses of the sources that delivered something, the strictest first, and then that with the most tokens.
pub(crate) fn licenses_of(manifest: &Manifest) -> Vec<LicenseShare<'_>> {
    let mut shares: Vec<LicenseShare<'_>> = Vec::new();
    for source in manifest.sources.iter().filter(|source| source.delivered.num_samples > 0) {
        let license = source.license.as_str();
        let (num_samples, num_tokens) = (source.delivered.num_samples, source.delivered.cost.num_tokens());
        match shares.iter_mut().find(|share| share.license == license) {
            Some(share) => {
                share.sources.push(&source.budget.name);
                share.num_samples += num_samples;
                share.num_tokens += num_tokens;
            }
            None => shares.push(LicenseShare {
                license,
                terms: LicenseTerms::of(license),
                sources: vec![&source.budget.name],
                num_samples,
                num_tokens,
            }),
        }
    }
    shares.sort_by_key(|share| (share.terms, std::cmp::Reverse(share.num_tokens), share.license));
    shares
}
