//! The reader: everything Python's `json.dumps` can emit, and nothing Python's `json.loads` would refuse.

use super::{Int, Object, PyString, PyStringBuilder, Value};

/// Deepest nesting of lists and objects that is read. Bounds the stack; what entities hold nests a few levels.
pub const MAX_DEPTH: usize = 200;

/// Why a text is no JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// It is the beginning of one: cut short, or read while it was being written. Reading again may help.
    #[error("JSON ends too early, at byte {offset}: the text was cut, or read while it was being written")]
    Truncated {
        /// Length of the text in bytes.
        offset: usize,
    },
    /// No continuation could make it one.
    #[error("malformed JSON at byte {offset}: expected {expected}")]
    Malformed {
        /// Where, in bytes.
        offset: usize,
        /// What should have been there.
        expected: &'static str,
    },
    /// Lists and objects nest too deep.
    #[error("JSON nests deeper than {MAX_DEPTH} levels at byte {offset}")]
    TooDeep {
        /// Where, in bytes.
        offset: usize,
    },
}

impl ParseError {
    /// Whether the text is a proper beginning, so that a second read may find it whole.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        matches!(self, Self::Truncated { .. })
    }

    /// Where, in bytes from the start.
    #[must_use]
    pub fn offset(&self) -> usize {
        match self {
            Self::Truncated { offset } | Self::Malformed { offset, .. } | Self::TooDeep { offset } => *offset,
        }
    }
}

/// Reads one JSON value that fills the whole input, in UTF-8 and without a byte order mark.
///
/// Beyond strict JSON it takes `NaN`, `Infinity` and `-Infinity`, integers of any size and lone surrogates in escapes.
///
/// # Errors
/// [`ParseError`]; an empty input counts as truncated.
pub fn parse(input: &[u8]) -> Result<Value, ParseError> {
    let text = match std::str::from_utf8(input) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => return Err(ParseError::Truncated { offset: input.len() }),
        Err(error) => return Err(ParseError::Malformed { offset: error.valid_up_to(), expected: "UTF-8" }),
    };
    let mut parser = Parser { text, bytes: input, at: 0, depth: 0 };
    let value = parser.value()?;
    parser.skip_space();
    if parser.at < input.len() { Err(parser.malformed("the end of the text")) } else { Ok(value) }
}

/// The bytes that end a run of plain text inside a string: control characters, quote and backslash.
const SPECIAL: [bool; 256] = {
    let mut special = [false; 256];
    let mut byte = 0;
    while byte < b' ' as usize {
        special[byte] = true;
        byte += 1;
    }
    special[b'"' as usize] = true;
    special[b'\\' as usize] = true;
    special
};

