//! Tar archives in the order of WebDataset: members that follow each other and share a name, up to its first dot, are a sample.
//!
//! Images and videos are not read; a record has their positions in the archive.

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use manyframe_base::InputFile;
use manyframe_core::{MediaKind, Position, Rejection};
use manyframe_media::{TarListing, TarMember, list_tar, natural_order};

use super::container::{Container, LocatedRecords};
use super::sample::{NamedMedia, Sample, SamplePart};
use crate::json::{self, LocatedRecord, ReadError};
use crate::raw::{Member, RawBody};
use crate::reject::unexpected_schema;

/// An open tar.
pub(crate) struct Archive(Arc<Samples>);

struct Samples {
    file: InputFile,
    members: Vec<TarMember>,
    /// The members of each sample.
    ranges: Vec<Range<usize>>,
    /// Whether members may be missing at the end.
    damage: Option<&'static str>,
}

impl Archive {
    /// Lists the members of a tar.
    pub(crate) fn open(file: InputFile) -> Result<Self, ReadError> {
        let TarListing { mut members, damage } = list_tar(&file)?;
        let is_hidden = |member: &TarMember| member.name.rsplit('/').next().is_some_and(|name| name.starts_with('.'));
        members.retain(|member| !is_hidden(member));
        let mut samples: Vec<Range<usize>> = Vec::new();
        let mut last = None;
        for (index, member) in members.iter().enumerate() {
            let key = split_name(&member.name).0;
            match samples.last_mut().filter(|_| last == Some(key)) {
                Some(sample) => sample.end = index + 1,
                None => samples.push(index..index + 1),
            }
            last = Some(key);
        }
        Ok(Self(Arc::new(Samples { file, members, ranges: samples, damage })))
    }
}

/// The name of a sample, and the ending of one of its files.
fn split_name(name: &str) -> (&str, &str) {
    let start = name.rfind('/').map_or(0, |slash| slash + 1);
    match name.get(start..).and_then(|base| base.find('.')) {
        Some(dot) => (name.get(..start + dot).unwrap_or(name), name.get(start + dot + 1..).unwrap_or_default()),
        None => (name, ""),
    }
}

/// Brings files into the order of these names, if they are theirs: whole, or without what the sample's files share. Names of anything else,
/// such as those that the images had before, say nothing.
fn sort_by_names(files: &mut [&TarMember], names: &[String]) {
    let bases: Vec<&str> = names.iter().filter_map(|name| name.rsplit(['/', '\\']).next()).collect();
    let place_of = |file: &TarMember| {
        let (key, ending) = split_name(&file.name);
        let whole = file.name.get(key.rfind('/').map_or(0, |slash| slash + 1)..).unwrap_or_default();
        bases.iter().position(|base| [whole, ending].contains(base))
    };
    let places: Option<BTreeSet<usize>> = files.iter().map(|file| place_of(file)).collect();
    if places.is_some_and(|places| places.len() == files.len()) {
        files.sort_by_key(|file| place_of(file));
    }
}

/// What the files of a sample share of their names.
fn key_of(files: &[TarMember]) -> &str {
    files.first().map_or("", |file| split_name(&file.name).0)
}

impl Container for Archive {
    fn parts(&self) -> Vec<Option<Range<u64>>> {
        vec![None]
    }

    fn records(self: Box<Self>, _: Option<Range<u64>>) -> Result<LocatedRecords, ReadError> {
        let samples = self.0;
        let mut next = 0;
        Ok(Box::new(std::iter::from_fn(move || {
            let found = samples.located(next).map_err(ReadError::Io).transpose();
            next += 1;
            found
        })))
    }

    fn record_at(&self, position: Position) -> Result<Option<RawBody>, ReadError> {
        let Position::Bytes { line, .. } = position else {
            return Ok(self.0.damage.filter(|_| position == Position::File).map(damaged));
        };
        let index = (line as usize).saturating_sub(1);
        Ok(self.0.located(index)?.filter(|found| found.position == position).map(|found| found.body))
    }

    fn has_own_media(&self) -> bool {
        true
    }

    fn records_at(&self, position: Position) -> Result<LocatedRecords, ReadError> {
        // The media of each are its own: none is one with the next.
        let found = self.record_at(position)?.map(|body| Ok(LocatedRecord { position, body }));
        Ok(Box::new(found.into_iter()))
    }

    fn unread_endings(&self) -> BTreeSet<String> {
        let endings = self.0.members.iter().map(|member| split_name(&member.name).1);
        endings.filter(|ending| SamplePart::of_ending(ending) == SamplePart::Other).map(str::to_owned).collect()
    }
}

impl Samples {
    fn members_of(&self, index: usize) -> Option<&[TarMember]> {
        self.members.get(self.ranges.get(index)?.clone())
    }

    /// A sample; after the last one, what is wrong with the archive, unless that one says it.
    fn located(&self, index: usize) -> io::Result<Option<LocatedRecord>> {
        let Some(members) = self.members_of(index) else {
            let last = index.checked_sub(1).and_then(|last| self.members_of(last)).unwrap_or_default();
            let is_said = end_of(last) > self.file.num_bytes();
            let damage = self.damage.filter(|_| index == self.ranges.len() && !is_said);
            return Ok(damage.map(|damage| LocatedRecord { position: Position::File, body: damaged(damage) }));
        };
        let offset = members.first().map_or(0, |member| member.offset);
        let end = end_of(members);
        let position = Position::Bytes { offset, num_bytes: end.saturating_sub(offset), line: index as u64 + 1 };
        if end > self.file.num_bytes() {
            let head = Sample::head_of(key_of(members));
            let body = json::incomplete("the archive ends inside of this sample; any after it are missing", &head);
            return Ok(Some(LocatedRecord { position, body }));
        }
        Ok(Some(LocatedRecord { position, body: self.body(members)? }))
    }

