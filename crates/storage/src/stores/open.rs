//! Opens what a path or URL names.
//!
//! A URL holds no credentials: they are in the variables of the environment that the tools of each store read, or in a profile.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, Checksum};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::http::HttpBuilder;
use object_store::memory::InMemory;
use object_store::{BackoffConfig, ClientOptions, RetryConfig};
use tokio::runtime::Runtime;
use url::Url;

use super::connection::Connector;
use super::object::{Access, Client};
use super::profile::with_profile;

/// Longest time that a request may take: a part over a slow line.
const REQUEST_TIMEOUT: Duration = Duration::from_mins(10);
/// Longest time for which a request that failed is tried again: a store that is started again comes back in it.
const RETRY_TIMEOUT: Duration = Duration::from_mins(2);

/// Why a storage cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The URL is none that can be opened.
    #[error("{url:?} cannot be opened: {detail}")]
    Url {
        /// The URL, without what might be a password.
        url: String,
        /// What was expected.
        detail: String,
    },
    /// The store cannot be used with these settings.
    #[error("the store of {url:?} cannot be used: {detail}")]
    Settings {
        /// The URL.
        url: String,
        /// What is wrong.
        detail: String,
    },
}

/// How to reach object stores.
#[derive(Clone, Default)]
pub struct StoreOptions {
    environment: BTreeMap<String, String>,
    endpoint: Option<String>,
}

impl StoreOptions {
    /// With the variables of an environment, and the address of the store if it is not that of its provider.
    pub fn from_environment(environment: BTreeMap<String, String>, endpoint: Option<String>) -> Self {
        Self { environment, endpoint }
    }

    /// The variables that begin with a prefix, in lower case, as the client knows its settings.
    fn settings<K: std::str::FromStr>(&self, prefix: &str) -> impl Iterator<Item = (K, String)> {
        let with_prefix = self.environment.iter().filter(move |(name, _)| name.starts_with(prefix));
        with_prefix.filter_map(|(name, value)| Some((name.to_ascii_lowercase().parse().ok()?, value.clone())))
    }

    /// Values that no error may show.
    fn secrets(&self) -> Vec<String> {
        let is_secret =
            |name: &str| ["KEY", "TOKEN", "SECRET", "PASSWORD", "SAS"].iter().any(|part| name.contains(part));
        let is_ours = |name: &str| ["AWS_", "AZURE_", "GOOGLE_"].iter().any(|prefix| name.starts_with(prefix));
        let secrets = self.environment.iter().filter(|(name, _)| is_ours(name) && is_secret(name));
        secrets.map(|(_, value)| value.clone()).collect()
    }
}

/// Shows no credentials.
impl fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreOptions").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// A client of the store that a URL names. Nothing is asked of the store yet.
pub(crate) fn client_of(url: &Url, options: &StoreOptions) -> Result<Client, StorageError> {
    let plain = url.as_str().trim_end_matches('/').to_owned();
    let settings = |detail: String| StorageError::Settings { url: plain.clone(), detail };
    let runtime = || {
        let builder = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        builder.map_err(|error| settings(error.to_string()))
    };
    // The client signs with ring, and so do its connections. Another part of the process may have chosen already.
    _ = rustls::crypto::ring::default_provider().install_default();
    let client = match url.scheme() {
        "memory" => Ok(memory(runtime()?)),
        "s3" | "s3a" => s3(url, options, runtime()?),
        "gs" => google(url, options, runtime()?),
        "az" | "abfs" | "abfss" => azure(url, options, runtime()?),
        "http" | "https" => http(url, runtime()?),
        _ => return Err(unknown_scheme(url)),
    };
    client.map_err(settings)
}

/// Checks that a URL is one of a store that can be opened, and holds no credentials.
///
/// # Errors
///
/// As [`crate::open`].
pub fn check_url(text: &str) -> Result<(), StorageError> {
    let url = parse(text)?;
    if SCHEMES.contains(&url.scheme()) { Ok(()) } else { Err(unknown_scheme(&url)) }
}

/// The schemes of URLs that can be opened.
const SCHEMES: [&str; 9] = ["memory", "s3", "s3a", "gs", "az", "abfs", "abfss", "http", "https"];

