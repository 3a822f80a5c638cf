//! A place below `/var/tmp` for what an unprivileged PostgreSQL must reach when the checkout is closed to it.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::unistd::Uid;
use uuid::Uuid;

use super::account::Account;
use super::place::{make_private_dir, remove_tree};

/// A folder of ours outside of the checkout which every user may enter and only we may change.
///
/// All stacks of a checkout share it, so it is changed only while a [`ShelterTurn`] is held.
#[derive(Debug)]
pub(super) struct Shelter {
    root: PathBuf,
}

/// The right to change the shelter of a checkout, until it is dropped.
#[derive(Debug)]
pub(super) struct ShelterTurn {
    _lock: File,
}

impl Shelter {
    /// The shelter of a checkout, whether it exists or not.
    pub(super) fn of(dev_dir: &Path) -> Self {
        let temporary = ["/var/tmp", "/tmp"].into_iter().find(|dir| Path::new(dir).is_dir()).unwrap_or("/tmp");
        let name = format!("sync-multiplexer-{}-{}", Uid::effective(), short_hash(dev_dir));
        Self { root: Path::new(temporary).join(name) }
    }

    /// Waits until no other process changes the shelter.
    pub(super) fn turn(dev_dir: &Path) -> Result<ShelterTurn> {
        let path = dev_dir.join(".shelter.lock");
        let lock = || -> io::Result<ShelterTurn> {
            let file = File::create(&path)?;
            file.lock()?;
            Ok(ShelterTurn { _lock: file })
        };
        lock().with_context(|| format!("cannot lock {}", path.display()))
    }

    /// Whether it exists and nobody else made it: the name can be foretold and everybody may write next to it.
    pub(super) fn is_ours(&self) -> Result<bool> {
        let about = match fs::symlink_metadata(&self.root) {
            Ok(about) => about,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error).with_context(|| format!("cannot look at {}", self.root.display())),
        };
        if !about.is_dir() || about.uid() != Uid::effective().as_raw() || about.mode() & 0o022 != 0 {
            bail!("{} belongs to somebody else: remove it, then try again", self.root.display());
        }
        Ok(true)
    }

    /// Makes it when it is not there.
    pub(super) fn open(&self, _turn: &ShelterTurn) -> Result<()> {
        let make = || -> io::Result<()> {
            DirBuilder::new().mode(0o711).create(&self.root)?;
            // What was asked for above was narrowed by the umask.
            fs::set_permissions(&self.root, Permissions::from_mode(0o711))
        };
        if !self.is_ours()? {
            make().with_context(|| format!("cannot make {}", self.root.display()))?;
        }
        Ok(())
    }

    /// The copy of the programs in `home`, made when it is not there yet.
    pub(super) fn programs(&self, home: &Path, _turn: &ShelterTurn) -> Result<PathBuf> {
        let stamp = fs::read_to_string(home.join(".stamp"))
            .with_context(|| format!("{} has no stamp: run `make prepare` first", home.display()))?;
        let copy = self.root.join(format!("postgres-{}", short_hash(Path::new(stamp.trim()))));
        if !copy.is_dir() {
            // Left by a run that was interrupted, if it is there.
            let new = self.root.join("postgres.new");
            remove_tree(&new)?;
            copy_tree(home, &new)
                .and_then(|()| fs::rename(&new, &copy))
                .with_context(|| format!("cannot copy {} to {}", home.display(), copy.display()))?;
        }
        Ok(copy)
    }

    /// The folder in which the stack that keeps its state in `run_dir` keeps its data.
    pub(super) fn data_home(&self, run_dir: &Path) -> PathBuf {
        self.root.join(format!("data-{}", short_hash(run_dir)))
    }

    /// Makes that folder, which also marks the shelter as used.
    pub(super) fn make_data_home(&self, run_dir: &Path, account: &Account, _turn: &ShelterTurn) -> Result<PathBuf> {
        let home = self.data_home(run_dir);
        if !home.is_dir() {
            make_private_dir(&home, Some(account))?;
        }
        Ok(home)
    }

    /// Removes it when no stack has data in it.
    pub(super) fn close_when_unused(&self, _turn: &ShelterTurn) -> Result<()> {
        let entries = fs::read_dir(&self.root).with_context(|| format!("cannot list {}", self.root.display()))?;
        let in_use = entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("data-"));
        if in_use { Ok(()) } else { remove_tree(&self.root) }
    }
}

fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    DirBuilder::new().create(to)?;
    fs::set_permissions(to, Permissions::from_mode(0o755))?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_symlink() {
            symlink(fs::read_link(&source)?, &target)?;
        } else if kind.is_dir() {
            copy_tree(&source, &target)?;
        } else {
            fs::copy(&source, &target)?;
        }
    }
    Ok(())
}

/// Twelve hex digits that stand for a path.
fn short_hash(path: &Path) -> String {
    let mut digits = Uuid::new_v5(&Uuid::NAMESPACE_OID, path.as_os_str().as_encoded_bytes()).simple().to_string();
    digits.truncate(12);
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copied_tree_keeps_modes_and_links() {
        let dir = tempfile::tempdir().expect("directory");
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::create_dir_all(from.join("real/bin")).expect("create");
        fs::write(from.join("real/bin/tool"), "#!").expect("write");
        fs::set_permissions(from.join("real/bin/tool"), Permissions::from_mode(0o755)).expect("mode");
        symlink("real/bin", from.join("bin")).expect("link");
        copy_tree(&from, &to).expect("copy");
        assert_eq!(fs::read_link(to.join("bin")).expect("link"), Path::new("real/bin"));
        assert_eq!(fs::metadata(to.join("bin/tool")).expect("metadata").mode() & 0o777, 0o755);
    }

    #[test]
    fn a_shelter_made_by_others_is_refused() {
        let dir = tempfile::tempdir().expect("directory");
        let shelter = Shelter { root: dir.path().join("shelter") };
        let turn = Shelter::turn(dir.path()).expect("nobody else's turn");
        assert!(!shelter.is_ours().expect("absent"));
        symlink("/", &shelter.root).expect("link");
        assert!(shelter.open(&turn).expect_err("a link").to_string().contains("belongs to somebody else"));
        fs::remove_file(&shelter.root).expect("remove");
        shelter.open(&turn).expect("open");
        assert!(shelter.is_ours().expect("made by us"));
        fs::set_permissions(&shelter.root, Permissions::from_mode(0o777)).expect("mode");
        assert!(shelter.open(&turn).is_err(), "everybody may write into it");
    }
}
