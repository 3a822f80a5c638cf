//! Rows in the binary form of `COPY … FROM STDIN (FORMAT binary)`.
//!
//! Chosen over the text form because nothing needs escaping: names of objects may hold tabs, newlines and backslashes.
//! Format: PostgreSQL documentation, "COPY", "Binary Format". All numbers are big-endian.

/// The signature, then flags and the length of the header extension, both 0.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// A buffer of encoded rows.
#[derive(Debug)]
pub(super) struct BinaryRows {
    bytes: Vec<u8>,
}

impl BinaryRows {
    /// Begins with the header that comes before the first row.
    pub(super) fn new() -> Self {
        Self { bytes: HEADER.to_vec() }
    }

    /// Begins a row of `columns` values.
    pub(super) fn row(&mut self, columns: i16) -> &mut Self {
        self.bytes.extend_from_slice(&columns.to_be_bytes());
        self
    }

    /// Appends a value of type `text`.
    pub(super) fn text(&mut self, value: &str) -> &mut Self {
        let length = i32::try_from(value.len()).expect("callers bound texts far below 2 GiB");
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.extend_from_slice(value.as_bytes());
        self
    }

    /// Appends a value of type `bigint`.
    pub(super) fn bigint(&mut self, value: i64) -> &mut Self {
        self.bytes.extend_from_slice(&8_i32.to_be_bytes());
        self.bytes.extend_from_slice(&value.to_be_bytes());
        self
    }

    /// Appends the mark that comes after the last row.
    pub(super) fn end(&mut self) {
        self.bytes.extend_from_slice(&(-1_i16).to_be_bytes());
    }

    /// What was encoded and not yet taken, in bytes.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Forgets what was encoded, once it is sent. The buffer stays allocated.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
    }

    /// The encoded bytes.
    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_encoded_as_documented() {
        let mut rows = BinaryRows::new();
        rows.row(2).text("é\n").bigint(258);
        rows.end();
        let mut expected = b"PGCOPY\n\xff\r\n\0".to_vec();
        expected.extend_from_slice(&[0; 8]);
        expected.extend_from_slice(&[0, 2]);
        expected.extend_from_slice(&[0, 0, 0, 3, 0xc3, 0xa9, b'\n']);
        expected.extend_from_slice(&[0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 1, 2]);
        expected.extend_from_slice(&[0xff, 0xff]);
        assert_eq!(rows.as_slice(), expected);
    }
}
