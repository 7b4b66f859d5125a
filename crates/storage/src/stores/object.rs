//! Object stores, through the crate `object_store`.
//!
//! ```text
//! call ─▶ block_on ─▶ object_store (signs, retries with jitter, checks) ─▶ store
//! ```
//!
//! Beside each object that is written whole or in parts is its digest, as metadata. Azure takes none for objects of parts: there,
//! [`FileState::digest`] is absent, and whoever wants to know reads the object.

use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::TryStreamExt;
use manyframe_base::{FileAction, FileError, InputFile, Listed, ObjectState, store_failure};
use manyframe_core::Digest;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path as Key;
use object_store::{
    Attribute, Attributes, Error, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, UpdateVersion,
};
use tokio::runtime::Runtime;

use super::connection::CREDENTIAL_SERVICES;
use super::meter::watch;
use super::remote_file::RemoteFile;
use crate::flow::Flow;
use crate::local::digest_of_file;
use crate::storage::{Condition, FileState, Part, Parts, Storage, StoredFile, Version, Written, check_path};
use crate::store_url::split;

/// The name of the metadata that holds the digest of an object. Azure allows no hyphen.
const DIGEST_NAME: &str = "blake3";

/// What stores call a bucket or container that is not there.
const NO_BUCKET: [&str; 2] = ["<Code>NoSuchBucket<", "<Code>ContainerNotFound<"];

/// The version of an object whose store states neither a tag nor a time: the time that `object_store` puts in its place.
pub(crate) const NO_VERSION: &str = "1970-01-01T00:00:00+00:00";

/// Files that are copied in are sent in parts of this size.
const PART_BYTES: usize = 8 << 20;

/// What may be done with a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// It may be listed, read and written.
    Full,
    /// Its objects may be read if their names are known.
    Read,
}

/// A client of a store, as the scheme of its URL asks for.
pub(crate) struct Client {
    pub(crate) store: Arc<dyn ObjectStore>,
    /// `None` if objects cannot be sent in parts.
    pub(crate) parts: Option<Arc<dyn MultipartStore>>,
    /// Whether an object of parts may have metadata.
    pub(crate) describes_parts: bool,
    /// What may be done with it.
    pub(crate) access: Access,
    /// Texts that no error may show.
    pub(crate) secrets: Vec<String>,
    /// Where its futures run.
    pub(crate) runtime: Runtime,
}

/// The objects below a prefix of a store.
pub(crate) struct ObjectStorage {
    location: PathBuf,
    prefix: Key,
    client: Arc<Client>,
}

impl Client {
    /// The key of an object by its URL, without its store: the name as it is; of a web server, what is encoded there as `%20` and
    /// the like.
    pub(crate) fn key(&self, path: &str) -> Result<Key, object_store::path::Error> {
        match self.access {
            Access::Full => Key::parse(path),
            Access::Read => Key::from_url_path(path),
        }
    }

    /// What a store says of a failure, without credentials.
    fn failure(&self, error: &Error) -> io::Error {
        let kind = match error {
            Error::NotFound { .. } => io::ErrorKind::NotFound,
            Error::AlreadyExists { .. } | Error::Precondition { .. } | Error::NotModified { .. } => {
                io::ErrorKind::AlreadyExists
            }
            Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => io::ErrorKind::PermissionDenied,
            Error::NotSupported { .. } | Error::NotImplemented { .. } => io::ErrorKind::Unsupported,
            _ => io::ErrorKind::Other,
        };
        let mut text = error.to_string();
        let kind = match kind {
            // Nothing that is asked of it can succeed, whatever the name of the object.
            _ if NO_BUCKET.iter().any(|code| text.contains(code)) => io::ErrorKind::InvalidInput,
            _ if text.contains("status code: 400") => io::ErrorKind::InvalidData,
            kind => kind,
        };
        for secret in self.secrets.iter().filter(|secret| !secret.is_empty()) {
            text = text.replace(secret, "…");
        }
        text.push_str(hint(kind, &text));
        io::Error::new(kind, text)
    }

