//! Files by path or URL: those of this machine, and objects of stores if whoever opens them may reach any.
//!
//! Readers of annotations, archives and media take a [`FileAccess`] and do not know how a store is reached: an
//! [`ObjectAccess`] does.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::input_file::{InputFile, ReadAt};

/// What a store says of an object without reading it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ObjectState {
    /// Its size.
    pub num_bytes: u64,
    /// Changes whenever the object is written.
    pub version: String,
}

/// What is directly below a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name, without what precedes it.
    pub name: String,
    /// Its state; `None` if it is no object, but what the names of others begin with: a directory.
    pub object: Option<ObjectState>,
}

/// Reaches the objects of stores. Every URL has a scheme, and no slash at its end.
///
/// Errors are [failures of a store](store_failure), but for what is said here.
pub trait ObjectAccess: fmt::Debug + Send + Sync {
    /// The state of an object; `None` if there is none.
    ///
    /// # Errors
    ///
    /// If the store cannot be asked, or refuses to answer.
    fn state(&self, url: &str) -> io::Result<Option<ObjectState>>;

    /// The bytes of an object in this state; it is read when they are asked for.
    ///
    /// # Errors
    ///
    /// If the URL is none. Reading fails if the object was written since.
    fn open(&self, url: &str, state: &ObjectState) -> io::Result<Arc<dyn ReadAt>>;

    /// Whether there are objects below a URL.
    ///
    /// # Errors
    ///
    /// As [`ObjectAccess::list`].
    fn is_directory(&self, url: &str) -> io::Result<bool>;

    /// What is directly below a URL, in the order of names; nothing if there is no such directory.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::Unsupported`] if the store has no listing.
    fn list(&self, url: &str) -> io::Result<Vec<Listed>>;
}

/// Opens files. Clones share what is open.
#[derive(Clone, Default)]
pub struct FileAccess {
    objects: Option<Arc<dyn ObjectAccess>>,
}

impl FileAccess {
    /// Also reaches the objects of stores; by default, only files of this machine.
    pub fn with_objects(objects: Arc<dyn ObjectAccess>) -> Self {
        Self { objects: Some(objects) }
    }

    /// What reaches objects.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::Unsupported`] if nothing does.
    pub fn objects(&self) -> io::Result<&Arc<dyn ObjectAccess>> {
        let none = || io::Error::new(io::ErrorKind::Unsupported, "a URL, where only files of this machine are read");
        self.objects.as_ref().ok_or_else(none)
    }

    /// The state of the object at a URL.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`] if there is none, and failures of its store.
    pub fn object(&self, url: &str) -> io::Result<ObjectState> {
        self.objects()?.state(url)?.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Opens a file of this machine, or an object.
    ///
    /// # Errors
    ///
    /// If there is none ([`io::ErrorKind::NotFound`]), or it cannot be opened.
    pub fn open(&self, path: &Path) -> io::Result<InputFile> {
        let Some(url) = url_of(path) else { return InputFile::open(path) };
        let state = self.object(url)?;
        Ok(InputFile::new(path, self.objects()?.open(url, &state)?))
    }

    /// The size of a file of this machine, or of an object.
    ///
    /// # Errors
    ///
    /// As [`FileAccess::open`].
    pub fn num_bytes(&self, path: &Path) -> io::Result<u64> {
        match url_of(path) {
            Some(url) => Ok(self.object(url)?.num_bytes),
            None => Ok(path.metadata()?.len()),
        }
    }
}

impl fmt::Debug for FileAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileAccess").field("objects", &self.objects).finish()
    }
}

/// Whether a location is a URL, and not a path of this machine.
pub fn is_url(location: &Path) -> bool {
    url_of(location).is_some()
}

/// The text of a location that is a URL, without slashes at its end.
pub fn url_of(location: &Path) -> Option<&str> {
    let text = location.to_str()?;
    let (scheme, rest) = text.split_once(':')?;
    let is_one = scheme == "memory" || (rest.starts_with("//") && is_scheme(scheme));
    is_one.then(|| text.trim_end_matches('/'))
}

/// The URL of what has a name below another one. Of web servers, URLs hold names in which some characters are encoded.
pub fn url_below(url: &str, name: &str) -> String {
    let is_encoded = url.starts_with("http:") || url.starts_with("https:");
    let name = if is_encoded && name.contains(['%', '?', '#']) {
        Cow::Owned(name.replace('%', "%25").replace('?', "%3F").replace('#', "%23"))
    } else {
        Cow::Borrowed(name)
    };
    format!("{url}/{name}")
}

fn is_scheme(text: &str) -> bool {
    text.len() > 1 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// A store that cannot be reached, refuses an answer, or gives a wrong one: nothing is known of the object.
#[derive(Debug)]
struct StoreFailure(String);

impl fmt::Display for StoreFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StoreFailure {}

/// The failure of a store, which may be over when it is asked again. It is never the fault of an object.
pub fn store_failure(detail: impl Into<String>) -> io::Error {
    io::Error::other(StoreFailure(detail.into()))
}

/// Whether an error is a [failure of a store](store_failure).
pub fn is_store_failure(error: &io::Error) -> bool {
    error.get_ref().and_then(|error| error.downcast_ref::<StoreFailure>()).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_a_scheme_and_two_slashes() {
        for url in ["s3://bucket/a", "http://host:80/a b", "az://c", "memory:", "memory:a/b"] {
            assert_eq!(url_of(Path::new(url)), Some(url));
        }
        assert_eq!(url_of(Path::new("s3://bucket/a/")), Some("s3://bucket/a"));
        for path in ["/a", "a", "a:b", "c://a", "./s3://bucket", "s3:/bucket"] {
            assert!(!is_url(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn names_of_objects_are_taken_as_they_are() {
        assert_eq!(url_below("s3://bucket/a", "b/50 % #1?.jpg"), "s3://bucket/a/b/50 % #1?.jpg");
        assert_eq!(url_below("http://host", "b/50 % #1?.jpg"), "http://host/b/50 %25 %231%3F.jpg");
    }

    #[test]
    fn without_access_to_objects_a_url_is_not_opened() {
        let error = FileAccess::default().open(Path::new("s3://bucket/a")).unwrap_err();
        assert_eq!((error.kind(), is_store_failure(&error)), (io::ErrorKind::Unsupported, false));
        assert!(is_store_failure(&store_failure("no answer")));
    }
}
