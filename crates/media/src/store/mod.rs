//! The media of a source: directories, zips and tars, on this machine or in object stores, looked up by the paths that upstream wrote.
//!
//! ```text
//! path ──▶ Request ──▶ exact name in each root ──▶ below an archive's top directory ──▶ unique base name in an archive
//!          (checked)   (as written, then guesses)
//! ```
//!
//! Nothing is unpacked; members of archives are read in place.

mod archive;
mod directory;
mod index;
mod links;
mod listing;
mod natural;
mod objects;
mod request;
mod tar;
mod tar_zeros;
mod zip;

use std::io;
use std::path::{Path, PathBuf};

use manyframe_base::{FileAccess, url_of};
use manyframe_core::RejectCode;

use self::archive::Archive;
use self::directory::DirectoryRoot;
use self::index::{ArchiveMember, base_name};
pub use self::natural::natural_order;
use self::objects::ObjectRoot;
use self::request::Request;
pub use self::tar::{TarListing, TarMember, is_tar, list_tar};
use crate::error::{MediaError, OpenError};
use crate::identity::MediaIdentity;
use crate::located::Located;

/// A directory, a zip (including Zip64) or a tar with media.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaRoot {
    /// Serves only records of this subset and those below it (`coco` includes `coco/train2017`). `None`: serves all.
    pub subset: Option<String>,
    /// The directory or archive, or its URL. It is trusted and may be a link.
    pub path: PathBuf,
    /// What rejections call it, best the same on every machine: they go into datasets.
    pub name: String,
    /// Directories outside of it that links below it may lead to; they are trusted, too.
    pub links: Vec<PathBuf>,
}

impl MediaRoot {
    /// Checks that it is there and of a supported kind, without listing its members.
    ///
    /// # Errors
    /// As [`MediaStore::open_with`], except for damage that only a listing shows.
    pub fn check(&self, access: &FileAccess) -> Result<(), OpenError> {
        if let Some(url) = url_of(&self.path) {
            return if is_directory_of_objects(access, url)? { Ok(()) } else { Archive::check(access, &self.path) };
        }
        let resolved =
            self.path.canonicalize().map_err(|source| OpenError::Open { path: self.path.clone(), source })?;
        if resolved.is_dir() {
            return std::fs::read_dir(&resolved).map(drop).map_err(|source| OpenError::Open { path: resolved, source });
        }
        ensure_file(&resolved)?;
        Archive::check(access, &resolved)
    }
}

/// Whether a URL is one of a directory, and not of an archive. Of a store without listings, its name tells.
fn is_directory_of_objects(access: &FileAccess, url: &str) -> Result<bool, OpenError> {
    match access.objects().and_then(|objects| objects.is_directory(url)) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => {
            let extension = Path::new(url).extension().unwrap_or_default();
            Ok(!["tar", "zip"].iter().any(|archive| extension.eq_ignore_ascii_case(archive)))
        }
        found => found.map_err(|source| OpenError::Open { path: url.into(), source }),
    }
}

/// Opening a pipe could block forever.
fn ensure_file(path: &Path) -> Result<(), OpenError> {
    if path.is_file() {
        return Ok(());
    }
    let (found, advice) = ("neither a file nor a directory", "expected a directory, a zip or a tar".to_owned());
    Err(OpenError::Unsupported { path: path.to_owned(), found, advice })
}

/// Open media roots. May be shared by any number of threads.
#[derive(Debug)]
pub struct MediaStore {
    roots: Vec<OpenRoot>,
}

#[derive(Debug)]
struct OpenRoot {
    subset: Option<String>,
    kind: RootKind,
}

#[derive(Debug)]
enum RootKind {
    Directory(DirectoryRoot),
    Objects(ObjectRoot),
    Archive(Archive),
}

/// What is asked about a name: the same search answers where a medium is, and which version of it is there.
struct Question<T> {
    in_directory: fn(&DirectoryRoot, &str) -> Result<Option<T>, MediaError>,
    among_objects: fn(&ObjectRoot, &str) -> Result<Option<T>, MediaError>,
    in_archive: fn(&Archive, &str) -> Result<Option<T>, MediaError>,
    of_member: fn(&Archive, &ArchiveMember) -> Result<T, MediaError>,
}

impl MediaStore {
    /// A store without roots.
    pub fn empty() -> Self {
        Self { roots: Vec::new() }
    }

