//! What a failure of Postgres means to us: the one place where `sqlx` errors become [`ErrorKind`]s.
//!
//! Messages name what was being done, the SQLSTATE and the constraint, and nothing else: the server's own words may quote
//! values, and those may be anybody's. They stay in the source, for logs.
//! Codes: PostgreSQL documentation, Appendix A.

use crate::error::{Error, ErrorKind, Result};

/// Classifies `error`; `doing` completes the sentence "the database failed while …".
#[must_use]
pub fn classify(doing: &str, error: sqlx::Error) -> Error {
    use sqlx::Error as E;
    let (kind, what) = match &error {
        E::Database(answer) => {
            let code = answer.code().unwrap_or_default();
            let (kind, what) = by_sqlstate(&code);
            let constraint = answer.constraint().map(|name| format!(", constraint {name}")).unwrap_or_default();
            let message = format!("{what} while {doing} (SQLSTATE {code}{constraint})");
            return Error::new(kind, message).with_source(error);
        }
        E::Io(_) => (ErrorKind::Unavailable, "the connection to the database broke"),
        E::Tls(_) => (ErrorKind::Unavailable, "no encrypted connection to the database could be made"),
        E::PoolClosed | E::WorkerCrashed => (ErrorKind::Unavailable, "the database pool is shut down"),
        E::BeginFailed => (ErrorKind::Unavailable, "no transaction could be begun"),
        E::PoolTimedOut => (
            ErrorKind::Timeout,
            "no database connection became free in time (raise the pool's size, or look for what holds them)",
        ),
        E::Configuration(_) => {
            return Error::new(ErrorKind::InvalidInput, format!("the database settings are unusable while {doing}"));
        }
        _ => (ErrorKind::Internal, "the database gave an answer that was not understood"),
    };
    Error::new(kind, format!("{what} while {doing}")).with_source(error)
}

/// Kind and words for an SQLSTATE.
fn by_sqlstate(code: &str) -> (ErrorKind, &'static str) {
    match code {
        "57014" => (ErrorKind::Timeout, "the database cancelled the statement"),
        "40002" => (ErrorKind::Internal, "the database found a rule broken"),
        "53100" => (ErrorKind::OutOfSpace, "the database has no disk space left"),
        "54000" | "54001" | "54011" | "54023" => (ErrorKind::TooLarge, "the statement is over a limit of the database"),
        "55P03" => (ErrorKind::Unavailable, "a lock was not free in time"),
        "55006" | "55000" => (ErrorKind::Unavailable, "the database object is busy or not in the needed state"),
        "25006" => (ErrorKind::Unavailable, "the database is read only now, as a standby is"),
        "58030" => (ErrorKind::Unavailable, "the database could not read or write its files"),
        "42501" => (ErrorKind::DestinationDenied, "the database role lacks a privilege"),
        "3D000" => (ErrorKind::NotFound, "the database does not exist"),
        "42P01" | "42703" | "3F000" | "42883" => {
            (ErrorKind::Internal, "a table, column or function is missing (was `syncmux migrate` run?)")
        }
        "22021" | "22P05" => (ErrorKind::InvalidInput, "a text holds a character that Postgres cannot store"),
        _ => match code.get(..2).unwrap_or_default() {
            "08" => (ErrorKind::Unavailable, "the connection to the database failed"),
            "28" => (ErrorKind::DestinationDenied, "the database refused the worker's credentials"),
            "40" => (ErrorKind::Unavailable, "the transaction lost a race and was rolled back"),
            "53" => (ErrorKind::Unavailable, "the database is short of a resource"),
            "57" => (ErrorKind::Unavailable, "the database is shutting down or starting"),
            "23" => (ErrorKind::Internal, "a rule of the schema refused the change"),
            _ => (ErrorKind::Internal, "the database failed"),
        },
    }
}

/// Classification at the end of a call: `query.await.during("reading the sync")?`.
pub(crate) trait During<T> {
    /// Classifies the error; see [`classify`].
    fn during(self, doing: &str) -> Result<T>;
}

impl<T> During<T> for Result<T, sqlx::Error> {
    fn during(self, doing: &str) -> Result<T> {
        self.map_err(|error| classify(doing, error))
    }
}

/// Whether `error` says that the constraint of this name refused the change.
pub(crate) fn is_violation_of(error: &sqlx::Error, constraint: &str) -> bool {
    error.as_database_error().is_some_and(|answer| answer.constraint() == Some(constraint))
}

#[cfg(test)]
mod tests {
    use std::io;

    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::connection_exception("08006", ErrorKind::Unavailable)]
    #[case::cannot_connect("08001", ErrorKind::Unavailable)]
    #[case::admin_shutdown("57P01", ErrorKind::Unavailable)]
    #[case::crash_shutdown("57P02", ErrorKind::Unavailable)]
    #[case::starting_up("57P03", ErrorKind::Unavailable)]
    #[case::statement_timeout("57014", ErrorKind::Timeout)]
    #[case::serialization("40001", ErrorKind::Unavailable)]
    #[case::deadlock("40P01", ErrorKind::Unavailable)]
    #[case::disk_full("53100", ErrorKind::OutOfSpace)]
    #[case::out_of_memory("53200", ErrorKind::Unavailable)]
    #[case::too_many_connections("53300", ErrorKind::Unavailable)]
    #[case::lock_not_available("55P03", ErrorKind::Unavailable)]
    #[case::standby("25006", ErrorKind::Unavailable)]
    #[case::bad_password("28P01", ErrorKind::DestinationDenied)]
    #[case::bad_user("28000", ErrorKind::DestinationDenied)]
    #[case::no_privilege("42501", ErrorKind::DestinationDenied)]
    #[case::no_database("3D000", ErrorKind::NotFound)]
    #[case::not_migrated("42P01", ErrorKind::Internal)]
    #[case::check("23514", ErrorKind::Internal)]
    #[case::unique("23505", ErrorKind::Internal)]
    #[case::null_character("22021", ErrorKind::InvalidInput)]
    #[case::too_complex("54001", ErrorKind::TooLarge)]
    #[case::unknown("XX000", ErrorKind::Internal)]
    #[case::empty("", ErrorKind::Internal)]
    #[case::not_ascii("é", ErrorKind::Internal)]
    fn codes(#[case] code: &str, #[case] kind: ErrorKind) {
        assert_eq!(by_sqlstate(code).0, kind);
    }

    #[rstest]
    #[case(sqlx::Error::PoolTimedOut, ErrorKind::Timeout)]
    #[case(sqlx::Error::PoolClosed, ErrorKind::Unavailable)]
    #[case(sqlx::Error::WorkerCrashed, ErrorKind::Unavailable)]
    #[case(sqlx::Error::Io(io::ErrorKind::ConnectionReset.into()), ErrorKind::Unavailable)]
    #[case(sqlx::Error::Tls("handshake".into()), ErrorKind::Unavailable)]
    #[case(sqlx::Error::RowNotFound, ErrorKind::Internal)]
    #[case(sqlx::Error::Protocol("odd".into()), ErrorKind::Internal)]
    fn failures_without_a_code(#[case] error: sqlx::Error, #[case] kind: ErrorKind) {
        assert_eq!(classify("testing", error).kind(), kind);
    }

    #[test]
    fn settings_are_never_repeated_not_even_in_the_chain() {
        let error = classify("connecting", sqlx::Error::Configuration("postgres://u:hunter2@h/d".into()));
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(!error.chain().contains("hunter2"), "{}", error.chain());
    }
}
