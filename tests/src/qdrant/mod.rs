//! A server that speaks Qdrant's gRPC protocol over a store in memory, for tests.
//!
//! It emulates version 1.19.0 on a single node, in what that version was seen to do where a connector gets hurt:
//!
//! * A batch with one bad point is applied in part (`vectors`, `writes`): in pieces of 32 in an order of the server's
//!   own. `wait=true` says so by `InvalidArgument`, `wait=false` says OK. Only the dense dimension is checked before.
//! * NaN and infinity are stored, and such points come first in every search.
//! * A write whose time runs out is OK with `WaitTimeout`; a conditional write that was skipped is `Completed`.
//! * A batch of operations is not a transaction, and neither is a list of alias actions.
//! * Strict mode refuses filters without an index, limits sizes, and limits rates by points with `retry-after`.
//! * Points can be deferred: acknowledged, but not counted yet.
//!
//! Faults that a real server has by bad luck are scripted ([`QdrantServer::script`]). The [`Journal`] says what was asked
//! and what was really stored, so that a test can prove that nothing was counted twice or sent at all.
//!
//! Whatever is not modelled is refused with `Unimplemented` and says so; there is no silent guess. Not modelled: the REST
//! API, snapshots, custom sharding and replicas (shard number is only kept), multivectors, other data types than float32,
//! inference, recommend, discover and the older search calls, groups, facets, order by, changes of payload or of single
//! vectors, geo, text and date filters, quotas as such, roles in keys. Vectors are compared exactly and unquantised, and
//! writes without `wait` are visible at once, unless points are deferred by `prevent_unoptimized` or by a script.
//!
//! Start reading at [`QdrantServer`]; `tests/destinations/qdrant/server.rs` proves the model, against a real server too.

mod aliases;
mod collections;
mod config;
mod faults;
mod filter;
mod indexes;
mod journal;
mod points;
mod reads;
mod search;
mod store;
mod strict_mode;
mod tls;
mod vectors;
mod writes;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use ::qdrant_client::qdrant::collections_server::CollectionsServer;
use ::qdrant_client::qdrant::points_server::PointsServer;
use ::qdrant_client::qdrant::{CollectionStatus, HealthCheckReply, HealthCheckRequest, qdrant_server};
use tokio::runtime::Runtime;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

pub use faults::Fault;
pub use journal::{Call, Journal, Method};
pub use store::PointKey;

use self::collections::CollectionsService;
use self::points::PointsService;
use self::store::Shared;
use self::tls::Certificates;

/// The version that is emulated.
pub const VERSION: &str = "1.19.0";

/// How a server behaves that is not a fault.
#[derive(Debug, Clone)]
pub struct QdrantServerOptions {
    /// The key that every call but the health check must carry.
    pub api_key: Option<String>,
    /// Serves TLS with a certificate of an authority of its own, see [`QdrantServer::authority_pem`].
    pub tls: bool,
    /// New collections get what Qdrant Cloud gives them: strict mode, no filters on fields without an index, at most a
    /// hundred payload indexes.
    pub cloud_defaults: bool,
    /// How often a collection is looked at before it is green again, once its optimizer has work.
    pub looks_until_green: u32,
    /// How long each write takes.
    pub write_latency: Duration,
}

impl Default for QdrantServerOptions {
    fn default() -> Self {
        Self { api_key: None, tls: false, cloud_defaults: false, looks_until_green: 1, write_latency: Duration::ZERO }
    }
}

/// What a collection says of its optimizer when it is looked at once.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// Green when the optimizer has nothing to do.
    pub status: CollectionStatus,
    /// Operations that wait to be applied.
    pub queue: u64,
    /// So many of the newest points are not countable yet.
    pub deferred: u64,
}

/// A running server, gone when dropped.
pub struct QdrantServer {
    shared: Arc<Shared>,
    certificates: Option<Certificates>,
    address: SocketAddr,
    running: Option<Runtime>,
}

impl QdrantServer {
    /// Starts a server with an empty store on a free port of this machine.
    ///
    /// # Panics
    ///
    /// When no port can be had.
    #[must_use]
    pub async fn start(options: QdrantServerOptions) -> Self {
        let certificates = options.tls.then(Certificates::generate);
        let mut server = Self {
            shared: Arc::new(Shared::new(options)),
            certificates,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            running: None,
        };
        server.listen();
        server
    }

    /// Where gRPC is served, such as `http://127.0.0.1:40123`. There is no REST.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.certificates.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// The port of [`Self::url`]; the same after a restart.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The authority that signed the server's certificate, for a client's `SSL_CERT_FILE`.
    ///
    /// # Panics
    ///
    /// When the server speaks no TLS.
    #[must_use]
    pub fn authority_pem(&self) -> &str {
        &self.certificates.as_ref().expect("the server was started with TLS").authority_pem
    }

