//! Connections of kind `vespa`: credentials `{"url", "token"?}` or `{"url", "certificate", "key", "ca"?}`, the latter as PEM.
//! The platform has no such credentials itself; its own connection, `vespa_native`, has none.

use std::path::Path;

use super::{Connections, nowhere};
use crate::connections::{ClientCertificate, NativeVespa};
use crate::credentials::Credentials;
use crate::database::platform::ConnectionInfo;
use crate::destinations::vespa::{VespaCredentials, VespaEndpoint};
use crate::error::{Error, ErrorKind, Result};
use secrecy::ExposeSecret as _;

pub(super) fn endpoint(connections: &Connections, connection: &ConnectionInfo) -> Result<VespaEndpoint> {
    if let Some(credentials) = connections.credentials(connection)? {
        return of_credentials(&credentials);
    }
    let native = connections.native.vespa.as_ref().filter(|_| connection.native);
    of_settings(native.ok_or_else(|| nowhere(connection, "VESPA_URL and VESPA_PORT"))?)
}

fn of_credentials(given: &Credentials) -> Result<VespaEndpoint> {
    let credentials = match (given.optional_text("token")?, given.optional_text("certificate")?) {
        (None, None) => VespaCredentials::None,
        (Some(token), None) => VespaCredentials::Token(token),
        (None, Some(certificate)) => VespaCredentials::Certificate {
            certificate_pem: certificate.expose_secret().to_owned(),
            key_pem: given.text("key")?,
        },
        (Some(_), Some(_)) => {
            return Err(Error::new(
                ErrorKind::DestinationDenied,
                "the connection's credentials hold a token and a certificate; Vespa's endpoints take one or the other",
            ));
        }
    };
    let endpoint = VespaEndpoint::new(&given.text("url")?, credentials)?;
    match given.optional_text("ca")? {
        Some(authorities) => endpoint.with_ca(authorities.expose_secret()),
        None => Ok(endpoint),
    }
}

fn of_settings(native: &NativeVespa) -> Result<VespaEndpoint> {
    let credentials = match (&native.token, &native.certificate) {
        (Some(token), _) => VespaCredentials::Token(token.clone()),
        (None, Some(ClientCertificate { certificate, key })) => {
            VespaCredentials::Certificate { certificate_pem: read(certificate)?, key_pem: read(key)?.into() }
        }
        (None, None) => VespaCredentials::None,
    };
    let endpoint = VespaEndpoint::new(&native.url, credentials)?;
    match &native.authorities {
        Some(file) => endpoint.with_ca(&read(file)?),
        None => Ok(endpoint),
    }
}

fn read(file: &Path) -> Result<String> {
    std::fs::read_to_string(file).map_err(|error| {
        let problem = format!("{} of the worker's settings for Vespa cannot be read: {error}", file.display());
        Error::new(ErrorKind::DestinationDenied, problem)
    })
}
