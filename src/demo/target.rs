//! Where the demo's second slot goes: the demo's own Postgres, or a server of yours.

use activities::connections::Connections;
use activities::credentials::CredentialReader;
use activities::database::{Database, platform};
use activities::destinations::Scope;
use activities::profile::CompleteProfile;
use proto::v1::pgvector_layout::{Distance, VectorType};
use proto::v1::profile::Destination;
use proto::v1::vespa_layout::Documents;
use proto::v1::{Chunker, Hnsw, PgvectorLayout, Profile, QdrantLayout, VespaLayout};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use uuid::Uuid;
use workflows::domain::ErrorKind;

use super::seed::{NewDestination, Seeded, connect};
use super::{local_table, note};
use crate::output::Failure;

/// What of a server is the demo's: the collection in Qdrant, the namespace in Vespa.
const OWN_NAME: &str = "syncmux_demo";

/// Where the second slot goes.
#[derive(Debug, Clone)]
pub enum Target {
    /// The demo's own Postgres.
    Pgvector,
    /// A Qdrant server.
    Qdrant {
        /// Its URL.
        url: SecretString,
        /// Its key, when it wants one.
        api_key: Option<SecretString>,
    },
    /// A Vespa container, in whose application chunks have vectors of 256 dimensions.
    Vespa {
        /// Its URL.
        url: SecretString,
    },
}

impl Target {
    /// What the fork to it does, in a headline.
    pub(super) fn headline(&self) -> String {
        let change = match self {
            Self::Pgvector => "smaller chunks, half-precision vectors, an HNSW index".to_owned(),
            Self::Qdrant { .. } => format!("smaller chunks, in Qdrant, collection {OWN_NAME}"),
            Self::Vespa { .. } => format!("smaller chunks, in Vespa, namespace {OWN_NAME}"),
        };
        format!("Fork to profile v1: {change}")
    }

    /// How the second slot is built.
    pub(super) fn profile(&self) -> Profile {
        let destination = match self {
            Self::Pgvector => Destination::Pgvector(PgvectorLayout {
                vector_type: VectorType::Halfvec.into(),
                distance: Distance::Cosine.into(),
                hnsw: Some(Hnsw::default()),
            }),
            Self::Qdrant { .. } => {
                Destination::Qdrant(QdrantLayout { collection: OWN_NAME.to_owned(), ..QdrantLayout::default() })
            }
            Self::Vespa { .. } => Destination::Vespa(VespaLayout {
                documents: Documents::Chunk.into(),
                namespace: OWN_NAME.to_owned(),
                ..VespaLayout::default()
            }),
        };
        Profile {
            name: "v1".to_owned(),
            chunker: Some(Chunker { max_tokens: 256, overlap_tokens: 0 }),
            embedder: Some(local_table()),
            destination: Some(destination),
        }
    }

    /// Makes the connection to fork to, and removes there what an earlier demo left.
    pub(super) async fn connect(
        &self,
        database: &Database,
        credentials: &CredentialReader,
        connections: &Connections,
        ids: &Seeded,
    ) -> Result<Uuid, Failure> {
        let Some((name, short_name, object)) = self.server() else { return Ok(ids.connection_v1) };
        let connection = Uuid::new_v5(&ids.sync_id, short_name.as_bytes());
        let destination = NewDestination { connection, name, short_name, credentials: &object };
        let mut transaction = database.pool().begin().await.map_err(anyhow::Error::from)?;
        connect(&mut transaction, credentials, ids.organization_id, &destination).await?;
        transaction.commit().await.map_err(anyhow::Error::from)?;

        let connection_info = platform::destination_connection(database, ids.organization_id, connection).await?;
        note(&format!("{short_name} {}", connections.describe(&connection_info)?));
        let scope = Scope {
            organization_id: ids.organization_id,
            collection_id: ids.collection_id,
            sync_id: ids.sync_id,
            slot_id: Uuid::nil(),
        };
        let profile = CompleteProfile::new(Some(self.profile()))?;
        match connections.open(&connection_info, scope, &profile)?.clear().await {
            Ok(0) => {}
            Ok(removed) => note(&format!("{removed} points of an earlier demo removed")),
            // There was none.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        Ok(connection)
    }

    /// Name and kind of a connection to a server of its own, and how to get in.
    fn server(&self) -> Option<(&'static str, &'static str, Value)> {
        match self {
            Self::Pgvector => None,
            Self::Qdrant { url, api_key } => {
                let api_key = api_key.as_ref().map(|key| key.expose_secret());
                Some(("Qdrant", "qdrant", json!({ "url": url.expose_secret(), "api_key": api_key })))
            }
            Self::Vespa { url } => Some(("Vespa", "vespa", json!({ "url": url.expose_secret() }))),
        }
    }
}
