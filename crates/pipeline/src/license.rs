//! Licenses of sources as pipeline files write them: which of them are among others, and which are stricter.
//!
//! A license is a text: an SPDX identifier such as `cc-by-nc-4.0`, several of them joined as SPDX joins them (`AND` before `OR`,
//! parentheses first: Annex D of its specification), or words of its publisher. The grammar is our own, because crates for SPDX
//! take no words; what is known of identifiers comes from the crate `spdx`. An expression that is broken is one license, judged by
//! all of its words. Nothing here is advice on what a license allows.

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
    /// The terms of a license: the mildest of alternatives, because whoever takes the data chooses; the strictest of what is joined.
    pub fn of(license: &str) -> Self {
        Expression::of(license).terms()
    }

    fn of_one(license: &str) -> Self {
        if license.trim().is_empty() {
            return Self::Unstated;
        }
        let listed = listed(license);
        let name = listed.map_or("", |listed| listed.full_name);
        let words = Words::of(&format!("{license} {name}"));
        let has_flag = |flags| listed.is_some_and(|listed| listed.flags & flags != 0);
        if words.forbid_commerce() || (listed.is_none() && words.limit_the_purpose()) {
            Self::NonCommercial
        } else if words.forbid_derivatives() {
            Self::NoDerivatives
        } else if words.ask_for_the_same() || has_flag(spdx::flags::IS_COPYLEFT) {
            Self::ShareAlike
        } else if words.ask_for_nothing() {
            Self::Free
        } else if words.ask_for_names() || has_flag(spdx::flags::IS_OSI_APPROVED | spdx::flags::IS_FSF_LIBRE) {
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
    if license.trim().is_empty() {
        return false;
    }
    let others: Vec<String> = others.iter().map(|other| spelled(other)).collect();
    others.contains(&spelled(license)) || Expression::of(license).is_met(&|one| others.contains(&spelled(one)))
}

/// Licenses that are joined, all of them or one of several.
enum Expression<'t> {
    One(&'t str),
    All(Vec<Self>),
    Any(Vec<Self>),
}

impl<'t> Expression<'t> {
    /// Parentheses deeper than these are broken.
    const MAX_DEPTH: usize = 32;

    fn of(license: &'t str) -> Self {
        Self::parse(license, 0).unwrap_or(Self::One(license))
    }

    /// An expression; `None` if it is broken.
    fn parse(text: &'t str, depth: usize) -> Option<Self> {
        let text = text.trim();
        if text.is_empty() || depth > Self::MAX_DEPTH {
            return None;
        }
        for (word, join) in [("OR", Self::Any as fn(Vec<Self>) -> Self), ("AND", Self::All)] {
            let parts = split_outside(text, word)?;
            if parts.len() > 1 {
                return Some(join(parts.into_iter().map(|part| Self::parse(part, depth + 1)).collect::<Option<_>>()?));
            }
        }
        match text.strip_prefix('(') {
            Some(rest) => Self::parse(rest.strip_suffix(')')?, depth + 1),
            // Whatever else is beside parentheses is no expression.
            None => (!text.contains('(')).then_some(Self::One(text)),
        }
    }

    fn terms(&self) -> LicenseTerms {
        match self {
            Self::One(license) => LicenseTerms::of_one(license),
            Self::All(parts) => parts.iter().map(Self::terms).min().unwrap_or(LicenseTerms::Unstated),
            Self::Any(parts) => parts.iter().map(Self::terms).max().unwrap_or(LicenseTerms::Unstated),
        }
    }

    fn is_met(&self, by: &impl Fn(&str) -> bool) -> bool {
        match self {
            Self::One(license) => by(license),
            Self::All(parts) => parts.iter().all(|part| part.is_met(by)),
            Self::Any(parts) => parts.iter().any(|part| part.is_met(by)),
        }
    }
}

/// The parts of a text between a word that is outside of parentheses; `None` if these do not match.
fn split_outside<'t>(text: &'t str, word: &str) -> Option<Vec<&'t str>> {
    let is_end = |end: Option<char>| end.is_none_or(|end| end.is_whitespace() || "()".contains(end));
    let (mut depth, mut start, mut parts) = (0_usize, 0, Vec::new());
    for (at, character) in text.char_indices() {
        let (before, rest) = text.split_at_checked(at)?;
        match character {
            '(' => depth += 1,
            ')' => depth = depth.checked_sub(1)?,
            _ if depth > 0 || !is_end(before.chars().next_back()) => {}
            _ if rest.strip_prefix(word).is_some_and(|after| is_end(after.chars().next())) => {
                parts.push(text.get(start..at)?);
                start = at + word.len();
            }
            _ => {}
        }
    }
    parts.push(text.get(start..)?);
    (depth == 0).then_some(parts)
}

