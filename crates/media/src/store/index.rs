//! The members of an archive by name: exact, below the archive's only top-level directory, or by a unique base name.

use manyframe_core::RejectCode;

use super::natural::natural_order;

/// A member of an archive.
#[derive(Debug, Clone)]
pub(crate) struct ArchiveMember {
    /// The name as normalised by [`super::request::member_name`].
    pub name: Box<str>,
    /// Where its bytes are.
    pub location: MemberLocation,
}

/// Where the bytes of a member are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MemberLocation {
    /// A range of the archive (tar).
    Range { offset: u64, num_bytes: u64 },
    /// After a local header (zip), whose length is known once it is read.
    AfterHeader {
        header_offset: u64,
        num_compressed_bytes: u64,
        num_bytes: u64,
        crc32: u32,
        compression: MemberCompression,
    },
    /// Not readable: a link, an encrypted member …
    Unreadable { code: RejectCode, reason: &'static str },
}

/// How the bytes of a zip member are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MemberCompression {
    Stored,
    Deflated,
}

/// The members of an archive.
///
/// # Invariants
/// * Members are sorted by name, and no name occurs twice.
/// * `by_base_name` is a permutation of the positions in `members`, sorted by base name.
#[derive(Debug)]
pub(crate) struct MemberIndex {
    members: Vec<ArchiveMember>,
    by_base_name: Vec<u32>,
    /// The directory that contains all members, with its slash; empty if there is none.
    common_directory: Box<str>,
}

impl MemberIndex {
    /// An index of these members. Of members with the same name the last one counts, as when an archive is extracted.
    #[expect(clippy::expect_used, clippy::indexing_slicing, reason = "2³² members would not fit into memory")]
    pub(crate) fn new(mut members: Vec<ArchiveMember>) -> Self {
        members.sort_by(|a, b| a.name.cmp(&b.name));
        members.dedup_by(|later, kept| {
            let is_same = later.name == kept.name;
            if is_same {
                std::mem::swap(later, kept);
            }
            is_same
        });
        let common_directory = common_directory(&members);
        let num_members = u32::try_from(members.len()).expect("an archive of fewer than 2³² members");
        let mut by_base_name: Vec<u32> = (0..num_members).collect();
        by_base_name.sort_by_key(|&position| base_name(&members[position as usize].name));
        Self { members, by_base_name, common_directory }
    }

    /// Number of members.
    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// The names of all members, sorted.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|member| &*member.name)
    }

    /// The member of exactly this name.
    #[expect(clippy::indexing_slicing, reason = "a search that succeeds returns a position")]
    pub(crate) fn exact(&self, name: &str) -> Option<&ArchiveMember> {
        self.members.binary_search_by(|member| (*member.name).cmp(name)).ok().map(|position| &self.members[position])
    }

    /// The name below the archive's only top-level directory; `None` if the archive has no such directory.
    pub(crate) fn below_common_directory(&self, name: &str) -> Option<String> {
        (!self.common_directory.is_empty()).then(|| format!("{}{name}", self.common_directory))
    }

    /// The direct members of a directory, in natural order; none if it is not a directory.
    pub(crate) fn directory(&self, name: &str) -> Vec<&ArchiveMember> {
        let prefix = format!("{name}/");
        let (_, from_prefix) = self.members.split_at(self.members.partition_point(|member| *member.name < *prefix));
        let below = from_prefix.iter().map_while(|member| Some((member, member.name.strip_prefix(&prefix)?)));
        let mut found: Vec<&ArchiveMember> =
            below.filter(|(_, rest)| !rest.contains('/')).map(|(member, _)| member).collect();
        found.sort_by(|a, b| natural_order(&a.name, &b.name));
        found
    }

    /// All members with this base name.
    #[expect(clippy::indexing_slicing, reason = "`by_base_name` holds positions in `members`")]
    pub(crate) fn with_base_name<'a>(&'a self, wanted: &'a str) -> impl Iterator<Item = &'a ArchiveMember> {
        let member = |&position: &u32| &self.members[position as usize];
        let start = self.by_base_name.partition_point(|position| base_name(&member(position).name) < wanted);
        self.by_base_name.iter().skip(start).map(member).take_while(move |member| base_name(&member.name) == wanted)
    }
}

/// The last name of a path.
pub(crate) fn base_name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

fn common_directory(members: &[ArchiveMember]) -> Box<str> {
    // What file managers leave beside the directory does not count.
    let is_content = |member: &&ArchiveMember| {
        !member.name.starts_with('.') && !matches!(&*member.name, "Thumbs.db" | "desktop.ini")
    };
    let mut content = members.iter().filter(is_content);
    // Members are sorted: a prefix shared by the first and the last is shared by all.
    let Some(first) = content.next() else { return "".into() };
    let last = content.next_back().unwrap_or(first);
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
        let member = |(i, name): (usize, &&str)| ArchiveMember {
            name: (*name).into(),
            location: MemberLocation::Range { offset: i as u64, num_bytes: 0 },
        };
        MemberIndex::new(names.iter().enumerate().map(member).collect())
    }

    #[test]
    fn of_equal_names_the_last_one_counts() {
        let index = index(&["a", "b", "a", "a"]);
        assert_eq!(index.len(), 2);
        assert!(matches!(index.exact("a").unwrap().location, MemberLocation::Range { offset: 3, .. }));
    }

    #[test]
    fn the_common_directory_is_shared_by_all() {
        assert_eq!(index(&["x/a", "x/y/b"]).below_common_directory("a"), Some("x/a".to_owned()));
        assert_eq!(index(&["x/a", "xy/b"]).below_common_directory("a"), None);
        assert_eq!(
            index(&[".DS_Store", "Thumbs.db", "x/a", "x/b"]).below_common_directory("a"),
            Some("x/a".to_owned())
        );
        assert_eq!(index(&["x/a", "b"]).below_common_directory("a"), None);
        assert_eq!(index(&["a"]).below_common_directory("a"), None);
        assert_eq!(index(&[]).below_common_directory("a"), None);
    }

    #[test]
    fn a_directory_lists_its_direct_members_in_natural_order() {
        let index = index(&["v/f10", "v/f2", "v/deep/f1", "v2/f1", "v-/f"]);
        let names: Vec<&str> = index.directory("v").iter().map(|member| &*member.name).collect();
        assert_eq!(names, ["v/f2", "v/f10"]);
        assert!(index.directory("v/f2").is_empty());
    }

    #[test]
    fn a_base_name_finds_every_member_that_has_it() {
        let index = index(&["a/x.jpg", "b/x.jpg", "b/y.jpg", "ax.jpg"]);
        let names: Vec<&str> = index.with_base_name("x.jpg").map(|member| &*member.name).collect();
        assert_eq!(names, ["a/x.jpg", "b/x.jpg"]);
        assert_eq!(index.with_base_name("z.jpg").count(), 0);
    }
}