    fn body(&self, files: &[TarMember]) -> io::Result<RawBody> {
        let key = key_of(files);
        let broken = |rejection: Rejection| RawBody::Broken { rejection, head: Sample::head_of(key) };
        let mut sample = match Sample::new(key) {
            Ok(sample) => sample,
            Err(rejection) => return Ok(broken(rejection)),
        };
        let (mut images, mut videos) = (Vec::new(), Vec::new());
        for file in files {
            let part = SamplePart::of_ending(split_name(&file.name).1);
            if let SamplePart::Medium(kind) = part {
                sample.add_medium(kind, "true".to_owned());
                if kind == MediaKind::Image { &mut images } else { &mut videos }.push(file);
                continue;
            }
            if part == SamplePart::Other {
                continue;
            }
            if file.num_bytes > json::MAX_RECORD_BYTES {
                return Ok(json::overlong(&Sample::head_of(key)));
            }
            let mut content = vec![0; file.num_bytes as usize];
            self.file.bytes().read_exact_at(&mut content, file.offset)?;
            if let Err(rejection) = sample.add_content(part, content) {
                return Ok(broken(rejection));
            }
        }
        let finished = sample.finish().and_then(|(text, named)| {
            named.iter().zip([&images, &videos]).try_for_each(reject_several_kinds)?;
            Ok((text, named))
        });
        Ok(match finished {
            Err(rejection) => broken(rejection),
            Ok((text, named)) => {
                let of_field = |(named, mut files): (NamedMedia, Vec<&TarMember>)| {
                    files.sort_by(|a, b| natural_order(&a.name, &b.name));
                    sort_by_names(&mut files, &named.names);
                    let member = move |(index, file): (usize, &TarMember)| Member {
                        field: named.field,
                        index,
                        offset: file.offset,
                        num_bytes: file.num_bytes,
                    };
                    files.into_iter().enumerate().map(member).collect::<Vec<_>>()
                };
                let members = named.into_iter().zip([images, videos]).flat_map(of_field).collect();
                RawBody::Sample { text, members }
            }
        })
    }
}

/// Rejects a sample with several images, or videos, that are no list, such as `1.jpg` beside `1.mask.png`: their names have no numbers,
/// and its JSON does not name them.
fn reject_several_kinds((named, files): (&NamedMedia, &Vec<&TarMember>)) -> Result<(), Rejection> {
    let endings: Vec<&str> = files.iter().map(|file| split_name(&file.name).1).collect();
    let lists: Vec<(&str, bool)> = endings.iter().map(|ending| list_of(ending)).collect();
    let is_one = lists.windows(2).all(|pair| matches!(pair, [(one, _), (next, _)] if one == next));
    let num_unnumbered = lists.iter().filter(|(_, has_number)| !has_number).count();
    if is_one && num_unnumbered <= 1 || !named.names.is_empty() {
        return Ok(());
    }
    let expected = "expected one, numbers such as 0.jpg and 1.jpg, or their names in the JSON of the sample";
    Err(unexpected_schema(format!(
        "several media, {}, of which nothing says what they are; {expected}",
        endings.join(", ")
    )))
}

/// What numbered files share of an ending such as `img0.jpg`, and whether there is a number, or a letter in its place.
fn list_of(ending: &str) -> (&str, bool) {
    let (before, _) = ending.rsplit_once('.').unwrap_or(("", ending));
    let list = before.trim_end_matches(|character: char| character.is_ascii_digit());
    if list.len() == 1 && list == before { ("", true) } else { (list, list != before) }
}

/// Where the last of some files ends in the archive.
fn end_of(files: &[TarMember]) -> u64 {
    files.iter().map(|file| file.offset.saturating_add(file.num_bytes)).max().unwrap_or(0)
}

fn damaged(damage: &str) -> RawBody {
    json::incomplete(&format!("the archive is cut off or damaged: {damage}; samples may be missing"), &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_are_in_the_order_of_the_names_that_are_theirs() {
        let member = |name: &str| TarMember { name: name.into(), offset: 0, num_bytes: 1 };
        let members = ["d/7.a.jpg", "d/7.b.jpg", "d/7.c.jpg"].map(member);
        let order = |names: &[&str]| {
            let mut files: Vec<&TarMember> = members.iter().collect();
            sort_by_names(&mut files, &names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
            files.iter().filter_map(|file| file.name.chars().nth(4)).collect::<String>()
        };
        assert_eq!(order(&["7.c.jpg", "7.a.jpg", "7.b.jpg"]), "cab");
        assert_eq!(order(&["b.jpg", "images\\c.jpg", "x/a.jpg"]), "bca");
        assert_eq!(order(&["c.jpg", "c.jpg", "a.jpg"]), "abc", "two names of one file");
        assert_eq!(order(&["000123.jpg", "000045.jpg", "000678.jpg"]), "abc", "names that they had before");
        assert_eq!(order(&[]), "abc");
    }
}