/// A license as it is compared: `CC BY-NC 4.0` is `cc-by-nc-4.0`.
fn spelled(license: &str) -> String {
    let is_between = |c: char| c.is_whitespace() || "-_/,".contains(c) || is_hyphen(c);
    let parts = license.split(is_between).filter(|part| !part.is_empty());
    parts.map(str::to_lowercase).collect::<Vec<_>>().join("-")
}

fn is_hyphen(c: char) -> bool {
    // Hyphens and dashes of Unicode, and the sign for minus.
    matches!(c, '\u{2010}'..='\u{2015}' | '\u{2212}')
}

/// What SPDX lists under an identifier, or under one without its version.
fn listed(license: &str) -> Option<&'static spdx::License> {
    let own = spelled(license.split(" WITH ").next().unwrap_or(license));
    let own = own.trim_end_matches('+');
    let is_own = |listed: &&spdx::License| spelled(listed.name) == own;
    let is_version = |listed: &&spdx::License| {
        let name = spelled(listed.name);
        name.strip_prefix(own)
            .and_then(|rest| rest.strip_prefix('-'))
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    let licenses = spdx::identifiers::LICENSES;
    licenses.iter().find(is_own).or_else(|| licenses.iter().find(is_version))
}

/// The words of a license in lower case: its letters, and its letters with digits.
struct Words {
    letters: Vec<String>,
    tokens: Vec<String>,
}

impl Words {
    fn of(license: &str) -> Self {
        let text = license.to_lowercase();
        let split = |is_part: fn(char) -> bool| {
            let parts = text.split(move |c: char| !is_part(c)).filter(|part| !part.is_empty());
            parts.map(str::to_owned).collect::<Vec<String>>()
        };
        let (mut letters, tokens) = (split(char::is_alphabetic), split(char::is_alphanumeric));
        // Elements of a Creative Commons license that are written without hyphens: `CC-BY-NCSA`.
        if letters.iter().any(|word| word.starts_with("cc") || word == "creative") {
            let elements = |word: &String| {
                let word = word.strip_prefix("cc").unwrap_or(word);
                let elements: Vec<String> =
                    word.as_bytes().chunks(2).map(|pair| String::from_utf8_lossy(pair).into_owned()).collect();
                elements.iter().all(|element| ["by", "nc", "nd", "sa"].contains(&element.as_str())).then_some(elements)
            };
            let further: Vec<String> = letters.iter().filter_map(elements).flatten().collect();
            letters.extend(further);
        }
        Self { letters, tokens }
    }

    fn have(&self, any: &[&str]) -> bool {
        self.letters.iter().any(|word| any.contains(&word.as_str()))
    }

    fn forbid_commerce(&self) -> bool {
        let has_commerce = self.have(&["commercial", "commercially"]);
        self.have(&["nc", "ncgl", "noncommercial", "noncommercially"])
            || (has_commerce && self.have(&["no", "non", "not", "never", "without", "forbidden", "prohibited"]))
    }

    fn limit_the_purpose(&self) -> bool {
        let is_purpose = self.have(&[
            "academic",
            "academia",
            "education",
            "educational",
            "evaluation",
            "personal",
            "scientific",
            "teaching",
        ]);
        self.have(&["research"]) || (is_purpose && self.have(&["only", "use", "uses", "purpose", "purposes"]))
    }

