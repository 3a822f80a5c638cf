//! A raw store in a directory.

use std::fs::{self, File, Metadata, ReadDir};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};

use super::{Backend, FetchError, Fetched, Found};
use crate::error::{Error, ErrorKind, Result};
use crate::raw_store::classify::io_error;
use crate::raw_store::listed_object::ListedObject;
use crate::raw_store::store_path::StorePath;

/// How many directory entries are looked at per visit to a blocking thread.
const LISTING_BATCH: usize = 512;

/// The file system below a directory. All of its calls run on threads that may block.
#[derive(Debug, Clone)]
pub(in crate::raw_store) struct LocalBackend {
    root: PathBuf,
}

impl LocalBackend {
    /// The store whose `raw/` is in `root`.
    pub(in crate::raw_store) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// The real path, with every symbolic link followed, provided that it stays inside the directory of the sync and
    /// that this directory stays inside the store.
    fn resolve(&self, path: &StorePath) -> Result<PathBuf, FetchError> {
        let real = canonical(&self.root.join(path.whole()))?;
        let sync_directory = canonical(&self.root.join(path.sync_directory()))?;
        if !sync_directory.starts_with(canonical(&self.root)?) || !real.starts_with(&sync_directory) {
            return Err(FetchError::Refused("a symbolic link leads out of the raw store".to_owned()));
        }
        Ok(real)
    }

    fn read_blocking(&self, path: &StorePath, limit_bytes: u64) -> Result<Fetched, FetchError> {
        let real = self.resolve(path)?;
        // Opening a pipe would wait for its other end, so look before opening.
        if !fs::metadata(&real).map_err(fetch_error)?.is_file() {
            return Err(FetchError::Refused("it is no plain file".to_owned()));
        }
        let file = File::open(&real).map_err(fetch_error)?;
        read_steady(&file, || file.metadata(), limit_bytes)
    }

    fn open_directory(&self, directory: &StorePath) -> Result<ReadDir> {
        let shown = directory.whole();
        let doing = format!("list {shown}");
        let real = self.resolve(directory).map_err(|error| match error {
            FetchError::NotFound => io_error(&doing, io::ErrorKind::NotFound.into()),
            FetchError::Failed(error) => error,
            FetchError::Refused(reason) => Error::new(ErrorKind::RawStoreInvalid, format!("cannot {doing}: {reason}")),
            FetchError::Changing | FetchError::TooLarge { .. } => {
                Error::new(ErrorKind::Internal, format!("cannot {doing}: a path did not resolve"))
            }
        })?;
        fs::read_dir(real).map_err(|error| io_error(&doing, error))
    }
}

#[async_trait]
impl Backend for LocalBackend {
    async fn read(&self, path: &StorePath, limit_bytes: u64) -> Result<Fetched, FetchError> {
        let (this, path) = (self.clone(), path.clone());
        blocking(move || this.read_blocking(&path, limit_bytes)).await?
    }

    async fn exists(&self, path: &StorePath) -> Result<bool> {
        let (this, path) = (self.clone(), path.clone());
        let looked = blocking(move || this.resolve(&path)).await?;
        match looked {
            // What is there but may not be followed is there all the same; reading it will say so.
            Ok(_) | Err(FetchError::Refused(_)) => Ok(true),
            Err(FetchError::Failed(error)) => Err(error),
            Err(FetchError::NotFound | FetchError::Changing | FetchError::TooLarge { .. }) => Ok(false),
        }
    }

    fn list(&self, directory: &StorePath) -> BoxStream<'static, Result<Found>> {
        let (this, directory) = (self.clone(), directory.clone());
        let opened = stream::once(blocking(move || this.open_directory(&directory)));
        opened
            .map(|opened| opened.and_then(|inner| inner))
            .map_ok(|entries| stream::try_unfold(Some(entries), next_batch))
            .try_flatten()
            .map_ok(|batch| stream::iter(batch.into_iter().map(Ok)))
            .try_flatten()
            .boxed()
    }
}

/// Reads the whole content, provided that the file is the same before and after.
///
/// The platform truncates and rewrites in place: what was read may be half old and half new.
fn read_steady(
    content: impl Read,
    metadata: impl Fn() -> io::Result<Metadata>,
    limit_bytes: u64,
) -> Result<Fetched, FetchError> {
    let before = metadata().map_err(fetch_error)?;
    if before.len() > limit_bytes {
        return Err(FetchError::TooLarge { token: token(&before), size_bytes: before.len() });
    }
    let mut bytes = Vec::with_capacity(usize::try_from(before.len()).unwrap_or_default());
    // One byte more than was announced shows that the file grew.
    content.take(before.len() + 1).read_to_end(&mut bytes).map_err(fetch_error)?;
    let after = metadata().map_err(fetch_error)?;
    if token(&before) != token(&after) || bytes.len() as u64 != before.len() {
        return Err(FetchError::Changing);
    }
    Ok(Fetched { bytes: bytes.into(), token: token(&after) })
}