    /// Opens all roots and lists the members of archives. Roots are searched in this order.
    ///
    /// # Errors
    /// If a root is missing, not readable, or an archive of an unsupported kind.
    pub fn open(roots: &[MediaRoot]) -> Result<Self, OpenError> {
        Self::open_with(roots, None, &FileAccess::default())
    }

    /// Like [`Self::open`], but caches listings of tars, which take a read per member, in the directory `listings`.
    pub fn open_keeping(roots: &[MediaRoot], listings: &Path) -> Result<Self, OpenError> {
        Self::open_with(roots, Some(listings), &FileAccess::default())
    }

    /// Like [`Self::open_keeping`], of files that are opened like this: roots may be URLs.
    pub fn open_with(roots: &[MediaRoot], listings: Option<&Path>, access: &FileAccess) -> Result<Self, OpenError> {
        let roots = roots
            .iter()
            .map(|root| Ok(OpenRoot { subset: root.subset.clone(), kind: RootKind::open(root, listings, access)? }))
            .collect::<Result<_, OpenError>>()?;
        Ok(Self { roots })
    }

    /// The names of all members of its archives.
    pub fn member_names(&self) -> impl Iterator<Item = &str> {
        self.roots.iter().filter_map(|root| root.kind.archive()).flat_map(Archive::member_names)
    }

    /// Finds a medium by the path that upstream wrote.
    ///
    /// The path is tried unchanged in every root, then with `\` as `/`, percent-decoded, and in both Unicode normalisation
    /// forms; then below the only top directory of an archive; then as the base name of a member, if exactly one member of all
    /// archives has it. Case is significant.
    ///
    /// # Errors
    /// A rejection if the path is unsafe or nothing is found, or [`MediaError::Storage`].
    pub fn locate(&self, subset: &str, path: &str) -> Result<Located, MediaError> {
        const LOCATION: Question<Located> = Question {
            in_directory: DirectoryRoot::find,
            among_objects: ObjectRoot::find,
            in_archive: Archive::find,
            of_member: Archive::located,
        };
        self.search(subset, path, &LOCATION)
    }

    /// The identity of the medium that [`Self::locate`] finds. Opens no file, and reads nothing but directories of frames.
    ///
    /// # Errors
    /// A rejection if nothing is found, or [`MediaError::Storage`].
    pub fn identify(&self, subset: &str, path: &str) -> Result<MediaIdentity, MediaError> {
        const IDENTITY: Question<MediaIdentity> = Question {
            in_directory: DirectoryRoot::identify,
            among_objects: ObjectRoot::identify,
            in_archive: Archive::identify,
            of_member: Archive::identity,
        };
        self.search(subset, path, &IDENTITY)
    }

    /// Asks the roots a question about a path, in the order that [`Self::locate`] describes.
    fn search<T>(&self, subset: &str, path: &str, question: &Question<T>) -> Result<T, MediaError> {
        let request = match Request::parse(path) {
            Ok(request) => request,
            Err(error) => return self.by_absolute_name(subset, path, question)?.ok_or(error),
        };
        let roots: Vec<&RootKind> =
            self.roots.iter().filter(|root| root.serves(subset)).map(|root| &root.kind).collect();
        for spelling in &request.spellings {
            for root in &roots {
                if let Some(found) = root.answer(spelling, question)? {
                    return Ok(found);
                }
            }
        }
        let archives: Vec<&Archive> = roots.iter().filter_map(|root| root.archive()).collect();
        for spelling in &request.spellings {
            for archive in &archives {
                if let Some(name) = archive.below_common_directory(spelling)
                    && let Some(found) = (question.in_archive)(archive, &name)?
                {
                    return Ok(found);
                }
            }
        }
        for spelling in &request.spellings {
            if let Some((archive, member)) = find_by_base_name(&archives, path, base_name(spelling))? {
                return (question.of_member)(archive, member);
            }
        }
        Err(missing(subset, path, &roots))
    }

    /// The answer of the first archive with a member of this absolute name: `tar -P` writes such names.
    fn by_absolute_name<T>(&self, subset: &str, path: &str, question: &Question<T>) -> Result<Option<T>, MediaError> {
        let Some(Ok(request)) = path.strip_prefix('/').map(Request::parse) else { return Ok(None) };
        let roots: Vec<&RootKind> =
            self.roots.iter().filter(|root| root.serves(subset)).map(|root| &root.kind).collect();
        // Whoever wrote a path of this machine may read what is below a root.
        for root in &roots {
            let RootKind::Directory(directory) = root else { continue };
            let Some(Ok(below)) = directory.below(path).map(Request::parse) else { continue };
            for spelling in &below.spellings {
                if let Some(found) = root.answer(spelling, question)? {
                    return Ok(Some(found));
                }
            }
        }
        let archives: Vec<&Archive> = roots.iter().filter_map(|root| root.archive()).collect();
        for spelling in &request.spellings {
            for archive in &archives {
                if let Some(found) = (question.in_archive)(archive, spelling)? {
                    return Ok(Some(found));
                }
            }
        }
        Ok(None)
    }
}

