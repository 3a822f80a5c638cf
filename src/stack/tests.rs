//! The stack on real servers. Needs `make prepare`.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use sqlx::{Connection, PgConnection};

use super::report::ServerState;
use super::*;

/// A stack of its own for one test, on free ports; stopped and removed at the end, also when the test fails.
struct Sandbox {
    options: StackOptions,
}

impl Sandbox {
    fn new(name: &str) -> Self {
        let dev_dir = find_dev_dir().expect("a checkout");
        StackPaths::discover(&dev_dir).expect("prepared tools");
        let run_dir = dev_dir.join(format!("self-test-{}-{name}", std::process::id()));
        let port = || free_port().expect("port");
        let ports = PreferredPorts { postgres: port(), temporal: port(), temporal_ui: port() };
        let mut options = StackOptions::test(&dev_dir);
        (options.run_dir, options.ports) = (run_dir, ports);
        Self { options }
    }

    async fn up(&self) -> Stack {
        Stack::up(&self.options).await.expect("up")
    }

    fn state_file(&self) -> PathBuf {
        self.options.run_dir.join("stack.json")
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let options = self.options.clone();
        // The test's own runtime cannot be blocked on from here.
        let tidy = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
            runtime.block_on(Stack::discard(&options))
        });
        let result = tidy.join().expect("no panic");
        if !std::thread::panicking() {
            result.expect("discard");
        }
    }
}

async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url).await.expect("connect")
}

