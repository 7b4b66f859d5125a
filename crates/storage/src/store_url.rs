//! The two parts of a URL: which store it is, and the name of an object there.

use std::path::Path;

/// The store of a URL, and the rest.
pub(crate) fn split(url: &str) -> (&str, &str) {
    let start = url.find("://").map_or_else(|| url.find(':').map_or(0, |colon| colon + 1), |scheme| scheme + 3);
    let is_memory = start > 0 && !url.contains("://");
    let end = if is_memory {
        start
    } else {
        url.get(start..).and_then(|rest| rest.find('/')).map_or(url.len(), |slash| start + slash)
    };
    let (store, path) = url.split_at(end);
    (store, path.trim_start_matches('/'))
}

/// Whether a URL names a place in a bucket, and not the whole of it.
pub fn is_below_bucket(url: &Path) -> bool {
    !split(&url.to_string_lossy()).1.trim_end_matches('/').is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_store_and_the_name_of_an_object() {
        assert_eq!(split("s3://bucket/a b/c%20d"), ("s3://bucket", "a b/c%20d"));
        assert_eq!(split("s3://bucket"), ("s3://bucket", ""));
        assert_eq!(split("http://[::1]:80/a"), ("http://[::1]:80", "a"));
        assert_eq!(split("memory:a/b"), ("memory:", "a/b"));
        assert!(is_below_bucket(Path::new("s3://bucket/a")) && !is_below_bucket(Path::new("s3://bucket//")));
    }
}
