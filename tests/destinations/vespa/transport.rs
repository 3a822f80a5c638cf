//! How the server is reached: both versions of HTTP on one port, TLS with and without certificates, tokens, compressed
//! bodies, addresses that are none, restarts, and connections that end.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use harness::vespa::{Fault, FaultRule, Security, VespaServer, VespaServerOptions};
use reqwest::{Certificate, Client, ClientBuilder, Identity, Version};

const PUT: &str = r#"{"fields":{"name":"x"}}"#;

async fn server(security: Security) -> VespaServer {
    VespaServer::start(VespaServerOptions { security, ..VespaServerOptions::default() }).await
}

fn document(server: &VespaServer, id: &str) -> String {
    format!("{}/document/v1/ns/base_entity/docid/{id}", server.url())
}

fn trusting(server: &VespaServer) -> ClientBuilder {
    let authority = server.authority_pem().expect("it speaks TLS");
    Client::builder().tls_certs_only([Certificate::from_pem(authority.as_bytes()).expect("PEM")])
}

#[tokio::test]
async fn one_port_speaks_both_versions() {
    let server = server(Security::Open).await;
    let old = Client::builder().http1_only().build().expect("a client");
    let new = Client::builder().http2_prior_knowledge().build().expect("a client");
    for (client, version) in [(old, Version::HTTP_11), (new, Version::HTTP_2)] {
        let response = client.post(document(&server, "a")).body(PUT).send().await.expect("an answer");
        assert_eq!((response.status().as_u16(), response.version()), (200, version));
    }
    assert_eq!((server.ids().len(), server.journal().connections()), (1, 2));
}

#[tokio::test]
async fn tls_agrees_on_http_2_and_asks_for_certificates() {
    let open = server(Security::Tls).await;
    let response =
        trusting(&open).build().expect("a client").get(document(&open, "a")).send().await.expect("an answer");
    assert_eq!((response.status().as_u16(), response.version()), (404, Version::HTTP_2));

    let guarded = server(Security::MutualTls).await;
    let stranger = trusting(&guarded).build().expect("a client");
    stranger.get(document(&guarded, "a")).send().await.expect_err("it has no certificate");
    let identity = guarded.client_identity().expect("it speaks TLS");
    let pem = format!("{}{}", identity.certificate_pem, identity.key_pem);
    let known =
        trusting(&guarded).identity(Identity::from_pem(pem.as_bytes()).expect("PEM")).build().expect("a client");
    assert_eq!(known.get(document(&guarded, "a")).send().await.expect("an answer").status(), 404);
}

#[tokio::test]
async fn tokens_are_asked_for_before_anything_else() {
    let server = server(Security::Token("secret".into())).await;
    let client = Client::new();
    for wrong in [client.get(document(&server, "a")), client.get(document(&server, "a")).bearer_auth("other")] {
        let response = wrong.send().await.expect("an answer");
        assert_eq!(response.status(), 401);
        serde_json::from_str::<serde_json::Value>(&response.text().await.expect("a body")).expect_err("no JSON");
    }
    let right = client.get(document(&server, "a")).bearer_auth("secret");
    assert_eq!(right.send().await.expect("an answer").status(), 404);
}

#[tokio::test]
async fn compressed_bodies_are_inflated() {
    let server = server(Security::Open).await;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(PUT.as_bytes()).expect("memory");
    let body = encoder.finish().expect("memory");
    let put = || Client::new().post(document(&server, "a")).header("content-encoding", "gzip");
    assert_eq!(put().body(body).send().await.expect("an answer").status(), 200);
    assert_eq!(put().body("no gzip").send().await.expect("an answer").status(), 400);
    let request = &server.journal().requests()[0];
    assert_eq!((request.compressed, request.bytes), (true, PUT.len()));
}

#[tokio::test]
async fn an_address_that_is_no_uri_is_refused_without_json() {
    let server = server(Security::Open).await;
    let response = Client::new().get(document(&server, "a%zzb")).send().await.expect("an answer");
    assert_eq!(response.status(), 400);
    let body = response.text().await.expect("a body");
    assert!(body.contains("URL violates RFC 2396"), "{body}");
    serde_json::from_str::<serde_json::Value>(&body).expect_err("a page of the web server");
}

#[tokio::test]
async fn documents_and_the_port_survive_a_restart() {
    let server = server(Security::Open).await;
    let client = Client::builder().http2_prior_knowledge().build().expect("a client");
    client.post(document(&server, "a")).body(PUT).send().await.expect("an answer");
    let url = server.url();
    server.stop().await;
    client.get(document(&server, "a")).send().await.expect_err("nobody is there");
    server.restart().await;
    assert_eq!(server.url(), url);
    assert_eq!(client.get(document(&server, "a")).send().await.expect("an answer").status(), 200);
}

#[tokio::test]
async fn connections_end_in_each_way() {
    let server = server(Security::Open).await;
    let client = Client::builder().http2_prior_knowledge().build().expect("a client");
    let put = |id: &str| client.post(document(&server, id)).body(PUT).send();
    server.inject(FaultRule::new(Fault::ResetStream).times(1));
    put("a").await.expect_err("the stream is reset");
    put("a").await.expect("the connection is not");
    assert_eq!(server.journal().connections(), 1);

    server.inject(FaultRule::new(Fault::ResetConnection).times(1));
    put("b").await.expect_err("the connection is reset");
    put("b").await.expect("another one");
    assert_eq!(server.journal().connections(), 2);

    server.inject(FaultRule::new(Fault::GoAway).times(1));
    put("c").await.expect("what is under way is answered");
    put("d").await.expect("on a third one");
    assert_eq!(server.journal().connections(), 3);

    server.inject(FaultRule::new(Fault::LoseAnswer).times(1));
    put("e").await.expect_err("the answer is lost");
    assert!(server.ids().contains(&"id:ns:base_entity::e".to_owned()), "the write is not");
}
