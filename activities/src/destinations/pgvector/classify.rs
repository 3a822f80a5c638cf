//! What each failure of the driver or the server means: `sqlx::Error` becomes a kind, once, here.
//!
//! SQLSTATE codes: PostgreSQL documentation, appendix A.

use std::io;

use crate::error::{Error, ErrorKind};

/// Classifies a failure of `doing`, such as "count points".
pub(super) fn classify(doing: &str, error: sqlx::Error) -> Error {
    let (kind, problem) = explain(&error);
    let said = Error::new(kind, format!("pgvector could not {doing}: {problem}"));
    // The server quotes values in its words about data, and the parser of connection URLs might quote a password.
    if is_data_error(&error) || matches!(error, sqlx::Error::Configuration(_)) { said } else { said.with_source(error) }
}

/// Whether the server refused what was in the rows: no retry helps, and the other rows of the batch may be fine.
///
/// Class 22 is data exceptions, class 54 is limits on the size of a row, a value or nested JSON, 23514 a check.
pub(super) fn is_data_error(error: &sqlx::Error) -> bool {
    sqlstate(error).is_some_and(|code| code.starts_with("22") || code.starts_with("54") || code == "23514")
}

/// Whether a `CREATE` lost a race: the object is there, made by somebody else in the meantime.
pub(super) fn is_already_there(error: &sqlx::Error) -> bool {
    sqlstate(error).is_some_and(|code| matches!(code.as_str(), "23505" | "42710" | "42P06" | "42P07"))
}

/// Whether the server says that the table does not exist.
pub(super) fn is_undefined_table(error: &sqlx::Error) -> bool {
    sqlstate(error).is_some_and(|code| code == "42P01")
}

/// The five characters of the server's verdict, when the server gave one.
pub(super) fn sqlstate(error: &sqlx::Error) -> Option<String> {
    error.as_database_error()?.code().map(|code| code.into_owned())
}

fn explain(error: &sqlx::Error) -> (ErrorKind, String) {
    match error {
        sqlx::Error::Database(_) => match sqlstate(error) {
            Some(code) => explain_sqlstate(&code),
            None => (ErrorKind::Internal, "the server failed without a code".into()),
        },
        sqlx::Error::Io(error) if error.kind() == io::ErrorKind::TimedOut => {
            (ErrorKind::Timeout, "the connection timed out".into())
        }
        sqlx::Error::Io(_) => (ErrorKind::Unavailable, "the connection broke".into()),
        sqlx::Error::Tls(_) => (ErrorKind::Unavailable, "TLS could not be agreed on; check sslmode in the URL".into()),
        sqlx::Error::PoolTimedOut => {
            (ErrorKind::Unavailable, "no connection was to be had in time; is the server up and not full?".into())
        }
        sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
            (ErrorKind::Unavailable, "the connection pool is closing".into())
        }
        sqlx::Error::Configuration(_) => (ErrorKind::InvalidInput, "the connection URL is not a valid one".into()),
        _ => (ErrorKind::Internal, "the driver could not handle the answer".into()),
    }
}

fn explain_sqlstate(code: &str) -> (ErrorKind, String) {
    let (kind, problem) = match code {
        "53100" => (ErrorKind::OutOfSpace, "the server's disk is full"),
        "57014" | "25P03" | "25P04" => (ErrorKind::Timeout, "the server's time limit was reached"),
        "55P03" => (ErrorKind::Unavailable, "somebody else holds a lock on the table"),
        "40001" | "40P01" => (ErrorKind::Unavailable, "another transaction was in the way"),
        "53300" => (ErrorKind::Unavailable, "the server has no free connections"),
        "25006" => (ErrorKind::Unavailable, "the server is read-only; is it a standby?"),
        "42501" => (ErrorKind::DestinationDenied, "the role lacks a privilege"),
        "42P01" | "3F000" => (ErrorKind::NotFound, "the slot has no table here; it was never prepared or is cleared"),
        "3D000" => (ErrorKind::InvalidInput, "the connection's URL names a database that does not exist"),
        "42703" | "42704" | "42804" | "42883" => {
            (ErrorKind::IncompatibleDestination, "the table or the extension is not as expected")
        }
        _ if code.starts_with("28") => (ErrorKind::DestinationDenied, "the server refused the credentials"),
        _ if code.starts_with("08") || code.starts_with("57P") => {
            (ErrorKind::Unavailable, "the server is not available now")
        }
        _ if code.starts_with("53") || code.starts_with("58") => {
            (ErrorKind::Unavailable, "the server is short of resources")
        }
        _ if code.starts_with("0A") => (ErrorKind::IncompatibleDestination, "the server lacks a feature"),
        _ => (ErrorKind::Internal, "the server failed"),
    };
    (kind, format!("{problem} (SQLSTATE {code})"))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("28P01", ErrorKind::DestinationDenied)]
    #[case("28000", ErrorKind::DestinationDenied)]
    #[case("42501", ErrorKind::DestinationDenied)]
    #[case("08006", ErrorKind::Unavailable)]
    #[case("57P01", ErrorKind::Unavailable)]
    #[case("57P03", ErrorKind::Unavailable)]
    #[case("40001", ErrorKind::Unavailable)]
    #[case("40P01", ErrorKind::Unavailable)]
    #[case("53300", ErrorKind::Unavailable)]
    #[case("53200", ErrorKind::Unavailable)]
    #[case("25006", ErrorKind::Unavailable)]
    #[case("53100", ErrorKind::OutOfSpace)]
    #[case("57014", ErrorKind::Timeout)]
    #[case("42P01", ErrorKind::NotFound)]
    #[case("3D000", ErrorKind::InvalidInput)]
    #[case("42704", ErrorKind::IncompatibleDestination)]
    #[case("0A000", ErrorKind::IncompatibleDestination)]
    #[case("XX000", ErrorKind::Internal)]
    #[case("22023", ErrorKind::Internal)]
    fn codes_have_kinds(#[case] code: &str, #[case] kind: ErrorKind) {
        let (found, words) = explain_sqlstate(code);
        assert_eq!(found, kind);
        assert!(words.contains(code), "{words}");
    }

    #[test]
    fn the_driver_has_kinds_too() {
        let io = |kind| sqlx::Error::Io(io::Error::from(kind));
        let kind = |error| classify("test", error).kind();
        assert_eq!(kind(io(io::ErrorKind::ConnectionReset)), ErrorKind::Unavailable);
        assert_eq!(kind(io(io::ErrorKind::TimedOut)), ErrorKind::Timeout);
        assert_eq!(kind(sqlx::Error::PoolTimedOut), ErrorKind::Unavailable);
        assert_eq!(kind(sqlx::Error::RowNotFound), ErrorKind::Internal);
    }

    #[test]
    fn a_bad_url_is_not_repeated() {
        let error = classify("connect", sqlx::Error::Configuration("postgres://me:secret@".into()));
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(!error.chain().contains("secret"), "{}", error.chain());
    }
}
