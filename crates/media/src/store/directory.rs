//! A directory as a media root. Links are followed as long as they stay inside it, or lead to where the source lets them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use manyframe_core::RejectCode;

use super::natural::{absent_numbers, natural_order};
use crate::error::MediaError;
use crate::identity::MediaIdentity;
use crate::located::Located;

/// Upper bound on files in a directory of frames: ten hours at 30 frames per second.
const MAX_FRAMES: usize = 1 << 20;

/// A directory root.
#[derive(Debug)]
pub(crate) struct DirectoryRoot {
    /// The directory, links resolved.
    path: PathBuf,
    /// What rejections call it.
    name: String,
    /// Directories that links below it may lead to, links resolved.
    links: Vec<PathBuf>,
}

impl DirectoryRoot {
    /// A root at a path, what rejections call it, and the directories that links below it may lead to; the links of all paths
    /// are resolved.
    pub(crate) fn new(path: PathBuf, name: String, links: Vec<PathBuf>) -> Self {
        Self { path, name, links }
    }

    /// The part of an absolute path that is below it. Links may lead to the root; those below it are looked at when what is there
    /// is opened.
    pub(crate) fn below<'p>(&self, path: &'p str) -> Option<&'p str> {
        let path = Path::new(path);
        let is_root = |above: &&Path| above.canonicalize().is_ok_and(|above| above == self.path);
        let below = path.strip_prefix(&self.path).ok();
        below.or_else(|| path.strip_prefix(path.ancestors().skip(1).find(is_root)?).ok())?.to_str()
    }

    /// What rejections call it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What rejections call a path in it.
    fn name_of(&self, path: &Path) -> String {
        match path.strip_prefix(&self.path) {
            Ok(below) if below.as_os_str().is_empty() => self.name.clone(),
            Ok(below) => format!("{}/{}", self.name, below.display()),
            Err(_outside) => path.display().to_string(),
        }
    }

    /// The file or directory of frames of this name. `name` is a spelling of a [`super::request::Request`].
    pub(crate) fn find(&self, name: &str) -> Result<Option<Located>, MediaError> {
        let Some(path) = self.resolve(&self.path.join(name))? else { return Ok(None) };
        let metadata = fs::metadata(&path).map_err(|source| MediaError::storage(&path, source))?;
        if metadata.is_file() {
            return Ok(Some(Located::File(path)));
        }
        if metadata.is_dir() {
            return self.list_frames(&path).map(Some);
        }
        // Opening a pipe or a device could block forever.
        Err(MediaError::rejected(
            RejectCode::MediaType,
            format!("{} is neither a file nor a directory", self.name_of(&self.path.join(name))),
        ))
    }

    /// The identity of what [`Self::find`] finds. Links are followed wherever they lead: nothing is opened but directories.
    pub(crate) fn identify(&self, name: &str) -> Result<Option<MediaIdentity>, MediaError> {
        let path = self.path.join(name);
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if is_absence(&error) => return Ok(None),
            Err(source) => return Err(MediaError::storage(path, source)),
        };
        if !metadata.is_dir() {
            return Ok(Some(MediaIdentity::of_metadata(&path, &metadata)));
        }
        let names = list_frame_names(&path, &self.name_of(&path))?;
        let identity = |name: &str| {
            let path = path.join(name);
            let metadata = path.metadata();
            metadata.map_or(MediaIdentity::UNKNOWN, |metadata| MediaIdentity::of_metadata(&path, &metadata))
        };
        Ok(Some(MediaIdentity::of_frames(names.iter().map(|name| (name.as_str(), identity(name))))))
    }

    /// The path with its links resolved; `None` if nothing is there, a rejection if it leads outside the root.
    fn resolve(&self, path: &Path) -> Result<Option<PathBuf>, MediaError> {
        let resolved = match path.canonicalize() {
            Ok(resolved) => resolved,
            Err(error) if is_absence(&error) => return Ok(None),
            Err(source) => return Err(MediaError::storage(path, source)),
        };
        if !resolved.starts_with(&self.path) && !self.links.iter().any(|allowed| resolved.starts_with(allowed)) {
            let detail = format!(
                "{} is a link that leads out of its media root to {}; the source's `links` can name places that links may lead to",
                self.name_of(path),
                link_target(path).unwrap_or(resolved).display()
            );
            return Err(MediaError::rejected(RejectCode::UnsafePath, detail));
        }
        Ok(Some(resolved))
    }

    /// The frames in a directory, of which those that links lead to may be gone.
    fn list_frames(&self, directory: &Path) -> Result<Located, MediaError> {
        let names = list_frame_names(directory, &self.name_of(directory))?;
        let mut frames = Vec::with_capacity(names.len());
        let mut there = Vec::with_capacity(names.len());
        for name in &names {
            if let Some(path) = self.resolve(&directory.join(name))?
                && path.is_file()
            {
                frames.push(Located::File(path));
                there.push(name.as_str());
            }
        }
        Ok(Located::Directory { frames, absent: absent_numbers(there.into_iter()) })
    }
}

