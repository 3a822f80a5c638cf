//! Where the destinations are that the platform brings itself, by the variables that the platform has for them.

use std::path::PathBuf;

use activities::connections::{ClientCertificate, NativeDestinations, NativeQdrant, NativeVespa};
use activities::error::{Error, ErrorKind, Result};
use clap::Args;
use secrecy::{ExposeSecret as _, SecretString};

/// Port of Qdrant's REST interface when none is given.
const QDRANT_PORT: u16 = 6333;

/// What a worker knows of connections without credentials: `qdrant_native` and `vespa_native`.
#[derive(Debug, Clone, Default, Args)]
pub struct NativeArgs {
    /// URL of the platform's Qdrant, behind `qdrant_native`; instead of host and port
    #[arg(long, env = "QDRANT_FULL_URL", hide_env_values = true, value_name = "URL")]
    pub qdrant_full_url: Option<SecretString>,
    /// Host of the platform's Qdrant
    #[arg(long, env = "QDRANT_HOST", value_name = "HOST")]
    pub qdrant_host: Option<String>,
    /// Port of its REST interface; 6333 when left out
    #[arg(long, env = "QDRANT_PORT", value_name = "PORT")]
    pub qdrant_port: Option<u16>,
    /// Port of its gRPC interface; the one after REST's when left out
    #[arg(long, env = "QDRANT_GRPC_PORT", value_name = "PORT")]
    pub qdrant_grpc_port: Option<u16>,
    /// Key of the platform's Qdrant, when it wants one
    #[arg(long, env = "QDRANT_API_KEY", hide_env_values = true, value_name = "KEY")]
    pub qdrant_api_key: Option<SecretString>,
    /// URL of the platform's Vespa, behind `vespa_native`, such as `http://vespa` or `https://name.vespa-app.cloud`
    #[arg(long, env = "VESPA_URL", hide_env_values = true, value_name = "URL")]
    pub vespa_url: Option<SecretString>,
    /// Port of the platform's Vespa, when its URL names none
    #[arg(long, env = "VESPA_PORT", value_name = "PORT")]
    pub vespa_port: Option<u16>,
    /// Bearer token for the platform's Vespa
    #[arg(long, env = "VESPA_CLI_DATA_PLANE_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub vespa_token: Option<SecretString>,
    /// PEM file with the client certificate for the platform's Vespa
    #[arg(long, env = "VESPA_CLI_DATA_PLANE_CERT_FILE", value_name = "FILE")]
    pub vespa_certificate: Option<PathBuf>,
    /// PEM file with the key of that certificate
    #[arg(long, env = "VESPA_CLI_DATA_PLANE_KEY_FILE", value_name = "FILE")]
    pub vespa_key: Option<PathBuf>,
    /// PEM file with the authorities that sign the certificate of the platform's Vespa
    #[arg(long, env = "VESPA_CLI_DATA_PLANE_CA_CERT_FILE", value_name = "FILE")]
    pub vespa_authorities: Option<PathBuf>,
}

impl NativeArgs {
    /// The settings as the activities take them. A variable that is set to nothing is not set.
    ///
    /// # Errors
    ///
    /// `InvalidInput` when two of them do not go together.
    pub fn destinations(&self) -> Result<NativeDestinations> {
        Ok(NativeDestinations { qdrant: self.qdrant(), vespa: self.vespa()? })
    }

    fn qdrant(&self) -> Option<NativeQdrant> {
        let host = self.qdrant_host.as_ref().filter(|host| !host.is_empty());
        let url = filled(self.qdrant_full_url.as_ref()).or_else(|| {
            let port = self.qdrant_port.unwrap_or(QDRANT_PORT);
            host.map(|host| format!("http://{host}:{port}").into())
        })?;
        Some(NativeQdrant { url, grpc_port: self.qdrant_grpc_port, api_key: filled(self.qdrant_api_key.as_ref()) })
    }

    fn vespa(&self) -> Result<Option<NativeVespa>> {
        let Some(url) = filled(self.vespa_url.as_ref()) else { return Ok(None) };
        let file = |path: &Option<PathBuf>| path.clone().filter(|path| !path.as_os_str().is_empty());
        let certificate = match (file(&self.vespa_certificate), file(&self.vespa_key)) {
            (Some(certificate), Some(key)) => Some(ClientCertificate { certificate, key }),
            (None, None) => None,
            _ => return Err(invalid("of the certificate for Vespa and its key one is given; give both or neither")),
        };
        let token = filled(self.vespa_token.as_ref());
        if token.is_some() && certificate.is_some() {
            return Err(invalid(
                "both a token and a certificate for Vespa are given; its endpoints take one or the other",
            ));
        }
        Ok(Some(NativeVespa {
            url: self.vespa_address(&url)?,
            token,
            certificate,
            authorities: file(&self.vespa_authorities),
        }))
    }

