//! Profiles of Amazon's tools: `~/.aws/credentials` and `~/.aws/config`, which the client of object stores does not read.
//!
//! What the environment says has precedence.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ini::Ini;

/// Settings of a profile, and what the client calls them.
const SETTINGS: [(&str, &str); 5] = [
    ("aws_access_key_id", "AWS_ACCESS_KEY_ID"),
    ("aws_secret_access_key", "AWS_SECRET_ACCESS_KEY"),
    ("aws_session_token", "AWS_SESSION_TOKEN"),
    ("region", "AWS_REGION"),
    ("endpoint_url", "AWS_ENDPOINT_URL"),
];

/// Settings that say who asks: one that the environment has excludes those of a profile.
const IDENTITIES: [&str; 4] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
];

/// Settings by which Amazon's tools get the keys of a profile elsewhere, which nothing does here.
const KEYS_ELSEWHERE: [&str; 4] = ["role_arn", "sso_session", "sso_start_url", "credential_process"];

/// Adds what a profile says to an environment: that of `AWS_PROFILE`, or `default`.
///
/// # Errors
///
/// If `AWS_PROFILE` names a profile that is in neither file, or the keys of the profile are elsewhere, or one of the files is
/// damaged.
pub(crate) fn with_profile(environment: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, String> {
    let named = environment.get("AWS_PROFILE").filter(|name| !name.is_empty());
    let name = named.map_or("default", String::as_str);
    let credentials = file(environment, "AWS_SHARED_CREDENTIALS_FILE", "credentials")?;
    let config = file(environment, "AWS_CONFIG_FILE", "config")?;
    // In `config`, sections of profiles are called so.
    let section = if name == "default" { name.to_owned() } else { format!("profile {name}") };
    let sections = [credentials.section(Some(name)), config.section(Some(&section))];
    if named.is_some() && sections.iter().all(Option::is_none) {
        return Err(format!(
            "AWS_PROFILE is {name:?}, and neither ~/.aws/credentials nor ~/.aws/config has that profile"
        ));
    }
    let mut settings = environment.clone();
    let is_identified = IDENTITIES.iter().any(|name| environment.contains_key(*name));
    let has = |name: &str| sections.iter().flatten().any(|section| section.contains_key(name));
    if let Some(way) = KEYS_ELSEWHERE.iter().find(|way| has(way))
        && !is_identified
        && !environment.contains_key("AWS_SKIP_SIGNATURE")
        && !has("aws_access_key_id")
    {
        return Err(format!(
            "the profile {name:?} gets its keys by {way}, which Amazon's tools alone do: \
             `eval \"$(aws configure export-credentials --profile {name} --format env)\"` puts them into the environment"
        ));
    }
    for (name, variable) in SETTINGS.iter().skip(if is_identified { 3 } else { 0 }) {
        let value = sections.iter().flatten().find_map(|section| section.get(*name));
        if let Some(value) = value
            && !settings.contains_key(*variable)
        {
            settings.insert((*variable).to_owned(), value.trim().to_owned());
        }
    }
    Ok(settings)
}

/// A file of profiles; one that is not there has none.
fn file(environment: &BTreeMap<String, String>, variable: &str, name: &str) -> Result<Ini, String> {
    let beside_home = || environment.get("HOME").map(|home| Path::new(home).join(".aws").join(name));
    let Some(path) = environment.get(variable).map(PathBuf::from).or_else(beside_home) else { return Ok(Ini::new()) };
    match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Ini::new()),
        Err(error) => Err(format!("cannot read {}: {error}", path.display())),
        // The error would show the line, which may hold a key.
        Ok(text) => {
            Ini::load_from_str(&text).map_err(|error| format!("{}: line {} is no setting", path.display(), error.line))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> BTreeMap<String, String> {
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_profile_says_what_the_environment_does_not() {
        let home = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &[u8]| manyframe_base::write_atomic(&home.path().join(".aws").join(name), text);
        write("credentials", b"[default]\naws_access_key_id = A\naws_secret_access_key = B\n[lab]\naws_access_key_id=C\naws_secret_access_key=D\n").unwrap();
        write("config", b"[profile lab]\nregion = eu-west-1\nendpoint_url = http://127.0.0.1:9\n[profile signed-in]\nsso_session = lab\n").unwrap();
        let home = home.path().display().to_string();
        let found = with_profile(&environment(&[("HOME", &home)])).unwrap();
        assert_eq!((found["AWS_ACCESS_KEY_ID"].as_str(), found["AWS_SECRET_ACCESS_KEY"].as_str()), ("A", "B"));
        let lab = [("HOME", home.as_str()), ("AWS_PROFILE", "lab"), ("AWS_REGION", "here")];
        let found = with_profile(&environment(&lab)).unwrap();
        assert_eq!((found["AWS_ACCESS_KEY_ID"].as_str(), found["AWS_REGION"].as_str()), ("C", "here"));
        assert_eq!(found["AWS_ENDPOINT_URL"], "http://127.0.0.1:9");
        let keys = [("HOME", home.as_str()), ("AWS_ACCESS_KEY_ID", "E"), ("AWS_SECRET_ACCESS_KEY", "F")];
        let found = with_profile(&environment(&keys)).unwrap();
        assert_eq!((found["AWS_ACCESS_KEY_ID"].as_str(), found["AWS_SECRET_ACCESS_KEY"].as_str()), ("E", "F"));
        let error = with_profile(&environment(&[("HOME", &home), ("AWS_PROFILE", "none")])).unwrap_err();
        assert!(error.contains("\"none\""), "{error}");
        let signed_in = [("HOME", home.as_str()), ("AWS_PROFILE", "signed-in")];
        let error = with_profile(&environment(&signed_in)).unwrap_err();
        assert!(error.contains("by sso_session") && error.contains("--profile signed-in --format env"), "{error}");
        with_profile(&environment(&[signed_in.as_slice(), &keys[1..]].concat())).unwrap();
    }

    #[test]
    fn without_files_there_is_the_environment() {
        let given = environment(&[("AWS_REGION", "x")]);
        assert_eq!(with_profile(&given).unwrap(), given);
    }
}
