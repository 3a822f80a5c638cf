//! From a connection of the platform to an opened destination.
//!
//! A connection of an organisation carries encrypted credentials. A *native* one, which the platform brings for every
//! organisation, has none: the worker's settings say where it is ([`NativeDestinations`]). The layout of the profile says
//! which kind of connection is wanted; one file per kind reads its endpoint. Nothing here connects, that happens on first
//! use, so opening is cheap and fails for what is written down wrong only.

mod native;
mod pgvector;
mod qdrant;
mod reach;
mod vespa;

pub use native::{ClientCertificate, NativeDestinations, NativeQdrant, NativeVespa};

use std::sync::Arc;

use proto::v1::profile::Destination as Layout;
use secrecy::SecretString;

use crate::credentials::{CredentialReader, Credentials};
use crate::database::platform::ConnectionInfo;
use crate::destinations::pgvector::{Pgvector, PgvectorPools, PgvectorSettings, PoolLimits};
use crate::destinations::qdrant::{Qdrant, QdrantClients, QdrantSettings};
use crate::destinations::vespa::{Vespa, VespaClients, VespaSettings};
use crate::destinations::{Destination, Observed, Scope};
use crate::error::{Error, ErrorKind, Result};
use crate::profile::CompleteProfile;

/// Opens destinations. One per worker process: slots on the same server share its connections.
pub struct Connections {
    credentials: CredentialReader,
    /// Where vectors of a `pgvector` connection without credentials go.
    database_url: SecretString,
    native: NativeDestinations,
    pgvector: PgvectorPools,
    qdrant: QdrantClients,
    vespa: VespaClients,
}

impl Connections {
    /// Connects to nothing yet.
    ///
    /// # Errors
    ///
    /// `InvalidInput` when the encryption key is not a Fernet key.
    pub fn new(
        database_url: SecretString,
        encryption_key: Option<&SecretString>,
        native: NativeDestinations,
    ) -> Result<Self> {
        Ok(Self {
            credentials: CredentialReader::new(encryption_key)?,
            database_url,
            native,
            pgvector: PgvectorPools::new(PoolLimits::default()),
            qdrant: QdrantClients::default(),
            vespa: VespaClients::default(),
        })
    }

    /// The destination behind `connection` for one slot, laid out as `profile` says.
    ///
    /// # Errors
    ///
    /// `InvalidInput` when the connection is of another kind than the profile lays out, or a setting is out of range;
    /// `DestinationDenied` when its credentials, or the worker's settings for a native one, are missing or not usable.
    pub fn open(
        &self,
        connection: &ConnectionInfo,
        scope: Scope,
        profile: &CompleteProfile,
    ) -> Result<Arc<dyn Destination>> {
        require_kind(&connection.short_name, profile.destination_kind())?;
        let dimensions = profile.dimensions()?;
        let kind = profile.destination_kind();
        Ok(match &profile.profile.destination {
            Some(Layout::Pgvector(layout)) => {
                let settings = PgvectorSettings::from_layout(layout, dimensions)?;
                let pool = self.pgvector.get(&pgvector::url(self, connection)?)?;
                Arc::new(Observed::new(kind, Pgvector::new(pool, scope, settings)))
            }
            Some(Layout::Qdrant(layout)) => {
                let settings = QdrantSettings::from_layout(layout, dimensions)?;
                let endpoint = qdrant::endpoint(self, connection)?;
                let client = self.qdrant.get(&endpoint)?;
                Arc::new(Observed::new(kind, Qdrant::new(client, &endpoint, scope, settings)))
            }
            Some(Layout::Vespa(layout)) => {
                let settings = VespaSettings::from_layout(layout, dimensions)?;
                let client = self.vespa.get(&vespa::endpoint(self, connection)?)?;
                Arc::new(Observed::new(kind, Vespa::new(client, scope, settings)))
            }
            None => return Err(Error::new(ErrorKind::Internal, "a complete profile has no layout")),
        })
    }

    /// The decrypted credentials of a connection, if it has any.
    fn credentials(&self, connection: &ConnectionInfo) -> Result<Option<Credentials>> {
        connection.credential.as_ref().map(|token| self.credentials.read(token)).transpose()
    }
}

/// The connection's kind must be the one the profile lays out.
pub(crate) fn require_kind(short_name: &str, kind: &str) -> Result<()> {
    if kind_of(short_name) == kind {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::InvalidInput,
        format!("the connection is of kind {short_name}, but the profile lays out {kind}; name a {kind} connection"),
    ))
}

/// The kind of destination behind a connection. A platform-wide connection has the suffix `_native`.
pub(crate) fn kind_of(short_name: &str) -> &str {
    short_name.strip_suffix("_native").unwrap_or(short_name)
}

/// The answer for a connection whose endpoint is written down nowhere.
fn nowhere(connection: &ConnectionInfo, settings: &str) -> Error {
    let advice = if connection.native {
        format!(
            "the platform brings connection {:?} without credentials; set {settings} for the worker",
            connection.name
        )
    } else {
        format!("connection {:?} has no credentials; enter them at the platform", connection.name)
    };
    Error::new(ErrorKind::DestinationDenied, advice)
}
