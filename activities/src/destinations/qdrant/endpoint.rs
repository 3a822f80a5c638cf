//! Where a Qdrant server listens for gRPC, from the URL that people know, which is mostly the one of its REST API.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use tonic::metadata::{Ascii, MetadataValue};

use crate::error::{Error, ErrorKind, Result};

/// Port of the REST API where a URL names none (Qdrant documentation, "Configuration").
const REST_PORT: u16 = 6333;

/// Port of gRPC, one above.
const GRPC_PORT: u16 = 6334;

/// A server's gRPC address and the key that opens it.
#[derive(Debug, Clone)]
pub struct QdrantEndpoint {
    grpc_url: String,
    /// Host and port, for people and for [`super::Qdrant`]'s place.
    authority: String,
    api_key: Option<SecretString>,
    derived: bool,
}

impl QdrantEndpoint {
    /// Reads `url`. The gRPC port is `grpc_port` when given; it is the URL's own when the scheme is `grpc` or `grpcs`
    /// or the port is 6334; otherwise the URL is taken for that of the REST API, and gRPC for one port above it. A URL
    /// without a port means Qdrant's standard ports.
    ///
    /// An empty key is none.
    ///
    /// # Errors
    /// `InvalidInput` when `url` is not a plain URL of a host, contradicts `grpc_port`, or the key cannot be a header.
    pub fn new(url: &SecretString, grpc_port: Option<u16>, api_key: Option<SecretString>) -> Result<Self> {
        let (scheme, rest) = url
            .expose_secret()
            .trim()
            .split_once("://")
            .ok_or_else(|| invalid("must begin with http://, https://, grpc:// or grpcs://"))?;
        let (scheme, names_grpc) = match scheme.to_ascii_lowercase().as_str() {
            "http" => ("http", false),
            "https" => ("https", false),
            "grpc" => ("http", true),
            "grpcs" => ("https", true),
            _ => return Err(invalid("must begin with http://, https://, grpc:// or grpcs://")),
        };
        let url = reqwest::Url::parse(&format!("{scheme}://{rest}")).map_err(|_| invalid("is not a URL"))?;
        let host = url.host_str().ok_or_else(|| invalid("names no host"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(invalid("holds a user or a password; Qdrant takes an API key, which is given apart from it"));
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(invalid(
                "has a path, which gRPC cannot have; give the address at which the server's gRPC port is reached",
            ));
        }
        let (port, derived) = grpc_address(url.port(), names_grpc, grpc_port)?;
        let authority = format!("{host}:{port}");
        Ok(Self {
            grpc_url: format!("{scheme}://{authority}"),
            authority,
            api_key: api_key.map(usable_key).transpose()?.flatten(),
            derived,
        })
    }

    /// The gRPC URL. Holds no secrets.
    #[must_use]
    pub fn grpc_url(&self) -> &str {
        &self.grpc_url
    }

    /// Whether the gRPC port was concluded from that of the REST API, so that it may be another one in truth.
    #[must_use]
    pub fn is_derived(&self) -> bool {
        self.derived
    }

    /// Host and gRPC port.
    pub(super) fn authority(&self) -> &str {
        &self.authority
    }

    /// The key, if the server wants one.
    pub(super) fn api_key(&self) -> Option<&SecretString> {
        self.api_key.as_ref()
    }
}

impl fmt::Display for QdrantEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.grpc_url)
    }
}

/// The gRPC port, and whether it was concluded.
fn grpc_address(in_url: Option<u16>, names_grpc: bool, given: Option<u16>) -> Result<(u16, bool)> {
    match (given, in_url) {
        (Some(0), _) => Err(invalid("comes with the gRPC port 0; give a port from 1 to 65535")),
        (Some(given), Some(port)) if names_grpc && port != given => {
            Err(invalid(&format!("names the gRPC port {port}, but {given} is given beside it; give one of them")))
        }
        (Some(given), _) => Ok((given, false)),
        (None, Some(port)) if names_grpc || port == GRPC_PORT => Ok((port, false)),
        (None, None) if names_grpc => Ok((GRPC_PORT, false)),
        (None, rest) => match rest.unwrap_or(REST_PORT).checked_add(1) {
            Some(port) => Ok((port, true)),
            None => Err(invalid("names port 65535, so that gRPC cannot be one above; give the gRPC port")),
        },
    }
}

