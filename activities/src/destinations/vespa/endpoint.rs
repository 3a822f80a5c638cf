//! Where a Vespa is and how one shows who one is.
//!
//! Vespa Cloud wants a client certificate, or a bearer token on an endpoint of its own; a self-managed Vespa asks for
//! nothing by default.

use std::fmt;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Certificate, ClientBuilder, Identity, Url};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use crate::error::{Error, ErrorKind, Result};

/// How to show who one is.
#[derive(Clone, Default)]
pub enum VespaCredentials {
    /// Not at all.
    #[default]
    None,
    /// A bearer token.
    Token(SecretString),
    /// A client certificate with its key, both PEM.
    Certificate {
        /// The certificate, with its chain if it has one.
        certificate_pem: String,
        /// Its private key.
        key_pem: SecretString,
    },
}

impl fmt::Debug for VespaCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Token(_) => "Token([REDACTED])",
            Self::Certificate { .. } => "Certificate([REDACTED])",
        })
    }
}

/// The container endpoint of a Vespa application.
#[derive(Debug, Clone)]
pub struct VespaEndpoint {
    /// Scheme, host and port, without a slash at the end.
    origin: String,
    is_tls: bool,
    credentials: VespaCredentials,
    /// Authorities to trust instead of the machine's own.
    ca_pem: Option<String>,
}

impl VespaEndpoint {
    /// The endpoint at `url`, such as `http://vespa:8081`.
    ///
    /// # Errors
    /// `InvalidInput` when `url` is not an origin with scheme http or https, or the credentials cannot be used there.
    pub fn new(url: &SecretString, credentials: VespaCredentials) -> Result<Self> {
        let parsed = Url::parse(url.expose_secret().trim())
            .map_err(|_| invalid("Vespa's url is not a URL; write it like http://vespa:8081"))?;
        let is_tls = match parsed.scheme() {
            "http" => false,
            "https" => true,
            _ => return Err(invalid("Vespa's url must begin with http:// or https://")),
        };
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(invalid("Vespa takes no user and password in its url; give a token or a certificate"));
        }
        if !matches!(parsed.path(), "" | "/") || parsed.query().is_some() || parsed.fragment().is_some() {
            return Err(invalid("Vespa's url must end after host and port"));
        }
        if let (false, VespaCredentials::Certificate { .. }) = (is_tls, &credentials) {
            return Err(invalid("a client certificate can only be shown to a Vespa whose url begins with https://"));
        }
        let endpoint = Self { origin: parsed.origin().ascii_serialization(), is_tls, credentials, ca_pem: None };
        endpoint.identify(ClientBuilder::new()).map(|_| endpoint)
    }

    /// Trusts the authorities in `ca_pem` instead of the machine's own.
    ///
    /// # Errors
    /// `InvalidInput` when there is no certificate in it, or the endpoint has no TLS.
    pub fn with_ca(mut self, ca_pem: &str) -> Result<Self> {
        if !self.is_tls {
            return Err(invalid("a certificate authority is only of use for a Vespa whose url begins with https://"));
        }
        if !Certificate::from_pem_bundle(ca_pem.as_bytes()).is_ok_and(|certificates| !certificates.is_empty()) {
            return Err(invalid("Vespa's certificate authority is not a PEM with certificates"));
        }
        self.ca_pem = Some(ca_pem.to_owned());
        Ok(self)
    }

    /// Scheme, host and port. Holds no secrets.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Whether requests are encrypted, and the protocol is negotiated.
    pub(super) fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// A digest that is equal for endpoints that may share connections.
    pub(super) fn key(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        let (token, certificate, key) = match &self.credentials {
            VespaCredentials::None => ("", "", ""),
            VespaCredentials::Token(token) => (token.expose_secret(), "", ""),
            VespaCredentials::Certificate { certificate_pem, key_pem } => {
                ("", certificate_pem.as_str(), key_pem.expose_secret())
            }
        };
        for part in [&self.origin, token, certificate, key, self.ca_pem.as_deref().unwrap_or_default()] {
            digest.update(part.len().to_le_bytes());
            digest.update(part.as_bytes());
        }
        digest.finalize().into()
    }

    /// Adds credentials and authorities to a client.
    pub(super) fn identify(&self, mut builder: ClientBuilder) -> Result<ClientBuilder> {
        match &self.credentials {
            VespaCredentials::None => {}
            VespaCredentials::Token(token) => {
                let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()))
                    .map_err(|_| invalid("Vespa's token has characters that no HTTP header may have"))?;
                value.set_sensitive(true);
                builder = builder.default_headers(HeaderMap::from_iter([(AUTHORIZATION, value)]));
            }
            VespaCredentials::Certificate { certificate_pem, key_pem } => {
                let pem = format!("{}\n{certificate_pem}", key_pem.expose_secret());
                let identity = Identity::from_pem(pem.as_bytes()).map_err(|_| {
                    invalid("Vespa's client certificate and key are not PEM, or do not belong together")
                })?;
                builder = builder.identity(identity);
            }
        }
        if let Some(ca_pem) = &self.ca_pem {
            let authorities = Certificate::from_pem_bundle(ca_pem.as_bytes())
                .map_err(|_| invalid("Vespa's certificate authority is not a PEM with certificates"))?;
            builder = builder.tls_certs_only(authorities);
        }
        Ok(builder)
    }
}