/// Reads on in a directory; the rest comes back while there may be one.
async fn next_batch<I>(entries: Option<I>) -> Result<Option<(Vec<Found>, Option<I>)>>
where
    I: Iterator<Item = io::Result<fs::DirEntry>> + Send + 'static,
{
    let Some(mut entries) = entries else { return Ok(None) };
    blocking(move || {
        let mut batch = Vec::with_capacity(LISTING_BATCH);
        for _ in 0..LISTING_BATCH {
            match entries.next() {
                None => return Ok(Some((batch, None))),
                Some(entry) => batch.extend(look_at(&entry.map_err(|error| io_error("list entities", error))?)?),
            }
        }
        Ok(Some((batch, Some(entries))))
    })
    .await?
}

/// `None`: it was deleted since the directory named it, and so is not listed.
fn look_at(entry: &fs::DirEntry) -> Result<Option<Found>> {
    let path = entry.path();
    let metadata = match fs::metadata(&path) {
        Ok(metadata) => metadata,
        // Either it is gone, or it is a link to nothing: then it is listed, and reading it tells.
        Err(error) if error.kind() == io::ErrorKind::NotFound => match fs::symlink_metadata(&path) {
            Ok(link) if link.is_symlink() => return object(entry, &link).map(Some),
            // Written again in between.
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error("list entities", error)),
        },
        Err(error) => return Err(io_error("list entities", error)),
    };
    if metadata.is_file() { object(entry, &metadata).map(Some) } else { Ok(Some(Found::Other)) }
}

fn object(entry: &fs::DirEntry, metadata: &Metadata) -> Result<Found> {
    let key = entry.file_name().into_string().map_err(|name| {
        let text = format!("the raw store holds a file whose name is no UTF-8: {name:?}; rename or remove it");
        Error::new(ErrorKind::RawStoreInvalid, text)
    })?;
    let modified_ms = metadata.mtime().saturating_mul(1000).saturating_add(metadata.mtime_nsec() / 1_000_000);
    Ok(Found::Object(ListedObject { key, size: metadata.len(), token: token(metadata), modified_ms }))
}

/// Size, modification time in nanoseconds and inode.
fn token(metadata: &Metadata) -> String {
    let mtime_ns = i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
    format!("{}-{mtime_ns}-{}", metadata.len(), metadata.ino())
}

fn canonical(path: &Path) -> Result<PathBuf, FetchError> {
    fs::canonicalize(path).map_err(fetch_error)
}

fn fetch_error(error: io::Error) -> FetchError {
    match error.kind() {
        io::ErrorKind::NotFound => FetchError::NotFound,
        io::ErrorKind::InvalidFilename | io::ErrorKind::InvalidInput => {
            FetchError::Refused("the file system does not take this name".to_owned())
        }
        _ => FetchError::Failed(io_error("read the raw store", error)),
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::new(ErrorKind::Internal, "reading the raw store was broken off").with_source(error))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use rstest::rstest;

    /// Reads `content` where the file has four bytes; the file was changed in between if `touched`.
    #[rstest]
    #[case::steady("null", false, true)]
    #[case::rewritten_in_place("null", true, false)]
    #[case::truncated("nu", false, false)]
    #[case::grown("null ", false, false)]
    fn only_what_did_not_change_was_read(#[case] content: &str, #[case] touched: bool, #[case] read: bool) {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "null").unwrap();
        let looks = Cell::new(0_u64);
        let metadata = || {
            looks.set(looks.get() + 1);
            let seconds = if touched { looks.get() } else { 0 };
            file.as_file().set_modified(UNIX_EPOCH + Duration::from_secs(seconds))?;
            file.as_file().metadata()
        };
        match read_steady(content.as_bytes(), metadata, 4) {
            Ok(fetched) => assert!(read && fetched.bytes == content.as_bytes()),
            Err(error) => assert!(!read && matches!(error, FetchError::Changing), "{error:?}"),
        }
    }

    fn directory_of(files: usize) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for number in 0..files {
            fs::write(directory.path().join(format!("{number}.json")), "{}").unwrap();
        }
        directory
    }

    #[tokio::test]
    async fn a_directory_that_fails_after_many_entries_is_an_error_at_the_end() {
        let directory = directory_of(LISTING_BATCH + 100);
        let entries = fs::read_dir(directory.path()).unwrap().take(LISTING_BATCH + 50);
        let broken = entries.chain(std::iter::once_with(|| Err(io::Error::from_raw_os_error(5))));

        let items: Vec<_> = stream::try_unfold(Some(broken), next_batch).collect().await;

        assert_eq!(items.len(), 2);
        assert_eq!(items[0].as_ref().unwrap().len(), LISTING_BATCH);
        assert_eq!(items[1].as_ref().unwrap_err().kind(), ErrorKind::Unavailable);
    }

    #[test]
    fn a_file_deleted_after_the_directory_named_it_is_not_listed() {
        let directory = directory_of(1);
        let entry = fs::read_dir(directory.path()).unwrap().next().unwrap().unwrap();
        fs::remove_file(entry.path()).unwrap();
        assert_eq!(look_at(&entry).unwrap(), None);
    }

    #[test]
    fn a_link_to_nothing_is_listed() {
        let directory = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("nowhere", directory.path().join("x.json")).unwrap();
        let entry = fs::read_dir(directory.path()).unwrap().next().unwrap().unwrap();
        assert!(matches!(look_at(&entry).unwrap(), Some(Found::Object(object)) if object.key == "x.json"));
    }
}