/// The key, unless it is empty. The client would quote one that cannot be a header in its error.
fn usable_key(key: SecretString) -> Result<Option<SecretString>> {
    if key.expose_secret().is_empty() {
        return Ok(None);
    }
    if key.expose_secret().parse::<MetadataValue<Ascii>>().is_err() {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            "the API key of Qdrant has characters that no header can carry; is there a line break at its end?",
        ));
    }
    Ok(Some(key))
}

fn invalid(problem: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("the URL of Qdrant {problem}"))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn endpoint(url: &str, grpc_port: Option<u16>) -> Result<QdrantEndpoint> {
        QdrantEndpoint::new(&url.into(), grpc_port, None)
    }

    #[rstest]
    #[case::rest("http://localhost:6333", None, "http://localhost:6334", true)]
    #[case::rest_with_slash("http://localhost:6333/", None, "http://localhost:6334", true)]
    #[case::other_rest_port("http://10.0.0.1:8080", None, "http://10.0.0.1:8081", true)]
    #[case::no_port("http://qdrant", None, "http://qdrant:6334", true)]
    #[case::cloud("https://x-y.eu.aws.cloud.qdrant.io", None, "https://x-y.eu.aws.cloud.qdrant.io:6334", true)]
    #[case::grpc_by_port("https://q.example:6334", None, "https://q.example:6334", false)]
    #[case::grpc_by_scheme("grpc://q.example:7000", None, "http://q.example:7000", false)]
    #[case::grpc_without_port("GRPCS://q.example", None, "https://q.example:6334", false)]
    #[case::given("http://q.example:6333", Some(7000), "http://q.example:7000", false)]
    #[case::given_without_port("https://q.example", Some(443), "https://q.example:443", false)]
    #[case::given_twice("grpc://q.example:7000", Some(7000), "http://q.example:7000", false)]
    #[case::ipv6(" http://[::1]:6333 ", None, "http://[::1]:6334", true)]
    fn the_grpc_address_follows(
        #[case] url: &str,
        #[case] grpc_port: Option<u16>,
        #[case] grpc_url: &str,
        #[case] derived: bool,
    ) {
        let endpoint = endpoint(url, grpc_port).expect("valid");
        assert_eq!((endpoint.grpc_url(), endpoint.is_derived()), (grpc_url, derived));
        assert!(grpc_url.ends_with(endpoint.authority()));
    }

    #[rstest]
    #[case::no_scheme("localhost:6333", None, "must begin with")]
    #[case::other_scheme("ftp://localhost", None, "must begin with")]
    #[case::no_host("http://", None, "not a URL")]
    #[case::credentials("http://me:hunter2@localhost:6333", None, "API key")]
    #[case::path("http://proxy/hunter2", None, "has a path")]
    #[case::query("http://localhost?key=hunter2", None, "has a path")]
    #[case::contradiction("grpc://localhost:1", Some(2), "give one of them")]
    #[case::no_port_above("http://localhost:65535", None, "65535")]
    #[case::port_zero("http://localhost:6333", Some(0), "port 0")]
    fn other_urls_are_refused_without_repeating_them(
        #[case] url: &str,
        #[case] grpc_port: Option<u16>,
        #[case] problem: &str,
    ) {
        let error = endpoint(url, grpc_port).expect_err("invalid");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.message().contains(problem), "{error}");
        assert!(!error.chain().contains("hunter2"), "{}", error.chain());
    }

    #[test]
    fn keys_are_checked_and_never_shown() {
        let with_key = |key: &str| QdrantEndpoint::new(&"http://q:6333".into(), None, Some(key.into()));
        assert!(with_key("").expect("valid").api_key().is_none());
        let endpoint = with_key("hunter2").expect("valid");
        assert!(endpoint.api_key().is_some());
        assert!(!format!("{endpoint:?} {endpoint}").contains("hunter2"));
        let error = with_key("hunter2\n").expect_err("no header");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(!error.chain().contains("hunter2"), "{}", error.chain());
    }
}
