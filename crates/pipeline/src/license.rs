//! Licenses of sources as pipeline files write them: which of them are among others, and which are stricter.
//!
//! A license is a text: an SPDX identifier such as `cc-by-nc-4.0`, several of them with `OR` or `AND`, or words of its
//! publisher. Nothing here is advice on what a license allows.

use schemars::JsonSchema;
use serde::Serialize;

/// What a license is known to ask for, the strictest first. A text that says nothing of the kind is `Other`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LicenseTerms {
    /// No commercial use, or research only.
    NonCommercial,
    /// Nothing is stated.
    Unstated,
    /// Nothing derived from it may be published.
    NoDerivatives,
    /// What is derived from it must have the same license.
    ShareAlike,
    /// Some other text.
    Other,
    /// Its authors must be named, or its text must be kept.
    Attribution,
    /// Nothing.
    Free,
}

impl LicenseTerms {
    /// The terms of a license.
    pub fn of(license: &str) -> Self {
        let alternatives = alternatives(license);
        // Whoever takes the data chooses among alternatives, and has to keep all that are joined.
        let strictest = |joined: &Vec<String>| joined.iter().map(|one| Self::of_one(one)).min();
        alternatives.iter().filter_map(strictest).max().unwrap_or(Self::Unstated)
    }

    fn of_one(license: &str) -> Self {
        let words: Vec<&str> = license.split('-').collect();
        let has = |any: &[&str]| any.iter().any(|word| words.contains(word));
        if has(&["nc", "noncommercial", "research"]) || license.contains("non-commercial") {
            Self::NonCommercial
        } else if has(&["nd", "noderivatives"]) {
            Self::NoDerivatives
        } else if has(&["sa", "gpl", "agpl", "lgpl", "sharealike"]) {
            Self::ShareAlike
        } else if has(&["cc0", "unlicense", "0bsd", "pddl", "publicdomain"]) || license.contains("public-domain") {
            Self::Free
        } else if has(&["by", "apache", "mit", "bsd", "isc", "cdla", "odc", "mpl"]) {
            Self::Attribution
        } else {
            Self::Other
        }
    }

    /// The terms in words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NonCommercial => "non-commercial",
            Self::Unstated => "not stated",
            Self::NoDerivatives => "no derivatives",
            Self::ShareAlike => "share alike",
            Self::Other => "other",
            Self::Attribution => "attribution",
            Self::Free => "none",
        }
    }
}

/// Whether a license is among others, in whatever way they are spelled: one of its alternatives has to be, with all that it
/// joins. A license that is not stated is among none.
pub fn is_license_among(license: &str, others: &[String]) -> bool {
    let others: Vec<String> = others.iter().map(|other| spelled(other)).collect();
    if others.contains(&spelled(license)) && !license.trim().is_empty() {
        return true;
    }
    alternatives(license).iter().any(|joined| joined.iter().all(|one| others.contains(one)))
}

/// The alternatives of a license, each of which joins one or more.
fn alternatives(license: &str) -> Vec<Vec<String>> {
    let joined = |text: &str| split_at_word(text, "AND").map(spelled).filter(|one| !one.is_empty()).collect();
    split_at_word(license, "OR").map(joined).filter(|joined: &Vec<String>| !joined.is_empty()).collect()
}

fn split_at_word<'t>(text: &'t str, word: &str) -> impl Iterator<Item = &'t str> + use<'t> {
    let between = format!(" {word} ");
    text.split(&*between).map(str::trim).collect::<Vec<_>>().into_iter()
}

/// A license as it is compared: `CC BY-NC 4.0` is `cc-by-nc-4.0`.
fn spelled(license: &str) -> String {
    let words = license.split(|c: char| c.is_whitespace() || "-_/(),".contains(c)).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_found_in_the_usual_spellings() {
        for (license, terms) in [
            ("cc-by-nc-4.0", LicenseTerms::NonCommercial),
            ("CC BY-NC-SA 4.0", LicenseTerms::NonCommercial),
            ("for non-commercial research only", LicenseTerms::NonCommercial),
            ("", LicenseTerms::Unstated),
            ("CC-BY-ND-4.0", LicenseTerms::NoDerivatives),
            ("cc-by-sa-4.0 AND mit", LicenseTerms::ShareAlike),
            ("as upstream", LicenseTerms::Other),
            ("Apache-2.0 OR cc-by-nc-4.0", LicenseTerms::Attribution),
            ("cc-by-4.0", LicenseTerms::Attribution),
            ("CC0", LicenseTerms::Free),
        ] {
            assert_eq!(LicenseTerms::of(license), terms, "{license:?}");
        }
        assert!(LicenseTerms::NonCommercial < LicenseTerms::Attribution);
    }

    #[test]
    fn a_license_is_found_however_it_is_spelled() {
        let allowed = ["Apache-2.0", "CC BY 4.0", "as agreed with the authors"].map(str::to_owned);
        for license in
            ["apache-2.0", "cc-by-4.0", "MIT OR Apache-2.0", "Apache-2.0 AND cc-by-4.0", "as agreed with the authors"]
        {
            assert!(is_license_among(license, &allowed), "{license}");
        }
        for license in ["", "cc-by-nc-4.0", "Apache-2.0 AND cc-by-nc-4.0", "MIT", "cc"] {
            assert!(!is_license_among(license, &allowed), "{license}");
        }
    }
}
