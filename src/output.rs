//! What commands print: a table or JSON on stdout, failures on stderr with an exit code that means something.

use std::fmt;
use std::process::ExitCode;

use comfy_table::{ContentArrangement, Table, presets};
use workflows::domain::ErrorKind;

/// A command that did not succeed.
#[derive(Debug)]
pub struct Failure {
    kind: Option<ErrorKind>,
    message: String,
}

impl Failure {
    /// A failure of a known kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind: Some(kind), message: message.into() }
    }

    /// The kind, when there is one.
    #[must_use]
    pub fn kind(&self) -> Option<ErrorKind> {
        self.kind
    }

    /// What happened and what to do, without the kind.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Prints the failure and gives the exit code of its kind.
    pub fn exit(&self) -> ExitCode {
        eprintln!("syncmux: {self}");
        ExitCode::from(self.kind.map_or(1, ErrorKind::exit_code))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Some(kind) => write!(f, "{kind}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl From<activities::error::Error> for Failure {
    fn from(error: activities::error::Error) -> Self {
        tracing::debug!(error = error.chain(), "failed");
        Self::new(error.kind(), error.message())
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast::<activities::error::Error>() {
            Ok(error) => error.into(),
            Err(error) => Self { kind: None, message: format!("{error:#}") },
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self { kind: None, message: error.to_string() }
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self { kind: None, message: error.to_string() }
    }
}

/// A table without frames, with a header line.
#[must_use]
pub fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled).set_header(header);
    table
}

/// Prints a value as indented JSON.
///
/// # Errors
///
/// When the value has no JSON form.
pub fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}
