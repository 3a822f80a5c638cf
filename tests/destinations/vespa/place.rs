//! Where a Vespa is: a server of the test's own, or the one of `VESPA_URL`, and how one shows who one is there.

use activities::destinations::vespa::{VespaCredentials, VespaEndpoint};
use harness::vespa::{Security, VespaServer, VespaServerOptions};
use reqwest::{Certificate, Client, Identity};

/// A Vespa that tests may write to.
pub(super) struct Place {
    /// None for a real one.
    pub(super) server: Option<VespaServer>,
    pub(super) url: String,
    pub(super) cluster: String,
    token: Option<String>,
    /// Certificate and key, as PEM.
    certificate: Option<(String, String)>,
    authority_pem: Option<String>,
}

impl Place {
    /// The Vespa of `VESPA_URL`, or else a server of its own.
    pub(super) async fn real_or(options: VespaServerOptions) -> Self {
        let Ok(url) = std::env::var("VESPA_URL") else { return Self::server(options).await };
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let file = |name: &str| {
            variable(name).map(|path| std::fs::read_to_string(&path).unwrap_or_else(|_| panic!("{name}={path}")))
        };
        Self {
            server: None,
            url: url.trim_end_matches('/').to_owned(),
            cluster: variable("VESPA_CLUSTER").unwrap_or_else(|| "airweave".to_owned()),
            token: variable("VESPA_TOKEN"),
            certificate: file("VESPA_CERT_FILE").zip(file("VESPA_KEY_FILE")),
            authority_pem: file("VESPA_CA_FILE"),
        }
    }

    /// A server of its own.
    pub(super) async fn server(options: VespaServerOptions) -> Self {
        let (cluster, security) = (options.cluster.clone(), options.security.clone());
        let server = VespaServer::start(options).await;
        let token = match &security {
            Security::Token(token) | Security::TlsWithToken(token) => Some(token.clone()),
            _ => None,
        };
        let identity = server.client_identity().filter(|_| security == Security::MutualTls);
        Self {
            url: server.url(),
            cluster,
            token,
            certificate: identity.map(|identity| (identity.certificate_pem.clone(), identity.key_pem.clone())),
            authority_pem: server.authority_pem().map(str::to_owned),
            server: Some(server),
        }
    }

    /// As the destination reaches it.
    pub(super) fn endpoint(&self) -> VespaEndpoint {
        let credentials = match (&self.token, &self.certificate) {
            (Some(token), _) => VespaCredentials::Token(token.as_str().into()),
            (None, Some((certificate, key))) => {
                VespaCredentials::Certificate { certificate_pem: certificate.clone(), key_pem: key.as_str().into() }
            }
            (None, None) => VespaCredentials::None,
        };
        let endpoint = VespaEndpoint::new(&self.url.as_str().into(), credentials).expect("the URL is valid");
        match &self.authority_pem {
            Some(authority) => endpoint.with_ca(authority).expect("the authority is PEM"),
            None => endpoint,
        }
    }

    /// A client of its own, to look with other eyes. Over HTTP/2, as a document's address may only then be anything.
    pub(super) fn client(&self) -> Client {
        let mut builder = Client::builder();
        if self.url.starts_with("http://") {
            builder = builder.http2_prior_knowledge();
        }
        if let Some(authority) = &self.authority_pem {
            builder = builder.tls_certs_only([Certificate::from_pem(authority.as_bytes()).expect("PEM")]);
        }
        if let Some((certificate, key)) = &self.certificate {
            let pem = format!("{certificate}{key}");
            builder = builder.identity(Identity::from_pem(pem.as_bytes()).expect("PEM"));
        }
        if let Some(token) = &self.token {
            let mut bearer = reqwest::header::HeaderValue::from_str(&format!("Bearer {token}")).expect("a header");
            bearer.set_sensitive(true);
            builder = builder.default_headers([(reqwest::header::AUTHORIZATION, bearer)].into_iter().collect());
        }
        builder.build().expect("a client")
    }
}
