//! Clients, shared by every slot that lives on the same server.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use qdrant_client::config::QdrantConfig;
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};

use super::endpoint::QdrantEndpoint;
use crate::error::{Error, ErrorKind, Result};
use crate::trace_context;

/// How long the server may work on a request, in its own judgement: sent with every request that takes it. A write that
/// takes longer is answered with "not applied yet", which is not a failure of the wire.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// How long the client waits. Well above [`REQUEST_TIMEOUT`]: the client sends a request again when its own time runs
/// out, while the server is still at the first.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(120);

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Connections to one server; as many as an upsert has requests in flight.
const CONNECTIONS: usize = super::write::IN_FLIGHT;

/// One client per endpoint and key. A worker process keeps one of these.
#[derive(Default)]
pub struct QdrantClients {
    /// By digest of endpoint and key, so that keys are not kept a second time.
    open: Mutex<HashMap<[u8; 32], qdrant_client::Qdrant>>,
}

impl QdrantClients {
    /// The client for `endpoint`. Connects when first used, so a server that is away shows then. Its requests name the
    /// trace of the span that is current now: the client has no place for what differs from request to request.
    ///
    /// # Errors
    /// `InvalidInput` when the client does not take the endpoint's URL.
    pub fn get(&self, endpoint: &QdrantEndpoint) -> Result<qdrant_client::Qdrant> {
        let mut digest = Sha256::new();
        digest.update(endpoint.grpc_url());
        if let Some(key) = endpoint.api_key() {
            digest.update([0]);
            digest.update(key.expose_secret());
        }
        // Nothing panics while the map is changed, so a poisoned one is still whole.
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let key: [u8; 32] = digest.finalize().into();
        if let Some(client) = open.get(&key) {
            return Ok(traced(client.clone()));
        }
        let client = connect_lazily(endpoint)?;
        open.insert(key, client.clone());
        Ok(traced(client))
    }
}

/// The same connections, with the current trace in the metadata of every request.
fn traced(mut client: qdrant_client::Qdrant) -> qdrant_client::Qdrant {
    client.config.custom_headers.extend(trace_context::current());
    client
}

fn connect_lazily(endpoint: &QdrantEndpoint) -> Result<qdrant_client::Qdrant> {
    // The compatibility check connects, blocks the thread and prints to stdout.
    let mut config = QdrantConfig::from_url(endpoint.grpc_url())
        .timeout(CLIENT_TIMEOUT)
        .connect_timeout(CONNECT_TIMEOUT)
        .skip_compatibility_check();
    config.set_pool_size(CONNECTIONS);
    if let Some(key) = endpoint.api_key() {
        config.set_api_key(key.expose_secret());
    }
    config.build().map_err(|error| {
        let problem = format!("the client of Qdrant does not take the address {endpoint}");
        Error::new(ErrorKind::InvalidInput, problem).with_source(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_made_once_per_endpoint_and_key() {
        let clients = QdrantClients::default();
        let endpoint =
            |url: &str, key: Option<&str>| QdrantEndpoint::new(&url.into(), None, key.map(Into::into)).expect("valid");
        for (url, key) in [
            ("http://a:6333", None),
            ("http://a:6333", Some("k")),
            ("http://a:6334", Some("k")),
            ("http://a:6333", Some("l")),
            ("https://a:6333", Some("k")),
        ] {
            clients.get(&endpoint(url, key)).expect("nothing is connected yet");
        }
        assert_eq!(clients.open.lock().expect("not poisoned").len(), 4, "two of them are the same place");
    }
}