struct Parser<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn value(&mut self) -> Result<Value, ParseError> {
        self.skip_space();
        match self.peek()? {
            b'"' => self.string().map(Value::String),
            b'{' => self.nested(Self::object),
            b'[' => self.nested(Self::array),
            b'n' => self.word("null", Value::Null),
            b't' => self.word("true", Value::Bool(true)),
            b'f' => self.word("false", Value::Bool(false)),
            b'N' => self.word("NaN", Value::Float(f64::NAN)),
            b'I' => self.word("Infinity", Value::Float(f64::INFINITY)),
            b'-' if self.bytes.get(self.at + 1) == Some(&b'I') => {
                self.word("-Infinity", Value::Float(f64::NEG_INFINITY))
            }
            b'-' | b'0'..=b'9' => self.number(),
            _ => Err(self.malformed("a value")),
        }
    }

    fn nested(&mut self, read: fn(&mut Self) -> Result<Value, ParseError>) -> Result<Value, ParseError> {
        if self.depth == MAX_DEPTH {
            return Err(ParseError::TooDeep { offset: self.at });
        }
        self.depth += 1;
        self.at += 1;
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    fn array(&mut self) -> Result<Value, ParseError> {
        let mut items = Vec::new();
        self.skip_space();
        if self.take(b']')? {
            return Ok(Value::Array(items));
        }
        loop {
            items.push(self.value()?);
            self.skip_space();
            if self.take(b']')? {
                return Ok(Value::Array(items));
            }
            self.expect(b',', "',' or ']'")?;
        }
    }

    fn object(&mut self) -> Result<Value, ParseError> {
        let mut entries = Vec::new();
        self.skip_space();
        if self.take(b'}')? {
            return Ok(Value::Object(Object::default()));
        }
        loop {
            self.skip_space();
            if self.peek()? != b'"' {
                return Err(self.malformed("a key in double quotes"));
            }
            let key = self.string()?;
            self.skip_space();
            self.expect(b':', "':'")?;
            entries.push((key, self.value()?));
            self.skip_space();
            if self.take(b'}')? {
                return Ok(Value::Object(Object::from_entries(entries)));
            }
            self.expect(b',', "',' or '}'")?;
        }
    }

    /// `-?(0|[1-9][0-9]*)` is an integer; with a fraction or an exponent it is a float.
    fn number(&mut self) -> Result<Value, ParseError> {
        let start = self.at;
        self.at += usize::from(self.bytes[start] == b'-');
        if self.peek()? == b'0' {
            self.at += 1;
        } else {
            self.digits()?;
        }
        let mut float = false;
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
            float = true;
        }
        if matches!(self.bytes.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.peek()?, b'+' | b'-'));
            self.digits()?;
            float = true;
        }
        let digits = &self.text[start..self.at];
        if !float {
            return Ok(Value::Int(Int::from_json(digits)));
        }
        // Rust reads every such text, correctly rounded, and overflows to infinity, as Python does.
        digits
            .parse()
            .map(Value::Float)
            .map_err(|_| ParseError::Malformed { offset: start, expected: "a floating-point number" })
    }

    fn digits(&mut self) -> Result<(), ParseError> {
        if !self.peek()?.is_ascii_digit() {
            return Err(self.malformed("a digit"));
        }
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        Ok(())
    }

    fn string(&mut self) -> Result<PyString, ParseError> {
        self.at += 1;
        let start = self.at;
        self.skip_plain();
        if self.peek()? == b'"' {
            self.at += 1;
            return Ok(PyString::from(&self.text[start..self.at - 1]));
        }
        let mut builder = PyStringBuilder::default();
        builder.push_str(&self.text[start..self.at]);
        loop {
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Ok(builder.finish());
                }
                b'\\' => self.escape(&mut builder)?,
                _ => return Err(self.malformed("no raw control character inside a string")),
            }
            let start = self.at;
            self.skip_plain();
            builder.push_str(&self.text[start..self.at]);
        }
    }

    /// Moves to the next quote, backslash or control character, or to the end.
    fn skip_plain(&mut self) {
        let rest = &self.bytes[self.at..];
        self.at += rest.iter().position(|byte| SPECIAL[usize::from(*byte)]).unwrap_or(rest.len());
    }

    fn escape(&mut self, builder: &mut PyStringBuilder) -> Result<(), ParseError> {
        self.at += 1;
        let character = match self.peek()? {
            b'u' => {
                self.at += 1;
                builder.push_code_unit(self.hex4()?);
                return Ok(());
            }
            b'n' => '\n',
            b't' => '\t',
            b'r' => '\r',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            other @ (b'"' | b'\\' | b'/') => char::from(other),
            _ => return Err(self.malformed("an escape: one of \" \\ / b f n r t u")),
        };
        builder.push(character);
        self.at += 1;
        Ok(())
    }

    fn hex4(&mut self) -> Result<u16, ParseError> {
        let mut unit = 0;
        for _ in 0..4 {
            let digit = match self.peek()? {
                byte @ b'0'..=b'9' => byte - b'0',
                byte @ b'a'..=b'f' => byte - b'a' + 10,
                byte @ b'A'..=b'F' => byte - b'A' + 10,
                _ => return Err(self.malformed("four hexadecimal digits")),
            };
            unit = unit << 4 | u16::from(digit);
            self.at += 1;
        }
        Ok(unit)
    }

    fn word(&mut self, word: &'static str, value: Value) -> Result<Value, ParseError> {
        for (index, byte) in word.bytes().enumerate() {
            match self.bytes.get(self.at + index) {
                Some(found) if *found == byte => {}
                Some(_) => return Err(ParseError::Malformed { offset: self.at + index, expected: word }),
                None => return Err(ParseError::Truncated { offset: self.bytes.len() }),
            }
        }
        self.at += word.len();
        Ok(value)
    }

    fn skip_space(&mut self) {
        while matches!(self.bytes.get(self.at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Result<u8, ParseError> {
        self.bytes.get(self.at).copied().ok_or(ParseError::Truncated { offset: self.at })
    }

    fn take(&mut self, byte: u8) -> Result<bool, ParseError> {
        let found = self.peek()? == byte;
        self.at += usize::from(found);
        Ok(found)
    }

    fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), ParseError> {
        if self.take(byte)? { Ok(()) } else { Err(self.malformed(expected)) }
    }

    fn malformed(&self, expected: &'static str) -> ParseError {
        ParseError::Malformed { offset: self.at, expected }
    }
}

#[cfg(test)]
mod tests;
