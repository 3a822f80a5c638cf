//! Where the destinations are that the platform brings for every organisation.
//!
//! Their connections carry no credentials; the platform finds them by its own settings, and so does a worker.

use std::path::PathBuf;

use secrecy::SecretString;

/// What the worker knows of them; one it does not know can only be reached through a connection with credentials.
#[derive(Debug, Clone, Default)]
pub struct NativeDestinations {
    /// Behind connections of kind `qdrant_native`.
    pub qdrant: Option<NativeQdrant>,
    /// Behind connections of kind `vespa_native`.
    pub vespa: Option<NativeVespa>,
}

/// The platform's Qdrant.
#[derive(Debug, Clone)]
pub struct NativeQdrant {
    /// Its URL, as the platform has it: usually that of the REST interface.
    pub url: SecretString,
    /// The port of gRPC, when it is not the one after REST's.
    pub grpc_port: Option<u16>,
    /// Its key, when it wants one.
    pub api_key: Option<SecretString>,
}

/// The platform's Vespa.
#[derive(Debug, Clone)]
pub struct NativeVespa {
    /// URL of the container that serves `/document/v1` and `/search/`.
    pub url: SecretString,
    /// A bearer token, for a token endpoint of Vespa Cloud.
    pub token: Option<SecretString>,
    /// A client certificate, for an endpoint with mutual TLS.
    pub certificate: Option<ClientCertificate>,
    /// PEM file with the authorities that sign the server's certificate; the usual ones when absent.
    pub authorities: Option<PathBuf>,
}

/// Files with a client certificate and its key, as PEM. Read whenever a slot is opened, so they can be renewed.
#[derive(Debug, Clone)]
pub struct ClientCertificate {
    /// The certificate and what signs it.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}
