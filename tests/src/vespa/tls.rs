//! TLS with an authority of the server's own: ALPN for both versions of HTTP, and client certificates when asked for.

use std::fmt;
use std::io;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Certificate and private key as PEM.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The certificate.
    pub certificate_pem: String,
    /// Its key.
    pub key_pem: String,
}

/// The server's side of TLS, and what clients need for theirs.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    /// Certificate of the authority, as PEM.
    pub authority_pem: String,
    /// What the server accepts a client by, when it asks for certificates.
    pub client: Identity,
}

impl Tls {
    /// An authority, a server's certificate for the loopback address, and a client's.
    ///
    /// # Panics
    /// Never: keys and names are its own.
    #[must_use]
    pub fn new(asks_for_certificates: bool) -> Self {
        let key = || KeyPair::generate().expect("the system has randomness");
        let mut authority = CertificateParams::new(Vec::new()).expect("no names");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, key()).expect("its own parameters");

        let issue = |names: &[&str], usage: ExtendedKeyUsagePurpose| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let mut parameters = CertificateParams::new(names).expect("its own names");
            parameters.extended_key_usages = vec![usage];
            let key = key();
            (parameters.signed_by(&key, &authority).expect("the authority signs"), key)
        };
        let (server, server_key) = issue(&["127.0.0.1", "localhost"], ExtendedKeyUsagePurpose::ServerAuth);
        let (client, client_key) = issue(&["client"], ExtendedKeyUsagePurpose::ClientAuth);

        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has them");
        let config = if asks_for_certificates {
            let mut roots = RootCertStore::empty();
            roots.add(authority.der().clone()).expect("its own authority");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(default_provider()));
            config.with_client_cert_verifier(verifier.build().expect("there is a root"))
        } else {
            config.with_no_client_auth()
        };
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(server_key.serialize_der()));
        let mut config =
            config.with_single_cert(vec![server.der().clone()], key).expect("the key is the certificate's");
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            authority_pem: authority.pem(),
            client: Identity { certificate_pem: client.pem(), key_pem: client_key.serialize_pem() },
        }
    }

    /// Shakes hands.
    ///
    /// # Errors
    /// When the client speaks no TLS, trusts somebody else, or lacks the certificate that was asked for.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> io::Result<TlsStream<S>> {
        self.acceptor.accept(stream).await
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}