    fn read_range(&self, key: &Key, range: Range<u64>) -> io::Result<Vec<u8>> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let bytes = self.runtime.block_on(self.store.get_range(key, range.clone()));
        match bytes {
            Ok(bytes) if bytes.len() as u64 == range.end - range.start => Ok(bytes.into()),
            Ok(_cut) => Err(io::ErrorKind::UnexpectedEof.into()),
            // A range that begins at or after the end.
            Err(error) => match self.runtime.block_on(self.store.head(key)) {
                Ok(found) if found.size < range.end => Err(io::ErrorKind::UnexpectedEof.into()),
                _ => Err(self.failure(&error)),
            },
        }
    }
}

/// What may be behind a failure: stores give no reason when they are asked for the state of an object.
fn hint(kind: io::ErrorKind, text: &str) -> &'static str {
    if CREDENTIAL_SERVICES.iter().any(|service| text.contains(service)) {
        " (no credentials are in the environment or in a profile of ~/.aws, and no service gives this machine any)"
    } else if kind == io::ErrorKind::PermissionDenied {
        " (are these credentials right, and allowed to do this? is the clock of this machine right?)"
    } else if kind == io::ErrorKind::InvalidInput {
        " (create the bucket first, or correct its name)"
    } else if text.ends_with("400 Bad Request: ") {
        " (have the credentials expired?)"
    } else {
        ""
    }
}

/// Reading objects as [`crate::Stores`] does: what is no answer about an object is a failure of its store.
impl Client {
    fn failure_of_store(&self, error: &Error) -> io::Error {
        store_failure(self.failure(error).to_string())
    }

    /// The state of an object; `None` if there is none.
    pub(crate) fn object_state(&self, key: &Key) -> io::Result<Option<ObjectState>> {
        match self.runtime.block_on(self.store.head(key)) {
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failure_of_store(&error)),
            Ok(found) => Ok(Some(state_of(&found))),
        }
    }

    /// A range of an object, if it is still in this state.
    pub(crate) fn read_range_of(&self, key: &Key, range: Range<u64>, state: &ObjectState) -> io::Result<Vec<u8>> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let options = GetOptions::new().with_range(Some(GetRange::Bounded(range.clone())));
        let answer = self.runtime.block_on(async {
            let answer = self.store.get_opts(key, options).await?;
            let found = state_of(&answer.meta);
            Ok((found, answer.bytes().await?))
        });
        let replaced = || store_failure("it was written while it was read; run again");
        match answer {
            Ok((found, _)) if found != *state => Err(replaced()),
            Ok((_, bytes)) if bytes.len() as u64 == range.end - range.start => Ok(bytes.into()),
            Ok((_, bytes)) => {
                let expected = range.end - range.start;
                Err(store_failure(format!("{} bytes arrived, expected {expected}", bytes.len())))
            }
            // It is smaller now, or gone.
            Err(error) => match self.object_state(key)? {
                Some(found) if found == *state => Err(self.failure_of_store(&error)),
                _ => Err(replaced()),
            },
        }
    }

    /// Whether there are objects below a key.
    pub(crate) fn has_objects_below(&self, key: &Key) -> io::Result<bool> {
        let first = self.runtime.block_on(self.store.list(Some(key)).try_next());
        Ok(first.map_err(|error| self.failure_of_store(&error))?.is_some())
    }

    /// What is directly below a key.
    pub(crate) fn list_directory(&self, key: &Key) -> io::Result<Vec<Listed>> {
        let found = self.runtime.block_on(self.store.list_with_delimiter(Some(key)));
        let found = found.map_err(|error| self.failure_of_store(&error))?;
        let name = |key: &Key| key.parts().next_back().map(|name| name.as_ref().to_owned());
        let directories = found.common_prefixes.iter().filter_map(|key| Some((name(key)?, None)));
        let objects = found.objects.iter().filter_map(|object| Some((name(&object.location)?, Some(state_of(object)))));
        let mut listed: Vec<Listed> =
            directories.chain(objects).map(|(name, object)| Listed { name, object }).collect();
        listed.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(listed)
    }
}

