//! A URL as a media root: the objects whose names begin with it.
//!
//! Each name is asked for by itself; once many of a directory were, the directory is listed, and answers from then on. A store
//! without listings, such as a web server, is always asked, and has no directories of frames.
//!
//! What was listed holds for as long as the process: an object that is written in between is noticed when it is read.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use manyframe_base::{InputFile, Listed, ObjectAccess, ObjectState, url_below};

use super::directory::frames_among;
use super::natural::absent_numbers;
use crate::error::MediaError;
use crate::identity::MediaIdentity;
use crate::located::{ArchiveFile, Located};

/// Names of a directory that are asked for before it is listed. A listing costs as much as a name, for each thousand.
const MOST_ASKED: u32 = 32;

/// Directories of frames whose listing is kept: several questions are asked about one.
const MOST_FRAMES_KEPT: usize = 64;

/// The objects below a URL.
#[derive(Debug)]
pub(crate) struct ObjectRoot {
    /// Without a slash at its end.
    url: String,
    /// What rejections call it.
    name: String,
    objects: Arc<dyn ObjectAccess>,
    has_listing: AtomicBool,
    directories: Mutex<HashMap<String, Arc<Mutex<Directory>>>>,
    frames: Mutex<VecDeque<(String, Frames)>>,
}

/// What is known of a directory.
#[derive(Debug, Default)]
struct Directory {
    num_asked: u32,
    /// The objects and directories in it; `None` as long as it was not listed.
    listed: Option<HashMap<String, Option<ObjectState>>>,
}

/// The frames in a directory, in order.
type Frames = Arc<Vec<(String, ObjectState)>>;

/// What is found under a name.
enum Found {
    Object(ObjectState),
    Frames(Frames),
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ObjectRoot {
    /// A root at a URL, and what rejections call it.
    pub(crate) fn new(url: &str, name: String, objects: Arc<dyn ObjectAccess>) -> Self {
        Self {
            url: url.to_owned(),
            name,
            objects,
            has_listing: AtomicBool::new(true),
            directories: Mutex::default(),
            frames: Mutex::default(),
        }
    }

    /// What rejections call it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    fn url_of(&self, name: &str) -> String {
        if name.is_empty() { self.url.clone() } else { url_below(&self.url, name) }
    }

    /// The object or directory of frames of this name. `name` is a spelling of a [`super::request::Request`].
    pub(crate) fn find(&self, name: &str) -> Result<Option<Located>, MediaError> {
        match self.look_up(name)? {
            None => Ok(None),
            Some(Found::Object(state)) => self.located(name, &state).map(Some),
            Some(Found::Frames(frames)) => {
                let absent = absent_numbers(frames.iter().map(|(frame, _)| frame.as_str()));
                let located = frames.iter().map(|(frame, state)| self.located(&format!("{name}/{frame}"), state));
                Ok(Some(Located::Directory { frames: located.collect::<Result<_, _>>()?, absent }))
            }
        }
    }

    /// The identity of what [`Self::find`] finds.
    pub(crate) fn identify(&self, name: &str) -> Result<Option<MediaIdentity>, MediaError> {
        Ok(self.look_up(name)?.map(|found| match found {
            Found::Object(state) => MediaIdentity::of_object(&state),
            Found::Frames(frames) => {
                let frames = frames.iter().map(|(frame, state)| (frame.as_str(), MediaIdentity::of_object(state)));
                MediaIdentity::of_frames(frames)
            }
        }))
    }

    /// An object is a range of itself.
    fn located(&self, name: &str, state: &ObjectState) -> Result<Located, MediaError> {
        let url = self.url_of(name);
        let bytes = self.objects.open(&url, state).map_err(|source| MediaError::storage(&url, source))?;
        let archive = Arc::new(ArchiveFile::of(&InputFile::new(Path::new(&url), bytes)));
        Ok(Located::Range { archive, offset: 0, num_bytes: state.num_bytes, crc32: None })
    }

    fn look_up(&self, name: &str) -> Result<Option<Found>, MediaError> {
        let failed = |source| MediaError::storage(self.url_of(name), source);
        let (directory, base) = name.rsplit_once('/').unwrap_or(("", name));
        let known = Arc::clone(lock(&self.directories).entry(directory.to_owned()).or_default());
        let mut known = lock(&known);
        known.num_asked = known.num_asked.saturating_add(1);
        if known.listed.is_none() && known.num_asked > MOST_ASKED {
            let listed = self.list(directory).map_err(failed)?;
            // An object that shares its name with a directory follows it.
            known.listed =
                listed.map(|listed| listed.into_iter().map(|Listed { name, object }| (name, object)).collect());
        }
        let object = match &known.listed {
            None => {
                drop(known);
                self.objects.state(&self.url_of(name)).map_err(failed)?
            }
            Some(listed) => match listed.get(base) {
                None => return Ok(None),
                Some(object) => {
                    let object = object.clone();
                    drop(known);
                    object
                }
            },
        };
        match object {
            Some(state) => Ok(Some(Found::Object(state))),
            None => Ok(self.frames(name)?.map(Found::Frames)),
        }
    }

    /// What is in a directory; `None` if the store has no listing.
    fn list(&self, directory: &str) -> io::Result<Option<Vec<Listed>>> {
        if !self.has_listing.load(Ordering::Relaxed) {
            return Ok(None);
        }
        match self.objects.list(&self.url_of(directory)) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                self.has_listing.store(false, Ordering::Relaxed);
                Ok(None)
            }
            listed => listed.map(Some),
        }
    }

    /// The frames in a directory; `None` if there is no such directory.
    fn frames(&self, name: &str) -> Result<Option<Frames>, MediaError> {
        let kept = lock(&self.frames).iter().find(|(kept, _)| kept == name).map(|(_, frames)| Arc::clone(frames));
        if kept.is_some() {
            return Ok(kept);
        }
        let listed = self.list(name).map_err(|source| MediaError::storage(self.url_of(name), source))?;
        let Some(listed) = listed.filter(|listed| !listed.is_empty()) else { return Ok(None) };
        let mut states: HashMap<String, ObjectState> =
            listed.into_iter().filter_map(|Listed { name, object }| Some((name, object?))).collect();
        let names = frames_among(states.keys().cloned(), &format!("{}/{name}", self.name))?;
        let frames = names.into_iter().filter_map(|name| {
            let state = states.remove(&name)?;
            Some((name, state))
        });
        let frames = Arc::new(frames.collect::<Vec<_>>());
        let mut kept = lock(&self.frames);
        kept.push_front((name.to_owned(), Arc::clone(&frames)));
        kept.truncate(MOST_FRAMES_KEPT);
        Ok(Some(frames))
    }
}
