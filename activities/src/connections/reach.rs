//! Whether a destination answers, and where that is, for operators. Changes nothing there.

use proto::v1::profile::Destination as Layout;
use proto::v1::vespa_layout::Documents;
use proto::v1::{PgvectorLayout, Profile, QdrantLayout, VespaLayout};
use uuid::Uuid;

use super::{Connections, kind_of, qdrant, vespa};
use crate::database::platform::ConnectionInfo;
use crate::destinations::Scope;
use crate::error::{Error, ErrorKind, Result};
use crate::profile::CompleteProfile;

impl Connections {
    /// Where a connection leads, without secrets, and what of that was concluded rather than said.
    ///
    /// # Errors
    ///
    /// Those of [`Self::open`].
    pub fn describe(&self, connection: &ConnectionInfo) -> Result<String> {
        Ok(match kind_of(&connection.short_name) {
            "qdrant" => {
                let endpoint = qdrant::endpoint(self, connection)?;
                let url = endpoint.grpc_url();
                match url
                    .rsplit_once(':')
                    .and_then(|(_, port)| port.parse::<u16>().ok())
                    .filter(|_| endpoint.is_derived())
                {
                    Some(port) => {
                        let setting =
                            if connection.native { "QDRANT_GRPC_PORT" } else { "`grpc_port` in its credentials" };
                        let rest = port - 1;
                        format!("gRPC at {url}; gRPC port {port} derived from {rest}; set {setting} to change it")
                    }
                    None => format!("gRPC at {url}"),
                }
            }
            "vespa" => vespa::endpoint(self, connection)?.origin().to_owned(),
            "pgvector" if connection.credential.is_none() => "the platform's own Postgres".to_owned(),
            "pgvector" => "the Postgres of its credentials".to_owned(),
            other => return Err(unknown(other)),
        })
    }

    /// Asks the destination behind a connection how much it holds of a sync that nobody has.
    ///
    /// # Errors
    ///
    /// Those of [`Self::open`], and what the destination answers.
    pub async fn reach(&self, connection: &ConnectionInfo) -> Result<()> {
        let layout = match kind_of(&connection.short_name) {
            "qdrant" => Layout::Qdrant(QdrantLayout::default()),
            "vespa" => Layout::Vespa(VespaLayout { documents: Documents::Chunk.into(), ..VespaLayout::default() }),
            "pgvector" => Layout::Pgvector(PgvectorLayout::default()),
            other => return Err(unknown(other)),
        };
        let profile = CompleteProfile::new(Some(Profile { destination: Some(layout), ..Profile::default() }))?;
        let nobody = Uuid::nil();
        let scope = Scope { organization_id: nobody, collection_id: nobody, sync_id: nobody, slot_id: nobody };
        match self.open(connection, scope, &profile)?.count().await {
            // Nothing was built there yet, which is an answer.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            counted => counted.map(drop),
        }
    }
}

fn unknown(kind: &str) -> Error {
    let problem = format!("connections of kind {kind} are not known; there are pgvector, qdrant and vespa");
    Error::new(ErrorKind::InvalidInput, problem)
}
