//! The members of an archive by name: exact, below the archive's one directory, or by a unique base name.

use manyframe_core::RejectCode;

use super::natural::natural_order;

/// A member of an archive.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    /// The name in the form of [`super::request::member_name`].
    pub name: Box<str>,
    /// Where its bytes are.
    pub place: Place,
}

/// Where the bytes of a member are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// A range of the archive (tar).
    Range { offset: u64, num_bytes: u64 },
    /// After a local header (zip), which says where exactly.
    AfterHeader { header_offset: u64, num_compressed_bytes: u64, num_bytes: u64, crc32: u32, packing: Packing },
    /// Nowhere that could be read: a link, an encrypted member …
    Unreadable { code: RejectCode, why: &'static str },
}

/// How the bytes of a zip member are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    Stored,
    Deflated,
}

/// The members of an archive.
///
/// # Invariants
/// * Members are sorted by name, and no name occurs twice.
/// * `by_base_name` holds every position once, sorted by base name.
#[derive(Debug)]
pub(crate) struct MemberIndex {
    members: Vec<Member>,
    by_base_name: Vec<u32>,
    /// The directory that all members are in, with its slash; empty if there is none.
    common_directory: Box<str>,
}

impl MemberIndex {
    /// An index of these members. Of several with one name the last is meant, as when an archive is extracted.
    pub(crate) fn new(mut members: Vec<Member>) -> Self {
        members.sort_by(|a, b| a.name.cmp(&b.name));
        members.dedup_by(|later, kept| {
            let same = later.name == kept.name;
            if same {
                std::mem::swap(later, kept);
            }
            same
        });
        let common_directory = common_directory(&members);
        let mut by_base_name: Vec<u32> = (0..u32::try_from(members.len()).unwrap_or(u32::MAX)).collect();
        let base = |&position: &u32| members.get(position as usize).map_or("", |member| base_name(&member.name));
        by_base_name.sort_by(|a, b| base(a).cmp(base(b)));
        Self { members, by_base_name, common_directory }
    }

    /// Number of members.
    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// The member of exactly this name.
    pub(crate) fn exact(&self, name: &str) -> Option<&Member> {
        let position = self.members.binary_search_by(|member| (*member.name).cmp(name)).ok()?;
        self.members.get(position)
    }

    /// The name with the archive's one top directory before it; `None` if the archive has no such directory.
    pub(crate) fn below_common_directory(&self, name: &str) -> Option<String> {
        (!self.common_directory.is_empty()).then(|| format!("{}{name}", self.common_directory))
    }

    /// The members right below a directory, in natural order; none if it is not a directory.
    pub(crate) fn directory(&self, name: &str) -> Vec<&Member> {
        let prefix = format!("{name}/");
        let start = self.members.partition_point(|member| *member.name < *prefix);
        let below = self.members.get(start..).unwrap_or_default().iter();
        let mut found: Vec<&Member> = below
            .take_while(|member| member.name.starts_with(&prefix))
            .filter(|member| member.name.get(prefix.len()..).is_some_and(|rest| !rest.contains('/')))
            .collect();
        found.sort_by(|a, b| natural_order(&a.name, &b.name));
        found
    }

    /// All members whose last name is this one.
    pub(crate) fn with_base_name<'a>(&'a self, wanted: &'a str) -> impl Iterator<Item = &'a Member> {
        let members = self.by_base_name.iter().filter_map(|&position| self.members.get(position as usize));
        let start = self.by_base_name.partition_point(|&position| {
            self.members.get(position as usize).is_some_and(|member| base_name(&member.name) < wanted)
        });
        members.skip(start).take_while(move |member| base_name(&member.name) == wanted)
    }
}

/// The last name of a path.
pub(crate) fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn common_directory(members: &[Member]) -> Box<str> {
    // Members are sorted: what the first and the last share at the start, all share.
    let (Some(first), Some(last)) = (members.first(), members.last()) else { return "".into() };
    match first.name.split_once('/') {
        Some((directory, _)) if last.name.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/')) => {
            format!("{directory}/").into()
        }
        _ => "".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(names: &[&str]) -> MemberIndex {
        let member = |(i, name): (usize, &&str)| Member {
            name: (*name).into(),
            place: Place::Range { offset: i as u64, num_bytes: 0 },
        };
        MemberIndex::new(names.iter().enumerate().map(member).collect())
    }

    #[test]
    fn of_equal_names_the_last_is_meant() {
        let index = index(&["a", "b", "a", "a"]);
        assert_eq!(index.len(), 2);
        assert!(matches!(index.exact("a").unwrap().place, Place::Range { offset: 3, .. }));
    }

    #[test]
    fn the_common_directory_is_shared_by_all() {
        assert_eq!(index(&["x/a", "x/y/b"]).below_common_directory("a"), Some("x/a".to_owned()));
        assert_eq!(index(&["x/a", "xy/b"]).below_common_directory("a"), None);
        assert_eq!(index(&["x/a", "b"]).below_common_directory("a"), None);
        assert_eq!(index(&["a"]).below_common_directory("a"), None);
        assert_eq!(index(&[]).below_common_directory("a"), None);
    }

    #[test]
    fn a_directory_lists_what_is_right_below_it_in_natural_order() {
        let index = index(&["v/f10", "v/f2", "v/deep/f1", "v2/f1", "v-/f"]);
        let names: Vec<&str> = index.directory("v").iter().map(|member| &*member.name).collect();
        assert_eq!(names, ["v/f2", "v/f10"]);
        assert!(index.directory("v/f2").is_empty());
    }

    #[test]
    fn base_names_find_every_holder() {
        let index = index(&["a/x.jpg", "b/x.jpg", "b/y.jpg", "ax.jpg"]);
        let names: Vec<&str> = index.with_base_name("x.jpg").map(|member| &*member.name).collect();
        assert_eq!(names, ["a/x.jpg", "b/x.jpg"]);
        assert_eq!(index.with_base_name("z.jpg").count(), 0);
    }
}
