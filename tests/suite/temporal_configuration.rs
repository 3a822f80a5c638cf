//! Temporal's own configuration is used: TLS with an authority of one's own, a client's certificate, a key, a namespace.
//!
//! The server here speaks TLS and HTTP/2 and answers every call that it is not implemented; what it was asked, and by whom, is
//! what counts.

use std::io::Read as _;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use harness::syncmux;
use harness::vespa::Tls;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use prost::Message as _;
use tempfile::TempDir;
use temporalio_common::protos::temporal::api::operatorservice::v1::ListSearchAttributesRequest;
use tokio::net::TcpListener;
use tokio::process::Command;

/// A call: its path, key and namespace, and whether the caller showed a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Call {
    path: String,
    authorization: String,
    namespace: String,
    certified: bool,
}

/// Answers every call with gRPC's "unimplemented", which says to a client that the server is old.
async fn serve(listener: TcpListener, tls: Tls, calls: Arc<Mutex<Vec<Call>>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let Ok(stream) = tls.accept(stream).await else { continue };
        let certified = stream.get_ref().1.peer_certificates().is_some_and(|chain| !chain.is_empty());
        let calls = Arc::clone(&calls);
        let answer = async move |request: Request| {
            let authorization = request.headers().get("authorization").and_then(|it| it.to_str().ok());
            let authorization = authorization.unwrap_or_default().to_owned();
            let path = request.uri().path().to_owned();
            let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap_or_default();
            let call = Call { path, authorization, namespace: namespace(&body), certified };
            calls.lock().expect("nobody panicked").push(call);
            unimplemented()
        };
        let service = TowerToHyperService::new(Router::new().fallback(answer));
        tokio::spawn(async move {
            let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// The namespace in the body of a call about search attributes: a byte that says whether it is compressed, four of its
/// length, the message.
fn namespace(body: &[u8]) -> String {
    let Some((head, message)) = body.split_at_checked(5) else { return String::new() };
    let mut plain = Vec::new();
    if head[0] == 1 {
        flate2::read::GzDecoder::new(message).read_to_end(&mut plain).expect("it is gzip");
    } else {
        plain.extend(message);
    }
    ListSearchAttributesRequest::decode(plain.as_slice()).map(|request| request.namespace).unwrap_or_default()
}

fn unimplemented() -> Response {
    [("content-type", "application/grpc"), ("grpc-status", "12"), ("grpc-message", "unknown method")].into_response()
}

#[tokio::test(flavor = "multi_thread")]
async fn authority_certificate_key_and_namespace_are_those_of_the_environment_or_of_a_profile() {
    let tls = Tls::new(true);
    let folder = TempDir::new().expect("a folder can be made");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file can be written");
        path.to_string_lossy().into_owned()
    };
    let (authority, certificate) =
        (file("ca.pem", &tls.authority_pem), file("client.pem", &tls.client.certificate_pem));
    let key = file("client.key", &tls.client.key_pem);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = format!("localhost:{}", listener.local_addr().expect("it is bound").port());
    let calls = Arc::new(Mutex::new(Vec::new()));
    let serving = tokio::spawn(serve(listener, tls, Arc::clone(&calls)));
    let profile = file(
        "temporal.toml",
        &format!(
            "[profile.cloud]\naddress = {address:?}\nnamespace = \"of-a-profile\"\napi_key = \"from-a-file\"\n\
             [profile.cloud.tls]\nserver_ca_cert_path = {authority:?}\nclient_cert_path = {certificate:?}\n\
             client_key_path = {key:?}\n"
        ),
    );
    let setup = async |variables: &[(&str, &str)]| {
        calls.lock().expect("nobody panicked").clear();
        let mut command = Command::new(syncmux());
        let output = command.env_clear().arg("setup").envs(variables.iter().copied()).kill_on_drop(true).output();
        let said = String::from_utf8_lossy(&output.await.expect("the program runs").stderr).into_owned();
        (calls.lock().expect("nobody panicked").clone(), said)
    };

    let environment = [
        ("TEMPORAL_ADDRESS", address.as_str()),
        ("TEMPORAL_NAMESPACE", "of-the-environment"),
        ("TEMPORAL_API_KEY", "from-the-environment"),
        ("TEMPORAL_TLS_SERVER_CA_CERT_PATH", authority.as_str()),
        ("TEMPORAL_TLS_CLIENT_CERT_PATH", certificate.as_str()),
        ("TEMPORAL_TLS_CLIENT_KEY_PATH", key.as_str()),
    ];
    let of_a_profile = [("TEMPORAL_CONFIG_FILE", profile.as_str()), ("TEMPORAL_PROFILE", "cloud")];
    for (variables, key, namespace) in [
        (&environment[..], "from-the-environment", "of-the-environment"),
        (&of_a_profile[..], "from-a-file", "of-a-profile"),
    ] {
        let (calls, said) = setup(variables).await;
        let asked = calls.iter().find(|call| call.path.ends_with("/ListSearchAttributes"));
        let asked = asked.unwrap_or_else(|| panic!("it was not asked: {calls:?}, {said}"));
        assert_eq!((asked.authorization.as_str(), asked.certified), (format!("Bearer {key}").as_str(), true));
        assert_eq!(asked.namespace, namespace);
        assert!(!said.contains(key), "{said}");
    }

    // Without the certificate or the authority no call gets through.
    for left_out in ["TEMPORAL_TLS_CLIENT", "TEMPORAL_TLS_SERVER"] {
        let left: Vec<_> = environment.into_iter().filter(|(name, _)| !name.starts_with(left_out)).collect();
        let (calls, said) = setup(&left).await;
        assert_eq!(calls, [], "{left_out}");
        assert!(said.contains("no Temporal server answers at") && !said.contains("from-the-environment"), "{said}");
    }
    serving.abort();
}
