use std::collections::BTreeSet;
use std::task::Poll;
use std::time::{Duration, Instant};

use secrecy::SecretString;
use sqlx::Connection;

use crate::database::Database;
use crate::database::classify::classify;
use crate::database::test_database::TestDatabase;
use crate::error::ErrorKind;

async fn refused(url: &str) -> crate::error::Error {
    Database::connect(&SecretString::from(url.to_owned()), 1).await.expect_err("this cannot be connected to")
}

#[tokio::test]
async fn an_unusable_url_is_the_callers_mistake_and_is_not_repeated() {
    let error = refused("mysql://user:hunter2@host/db").await;
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(!error.chain().contains("hunter2"), "{}", error.chain());
}

#[tokio::test]
async fn nobody_listening_is_unavailable() {
    // Bound and closed again: nothing listens there.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = refused(&format!("postgres://user:hunter2@127.0.0.1:{port}/db")).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(!error.chain().contains("hunter2"), "{}", error.chain());
}

#[tokio::test]
async fn real_answers_are_classified_without_repeating_the_servers_words() {
    let test = TestDatabase::empty().await;
    let mut connection = test.connection().await;
    for (statement, kind, message) in [
        // A role is the server's, not the database's, so none is made: this one lacks the right by definition.
        (
            "SET ROLE pg_read_all_stats; CREATE TABLE public.x ()",
            ErrorKind::DestinationDenied,
            "the database role lacks a privilege while testing (SQLSTATE 42501)",
        ),
        (
            "SELECT secret FROM no_such_table",
            ErrorKind::Internal,
            "a table, column or function is missing (was `syncmux migrate` run?) while testing (SQLSTATE 42P01)",
        ),
        ("SELECT 'hunter2'::int", ErrorKind::Internal, "the database failed while testing (SQLSTATE 22P02)"),
        (
            "SET statement_timeout = 1; SELECT pg_sleep(60)",
            ErrorKind::Timeout,
            "the database cancelled the statement while testing (SQLSTATE 57014)",
        ),
    ] {
        let answer = sqlx::raw_sql(statement).execute(&mut connection).await.unwrap_err();
        let error = classify("testing", answer);
        assert_eq!((error.kind(), error.message()), (kind, message));
    }
}

#[tokio::test]
async fn a_database_that_does_not_exist_is_not_found() {
    let test = TestDatabase::empty().await;
    let error = test.connect_to("no_such_database").await.expect_err("there is none");
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_transaction_that_was_given_up_while_it_began_is_nobody_elses() {
    let test = TestDatabase::empty().await;
    test.run("CREATE TABLE public.x (n integer)").await;
    let pool = test.database.pool();
    let mut given_up = pool.acquire().await.unwrap();
    let started = Instant::now();
    loop {
        let mut begin = Box::pin(given_up.begin());
        // On a busy machine the answer may be there before anybody looks, and often so.
        match futures::poll!(&mut begin) {
            Poll::Pending => break,
            Poll::Ready(begun) => begun.unwrap().rollback().await.unwrap(),
        }
        assert!(started.elapsed() < Duration::from_secs(60), "BEGIN is always answered at once");
    }
    drop(given_up);
    sqlx::query("INSERT INTO public.x VALUES (1)").execute(pool).await.unwrap();
    let seen: i64 =
        sqlx::query_scalar("SELECT count(*) FROM public.x").fetch_one(&mut test.connection().await).await.unwrap();
    assert_eq!(seen, 1, "a statement of its own is committed when it is done");
}

#[tokio::test]
async fn a_connection_that_is_fine_is_used_again() {
    let test = TestDatabase::empty().await;
    let mut sessions = BTreeSet::new();
    for _ in 0..100 {
        let session: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(test.database.pool()).await.unwrap();
        sessions.insert(session);
    }
    // A connection goes back some time after it was dropped, so the next user may open another, up to the size of the pool.
    assert!(sessions.len() <= 8, "{} sessions, of which each costs more than what was done in it", sessions.len());
}
