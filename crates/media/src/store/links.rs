//! Links inside of archives: a link whose target is a member of the same archive is read as that member.
//!
//! **Invariant:** nothing outside of the archive is ever the target of a link.

use std::collections::{BTreeMap, HashMap};

use manyframe_core::RejectCode;

use super::index::{ArchiveMember, MemberLocation};
use super::request::member_name;

/// The location of a link whose target is not in its archive.
pub(crate) const LINK: MemberLocation = MemberLocation::Unreadable {
    code: RejectCode::UnsafePath,
    reason: "is a link, and the archive does not hold what it leads to",
};

/// Links that are followed one after another, as file systems limit them, too.
const MAX_STEPS: usize = 40;

/// Bound on the members that links to directories add to an archive.
const MAX_ADDED: usize = 1 << 20;

/// A link and the member that it leads to, by its name; `None` if that is outside of the archive.
#[derive(Debug)]
pub(crate) struct ArchiveLink {
    pub(crate) name: String,
    pub(crate) target: Option<String>,
}

impl ArchiveLink {
    /// A hard link, whose target is a name like that of a member.
    pub(crate) fn hard(name: String, target: &str) -> Self {
        Self { name, target: member_name(target) }
    }

    /// A symbolic link, whose target is relative to the directory that it is in.
    pub(crate) fn soft(name: String, target: &str) -> Self {
        let mut names: Vec<&str> = name.split('/').collect();
        names.pop();
        let mut is_inside = !target.starts_with('/');
        for part in target.split('/') {
            match part {
                "" | "." => {}
                ".." => is_inside &= names.pop().is_some(),
                part => names.push(part),
            }
        }
        let target = is_inside.then(|| names.join("/"));
        Self { name, target }
    }
}

/// Adds the links to the members: each as the member that it leads to. A link to a directory adds what is below it.
pub(crate) fn add_links(members: &mut Vec<ArchiveMember>, links: &[ArchiveLink]) {
    if links.is_empty() {
        return;
    }
    let files: BTreeMap<&str, MemberLocation> = members.iter().map(|member| (&*member.name, member.location)).collect();
    let targets: HashMap<&str, Option<&str>> =
        links.iter().map(|link| (link.name.as_str(), link.target.as_deref())).collect();
    let mut added: Vec<ArchiveMember> = Vec::new();
    for link in links {
        let target = last_target(link, &targets);
        if let Some(&location) = target.and_then(|target| files.get(target)) {
            added.push(ArchiveMember { name: link.name.as_str().into(), location });
            continue;
        }
        let before = added.len();
        if let Some(target) = target {
            let prefix = if target.is_empty() { String::new() } else { format!("{target}/") };
            let below = files
                .range::<&str, _>(prefix.as_str()..)
                .map_while(|(name, location)| Some((name.strip_prefix(&*prefix)?, location)));
            let most = MAX_ADDED.saturating_sub(added.len());
            added.extend(
                below
                    .take(most)
                    .map(|(rest, &location)| ArchiveMember { name: format!("{}/{rest}", link.name).into(), location }),
            );
        }
        if added.len() == before {
            added.push(ArchiveMember { name: link.name.as_str().into(), location: LINK });
        }
    }
    members.append(&mut added);
}

/// Where a link leads to in the end, over other links. `None` if that is outside of the archive, or nowhere.
fn last_target<'a>(link: &'a ArchiveLink, targets: &HashMap<&'a str, Option<&'a str>>) -> Option<&'a str> {
    let mut target = link.target.as_deref()?;
    for _ in 0..MAX_STEPS {
        match targets.get(target) {
            Some(next) => target = (*next)?,
            None => return Some(target),
        }
    }
    None
}