    fn forbid_derivatives(&self) -> bool {
        let has_derivatives = self.have(&["derivative", "derivatives", "derivs"]);
        self.have(&["nd", "noderivatives", "noderivs"]) || (has_derivatives && self.have(&["no", "not", "without"]))
    }

    fn ask_for_the_same(&self) -> bool {
        self.have(&[
            "sa",
            "sharealike",
            "alike",
            "sharing",
            "copyleft",
            "gpl",
            "gplv",
            "agpl",
            "agplv",
            "lgpl",
            "lgplv",
            "gfdl",
            "odbl",
        ])
    }

    fn ask_for_nothing(&self) -> bool {
        let has_token = |any: &[&str]| self.tokens.iter().any(|token| any.contains(&token.as_str()));
        has_token(&["cc0", "0bsd", "unlicense", "pddl", "pddc", "publicdomain"])
            || (self.have(&["public"]) && self.have(&["domain"]))
    }

    fn ask_for_names(&self) -> bool {
        let is_creative_commons = self.letters.iter().any(|word| word.starts_with("cc") || word == "creative");
        self.have(&["attribution", "apache", "mit", "bsd", "isc", "cdla", "odc"])
            || (is_creative_commons && self.have(&["by"]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_found_in_the_usual_spellings() {
        for (license, terms) in [
            ("cc-by-nc-4.0", LicenseTerms::NonCommercial),
            ("CC BY-NC-SA 4.0", LicenseTerms::NonCommercial),
            ("cc-by-nc4.0", LicenseTerms::NonCommercial),
            ("CC BY-NC.4.0", LicenseTerms::NonCommercial),
            ("CC-BY-NCSA", LicenseTerms::NonCommercial),
            ("ccbync", LicenseTerms::NonCommercial),
            ("CC BY\u{2011}NC", LicenseTerms::NonCommercial),
            ("for non-commercial research only", LicenseTerms::NonCommercial),
            ("no commercial use", LicenseTerms::NonCommercial),
            ("not for commercial use", LicenseTerms::NonCommercial),
            ("academic use only", LicenseTerms::NonCommercial),
            ("", LicenseTerms::Unstated),
            (" ", LicenseTerms::Unstated),
            ("CC-BY-ND-4.0", LicenseTerms::NoDerivatives),
            ("cc-by-sa-4.0 AND mit", LicenseTerms::ShareAlike),
            ("GPLv3", LicenseTerms::ShareAlike),
            ("GPL-2.0+ WITH Classpath-exception-2.0", LicenseTerms::ShareAlike),
            ("odbl", LicenseTerms::ShareAlike),
            ("as upstream", LicenseTerms::Other),
            ("as agreed by the authors", LicenseTerms::Other),
            ("Apache-2.0 OR cc-by-nc-4.0", LicenseTerms::Attribution),
            ("cc-by-4.0", LicenseTerms::Attribution),
            ("NCSA", LicenseTerms::Attribution),
            ("Academic Free License", LicenseTerms::Other),
            ("afl-3.0", LicenseTerms::Attribution),
            ("CC0", LicenseTerms::Free),
            ("public domain", LicenseTerms::Free),
        ] {
            assert_eq!(LicenseTerms::of(license), terms, "{license:?}");
        }
        assert!(LicenseTerms::NonCommercial < LicenseTerms::Attribution);
    }

    #[test]
    fn expressions_have_the_terms_of_what_they_join() {
        for (license, terms) in [
            ("CC-BY-NC-4.0 AND (MIT OR Apache-2.0)", LicenseTerms::NonCommercial),
            ("(MIT OR CC-BY-NC-4.0) AND Apache-2.0", LicenseTerms::Attribution),
            ("MIT OR CC-BY-NC-4.0 AND Apache-2.0", LicenseTerms::Attribution),
            ("((CC-BY-NC-4.0)OR(CC0-1.0))AND MIT", LicenseTerms::Attribution),
            // Broken: judged by all words.
            ("MIT OR (CC-BY-NC-4.0", LicenseTerms::NonCommercial),
            ("MIT OR OR cc-by-nc-4.0", LicenseTerms::NonCommercial),
            ("MIT) OR (cc-by-nc-4.0", LicenseTerms::NonCommercial),
            ("MIT (but for research: CC-BY-NC-4.0)", LicenseTerms::NonCommercial),
        ] {
            assert_eq!(LicenseTerms::of(license), terms, "{license:?}");
        }
        let deep = format!("{}MIT OR cc-by-nc-4.0{}", "(".repeat(200_000), ")".repeat(200_000));
        assert_eq!(LicenseTerms::of(&deep), LicenseTerms::NonCommercial);
    }

    #[test]
    fn the_names_of_spdx_say_what_its_identifiers_ask_for() {
        for listed in spdx::identifiers::LICENSES {
            let name = listed.full_name.to_lowercase().replace('-', " ");
            let says = |phrases: &[&str]| phrases.iter().any(|phrase| name.contains(phrase));
            let terms = LicenseTerms::of(&listed.name.to_lowercase());
            let expected = if says(&["non commercial", "noncommercial"]) {
                Some(LicenseTerms::NonCommercial)
            } else if says(&["no derivatives"]) {
                Some(LicenseTerms::NoDerivatives)
            } else if says(&["share alike", "sharealike", "gnu "]) && !says(&["all permissive"]) {
                Some(LicenseTerms::ShareAlike)
            } else {
                None
            };
            assert!(expected.is_none_or(|expected| terms == expected), "{}: {terms:?}", listed.name);
            assert!(expected == Some(terms) || terms > LicenseTerms::NoDerivatives, "{}: {terms:?}", listed.name);
        }
    }

    /// Every expression of so many joints over three licenses.
    fn expressions(num_joints: usize) -> Vec<String> {
        if num_joints == 0 {
            return ["MIT", "Apache-2.0", "CC-BY-NC-4.0"].map(str::to_owned).to_vec();
        }
        let mut all = Vec::new();
        for before in 0..num_joints {
            for first in expressions(before) {
                for second in expressions(num_joints - 1 - before) {
                    for (open, close) in [("", ""), ("(", ")")] {
                        all.push(format!("{first} OR {open}{second}{close}"));
                        all.push(format!("{open}{first}{close} AND {second}"));
                    }
                }
            }
        }
        all
    }

    #[test]
    fn an_expression_is_met_where_the_crate_of_spdx_says_so() {
        let expressions: Vec<String> = (0..3).flat_map(expressions).collect();
        assert_eq!(expressions.len(), 3 + 36 + 864);
        for allowed in [&["MIT"][..], &["Apache-2.0"], &["MIT", "Apache-2.0"], &["CC-BY-NC-4.0", "MIT"], &[]] {
            let others: Vec<String> = allowed.iter().map(|license| (*license).to_owned()).collect();
            for text in &expressions {
                let expression = spdx::Expression::parse(text).unwrap();
                let is_allowed = |one: &spdx::LicenseReq| allowed.contains(&one.license.to_string().as_str());
                assert_eq!(is_license_among(text, &others), expression.evaluate(is_allowed), "{text} in {allowed:?}");
            }
        }
    }

    #[test]
    fn a_license_is_found_however_it_is_spelled() {
        let allowed = ["Apache-2.0", "CC BY 4.0", "as agreed with the authors"].map(str::to_owned);
        for license in [
            "apache-2.0",
            "cc-by-4.0",
            "CC\u{2011}BY\u{2011}4.0",
            "MIT OR Apache-2.0",
            "Apache-2.0 AND cc-by-4.0",
            "(MIT OR Apache-2.0) AND cc-by-4.0",
            "as agreed with the authors",
        ] {
            assert!(is_license_among(license, &allowed), "{license}");
        }
        for license in [
            "",
            "cc-by-nc-4.0",
            "Apache-2.0 AND cc-by-nc-4.0",
            "cc-by-nc-4.0 AND (MIT OR Apache-2.0)",
            "Apache-2.0 OR (MIT",
            "MIT",
            "cc",
        ] {
            assert!(!is_license_among(license, &allowed), "{license}");
        }
    }
}
