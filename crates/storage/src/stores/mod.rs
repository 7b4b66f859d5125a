//! The stores that URLs name: each is opened when it is first needed, and what is read of its objects is kept in a cache.
//!
//! ```text
//! FileAccess ── open, state, list ──▶ Stores ──▶ Cache ──▶ Client, one for each store
//! ```
//!
//! Names of objects are taken as they are, but for those of web servers, which URLs have with `%20` and the like.

mod cache;
mod connection;
mod meter;
mod object;
mod open;
mod profile;
mod remote_file;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use manyframe_base::{FileAccess, Listed, ObjectAccess, ObjectState, ReadAt, url_of};
use object_store::path::Path as Key;

pub use cache::CacheOptions;
pub use open::{StorageError, StoreOptions, check_url};

use crate::local::LocalDirectory;
use crate::storage::Storage;
use crate::store_url::split;
use cache::{Cache, CachedObject};
use object::{Access, Client, NO_VERSION, ObjectStorage};
use open::{client_of, parse};
use remote_file::RemoteFile;

/// Opens stores. Clones share those that are open.
#[derive(Clone, Default)]
pub struct Stores {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    options: StoreOptions,
    cache: Option<Arc<Cache>>,
    clients: Mutex<BTreeMap<String, Arc<Client>>>,
    /// Servers that do not say which version of an object they have, each warned of once.
    unversioned: Mutex<BTreeSet<String>>,
}

impl Stores {
    /// Stores that are reached with these options. Without a cache, each range is read as often as it is asked for.
    pub fn new(options: StoreOptions, cache: Option<CacheOptions>) -> Self {
        let cache = cache.map(|cache| Arc::new(Cache::new(cache)));
        Self { shared: Arc::new(Shared { options, cache, ..Shared::default() }) }
    }

    /// Opens files of this machine and objects.
    pub fn access(&self) -> FileAccess {
        FileAccess::with_objects(Arc::new(self.clone()))
    }

    /// A directory of this machine, or what is below a URL. Nothing is asked of its store yet.
    ///
    /// # Errors
    ///
    /// As [`open`](crate::open).
    pub fn storage(&self, location: &Path) -> Result<Arc<dyn Storage>, StorageError> {
        let Some(url) = url_of(location) else { return Ok(Arc::new(LocalDirectory::new(location))) };
        let (client, path) = self.client(url)?;
        let invalid = |error: object_store::path::Error| StorageError::Settings {
            url: url.to_owned(),
            detail: error.to_string(),
        };
        let prefix = client.key(path).map_err(invalid)?;
        Ok(Arc::new(ObjectStorage::new(url.into(), prefix, client)))
    }

    /// The client of the store that a URL names, and the rest of the URL.
    fn client<'u>(&self, url: &'u str) -> Result<(Arc<Client>, &'u str), StorageError> {
        let (store, path) = split(url);
        let mut clients = self.shared.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(store) {
            return Ok((Arc::clone(client), path));
        }
        // Only the whole URL says whether it has a query.
        parse(url)?;
        let client = Arc::new(client_of(&parse(store)?, &self.shared.options)?);
        clients.insert(store.to_owned(), Arc::clone(&client));
        Ok((client, path))
    }

    /// Warns of a server, once, whose objects have no version: what has the same size may be another object.
    fn warn_of_unversioned(&self, url: &str) {
        let server = split(url).0;
        let mut known = self.shared.unversioned.lock().unwrap_or_else(PoisonError::into_inner);
        if known.insert(server.to_owned()) {
            tracing::warn!(
                server,
                "the server states neither ETag nor Last-Modified: a file that is replaced by one of the same size is not noticed, and \
                 the old one is read from the cache"
            );
        }
    }

    /// As [`Self::object`], for what is to be listed.
    fn listed(&self, url: &str) -> io::Result<(Arc<Client>, Option<Key>)> {
        let (client, key) = self.object(url)?;
        if client.access == Access::Read {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "this address has no listing"));
        }
        Ok((client, key))
    }

    /// The client of an object, and its key; `None` if no object can have this name.
    fn object(&self, url: &str) -> io::Result<(Arc<Client>, Option<Key>)> {
        let unusable = |error: StorageError| io::Error::new(io::ErrorKind::InvalidInput, error.to_string());
        let (client, path) = self.client(url).map_err(unusable)?;
        let key = client.key(path).ok();
        Ok((client, key))
    }
}

impl ObjectAccess for Stores {
    fn state(&self, url: &str) -> io::Result<Option<ObjectState>> {
        let (client, key) = self.object(url)?;
        let Some(key) = key else { return Ok(None) };
        let state = client.object_state(&key)?;
        if state.as_ref().is_some_and(|state| state.version == NO_VERSION) {
            self.warn_of_unversioned(url);
        }
        Ok(state)
    }