/// The names of frames in a directory, in order: files with an image extension or, if there are none, all files. Hidden files
/// are ignored.
fn list_frame_names(directory: &Path, name: &str) -> Result<Vec<String>, MediaError> {
    let failed = |source| MediaError::storage(directory, source);
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        // A name that is not UTF-8 cannot be ordered or reported faithfully; no upstream path refers to it.
        if let Ok(name) = entry.map_err(failed)?.file_name().into_string()
            && !name.starts_with('.')
        {
            names.push(name);
        }
        if names.len() > MAX_FRAMES {
            return Err(too_many_frames(name));
        }
    }
    Ok(frames_in_order(names))
}

fn too_many_frames(name: &str) -> MediaError {
    let detail = format!("{name} holds more than {MAX_FRAMES} files, expected the frames of one video");
    MediaError::rejected(RejectCode::MediaTooLarge, detail)
}

/// The frames among the files of a directory that rejections call `name`, in order.
pub(crate) fn frames_among(files: impl Iterator<Item = String>, name: &str) -> Result<Vec<String>, MediaError> {
    let names: Vec<String> = files.filter(|file| !file.starts_with('.')).collect();
    if names.len() > MAX_FRAMES { Err(too_many_frames(name)) } else { Ok(frames_in_order(names)) }
}

fn frames_in_order(mut names: Vec<String>) -> Vec<String> {
    if names.iter().any(|name| has_image_extension(name)) {
        names.retain(|name| has_image_extension(name));
    }
    names.sort_by(|a, b| natural_order(a, b));
    names
}

/// What the outermost link of a path says where it leads.
fn link_target(path: &Path) -> Option<PathBuf> {
    let mut outermost: Vec<&Path> = path.ancestors().filter(|ancestor| ancestor.is_symlink()).collect();
    fs::read_link(outermost.pop()?).ok()
}

/// Whether an error means that nothing has this name, as opposed to failing storage.
fn is_absence(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidFilename, InvalidInput, NotADirectory, NotFound};
    /// A link that leads to itself; the standard library has no stable name for it.
    const ELOOP: i32 = 40;
    matches!(error.kind(), NotFound | NotADirectory | InvalidFilename | InvalidInput)
        || error.raw_os_error() == Some(ELOOP)
}

/// Whether a file is an image by its name. Of a directory of frames, only these are frames if there are any.
pub(crate) fn has_image_extension(name: &str) -> bool {
    const EXTENSIONS: [&str; 13] =
        ["jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "avif", "ppm", "pgm", "pbm", "pnm"];
    name.rsplit_once('.').is_some_and(|(_, found)| EXTENSIONS.iter().any(|e| e.eq_ignore_ascii_case(found)))
}
