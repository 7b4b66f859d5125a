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

/// Links to directories that are below each other.
const MAX_LEVELS: usize = 3;

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

    /// A symbolic link, whose target is relative to the directory that it is in, or to the archive if it is absolute, as
    /// `tar -P` writes it.
    pub(crate) fn soft(name: String, target: &str) -> Self {
        let mut names: Vec<&str> = if target.starts_with('/') { Vec::new() } else { name.split('/').collect() };
        names.pop();
        let mut is_inside = true;
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

/// Links by their name, and where they lead to.
type Targets<'a> = HashMap<&'a str, Option<&'a str>>;

/// Adds the links to the members: each as the member that it leads to. A link to a directory adds what is below it.
pub(crate) fn add_links(members: &mut Vec<ArchiveMember>, links: &[ArchiveLink]) {
    if links.is_empty() {
        return;
    }
    let targets: Targets<'_> = links.iter().map(|link| (link.name.as_str(), link.target.as_deref())).collect();
    let mut files: BTreeMap<String, MemberLocation> =
        members.iter().map(|member| (member.name.to_string(), member.location)).collect();
    let mut directories = Vec::new();
    for link in links {
        let target = link.target.as_deref().and_then(|target| resolved(target, &targets));
        match target.as_deref().map(|target| files.get(target)) {
            Some(Some(&location)) => add(members, &mut files, link.name.clone(), location),
            _ => directories.push((link, target)),
        }
    }
    // Below a directory there can be links to others.
    for _ in 0..MAX_LEVELS {
        for (link, target) in &directories {
            let Some(target) = target else { continue };
            let prefix = if target.is_empty() { String::new() } else { format!("{target}/") };
            let below = files
                .range(prefix.clone()..)
                .map_while(|(name, location)| Some((name.strip_prefix(&*prefix)?, *location)));
            let found: Vec<(String, MemberLocation)> =
                below.take(MAX_ADDED).map(|(rest, location)| (format!("{}/{rest}", link.name), location)).collect();
            for (name, location) in found {
                if files.len() < members.len().max(MAX_ADDED) && !files.contains_key(&name) {
                    add(members, &mut files, name, location);
                }
            }
        }
    }
    for (link, _) in directories {
        let prefix = format!("{}/", link.name);
        if !files.range(prefix.clone()..).next().is_some_and(|(name, _)| name.starts_with(&prefix)) {
            members.push(ArchiveMember { name: link.name.as_str().into(), location: LINK });
        }
    }
}

fn add(
    members: &mut Vec<ArchiveMember>,
    files: &mut BTreeMap<String, MemberLocation>,
    name: String,
    location: MemberLocation,
) {
    members.push(ArchiveMember { name: name.as_str().into(), location });
    files.insert(name, location);
}

/// A path without any links in it. `None` if it leads out of the archive, or nowhere.
fn resolved(path: &str, targets: &Targets<'_>) -> Option<String> {
    let mut names: Vec<&str> = path.rsplit('/').filter(|name| !name.is_empty()).collect();
    let mut found = String::new();
    let mut num_steps = 0;
    while let Some(name) = names.pop() {
        let next = if found.is_empty() { name.to_owned() } else { format!("{found}/{name}") };
        match targets.get(next.as_str()) {
            Some(target) => {
                num_steps += 1;
                names.extend((*target).filter(|_| num_steps <= MAX_STEPS)?.rsplit('/').filter(|name| !name.is_empty()));
                found.clear();
            }
            None => found = next,
        }
    }
    Some(found)
}
