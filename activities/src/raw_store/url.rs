//! Where a raw store is, as an operator writes it.

use std::fmt;
use std::path::PathBuf;

use object_store::path::Path as ObjectPath;

use crate::error::{Error, ErrorKind, Result};

/// The address of a raw store: what stands before `raw/{sync_id}/`.
///
/// | text | meaning |
/// |---|---|
/// | `/srv/storage`, `./local_storage` | a directory |
/// | `file:///srv/my%20storage` | a directory, percent-encoded |
/// | `s3://bucket/prefix` | Amazon S3 or a server that speaks it |
/// | `gs://bucket/prefix` | Google Cloud Storage |
/// | `az://container/prefix` | Azure Blob Storage; the account is named by the environment |
///
/// A prefix is taken literally, without percent-decoding, as the platform takes its own. Credentials are refused
/// in an address, because addresses are logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// A directory of this machine.
    Local {
        /// The directory that holds `raw/`.
        root: PathBuf,
    },
    /// An S3 bucket.
    S3 {
        /// Its name.
        bucket: String,
        /// What stands before `raw/` in every key; may be empty.
        prefix: ObjectPath,
    },
    /// A bucket of Google Cloud Storage.
    Gcs {
        /// Its name.
        bucket: String,
        /// What stands before `raw/` in every object name; may be empty.
        prefix: ObjectPath,
    },
    /// A container of Azure Blob Storage.
    Azure {
        /// Its name.
        container: String,
        /// What stands before `raw/` in every blob name; may be empty.
        prefix: ObjectPath,
    },
}

impl StoreUrl {
    /// Reads an address.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for anything but the forms above. The message does not repeat the text: it may hold a secret.
    pub fn parse(text: &str) -> Result<Self> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return match text {
                "" => Err(invalid("is empty; give a directory or a URL such as s3://bucket/prefix")),
                path if path.contains('\0') => Err(invalid("holds a NUL character")),
                path => Ok(Self::Local { root: PathBuf::from(path) }),
            };
        };
        match scheme {
            "file" => Self::parse_file(text),
            "s3" => bucket_and_prefix(rest).map(|(bucket, prefix)| Self::S3 { bucket, prefix }),
            "gs" => bucket_and_prefix(rest).map(|(bucket, prefix)| Self::Gcs { bucket, prefix }),
            "az" => bucket_and_prefix(rest).map(|(container, prefix)| Self::Azure { container, prefix }),
            _ => Err(invalid("has an unknown scheme; use a directory, file://, s3://, gs:// or az://")),
        }
    }

    fn parse_file(text: &str) -> Result<Self> {
        let url = reqwest::Url::parse(text).map_err(|error| invalid("is no file URL").with_source(error))?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err(invalid("holds '?' or '#'; write %3F or %23, or give the plain path"));
        }
        let root = url.to_file_path().map_err(|()| invalid("names another host; file:// takes a local path"))?;
        Ok(Self::Local { root })
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, bucket, prefix) = match self {
            Self::Local { root } => return root.display().fmt(f),
            Self::S3 { bucket, prefix } => ("s3", bucket, prefix),
            Self::Gcs { bucket, prefix } => ("gs", bucket, prefix),
            Self::Azure { container, prefix } => ("az", container, prefix),
        };
        write!(f, "{scheme}://{bucket}")?;
        if prefix.is_root() { Ok(()) } else { write!(f, "/{prefix}") }
    }
}

fn bucket_and_prefix(rest: &str) -> Result<(String, ObjectPath)> {
    if rest.contains(['?', '#', '@']) {
        return Err(invalid("holds '?', '#' or '@'; credentials belong into the environment, never into the URL"));
    }
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    // The union of what the three clouds allow; no name of theirs needs escaping.
    if bucket.is_empty() || !bucket.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)) {
        return Err(invalid("names no bucket or container; write s3://bucket/prefix"));
    }
    let prefix = prefix.trim_end_matches('/');
    if prefix.starts_with('/') {
        return Err(invalid("has an empty step in its prefix"));
    }
    let prefix = ObjectPath::parse(prefix).map_err(|error| {
        invalid("has a prefix that is no object name (empty, '.', '..' or control characters)").with_source(error)
    })?;
    Ok((bucket.to_owned(), prefix))
}

fn invalid(what: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("the raw store URL {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("/srv/storage", "/srv/storage")]
    #[case("./local_storage", "./local_storage")]
    #[case("file:///srv/my%20storage", "/srv/my storage")]
    #[case("file:///srv/100%25", "/srv/100%")]
    #[case("/srv/100%25", "/srv/100%25")]
    #[case("file://localhost/srv", "/srv")]
    fn a_directory(#[case] text: &str, #[case] root: &str) {
        assert_eq!(StoreUrl::parse(text).unwrap(), StoreUrl::Local { root: root.into() });
    }

    #[rstest]
    #[case("s3://bucket", "s3://bucket")]
    #[case("s3://bucket/", "s3://bucket")]
    #[case("s3://bucket/a/b//", "s3://bucket/a/b")]
    #[case("gs://my_bucket.example/with space/100%25", "gs://my_bucket.example/with space/100%25")]
    #[case("az://raw/prefix", "az://raw/prefix")]
    fn a_cloud(#[case] text: &str, #[case] shown: &str) {
        let url = StoreUrl::parse(text).unwrap();
        assert_eq!(url.to_string(), shown);
        assert_eq!(StoreUrl::parse(shown).unwrap(), url);
    }

    #[rstest]
    #[case("")]
    #[case("s3://")]
    #[case("s3:///prefix")]
    #[case("s3://AKIA:s3cr3t@bucket/prefix")]
    #[case("az://raw/prefix?sv=1&sig=s3cr3t")]
    #[case("s3://bucket//prefix")]
    #[case("s3://bucket/a//b")]
    #[case("s3://bucket/a/../b")]
    #[case("s3://bucket/a\nb")]
    #[case("s3://buck et/a")]
    #[case("file://elsewhere/srv")]
    #[case("file:///srv?s3cr3t")]
    #[case("ftp://s3cr3t@host/srv")]
    #[case("/srv/\0")]
    fn refused_without_repeating_it(#[case] text: &str) {
        let error = StoreUrl::parse(text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(!error.chain().contains("s3cr3t"), "{}", error.chain());
    }
}