impl OpenRoot {
    fn serves(&self, subset: &str) -> bool {
        let Some(own) = self.subset.as_deref() else { return true };
        subset.strip_prefix(own).is_some_and(|rest| own.is_empty() || rest.is_empty() || rest.starts_with('/'))
    }
}

impl RootKind {
    fn open(root: &MediaRoot, listings: Option<&Path>, access: &FileAccess) -> Result<Self, OpenError> {
        let name = root.name.clone();
        if let Some(url) = url_of(&root.path) {
            if !is_directory_of_objects(access, url)? {
                return Archive::open(access, Path::new(url), name, listings).map(Self::Archive);
            }
            let objects = access.objects().map_err(|source| OpenError::Open { path: root.path.clone(), source })?;
            return Ok(Self::Objects(ObjectRoot::new(url, name, objects.clone())));
        }
        // Resolved once: paths found later are compared with it.
        let resolve =
            |path: &PathBuf| path.canonicalize().map_err(|source| OpenError::Open { path: path.clone(), source });
        let resolved = resolve(&root.path)?;
        if resolved.is_dir() {
            let links = root.links.iter().map(resolve).collect::<Result<_, _>>()?;
            return Ok(Self::Directory(DirectoryRoot::new(resolved, name, links)));
        }
        ensure_file(&resolved)?;
        Archive::open(access, &resolved, name, listings).map(Self::Archive)
    }

    fn answer<T>(&self, name: &str, question: &Question<T>) -> Result<Option<T>, MediaError> {
        match self {
            Self::Directory(directory) => (question.in_directory)(directory, name),
            Self::Objects(objects) => (question.among_objects)(objects, name),
            Self::Archive(archive) => (question.in_archive)(archive, name),
        }
    }

    fn archive(&self) -> Option<&Archive> {
        match self {
            Self::Directory(_) | Self::Objects(_) => None,
            Self::Archive(archive) => Some(archive),
        }
    }

    /// What rejections call it where nothing is found in it.
    fn name_when_searched(&self) -> String {
        match self {
            Self::Directory(directory) => directory.name().to_owned(),
            Self::Objects(objects) => objects.name().to_owned(),
            Self::Archive(archive) => archive.name_and_damage(),
        }
    }
}

/// The only member of all archives with this base name. Several are a rejection, because any of them may be the wrong one; so is one
/// where an archive has lost members.
fn find_by_base_name<'a>(
    archives: &[&'a Archive],
    path: &str,
    name: &'a str,
) -> Result<Option<(&'a Archive, &'a ArchiveMember)>, MediaError> {
    let mut found =
        archives.iter().flat_map(|&archive| archive.with_base_name(name).map(move |member| (archive, member)));
    let Some((archive, member)) = found.next() else { return Ok(None) };
    if let Some((other_archive, other)) = found.next() {
        let detail = format!(
            "{path:?} is in no media root, and more than one member is called {name:?}: {:?} in {}, {:?} in {}",
            member.name,
            archive.name(),
            other.name,
            other_archive.name()
        );
        return Err(MediaError::rejected(RejectCode::MediaMissing, detail));
    }
    if let Some(damaged) = archives.iter().find(|archive| archive.has_lost_members()) {
        let detail = format!(
            "{path:?} is in no media root; {:?} in {} has its name, but another may be lost with members of {}",
            member.name,
            archive.name(),
            damaged.name_and_damage()
        );
        return Err(MediaError::rejected(RejectCode::MediaMissing, detail));
    }
    Ok(Some((archive, member)))
}

fn missing(subset: &str, path: &str, roots: &[&RootKind]) -> MediaError {
    let detail = if roots.is_empty() && subset.is_empty() {
        format!("{path:?}: no media root is for records without a subset: set media, or the subset of a root")
    } else if roots.is_empty() {
        format!("{path:?}: no media root is for records of subset {subset:?}")
    } else {
        let tried: Vec<String> = roots.iter().map(|root| root.name_when_searched()).collect();
        format!("{path:?} is in no media root (tried {})", tried.join(", "))
    };
    MediaError::rejected(RejectCode::MediaMissing, detail)
}
