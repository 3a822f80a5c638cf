//! Connections of kind `pgvector`: credentials `{"url": "postgres://…"}`. Without any, the vectors go into the platform's
//! own Postgres.

use secrecy::SecretString;

use super::Connections;
use crate::database::platform::ConnectionInfo;
use crate::error::Result;

pub(super) fn url(connections: &Connections, connection: &ConnectionInfo) -> Result<SecretString> {
    match connections.credentials(connection)? {
        Some(credentials) => credentials.text("url"),
        None => Ok(connections.database_url.clone()),
    }
}