/// Listings and answers differ in the quotes around a tag.
fn state_of(object: &ObjectMeta) -> ObjectState {
    let unquoted = |tag: &String| tag.trim_matches('"').to_owned();
    let version = object.e_tag.as_ref().map_or_else(|| object.last_modified.to_rfc3339(), unquoted);
    ObjectState { num_bytes: object.size, version }
}

impl ObjectStorage {
    pub(crate) fn new(location: PathBuf, prefix: Key, client: Arc<Client>) -> Self {
        Self { location, prefix, client }
    }

    fn key(&self, path: &str) -> Result<Key, FileError> {
        check_path(&self.location, path)?;
        let whole = if self.prefix.is_root() { path.to_owned() } else { format!("{}/{path}", self.prefix) };
        let invalid = |error: object_store::path::Error| io::Error::new(io::ErrorKind::InvalidInput, error.to_string());
        Key::parse(whole).map_err(|error| FileError::read(self.location.join(path))(invalid(error)))
    }

    fn error(&self, action: FileAction, path: &str) -> impl FnOnce(Error) -> FileError {
        let full = self.location.join(path);
        move |error| FileError::when(action, full)(self.client.failure(&error))
    }

    /// Waits for an answer.
    fn wait<T>(
        &self,
        answer: impl Future<Output = Result<T, Error>>,
        action: FileAction,
        path: &str,
    ) -> Result<T, FileError> {
        self.client.runtime.block_on(answer).map_err(self.error(action, path))
    }

    fn ensure_writable(&self, path: &str) -> Result<(), FileError> {
        if self.client.access == Access::Full {
            return Ok(());
        }
        let read_only = io::Error::new(io::ErrorKind::Unsupported, "this address can only be read");
        Err(FileError::write(self.location.join(path))(read_only))
    }

    fn put(&self, path: &str, bytes: Vec<u8>, mode: PutMode) -> Result<(), Error> {
        self.put_in(&Flow::free(), path, (bytes, mode))
    }

    fn put_in(&self, flow: &Flow<'_>, path: &str, (bytes, mode): (Vec<u8>, PutMode)) -> Result<(), Error> {
        let key = self.key(path).map_err(|error| Error::Generic { store: "path", source: error.source.into() })?;
        let options = PutOptions { mode, attributes: attributes(Digest::of(&bytes)), ..PutOptions::default() };
        let put = self.client.store.put_opts(&key, PutPayload::from(bytes), options);
        self.client.runtime.block_on(watch(flow, put)).map(drop)
    }

    /// The key of an object of this store, by its URL.
    fn key_in_store(&self, url: &Path) -> Result<Key, FileError> {
        let (here, there) = (self.location.to_string_lossy(), url.to_string_lossy());
        let ((store, _), (other_store, path)) = (split(&here), split(&there));
        let unsupported = |detail: String| FileError::read(url)(io::Error::new(io::ErrorKind::Unsupported, detail));
        if store != other_store {
            return Err(unsupported(format!("it is not in the store {store}")));
        }
        self.client.key(path).map_err(|error| unsupported(error.to_string()))
    }

    fn parts_store(&self, path: &str) -> Result<&dyn MultipartStore, FileError> {
        let no_parts = || io::Error::new(io::ErrorKind::Unsupported, "it takes objects as a whole");
        self.client.parts.as_deref().ok_or_else(no_parts).map_err(FileError::write(self.location.join(path)))
    }

    fn stored(&self, object: &ObjectMeta) -> Option<StoredFile> {
        let parts: Vec<_> = object.location.prefix_match(&self.prefix)?.collect();
        let path = parts.iter().map(AsRef::as_ref).collect::<Vec<_>>().join("/");
        (!path.is_empty()).then_some(StoredFile { path, num_bytes: object.size })
    }
}