    /// The platform keeps scheme and host in one variable and the port in another.
    fn vespa_address(&self, url: &SecretString) -> Result<SecretString> {
        let text = url.expose_secret().trim_end_matches('/');
        let Some(port) = self.vespa_port else { return Ok(text.into()) };
        let authority = text.split_once("://").map_or(text, |(_, rest)| rest);
        if authority.contains('/') || authority.contains('@') {
            return Err(invalid("VESPA_URL must be a scheme and a host when VESPA_PORT is given"));
        }
        match authority.rsplit_once(':').map(|(_, named)| named.parse::<u16>()) {
            Some(Ok(named)) if named == port => Ok(text.into()),
            Some(Ok(named)) => {
                Err(invalid(&format!("VESPA_URL names port {named}, and VESPA_PORT says {port}; give one")))
            }
            Some(Err(_)) if !authority.ends_with(']') => Err(invalid("the port in VESPA_URL is not a number")),
            _ => Ok(format!("{text}:{port}").into()),
        }
    }
}

fn filled(secret: Option<&SecretString>) -> Option<SecretString> {
    secret.filter(|secret| !secret.expose_secret().is_empty()).cloned()
}

fn invalid(message: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn qdrant(args: NativeArgs) -> Option<(String, Option<u16>, bool)> {
        let qdrant = args.destinations().unwrap().qdrant?;
        Some((qdrant.url.expose_secret().to_owned(), qdrant.grpc_port, qdrant.api_key.is_some()))
    }

    #[test]
    fn qdrant_is_found_by_a_full_url_or_by_host_and_port() {
        let host = NativeArgs { qdrant_host: Some("qdrant".into()), ..NativeArgs::default() };
        assert_eq!(qdrant(host.clone()), Some(("http://qdrant:6333".into(), None, false)));
        let ports = NativeArgs { qdrant_port: Some(7333), qdrant_grpc_port: Some(9), ..host.clone() };
        assert_eq!(qdrant(ports), Some(("http://qdrant:7333".into(), Some(9), false)));
        let full =
            NativeArgs { qdrant_full_url: Some("https://q.example".into()), qdrant_api_key: Some("k".into()), ..host };
        assert_eq!(qdrant(full), Some(("https://q.example".into(), None, true)));
        assert_eq!(qdrant(NativeArgs::default()), None);
    }

    #[test]
    fn what_is_set_to_nothing_is_not_set() {
        let nothing = NativeArgs {
            qdrant_full_url: Some("".into()),
            qdrant_host: Some(String::new()),
            qdrant_api_key: Some("".into()),
            vespa_url: Some("".into()),
            ..NativeArgs::default()
        };
        assert_eq!(qdrant(nothing.clone()), None);
        assert!(nothing.destinations().unwrap().vespa.is_none());
        assert_eq!(
            qdrant(NativeArgs { qdrant_host: Some("q".into()), ..nothing }),
            Some(("http://q:6333".into(), None, false))
        );
    }

    fn vespa(url: &str, port: Option<u16>) -> Result<String> {
        let args = NativeArgs { vespa_url: Some(url.into()), vespa_port: port, ..NativeArgs::default() };
        Ok(args.destinations()?.vespa.unwrap().url.expose_secret().to_owned())
    }

    #[test]
    fn vespas_port_comes_from_one_of_two_places() {
        for (url, port, address) in [
            ("http://vespa", Some(8081), "http://vespa:8081"),
            ("http://vespa/", Some(8081), "http://vespa:8081"),
            ("http://vespa:8081", Some(8081), "http://vespa:8081"),
            ("http://vespa:8080/", None, "http://vespa:8080"),
            ("https://name.vespa-app.cloud", None, "https://name.vespa-app.cloud"),
            ("http://[::1]", Some(8081), "http://[::1]:8081"),
        ] {
            assert_eq!(vespa(url, port).unwrap(), address);
        }
        for (url, words) in [
            ("http://vespa:8080", "names port 8080, and VESPA_PORT says 8081"),
            ("http://vespa:x", "not a number"),
            ("http://vespa/path", "a scheme and a host"),
        ] {
            let error = vespa(url, Some(8081)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.message().contains(words), "{error}");
        }
    }

    #[test]
    fn a_certificate_comes_with_its_key_and_without_a_token() {
        let certificate = NativeArgs {
            vespa_url: Some("https://v".into()),
            vespa_certificate: Some("c.pem".into()),
            ..NativeArgs::default()
        };
        assert!(certificate.destinations().unwrap_err().message().contains("both or neither"));
        let whole = NativeArgs { vespa_key: Some("k.pem".into()), ..certificate };
        assert!(whole.destinations().unwrap().vespa.unwrap().certificate.is_some());
        let token = NativeArgs { vespa_token: Some("t".into()), ..whole };
        assert!(token.destinations().unwrap_err().message().contains("one or the other"));
    }
}