#[tokio::test(flavor = "multi_thread")]
async fn up_twice_uses_the_same_servers_and_down_twice_is_fine() {
    let sandbox = Sandbox::new("twice");
    Stack::down(&sandbox.options).await.expect("nothing to stop");

    let (first, second) = tokio::join!(sandbox.up(), sandbox.up());
    assert_eq!((first.postgres_pid(), first.temporal_pid()), (second.postgres_pid(), second.temporal_pid()));

    let status = Stack::status(&sandbox.options).await.expect("status");
    assert_eq!((status.postgres.state, status.temporal.state), (ServerState::Running, ServerState::Running));
    assert_eq!(status.temporal.address, Some(first.temporal_address()));

    Stack::down(&sandbox.options).await.expect("down");
    Stack::down(&sandbox.options).await.expect("down again");
    let status = Stack::status(&sandbox.options).await.expect("status");
    assert_eq!((status.postgres.state, status.temporal.state), (ServerState::Stopped, ServerState::Stopped));
    assert_eq!(status.temporal_ui_url, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn data_survives_a_kill_of_both_servers() {
    let sandbox = Sandbox::new("kill");
    let stack = sandbox.up().await;
    let url = stack.create_database("kept").await.expect("create");
    let mut connection = connect(&url).await;
    sqlx::raw_sql("CREATE EXTENSION vector; CREATE TABLE t (v vector(3)); INSERT INTO t VALUES ('[1,2,3]')")
        .execute(&mut connection)
        .await
        .expect("pgvector works");

    stack.kill9_postgres().await.expect("kill");
    stack.kill9_temporal().await.expect("kill");
    let again = sandbox.up().await;
    assert_ne!(again.postgres_pid(), stack.postgres_pid());
    assert_ne!(again.temporal_pid(), stack.temporal_pid());
    assert_eq!(again.database_url("kept"), url, "clients find it at the same port");
    assert_eq!(again.temporal_address(), stack.temporal_address());
    let text: String =
        sqlx::query_scalar("SELECT v::text FROM t").fetch_one(&mut connect(&url).await).await.expect("the row");
    assert_eq!(text, "[1,2,3]");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_or_lying_state_file_does_no_harm() {
    let sandbox = Sandbox::new("state");
    let stack = sandbox.up().await;

    // Lost: the running servers are found by their data and replaced.
    fs::remove_file(sandbox.state_file()).expect("remove");
    let second = sandbox.up().await;
    assert_ne!(second.postgres_pid(), stack.postgres_pid());
    assert_ne!(second.temporal_pid(), stack.temporal_pid());

    // Lying: the pids now belong to somebody else (us), who must not be signalled.
    let state = fs::read_to_string(sandbox.state_file()).expect("read");
    let us = std::process::id().to_string();
    let lie = state.replace(&second.postgres_pid().to_string(), &us).replace(&second.temporal_pid().to_string(), &us);
    fs::write(sandbox.state_file(), lie).expect("write");
    let third = sandbox.up().await;
    assert_ne!(third.postgres_pid(), second.postgres_pid());
    let mut connection = connect(&third.postgres_admin_url()).await;
    let one: i32 = sqlx::query_scalar("SELECT 1").fetch_one(&mut connection).await.expect("answer");
    assert_eq!(one, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pid_file_that_names_another_process_is_no_obstacle() {
    let sandbox = Sandbox::new("pid-file");
    let stack = sandbox.up().await;
    let mut connection = connect(&stack.postgres_admin_url()).await;
    let data_dir: String =
        sqlx::query_scalar("SHOW data_directory").fetch_one(&mut connection).await.expect("data directory");
    stack.kill9_postgres().await.expect("kill");
    let pid_file = PathBuf::from(data_dir).join("postmaster.pid");
    let text = fs::read_to_string(&pid_file).expect("left behind");
    let rest = text.split_once('\n').expect("lines").1;
    fs::write(&pid_file, format!("{}\n{rest}", std::process::id())).expect("write");
    let again = sandbox.up().await;
    assert_eq!(again.postgres_admin_url(), stack.postgres_admin_url());
}

#[tokio::test(flavor = "multi_thread")]
async fn ports_that_others_hold_are_left_to_them() {
    let sandbox = Sandbox::new("ports");
    let PreferredPorts { postgres, temporal, temporal_ui } = sandbox.options.ports;
    let _held = [postgres, temporal, temporal_ui].map(|port| TcpListener::bind((LOOPBACK, port)).expect("bind"));
    let stack = sandbox.up().await;
    assert!(!stack.postgres_admin_url().contains(&postgres.to_string()));
    assert!(!stack.temporal_address().contains(&temporal.to_string()));
    assert!(!stack.temporal_ui_url().contains(&temporal_ui.to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn databases_come_and_go() {
    let sandbox = Sandbox::new("databases");
    let stack = sandbox.up().await;
    let url = stack.create_database("one").await.expect("create");
    assert!(stack.create_database("one").await.is_err(), "taken");
    let mut connected = connect(&url).await;
    sqlx::raw_sql("CREATE TABLE t ()").execute(&mut connected).await.expect("table");
    stack.recreate_database("one").await.expect("recreate while somebody is connected");
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
        .fetch_one(&mut connect(&url).await)
        .await
        .expect("count");
    assert_eq!(tables, 0);
    stack.drop_database("one").await.expect("drop");
    stack.drop_database("one").await.expect("drop again");
    assert!(stack.create_database("a\"; DROP DATABASE postgres; --").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_temporal_comes_back_on_its_port_and_ends_with_its_handle() {
    let paths = StackPaths::discover(&find_dev_dir().expect("a checkout")).expect("prepared tools");
    let dir = tempfile::tempdir().expect("directory");
    let options = TemporalServerOptions::private(paths.temporal_bin(), dir.path());
    let mut server = TemporalServer::start(options).await.expect("start");
    let (address, pid) = (server.address(), server.pid());
    server.kill9().await.expect("kill");
    assert!(tokio::net::TcpStream::connect(&address).await.is_err(), "it is gone");
    server.restart().await.expect("restart");
    assert_eq!(server.address(), address);
    assert_ne!(server.pid(), pid);
    let process = process::ServerProcess::of_pid(server.pid()).expect("it runs");
    drop(server);
    assert!(process.until_gone(Duration::from_secs(10)).await);
}