fn attributes(digest: Digest) -> Attributes {
    Attributes::from_iter([(Attribute::Metadata(Cow::Borrowed(DIGEST_NAME)), digest.to_string())])
}

impl Storage for ObjectStorage {
    fn location(&self) -> &Path {
        &self.location
    }

    fn state(&self, path: &str) -> Result<Option<FileState>, FileError> {
        let key = self.key(path)?;
        let head = GetOptions::new().with_head(true);
        let found = match self.client.runtime.block_on(self.client.store.get_opts(&key, head)) {
            Err(Error::NotFound { .. }) => return Ok(None),
            found => found.map_err(self.error(FileAction::Read, path))?,
        };
        let digest = found.attributes.get(&Attribute::Metadata(Cow::Borrowed(DIGEST_NAME)));
        let generation = found.meta.version;
        Ok(Some(FileState {
            num_bytes: found.meta.size,
            digest: digest.and_then(|digest| digest.parse().ok()),
            version: found.meta.e_tag.map(|tag| Version { tag, generation }),
        }))
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, FileError> {
        let key = self.key(path)?;
        let bytes = async { self.client.store.get(&key).await?.bytes().await };
        Ok(self.wait(bytes, FileAction::Read, path)?.into())
    }

    fn read_range(&self, path: &str, range: Range<u64>) -> Result<Vec<u8>, FileError> {
        let key = self.key(path)?;
        self.client.read_range(&key, range).map_err(FileError::read(self.location.join(path)))
    }

    fn open(&self, path: &str) -> Result<InputFile, FileError> {
        let key = self.key(path)?;
        let num_bytes = self.wait(self.client.store.head(&key), FileAction::Read, path)?.size;
        let client = Arc::clone(&self.client);
        let file = RemoteFile::new(num_bytes, move |range| client.read_range(&key, range));
        Ok(InputFile::new(&self.location.join(path), Arc::new(file)))
    }

    fn list(&self, directory: &str) -> Result<Vec<StoredFile>, FileError> {
        if self.client.access == Access::Read {
            let no_listing = io::Error::new(io::ErrorKind::Unsupported, "this address has no listing");
            return Err(FileError::read(self.location.join(directory))(no_listing));
        }
        let prefix = if directory.is_empty() { self.prefix.clone() } else { self.key(directory)? };
        let objects = self.client.store.list(Some(&prefix)).try_collect::<Vec<ObjectMeta>>();
        let objects = self.wait(objects, FileAction::Read, directory)?;
        let mut files: Vec<StoredFile> = objects.iter().filter_map(|object| self.stored(object)).collect();
        files.sort_unstable();
        Ok(files)
    }

    fn write(&self, path: &str, bytes: &[u8]) -> Result<(), FileError> {
        self.write_in(&Flow::free(), path, bytes)
    }

    fn write_in(&self, flow: &Flow<'_>, path: &str, bytes: &[u8]) -> Result<(), FileError> {
        self.key(path)?;
        self.ensure_writable(path)?;
        let put = self.put_in(flow, path, (bytes.to_vec(), PutMode::Overwrite));
        put.map_err(self.error(FileAction::Write, path))
    }

    fn write_if(&self, path: &str, bytes: &[u8], condition: &Condition) -> Result<Written, FileError> {
        self.key(path)?;
        self.ensure_writable(path)?;
        let put = |mode| match self.put(path, bytes.to_vec(), mode) {
            Ok(()) => Ok(Written::Done),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. } | Error::NotModified { .. }) => {
                Ok(Written::Refused)
            }
            Err(error) => Err(self.error(FileAction::Write, path)(error)),
        };
        let Condition::Unchanged(version) = condition else { return put(PutMode::Create) };
        let generation = || version.generation.clone();
        let update = |tag: &str| PutMode::Update(UpdateVersion { e_tag: Some(tag.to_owned()), version: generation() });
        let written = put(update(&version.tag))?;
        let is_unchanged = || Ok(self.state(path)?.is_some_and(|state| state.version.as_ref() == Some(version)));
        if written == Written::Refused && is_unchanged()? {
            // Ceph before 18 compares tags with their quotes to tags without.
            return put(update(version.tag.trim_matches('"')));
        }
        Ok(written)
    }

    fn copy_in(&self, local: &Path, path: &str) -> Result<(), FileError> {
        self.key(path)?;
        self.ensure_writable(path)?;
        let mut file = File::open(local).map_err(FileError::read(local))?;
        let mut next = || {
            let mut bytes = Vec::new();
            let read = file.by_ref().take(PART_BYTES as u64).read_to_end(&mut bytes);
            read.map(|_| bytes).map_err(FileError::read(local))
        };
        let first = next()?;
        if first.len() < PART_BYTES {
            return self.write(path, &first);
        }
        let transfer = self.begin(path, digest_of_file(local)?)?;
        let (mut ids, mut bytes) = (Vec::new(), first);
        while !bytes.is_empty() {
            let part = Part { index: ids.len(), bytes: bytes.into(), flow: Flow::free() };
            ids.push(self.send(path, &transfer, part)?);
            bytes = next()?;
        }
        self.finish(path, &transfer, ids)
    }

    fn copy_from(&self, original: &Path, path: &str) -> Result<(), FileError> {
        let to = self.key(path)?;
        self.ensure_writable(path)?;
        let from = self.key_in_store(original)?;
        let copied = self.client.runtime.block_on(self.client.store.copy(&from, &to));
        copied.map_err(|error| FileError::write(self.location.join(path))(self.client.failure(&error)))
    }

    fn remove(&self, path: &str) -> Result<(), FileError> {
        let key = self.key(path)?;
        self.ensure_writable(path)?;
        match self.client.runtime.block_on(self.client.store.delete(&key)) {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.error(FileAction::Remove, path)(error)),
        }
    }

    fn parts(&self) -> Option<&dyn Parts> {
        self.client.parts.is_some().then_some(self as &dyn Parts)
    }

    fn local_path(&self, path: &str) -> Result<PathBuf, FileError> {
        check_path(&self.location, path)?;
        let elsewhere = io::Error::new(io::ErrorKind::Unsupported, "it is not on this machine; download the dataset");
        Err(FileError::read(self.location.join(path))(elsewhere))
    }
}

