//! Where PostgreSQL lives: its programs and its data.
//!
//! When we are root it runs as an unprivileged user, and that user must be able to reach both. A checkout below a closed
//! home (`/root` has mode 700) is out of its reach; then programs are copied to and data is kept in a [`Shelter`].

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, chown};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::account::Account;
use super::paths::StackPaths;
use super::shelter::Shelter;

/// Name of the data directory in its home.
const DATA: &str = "postgres";

/// Where one stack's PostgreSQL lives.
#[derive(Debug, Clone)]
pub(super) struct PostgresPlace {
    /// The folder with `bin`, `lib` and `share`.
    pub(super) home: PathBuf,
    /// The data directory; it need not exist yet. Its parent does, and may be entered by `account`.
    pub(super) data_dir: PathBuf,
    /// Whom to run as.
    pub(super) account: Option<Account>,
}

impl PostgresPlace {
    /// Finds the place for the stack that keeps its state in `run_dir` (which exists, as an absolute path without
    /// symbolic links), and copies the programs there when they are out of reach.
    pub(super) fn choose(paths: &StackPaths, run_dir: &Path) -> Result<Self> {
        let account = Account::for_postgres()?;
        let home = paths.postgres_home();
        let beside = Self { data_dir: run_dir.join(DATA), home, account };
        let Some(account) = &beside.account else { return Ok(beside) };
        let program = beside.home.join("bin/postgres").canonicalize()?;
        if account.reaches(&program)? && account.reaches(run_dir)? {
            return Ok(beside);
        }
        let turn = Shelter::turn(paths.dev_dir())?;
        let shelter = Shelter::of(paths.dev_dir());
        shelter.open(&turn)?;
        let data_dir = shelter.make_data_home(run_dir, account, &turn)?.join(DATA);
        let home = shelter.programs(&beside.home, &turn)?;
        Ok(Self { home, data_dir, ..beside })
    }

    /// Where the data of the stack that keeps its state in `run_dir` can be.
    pub(super) fn data_dirs(dev_dir: &Path, run_dir: &Path) -> [PathBuf; 2] {
        [run_dir.to_owned(), Shelter::of(dev_dir).data_home(run_dir)].map(|home| home.join(DATA))
    }

    /// Removes the data of the stack that keeps its state in `run_dir`, wherever it is. The server must be down.
    pub(super) fn discard(dev_dir: &Path, run_dir: &Path) -> Result<()> {
        remove_tree(&run_dir.join(DATA))?;
        let shelter = Shelter::of(dev_dir);
        let turn = Shelter::turn(dev_dir)?;
        if shelter.is_ours()? {
            remove_tree(&shelter.data_home(run_dir))?;
            shelter.close_when_unused(&turn)?;
        }
        Ok(())
    }
}

/// Makes `dir` and gives it to `account`, or to ourselves; nobody else may look inside.
pub(super) fn make_private_dir(dir: &Path, account: Option<&Account>) -> Result<()> {
    let make = || -> io::Result<()> {
        DirBuilder::new().mode(0o700).create(dir)?;
        account.map_or(Ok(()), |account| chown(dir, Some(account.uid), Some(account.gid)))
    };
    make().with_context(|| format!("cannot make {}", dir.display()))
}

/// Removes a folder with everything in it; fine when there is none.
pub(super) fn remove_tree(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot remove {}", dir.display())),
    }
}