fn invalid(message: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, message)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn endpoint(url: &str, credentials: VespaCredentials) -> Result<VespaEndpoint> {
        VespaEndpoint::new(&url.into(), credentials)
    }

    #[rstest]
    #[case("http://vespa:8081", "http://vespa:8081")]
    #[case(" http://Vespa:8081/ ", "http://vespa:8081")]
    #[case("https://a.b.z.vespa-app.cloud:443", "https://a.b.z.vespa-app.cloud")]
    fn an_origin_is_taken(#[case] url: &str, #[case] origin: &str) {
        assert_eq!(endpoint(url, VespaCredentials::None).unwrap().origin(), origin);
    }

    #[rstest]
    #[case("vespa:8081", "must begin with http")]
    #[case("", "not a URL")]
    #[case("grpc://vespa:1", "must begin with http")]
    #[case("http://secret:word@vespa:8081", "no user and password")]
    #[case("http://vespa:8081/document/v1", "must end after host and port")]
    #[case("http://vespa:8081?a=1", "must end after host and port")]
    fn anything_else_is_refused_without_naming_it(#[case] url: &str, #[case] words: &str) {
        let error = endpoint(url, VespaCredentials::None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.message().contains(words), "{error}");
        assert!(!error.chain().contains("secret"), "{}", error.chain());
    }

    #[test]
    fn credentials_that_cannot_be_used_are_refused() {
        let token = endpoint("https://v", VespaCredentials::Token("a\nb".into())).unwrap_err();
        assert!(token.message().contains("token"), "{token}");
        let certificate =
            || VespaCredentials::Certificate { certificate_pem: "no".into(), key_pem: "secret key".into() };
        assert!(endpoint("http://v", certificate()).unwrap_err().message().contains("https://"));
        let not_pem = endpoint("https://v", certificate()).unwrap_err();
        assert!(
            not_pem.message().contains("not PEM") && !not_pem.chain().contains("secret key"),
            "{}",
            not_pem.chain()
        );
        let ca = endpoint("https://v", VespaCredentials::None).unwrap().with_ca("nothing").unwrap_err();
        assert!(ca.message().contains("certificate authority"), "{ca}");
        assert!(endpoint("http://v", VespaCredentials::None).unwrap().with_ca("").is_err());
    }

    #[test]
    fn only_the_same_credentials_share_connections() {
        let key = |url, credentials| endpoint(url, credentials).unwrap().key();
        let plain = key("http://v:1", VespaCredentials::None);
        assert_eq!(plain, key("http://v:1/", VespaCredentials::None));
        assert_ne!(plain, key("http://v:2", VespaCredentials::None));
        assert_ne!(plain, key("http://v:1", VespaCredentials::Token("t".into())));
        let shown = format!("{:?}", endpoint("http://v:1", VespaCredentials::Token("secret".into())).unwrap());
        assert!(!shown.contains("secret"), "{shown}");
    }
}