impl Parts for ObjectStorage {
    fn begin(&self, path: &str, digest: Digest) -> Result<String, FileError> {
        let key = self.key(path)?;
        let attributes = if self.client.describes_parts { attributes(digest) } else { Attributes::new() };
        let options = PutMultipartOptions { attributes, ..PutMultipartOptions::default() };
        self.wait(self.parts_store(path)?.create_multipart_opts(&key, options), FileAction::Write, path)
    }

    fn send(&self, path: &str, transfer: &str, part: Part<'_>) -> Result<String, FileError> {
        let (key, transfer) = (self.key(path)?, transfer.to_owned());
        let put = self.parts_store(path)?.put_part(&key, &transfer, part.index, PutPayload::from(part.bytes));
        Ok(self.wait(watch(&part.flow, put), FileAction::Write, path)?.content_id)
    }

    fn finish(&self, path: &str, transfer: &str, parts: Vec<String>) -> Result<(), FileError> {
        let (key, transfer) = (self.key(path)?, transfer.to_owned());
        let parts = parts.into_iter().map(|content_id| PartId { content_id }).collect();
        let finished = self.parts_store(path)?.complete_multipart(&key, &transfer, parts);
        self.wait(finished, FileAction::Publish, path).map(drop)
    }

    fn abandon(&self, path: &str, transfer: &str) -> Result<(), FileError> {
        let (key, transfer) = (self.key(path)?, transfer.to_owned());
        self.wait(self.parts_store(path)?.abort_multipart(&key, &transfer), FileAction::Remove, path)
    }
}

impl fmt::Debug for ObjectStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectStorage").field("location", &self.location).finish_non_exhaustive()
    }
}
