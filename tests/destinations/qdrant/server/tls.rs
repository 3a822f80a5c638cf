//! A server with a certificate of a private authority.

use std::process::Command;

use harness::qdrant::QdrantServerOptions;

use crate::qdrant::target::{Target, client};

/// Tells the child what to connect to. The client reads `SSL_CERT_FILE` once per process, so the other half is a process.
const URL: &str = "SYNCMUX_TEST_TLS_URL";

#[tokio::test]
async fn a_private_authority_is_trusted_when_the_environment_names_it() {
    let options = QdrantServerOptions { tls: true, ..QdrantServerOptions::default() };
    let Some(target) = Target::scripted(options).await else { return };
    let url = target.server().url();
    assert!(url.starts_with("https://"));
    let folder = tempfile::tempdir().expect("a folder");
    let authority = folder.path().join("authority.pem");
    std::fs::write(&authority, target.server().authority_pem()).expect("the folder is writable");
    let ask = |trusting: bool| {
        let mut child = Command::new(std::env::current_exe().expect("a test program has a path"));
        child.args(["--exact", "--ignored", "qdrant::server::tls::asks_for_the_version"]).env(URL, &url);
        if trusting {
            child.env("SSL_CERT_FILE", &authority);
        } else {
            child.env_remove("SSL_CERT_FILE");
        }
        tokio::task::spawn_blocking(move || child.output().expect("the test program runs"))
    };
    let trusting = ask(true).await.expect("it ends");
    assert!(trusting.status.success(), "{}", String::from_utf8_lossy(&trusting.stdout));
    let doubting = ask(false).await.expect("it ends");
    assert!(!doubting.status.success(), "an authority that nobody knows is not trusted");
}

#[tokio::test]
#[ignore = "the other half of the test above, run by it in a process of its own"]
async fn asks_for_the_version() {
    let url = std::env::var(URL).expect("run by the test above");
    let health = client(&url, None).health_check().await.expect("the certificate is trusted");
    assert_eq!(health.version, harness::qdrant::VERSION);
}
