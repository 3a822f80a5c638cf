//! The servers' logs: appended to, kept small, and quoted in errors.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// A log larger than this is set aside (as `*.log.old`) before the next start.
const KEEP_BYTES: u64 = 8 << 20;

/// How much of a log an error shows.
const TAIL_LINES: usize = 15;
const TAIL_BYTES: u64 = 16 << 10;

/// The part of a log that one start of a server wrote.
#[derive(Debug)]
pub(super) struct LogPart {
    path: PathBuf,
    from: u64,
}

impl LogPart {
    /// Opens `path` for appending and remembers where this part begins.
    pub(super) fn open(path: &Path) -> io::Result<(Self, File)> {
        if fs::metadata(path).is_ok_and(|log| log.len() > KEEP_BYTES) {
            fs::rename(path, path.with_extension("log.old"))?;
        }
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let from = file.metadata()?.len();
        Ok((Self { path: path.to_owned(), from }, file))
    }

    /// The last lines of this part; empty when there are none or the file cannot be read.
    pub(super) fn tail(&self) -> String {
        self.read_tail().unwrap_or_default()
    }

    fn read_tail(&self) -> io::Result<String> {
        let mut file = File::open(&self.path)?;
        let end = file.metadata()?.len();
        file.seek(SeekFrom::Start(self.from.max(end.saturating_sub(TAIL_BYTES))))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        Ok(lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n"))
    }

    /// For the end of an error message: where the log is and how it ends.
    pub(super) fn quote(&self) -> String {
        format!("its log, {}, ends with:\n{}", self.path.display(), self.tail())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_tail_shows_this_start_only() {
        let dir = tempfile::tempdir().expect("directory");
        let path = dir.path().join("server.log");
        fs::write(&path, "an older start\n").expect("write");
        let (part, mut file) = LogPart::open(&path).expect("open");
        assert_eq!(part.tail(), "");
        for line in 0..40 {
            writeln!(file, "line {line}").expect("write");
        }
        let tail = part.tail();
        assert!(tail.starts_with("line 25") && tail.ends_with("line 39"), "{tail}");
    }

    #[test]
    fn a_large_log_is_set_aside() {
        let dir = tempfile::tempdir().expect("directory");
        let path = dir.path().join("server.log");
        File::create(&path).expect("create").set_len(KEEP_BYTES + 1).expect("grow");
        let (_, file) = LogPart::open(&path).expect("open");
        assert_eq!(file.metadata().expect("metadata").len(), 0);
        assert!(dir.path().join("server.log.old").is_file());
    }
}
