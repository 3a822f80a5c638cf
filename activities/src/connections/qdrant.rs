//! Connections of kind `qdrant`: credentials `{"url", "api_key"?, "grpc_port"?}`. The platform's own, `qdrant_native`, has
//! none.

use super::{Connections, nowhere};
use crate::database::platform::ConnectionInfo;
use crate::destinations::qdrant::QdrantEndpoint;
use crate::error::Result;

pub(super) fn endpoint(connections: &Connections, connection: &ConnectionInfo) -> Result<QdrantEndpoint> {
    if let Some(credentials) = connections.credentials(connection)? {
        let (grpc_port, api_key) = (credentials.optional_port("grpc_port")?, credentials.optional_text("api_key")?);
        return QdrantEndpoint::new(&credentials.text("url")?, grpc_port, api_key);
    }
    let native = connections.native.qdrant.as_ref().filter(|_| connection.native);
    let native = native.ok_or_else(|| nowhere(connection, "QDRANT_HOST and QDRANT_PORT, or QDRANT_FULL_URL,"))?;
    QdrantEndpoint::new(&native.url, native.grpc_port, native.api_key.clone())
}