    fn open(&self, url: &str, state: &ObjectState) -> io::Result<Arc<dyn ReadAt>> {
        let (client, key) = self.object(url)?;
        let key = key.ok_or(io::ErrorKind::NotFound)?;
        let expected = state.clone();
        let fetch = move |range| client.read_range_of(&key, range, &expected);
        let Some(cache) = self.shared.cache.clone() else {
            return Ok(Arc::new(RemoteFile::new(state.num_bytes, fetch)));
        };
        let object = CachedObject::new(url, state);
        Ok(Arc::new(RemoteFile::new(state.num_bytes, move |range| cache.read(&object, range, &fetch))))
    }

    fn is_directory(&self, url: &str) -> io::Result<bool> {
        let (client, key) = self.listed(url)?;
        key.map_or(Ok(false), |key| client.has_objects_below(&key))
    }

    fn list(&self, url: &str) -> io::Result<Vec<Listed>> {
        let (client, key) = self.listed(url)?;
        key.map_or_else(|| Ok(Vec::new()), |key| client.list_directory(&key))
    }
}

impl PartialEq for Stores {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

/// Shows no credentials.
impl fmt::Debug for Stores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stores").field("cache", &self.shared.cache).finish_non_exhaustive()
    }
}

/// Opens a directory of this machine, or what is below a URL: `s3://BUCKET/PREFIX`, `gs://…`, `az://CONTAINER/PREFIX`,
/// `http://…` and `https://…` to read, `memory:` for tests. Nothing is asked of the store yet.
///
/// # Errors
///
/// If the URL is none of these, holds credentials, or the settings of its store are wrong.
pub fn open(location: &Path, options: &StoreOptions) -> Result<Arc<dyn Storage>, StorageError> {
    Stores::new(options.clone(), None).storage(location)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stores with an object in memory.
    fn stores(directory: Option<&Path>) -> Stores {
        let cache = directory.map(|directory| CacheOptions { directory: directory.to_owned(), max_bytes: 1 << 30 });
        let stores = Stores::new(StoreOptions::default(), cache);
        stores.storage(Path::new("memory:data")).unwrap().write("a/b.txt", b"0123456789").unwrap();
        stores
    }

    #[test]
    fn an_object_is_found_listed_and_read() {
        let stores = stores(None);
        let file = stores.access().open(Path::new("memory:data/a/b.txt")).unwrap();
        let mut bytes = [0; 4];
        file.bytes().read_exact_at(&mut bytes, 3).unwrap();
        assert_eq!((&bytes, file.num_bytes()), (b"3456", 10));
        let state = stores.state("memory:data/a/b.txt").unwrap();
        assert_eq!(stores.list("memory:data").unwrap(), [Listed { name: "a".to_owned(), object: None }]);
        assert_eq!(stores.list("memory:data/a").unwrap(), [Listed { name: "b.txt".to_owned(), object: state }]);
        assert_eq!(stores.list("memory:data/none").unwrap(), []);
        for absent in ["memory:data/a", "memory:data/a/c.txt", "memory:data/a/./b.txt", "memory:data/a//b.txt"] {
            assert_eq!(stores.state(absent).unwrap(), None, "{absent}");
        }
    }

    #[test]
    fn a_name_is_the_same_in_the_url_of_a_dataset_and_of_a_source() {
        let stores = stores(None);
        stores.storage(Path::new("memory:50%/a%20b ~")).unwrap().write("c%2F.txt", b"012").unwrap();
        assert_eq!(stores.state("memory:50%/a%20b ~/c%2F.txt").unwrap().unwrap().num_bytes, 3);
        assert_eq!(stores.state("memory:50%/a b ~/c%2F.txt").unwrap(), None);
    }

    #[test]
    fn an_object_that_is_written_again_is_another_one() {
        let directory = tempfile::tempdir().unwrap();
        let stores = stores(Some(directory.path()));
        let url = Path::new("memory:data/a/b.txt");
        let read = |file: manyframe_base::InputFile| {
            let mut bytes = vec![0; file.num_bytes() as usize];
            file.bytes().read_exact_at(&mut bytes, 0).map(|()| bytes)
        };
        let (before, unread) = (stores.access().open(url).unwrap(), stores.access().open(url).unwrap());
        assert_eq!(read(before).unwrap(), b"0123456789");
        stores.storage(Path::new("memory:data")).unwrap().write("a/b.txt", b"abcdefghij").unwrap();
        // What was opened before is in the cache as it was; other stores do not have it, and notice.
        assert_eq!(read(unread).unwrap(), b"0123456789");
        assert_eq!(read(stores.access().open(url).unwrap()).unwrap(), b"abcdefghij");
        let state = ObjectState { num_bytes: 10, version: "other".to_owned() };
        let error = stores.open("memory:data/a/b.txt", &state).unwrap().read_exact_at(&mut [0; 10], 0).unwrap_err();
        assert!(manyframe_base::is_store_failure(&error) && error.to_string().contains("written"), "{error}");
    }
}