fn unknown_scheme(url: &Url) -> StorageError {
    let hint = if url.scheme() == "file" { "; a directory of this machine is named by its path alone" } else { "" };
    let detail = format!("{}:// is none of s3://, gs://, az://, http:// and https://{hint}", url.scheme());
    StorageError::Url { url: url.as_str().trim_end_matches('/').to_owned(), detail }
}

/// A URL without credentials.
pub(crate) fn parse(text: &str) -> Result<Url, StorageError> {
    let refuse = |url: &str, detail: &str| StorageError::Url { url: url.to_owned(), detail: detail.to_owned() };
    // What is not understood might hold a password.
    let shown = text.split_once("://").map_or("…", |(scheme, _)| scheme);
    let url = Url::parse(text).map_err(|error| refuse(&format!("{shown}://…"), &error.to_string()))?;
    let is_account = matches!(url.scheme(), "az" | "abfs" | "abfss");
    let has_user = !url.username().is_empty() && !is_account;
    if url.password().is_some() || has_user || url.query().is_some() || url.fragment().is_some() {
        let mut shown = url.clone();
        shown.set_query(None);
        shown.set_fragment(None);
        _ = shown.set_password(None);
        _ = shown.set_username("");
        return Err(refuse(
            shown.as_str(),
            "credentials and queries do not belong into a URL; put them into the environment",
        ));
    }
    Ok(url)
}

fn client_options(endpoint: Option<&str>) -> ClientOptions {
    ClientOptions::new().with_timeout(REQUEST_TIMEOUT).with_allow_http(allows_plain(endpoint))
}

fn connector(endpoint: Option<&str>) -> Connector {
    Connector { timeout: REQUEST_TIMEOUT, allows_plain: allows_plain(endpoint) }
}

/// Only an address that says so is reached without encryption.
fn allows_plain(endpoint: Option<&str>) -> bool {
    endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"))
}

fn retries() -> RetryConfig {
    // The time alone is a bound. A pause is drawn from up to so many times the one before: with twice, which is the default, they
    // do not become longer.
    let backoff = BackoffConfig { base: 4.0, ..BackoffConfig::default() };
    RetryConfig { backoff, max_retries: 1000, retry_timeout: RETRY_TIMEOUT }
}

fn memory(runtime: Runtime) -> Client {
    let store = Arc::new(InMemory::new());
    let parts = Some(Arc::clone(&store) as _);
    Client { store, parts, describes_parts: true, access: Access::Full, secrets: Vec::new(), runtime }
}

fn s3(url: &Url, options: &StoreOptions, runtime: Runtime) -> Result<Client, String> {
    let options = StoreOptions { environment: with_profile(&options.environment)?, ..options.clone() };
    let endpoint = options.endpoint.clone().or_else(|| {
        let named = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"];
        named.iter().find_map(|name| options.environment.get(*name)).cloned()
    });
    let mut builder = AmazonS3Builder::new().with_url(url.as_str());
    for (key, value) in options.settings::<AmazonS3ConfigKey>("AWS_") {
        builder = builder.with_config(key, value);
    }
    if let Some(endpoint) = &endpoint {
        builder = builder.with_endpoint(endpoint).with_config(AmazonS3ConfigKey::S3Endpoint, endpoint);
    }
    let builder = builder
        .with_client_options(client_options(endpoint.as_deref()))
        .with_http_connector(connector(endpoint.as_deref()))
        .with_retry(retries())
        .with_checksum_algorithm(Checksum::SHA256);
    let store = Arc::new(builder.build().map_err(|error| error.to_string())?);
    let parts = Some(Arc::clone(&store) as _);
    Ok(Client { store, parts, describes_parts: true, access: Access::Full, secrets: options.secrets(), runtime })
}

