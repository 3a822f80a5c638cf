//! Where the prepared tools are.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The tools of the embedded stack, checked to exist.
#[derive(Debug, Clone)]
pub struct StackPaths {
    dev_dir: PathBuf,
    temporal_bin: PathBuf,
}

impl StackPaths {
    /// Looks at what `make prepare` left in `dev_dir`. `TEMPORAL_BIN`, when set, takes the place of the prepared CLI.
    ///
    /// # Errors
    /// When a tool is missing; the message says to run `make prepare`.
    pub fn discover(dev_dir: &Path) -> Result<Self> {
        let dev_dir = dev_dir
            .canonicalize()
            .with_context(|| format!("{} does not exist: run `make prepare` first", dev_dir.display()))?;
        let own_temporal = env::var_os("TEMPORAL_BIN").filter(|value| !value.is_empty()).map(PathBuf::from);
        let temporal_bin = match own_temporal {
            // The servers run in another directory, so a relative path would not be found.
            Some(path) => path.canonicalize().with_context(|| format!("TEMPORAL_BIN={}", path.display()))?,
            None => dev_dir.join("bin/temporal"),
        };
        let paths = Self { dev_dir, temporal_bin };
        let needed = [
            paths.temporal_bin.clone(),
            paths.postgres_home().join("bin/postgres"),
            paths.postgres_home().join("bin/initdb"),
            paths.model_dir().join("l2_supercat_256.safetensors"),
            paths.model_dir().join("l2_supercat_tokenizer_config.json"),
        ];
        for file in needed {
            if !file.is_file() {
                bail!("{} is missing: run `make prepare` first", file.display());
            }
        }
        Ok(paths)
    }

    /// The folder that was searched, as an absolute path.
    #[must_use]
    pub fn dev_dir(&self) -> &Path {
        &self.dev_dir
    }

    /// The Temporal CLI.
    #[must_use]
    pub fn temporal_bin(&self) -> &Path {
        &self.temporal_bin
    }

    /// The folder with `bin`, `lib` and `share` of PostgreSQL.
    #[must_use]
    pub fn postgres_home(&self) -> PathBuf {
        self.dev_dir.join("postgres")
    }

    /// The folder with the static embedding table and its tokenizer.
    #[must_use]
    pub fn model_dir(&self) -> PathBuf {
        self.dev_dir.join("model")
    }

    /// The Vespa CLI. Only the test-suite needs it, so it need not be there.
    #[must_use]
    pub fn vespa_cli(&self) -> PathBuf {
        self.dev_dir.join("vespa/vespa")
    }

    /// The folder with pyvespa, for `PYTHONPATH`. Only the test-suite needs it, so it need not be there.
    #[must_use]
    pub fn pyvespa_dir(&self) -> PathBuf {
        self.dev_dir.join("pyvespa")
    }

    /// The same with schemathesis.
    #[must_use]
    pub fn schemathesis_dir(&self) -> PathBuf {
        self.dev_dir.join("schemathesis")
    }

    /// The folder with temporalio, for `PYTHONPATH`. Only the test-suite needs it, so it need not be there.
    #[must_use]
    pub fn temporalio_dir(&self) -> PathBuf {
        self.dev_dir.join("temporalio")
    }
}

/// The `.dev` folder of the checkout we are in: `SYNCMUX_DEV_DIR`, or found by walking up from the crate that cargo
/// runs, or else from the current directory.
///
/// The folder itself need not exist yet.
///
/// # Errors
/// When this is no checkout and the variable is not set.
pub fn find_dev_dir() -> Result<PathBuf> {
    if let Some(dir) = env::var_os("SYNCMUX_DEV_DIR").filter(|value| !value.is_empty()) {
        return std::path::absolute(dir).context("SYNCMUX_DEV_DIR");
    }
    let starts = [env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from), env::current_dir().ok()];
    let mut folders = starts.iter().flatten().flat_map(|start| start.ancestors());
    match folders.find(|folder| folder.join("deploy/dev/requirements.txt").is_file()) {
        Some(checkout) => Ok(checkout.join(".dev")),
        None => bail!("no checkout of sync-multiplexer here: change into one, or set SYNCMUX_DEV_DIR"),
    }
}
