//! Certificates of a server that speaks TLS.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tonic::transport::{Identity, ServerTlsConfig};

/// An authority nobody else knows, and a certificate it gave to this machine's loopback address.
pub(super) struct Certificates {
    pub(super) authority_pem: String,
    certificate_pem: String,
    key_pem: String,
}

impl Certificates {
    pub(super) fn generate() -> Self {
        // Two implementations of the cryptography are linked in, and the server cannot choose. One that is installed
        // already does as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut authority = CertificateParams::new(Vec::new()).expect("no names are fine for an authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_key = KeyPair::generate().expect("a key can be made");
        let authority_pem = authority.self_signed(&authority_key).expect("it signs itself").pem();
        let issuer = Issuer::new(authority, authority_key);
        let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let key = KeyPair::generate().expect("a key can be made");
        let certificate = CertificateParams::new(names).expect("the names are valid").signed_by(&key, &issuer);
        Self {
            authority_pem,
            certificate_pem: certificate.expect("the authority may sign").pem(),
            key_pem: key.serialize_pem(),
        }
    }

    pub(super) fn server_config(&self) -> ServerTlsConfig {
        ServerTlsConfig::new().identity(Identity::from_pem(&self.certificate_pem, &self.key_pem))
    }
}
