//! As whom PostgreSQL runs: it refuses to be root.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use nix::unistd::{Uid, User};

/// Users that every Linux has, or that belong to PostgreSQL anyway; the first that exists is taken.
const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];

/// A user to run as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    /// User id.
    pub(super) uid: u32,
    /// Primary group id.
    pub(super) gid: u32,
}

impl Account {
    /// Whom PostgreSQL has to run as: `None` is ourselves.
    pub(super) fn for_postgres() -> Result<Option<Self>> {
        if !Uid::effective().is_root() {
            return Ok(None);
        }
        for name in UNPRIVILEGED {
            if let Some(user) = User::from_name(name).with_context(|| format!("cannot look up user {name}"))? {
                return Ok(Some(Self { uid: user.uid.as_raw(), gid: user.gid.as_raw() }));
            }
        }
        bail!("PostgreSQL refuses to run as root and there is neither a user postgres nor nobody: run as another user")
    }

    /// Whether every folder above `path`, and `path` itself, may be entered (for a file: executed).
    pub(super) fn reaches(&self, path: &Path) -> io::Result<bool> {
        for part in path.ancestors() {
            let about = fs::metadata(part)?;
            let shift = match () {
                () if about.uid() == self.uid => 6,
                () if about.gid() == self.gid => 3,
                () => 0,
            };
            if (about.mode() >> shift) & 0o1 == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_closed_folder_is_out_of_reach() {
        let dir = tempfile::tempdir().expect("directory");
        let inner = dir.path().join("inner");
        fs::create_dir(&inner).expect("create");
        let stranger = Account { uid: 4_000_000_000, gid: 4_000_000_000 };
        let owner = Account { uid: Uid::effective().as_raw(), gid: 4_000_000_000 };
        fs::set_permissions(&inner, Permissions::from_mode(0o755)).expect("mode");
        fs::set_permissions(dir.path(), Permissions::from_mode(0o700)).expect("mode");
        assert!(!stranger.reaches(&inner).expect("metadata"));
        assert!(owner.reaches(&inner).expect("metadata"));
        fs::set_permissions(dir.path(), Permissions::from_mode(0o711)).expect("mode");
        assert!(stranger.reaches(&inner).expect("metadata"));
        // The owner's own bits count for the owner, even where others may do more.
        fs::set_permissions(&inner, Permissions::from_mode(0o077)).expect("mode");
        assert!(!owner.reaches(&inner).expect("metadata"));
    }
}