fn google(url: &Url, options: &StoreOptions, runtime: Runtime) -> Result<Client, String> {
    let mut builder = GoogleCloudStorageBuilder::new().with_url(url.as_str());
    for (key, value) in options.settings::<GoogleConfigKey>("GOOGLE_") {
        builder = builder.with_config(key, value);
    }
    let endpoint = options.endpoint.as_ref().or_else(|| options.environment.get("GOOGLE_BASE_URL")).map(String::as_str);
    if let Some(endpoint) = endpoint {
        builder = builder.with_base_url(endpoint);
    }
    let builder = builder.with_client_options(client_options(endpoint)).with_retry(retries());
    let store = Arc::new(builder.with_http_connector(connector(endpoint)).build().map_err(|error| error.to_string())?);
    let parts = Some(Arc::clone(&store) as _);
    Ok(Client { store, parts, describes_parts: true, access: Access::Full, secrets: options.secrets(), runtime })
}

fn azure(url: &Url, options: &StoreOptions, runtime: Runtime) -> Result<Client, String> {
    let mut builder = MicrosoftAzureBuilder::new().with_url(url.as_str());
    for (key, value) in options.settings::<AzureConfigKey>("AZURE_") {
        builder = builder.with_config(key, value);
    }
    let set = |name: &str| options.environment.get(name).map(String::as_str);
    let endpoint =
        options.endpoint.as_deref().or_else(|| set("AZURE_STORAGE_ENDPOINT").or_else(|| set("AZURE_ENDPOINT")));
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(endpoint.to_owned());
    }
    let is_emulator = set("AZURE_STORAGE_USE_EMULATOR").is_some_and(|value| value != "false");
    let address = if is_emulator { Some("http://") } else { endpoint };
    let builder = builder.with_client_options(client_options(address)).with_retry(retries());
    let store = Arc::new(builder.with_http_connector(connector(address)).build().map_err(|error| error.to_string())?);
    let parts = Some(Arc::clone(&store) as _);
    Ok(Client { store, parts, describes_parts: false, access: Access::Full, secrets: options.secrets(), runtime })
}

fn http(url: &Url, runtime: Runtime) -> Result<Client, String> {
    let host = &url[..url::Position::BeforePath];
    let builder = HttpBuilder::new().with_url(host).with_retry(retries());
    let store = builder.with_client_options(client_options(Some(host))).build().map_err(|error| error.to_string())?;
    let (store, parts) = (Arc::new(store), None);
    Ok(Client { store, parts, describes_parts: false, access: Access::Read, secrets: Vec::new(), runtime })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use manyframe_base::is_url;

    use super::*;
    use crate::open;

    fn error(location: &str) -> String {
        open(Path::new(location), &StoreOptions::default()).unwrap_err().to_string()
    }

    #[test]
    fn urls_and_paths_are_told_apart() {
        for url in ["s3://bucket/a", "https://host/a", "memory:", "gs://b", "ftp://host"] {
            assert!(is_url(Path::new(url)), "{url}");
        }
        for path in ["out/mine", "/mnt/a:b", "a:b/c", "s3:/bucket", "./s3://x", "://x", "c://x"] {
            assert!(!is_url(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn credentials_in_a_url_are_refused_and_not_shown() {
        for url in ["https://me:hush@host/a", "s3://hush@bucket/a", "https://host/a?token=hush", "s3://b/a#hush"] {
            let error = error(url);
            assert!(error.contains("environment") && !error.contains("hush"), "{error}");
        }
        assert!(!error("https://me:hush@ho st/a").contains("hush"));
    }

    #[test]
    fn another_scheme_names_those_that_there_are() {
        assert!(error("ftp://host/a").contains("s3://, gs://, az://"));
        assert!(error("file:///a").contains("by its path alone"));
    }

    #[test]
    fn options_show_no_credentials() {
        let keys = [("AWS_ACCESS_KEY_ID", "hush"), ("AWS_SECRET_ACCESS_KEY", "hush")];
        let environment = keys.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect();
        let options = StoreOptions::from_environment(environment, Some("http://127.0.0.1:1".to_owned()));
        assert!(!format!("{options:?}").contains("hush"));
        assert_eq!(options.secrets(), ["hush", "hush"]);
        let storage = open(Path::new("s3://bucket/a/b/"), &StoreOptions { endpoint: None, ..options }).unwrap();
        assert_eq!(storage.location(), Path::new("s3://bucket/a/b"));
    }
}