    /// Ends the server as a kill would: connections are cut, requests under way are lost, what was applied stays. What
    /// was acknowledged and not yet applied is in the log, and applied on restart.
    ///
    /// # Panics
    ///
    /// When the server's threads do not end.
    pub async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            let ended = tokio::task::spawn_blocking(move || running.shutdown_timeout(Duration::from_secs(10)));
            ended.await.expect("the server's threads end");
            self.shared.journal.nothing_in_flight();
        }
    }

    /// Starts the server again with the same store on the same port.
    ///
    /// # Panics
    ///
    /// When the port was taken meanwhile.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.shared.store().apply_queues(&self.shared);
        self.listen();
    }

    /// What was asked and what was stored so far.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.shared.journal
    }

    /// Lets the next `times` calls of `method` meet a fault. Scripts of one method play one after the other.
    pub fn script(&self, method: Method, times: u32, fault: Fault) {
        self.shared.faults.script(method, 0, times, fault);
    }

    /// Lets `spared` calls of `method` pass, and the `times` calls after them meet a fault.
    pub fn script_after(&self, spared: u32, method: Method, times: u32, fault: Fault) {
        self.shared.faults.script(method, spared, times, fault);
    }

    /// Forgets scripts that have not been played.
    pub fn forget_scripts(&self) {
        self.shared.faults.forget();
    }

    /// Makes the server refuse the point, wherever it comes, after parts of its batch may have been applied.
    pub fn poison(&self, point: PointKey) {
        self.shared.faults.poison(point);
    }

    /// What the next looks at a collection show, one after the other; after the last it is green and everything counts.
    ///
    /// # Panics
    ///
    /// When there is no such collection.
    pub fn show(&self, collection: &str, looks: &[Look]) {
        self.shared.store().show(collection, looks);
    }

    /// Points stored in a collection, deferred or not; nothing when there is no such collection.
    #[must_use]
    pub fn stored_points(&self, collection: &str) -> Vec<PointKey> {
        self.shared.store().stored_points(collection)
    }

    fn listen(&mut self) {
        let listener = TcpListener::bind(self.address).unwrap_or_else(|error| panic!("{}: {error}", self.address));
        listener.set_nonblocking(true).expect("a socket can be non-blocking");
        self.address = listener.local_addr().expect("a bound socket has an address");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("qdrant-server")
            .enable_all()
            .build()
            .expect("a runtime can be made");
        let key = Door(Arc::clone(&self.shared));
        let points = PointsServer::new(PointsService(Arc::clone(&self.shared))).max_decoding_message_size(usize::MAX);
        let collections = CollectionsServer::new(CollectionsService(Arc::clone(&self.shared)));
        let mut server = Server::builder();
        if let Some(certificates) = &self.certificates {
            server = server.tls_config(certificates.server_config()).expect("the generated certificate is valid");
        }
        let router = server
            .add_service(qdrant_server::QdrantServer::new(Health))
            .add_service(InterceptedService::new(points, key.clone()))
            .add_service(InterceptedService::new(collections, key));
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("the socket is non-blocking");
            let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
            router.serve_with_incoming(incoming).await.expect("a listening socket goes on accepting");
        });
        self.running = Some(runtime);
    }
}

impl Drop for QdrantServer {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.shutdown_background();
        }
    }
}

/// Refuses calls without the right `api-key`, and notes which trace the others belong to. The health check is open, as
/// with the real server.
#[derive(Clone)]
struct Door(Arc<Shared>);

impl tonic::service::Interceptor for Door {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(traceparent) = request.metadata().get("traceparent").and_then(|it| it.to_str().ok()) {
            self.0.journal.traced(traceparent);
        }
        let Some(key) = &self.0.options.api_key else { return Ok(request) };
        match request.metadata().get("api-key").map(tonic::metadata::MetadataValue::as_bytes) {
            Some(given) if given == key.as_bytes() => Ok(request),
            Some(_) => Err(Status::unauthenticated("Invalid API key or JWT")),
            None => Err(Status::unauthenticated("Must provide an API key or an Authorization bearer token")),
        }
    }
}

struct Health;

#[tonic::async_trait]
impl qdrant_server::Qdrant for Health {
    async fn health_check(&self, _: Request<HealthCheckRequest>) -> Result<Response<HealthCheckReply>, Status> {
        Ok(Response::new(HealthCheckReply {
            title: "qdrant - vector search engine".into(),
            version: VERSION.into(),
            commit: None,
        }))
    }
}

/// What every service answers.
type Answer<T> = Result<Response<T>, Status>;

/// The refusal of everything that this server does not model.
fn not_modelled(what: impl std::fmt::Display) -> Status {
    Status::unimplemented(format!("the test server does not model {what}"))
}

/// The refusal of a request that is wrong in itself.
fn wrong_input(what: impl std::fmt::Display) -> Status {
    Status::invalid_argument(format!("Wrong input: {what}"))
}
