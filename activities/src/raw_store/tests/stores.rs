//! Writable stores for tests: a temporary directory and an in-memory object store with a prefix.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use object_store::memory::InMemory;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt};
use tempfile::TempDir;
use uuid::Uuid;

use crate::error::Result;
use crate::raw_store::{ListedObject, RawStore, ReadOptions, SyncStore};

pub(super) const SYNC: Uuid = Uuid::from_u128(0xf224_56a1_6b4e_53cf_bc8d_4861_9c16_15b8);
pub(super) const OTHER_SYNC: Uuid = Uuid::from_u128(7);

const PREFIX: &str = "some/prefix";

pub(super) enum TestStore {
    Local(TempDir),
    Memory(Arc<InMemory>),
}

impl TestStore {
    pub(super) fn local() -> Self {
        Self::Local(tempfile::tempdir().unwrap())
    }

    pub(super) fn memory() -> Self {
        Self::Memory(Arc::default())
    }

    /// Writes an object below the directory of [`SYNC`].
    pub(super) async fn put(&self, below: &str, content: impl Into<Vec<u8>>) {
        self.put_at(&format!("raw/{SYNC}/{below}"), content).await;
    }

    pub(super) async fn put_at(&self, path: &str, content: impl Into<Vec<u8>>) {
        match self {
            Self::Local(root) => {
                let path = root.path().join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, content.into()).unwrap();
            }
            Self::Memory(objects) => {
                let path = ObjectPath::parse(format!("{PREFIX}/{path}")).unwrap();
                objects.put(&path, content.into().into()).await.unwrap();
            }
        }
    }

    pub(super) async fn remove(&self, below: &str) {
        let path = format!("raw/{SYNC}/{below}");
        match self {
            Self::Local(root) => fs::remove_file(root.path().join(path)).unwrap(),
            Self::Memory(objects) => {
                objects.delete(&ObjectPath::parse(format!("{PREFIX}/{path}")).unwrap()).await.unwrap();
            }
        }
    }

    /// A manifest that names [`SYNC`] and a directory for entities.
    pub(super) async fn put_manifest(&self) {
        self.put("manifest.json", format!(r#"{{"sync_id": "{SYNC}", "source_short_name": "stub"}}"#)).await;
        if let Self::Local(root) = self {
            fs::create_dir_all(root.path().join(format!("raw/{SYNC}/entities"))).unwrap();
        }
    }

    pub(super) fn open(&self) -> SyncStore {
        self.open_with(quick()).sync(SYNC)
    }

    pub(super) fn open_with(&self, options: ReadOptions) -> RawStore {
        match self {
            Self::Local(root) => RawStore::open_with(root.path().to_str().unwrap(), options).unwrap(),
            Self::Memory(objects) => RawStore::over_objects(
                Arc::clone(objects) as Arc<dyn ObjectStore>,
                ObjectPath::parse(PREFIX).unwrap(),
                "memory",
                options,
            ),
        }
    }
}

/// Options that never wait.
pub(super) fn quick() -> ReadOptions {
    ReadOptions { settle_pauses: [Duration::ZERO; 3], ..ReadOptions::default() }
}

/// The whole listing in order of keys, or its error.
pub(super) async fn listed(store: &SyncStore) -> Result<Vec<ListedObject>> {
    let mut objects: Vec<_> = store.list().try_collect().await?;
    objects.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(objects)
}

pub(super) async fn listed_keys(store: &SyncStore) -> Result<Vec<String>> {
    Ok(listed(store).await?.into_iter().map(|object| object.key).collect())
}
