//! A zip archive opened with suspicion.
//!
//! Sizes in zip headers are claims. Every entry is unpacked through a counter, and all entries of one archive share one
//! budget, so neither one huge entry nor many overlapping ones can exhaust memory.

use std::io::{self, Cursor, Read};

use zip::ZipArchive;
use zip::read::ZipFile;
use zip::result::ZipError;

use super::super::{ContentError, Format, limits};

/// First bytes of the container that Office uses for encrypted files (and for its formats before 2007).
const COMPOUND_FILE: &[u8] = &[0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1];

/// The parts of one Office file.
pub(in super::super) struct Archive<'b> {
    zip: ZipArchive<Cursor<&'b [u8]>>,
    format: Format,
    /// Bytes that may still be unpacked.
    budget: u64,
}

impl<'b> Archive<'b> {
    pub(in super::super) fn open(bytes: &'b [u8], format: Format) -> Result<Self, ContentError> {
        if bytes.starts_with(COMPOUND_FILE) {
            return Err(compound_file(bytes, format));
        }
        let zip = ZipArchive::new(Cursor::new(bytes)).map_err(|error| ContentError::malformed(format, error))?;
        if zip.len() as u64 > limits::ARCHIVE_ENTRIES {
            return Err(ContentError::TooLarge { format, what: "archive entries", limit: limits::ARCHIVE_ENTRIES });
        }
        Ok(Self { zip, format, budget: limits::ARCHIVE_BYTES })
    }

    pub(in super::super) fn format(&self) -> Format {
        self.format
    }

    /// The text of a part that must be there.
    pub(in super::super) fn text(&mut self, name: &str) -> Result<String, ContentError> {
        self.optional_text(name)?
            .ok_or_else(|| ContentError::malformed(self.format, format_args!("part {name:?} is missing")))
    }

    /// The text of a part, `None` when there is no such part. Part names do not depend on case.
    pub(in super::super) fn optional_text(&mut self, name: &str) -> Result<Option<String>, ContentError> {
        let name = match self.zip.index_for_name(name) {
            Some(_) => name.to_owned(),
            None => match self.zip.file_names().find(|other| other.eq_ignore_ascii_case(name)) {
                Some(other) => other.to_owned(),
                None => return Ok(None),
            },
        };
        let (format, mut bytes) = (self.format, Vec::new());
        let entry = self.zip.by_name(&name).map_err(|error| unreadable(format, error))?;
        self.budget -= unpack(entry, format, self.budget.min(limits::XML_PART_BYTES), &mut bytes)?;
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(ContentError::malformed(format, format_args!("part {name:?} is not UTF-8"))),
        }
    }

    /// Unpacks every entry into nothing, for libraries that open the archive again without limits of their own.
    pub(in super::super) fn measure(&mut self) -> Result<(), ContentError> {
        for index in 0..self.zip.len() {
            let format = self.format;
            let entry = self.zip.by_index(index).map_err(|error| unreadable(format, error))?;
            self.budget -= unpack(entry, format, self.budget, &mut io::sink())?;
        }
        Ok(())
    }
}

/// Unpacks one entry and returns its size. At most `limit` bytes are unpacked before it is refused.
fn unpack<R: Read>(
    entry: ZipFile<'_, R>,
    format: Format,
    limit: u64,
    target: &mut impl io::Write,
) -> Result<u64, ContentError> {
    let ratio_limit = entry.compressed_size().saturating_mul(limits::ARCHIVE_RATIO);
    let bounded = limit.min(ratio_limit.max(limits::ARCHIVE_RATIO_FROM_BYTES));
    let size = io::copy(&mut entry.take(bounded + 1), target)
        .map_err(|error| ContentError::malformed(format, format_args!("damaged archive entry: {error}")))?;
    if size > bounded {
        return Err(ContentError::TooLarge { format, what: "bytes when unpacked", limit: bounded });
    }
    Ok(size)
}

fn unreadable(format: Format, error: ZipError) -> ContentError {
    match error {
        ZipError::UnsupportedArchive(reason) if reason == ZipError::PASSWORD_REQUIRED => {
            ContentError::PasswordProtected { format }
        }
        other => ContentError::malformed(format, other),
    }
}

fn compound_file(bytes: &[u8], format: Format) -> ContentError {
    let encrypted: Vec<u8> = "EncryptedPackage".encode_utf16().flat_map(u16::to_le_bytes).collect();
    if bytes.windows(encrypted.len()).any(|window| window == encrypted) {
        ContentError::PasswordProtected { format }
    } else {
        ContentError::malformed(format, "it is a binary Office file of the formats before 2007")
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    fn archive_of(parts: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, content) in parts {
            writer.start_file(*name, SimpleFileOptions::default()).unwrap();
            writer.write_all(content).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    #[test]
    fn reads_parts_by_name_in_any_case() {
        let bytes = archive_of(&[("word/Document.xml", b"<a/>"), ("bad", b"\xff")]);
        let mut archive = Archive::open(&bytes, Format::Docx).unwrap();
        assert_eq!(archive.text("word/document.xml").unwrap(), "<a/>");
        assert_eq!(archive.optional_text("other").unwrap(), None);
        assert!(matches!(archive.text("other"), Err(ContentError::Malformed { .. })));
        assert!(matches!(archive.text("bad"), Err(ContentError::Malformed { .. })));
    }

    #[test]
    fn a_bomb_is_refused_before_it_is_unpacked() {
        let bytes = archive_of(&[("bomb.xml", &vec![b' '; 20 * 1024 * 1024])]);
        assert!(bytes.len() < 64 * 1024, "the bomb is small: {}", bytes.len());
        let error = Archive::open(&bytes, Format::Docx).unwrap().text("bomb.xml").unwrap_err();
        assert!(matches!(error, ContentError::TooLarge { what: "bytes when unpacked", .. }), "{error}");
        let error = Archive::open(&bytes, Format::Xlsx).unwrap().measure().unwrap_err();
        assert!(matches!(error, ContentError::TooLarge { what: "bytes when unpacked", .. }), "{error}");
    }

    #[test]
    fn all_entries_share_one_budget() {
        let part = vec![b' '; usize::try_from(limits::ARCHIVE_RATIO_FROM_BYTES).unwrap()];
        let names: Vec<String> = (0..66).map(|index| format!("part{index}")).collect();
        let parts: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), part.as_slice())).collect();
        let bytes = archive_of(&parts);
        let error = Archive::open(&bytes, Format::Xlsx).unwrap().measure().unwrap_err();
        assert!(matches!(error, ContentError::TooLarge { what: "bytes when unpacked", .. }), "{error}");
    }

    #[test]
    fn too_many_entries_are_refused() {
        let names: Vec<String> = (0..=limits::ARCHIVE_ENTRIES).map(|index| index.to_string()).collect();
        let parts: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), b"".as_slice())).collect();
        let error = Archive::open(&archive_of(&parts), Format::Pptx).err();
        assert!(matches!(error, Some(ContentError::TooLarge { what: "archive entries", .. })), "{error:?}");
    }

    #[test]
    fn encrypted_and_old_files_are_told_apart() {
        let mut bytes = COMPOUND_FILE.to_vec();
        let old = Archive::open(&bytes, Format::Docx).err();
        assert!(matches!(old, Some(ContentError::Malformed { .. })), "{old:?}");
        bytes.extend("EncryptedPackage".encode_utf16().flat_map(u16::to_le_bytes));
        let locked = Archive::open(&bytes, Format::Docx).err();
        assert_eq!(locked, Some(ContentError::PasswordProtected { format: Format::Docx }));
    }
}
