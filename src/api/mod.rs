//! The HTTP API: `syncmux api`.
//!
//! ```text
//! panics → at most N at a time, each for a bounded time → body limit
//!   → public: / /openapi.json /livez /readyz /metrics
//!   → who asks (caller) → how often (limits) → once (idempotency) → a handler
//! ```
//!
//! It starts workflows and reads what is recorded; it does no work of an operation itself, and holds nothing that another
//! process of it would lack but counters and caches. What is long is answered with 202, the operation's id and where to look.
//!
//! Invariant: every handler takes its organisation from `Caller`, which only `caller::require` makes, and
//! hands it to every statement. A route that is not public is under that layer, whoever adds it.
//!
//! Start at [`serve`], then [`routes`].

mod caller;
mod collections;
mod dead_letters;
mod destinations;
mod document;
mod events;
mod extract;
mod fields;
mod follow;
mod fork;
mod health;
mod idempotency;
mod limits;
mod observe;
mod operations;
mod paging;
mod problem;
mod profiles;
mod resync;
mod retire;
mod settings;
mod started;
mod switch;
mod throttle;
mod verifications;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use activities::api_keys::ApiKeys;
use activities::credentials::CredentialReader;
use activities::database::Database;
use axum::extract::{DefaultBodyLimit, Request};
use axum::{Router, ServiceExt, middleware};
use secrecy::SecretString;
use temporalio_client::Client;
use tokio::net::TcpListener;
use tokio::sync::{OnceCell, watch};
use tower::Layer as _;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::normalize_path::NormalizePathLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use workflows::domain::ErrorKind;

use crate::config::TemporalArgs;
use crate::operations::Operations;
use crate::output::Failure;
use crate::{telemetry, temporal};
use limits::Limits;
use problem::Problem;
use profiles::Profiles;

pub use settings::ApiSettings;

/// How long Temporal is tried before a request fails with `Unavailable`.
const TEMPORAL_PATIENCE: Duration = Duration::from_secs(5);

/// How long requests that run get to end at shutdown.
const DRAIN: Duration = Duration::from_secs(10);

/// What handlers share.
struct Api {
    database: Database,
    temporal: TemporalArgs,
    client: OnceCell<Client>,
    keys: ApiKeys,
    internal_token: Option<SecretString>,
    profiles: Profiles,
    limits: Limits,
    /// How long a request that began an operation waits for an early end of it.
    answer_wait: Duration,
    /// Says `true` when the process is to end.
    stopping: watch::Receiver<bool>,
}

impl Api {
    /// The client of Temporal, connected when it is first needed: the API answers what it can while Temporal is away.
    async fn client(&self) -> Result<Client, Failure> {
        let connected = self.client.get_or_try_init(|| temporal::connect_for(&self.temporal, TEMPORAL_PATIENCE)).await;
        connected.cloned().map_err(|failure| {
            // Where it is looked for is the operator's business.
            tracing::warn!(%failure, "no connection to Temporal");
            Failure::new(ErrorKind::Unavailable, "Temporal does not answer; try again")
        })
    }

    /// The operations, as the command line sees them too.
    async fn operations(&self) -> Result<Operations, Failure> {
        Ok(Operations::new(self.database.clone(), self.client().await?, &self.temporal.task_queue))
    }
}

/// Serves until `stop` resolves; then lets running requests end. The address is said on stderr: with port 0 it is new.
///
/// # Errors
///
/// When the settings are not usable, the database does not answer, or the address is taken.
pub async fn serve(settings: &ApiSettings, stop: impl Future<Output = ()> + Send + 'static) -> Result<(), Failure> {
    let database = Database::connect(&settings.database.database_url, settings.database_connections).await?;
    let keys = ApiKeys::new(database.clone(), CredentialReader::new(settings.encryption_key.as_ref())?);
    let (stop_all, stopping) = watch::channel(false);
    let api = Arc::new(Api {
        database,
        temporal: settings.temporal.clone(),
        client: OnceCell::new(),
        keys,
        internal_token: settings.internal_token()?,
        profiles: settings.profiles()?,
        limits: settings.limits(),
        answer_wait: Duration::from_secs(settings.answer_wait_seconds),
        stopping: stopping.clone(),
    });
    let service = NormalizePathLayer::trim_trailing_slash().layer(router(api));
    let service = ServiceExt::<Request>::into_make_service_with_connect_info::<SocketAddr>(service);

    let listener = TcpListener::bind(settings.address).await?;
    eprintln!("listening on http://{}", listener.local_addr()?);
    let mut drained = stopping.clone();
    let serving = axum::serve(listener, service).with_graceful_shutdown(async move {
        stop.await;
        tracing::info!("shutting down; running requests end");
        // Those that wait or watch end at once; the others soon.
        let _ = stop_all.send(true);
    });
    tokio::select! {
        served = serving.into_future() => served?,
        () = async {
            // The sender lives as long as the server.
            let _ = drained.wait_for(|stopping| *stopping).await;
            tokio::time::sleep(DRAIN).await;
        } => tracing::warn!("requests that did not end in time are cut off"),
    }
    tracing::info!("api stopped");
    Ok(())
}

/// The routes with everything around them.
fn router(api: Arc<Api>) -> Router {
    let (routes, openapi) = routes().split_for_parts();
    let known = routes
        .route_layer(middleware::from_fn_with_state(Arc::clone(&api), idempotency::once))
        .route_layer(middleware::from_fn_with_state(Arc::clone(&api), caller::require));
    health::routes()
        .merge(document::routes(openapi))
        .merge(known)
        .fallback(document::nowhere)
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
        .layer(DefaultBodyLimit::max(extract::MAX_BODY_BYTES))
        .layer(middleware::from_fn_with_state(Arc::clone(&api), limits::bound))
        .layer(middleware::from_fn(observe::request))
        .layer(middleware::from_fn(telemetry::http::observe))
        .layer(CatchPanicLayer::custom(limits::panicked))
        .with_state(api)
}

/// Every route that needs a caller, with its description.
fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::with_openapi(document::head())
        .nest("/sync-multiplex/{sync_id}", platform_routes().merge(own_routes()))
        .nest("/sync/{sync_id}", platform_routes())
        .nest(
            "/collections/{collection_id}",
            OpenApiRouter::new()
                .routes(routes!(collections::fork))
                .routes(routes!(collections::switch))
                .routes(routes!(collections::rollback)),
        )
        .nest(
            "/operations",
            OpenApiRouter::new()
                .routes(routes!(operations::list))
                .routes(routes!(operations::get))
                .routes(routes!(operations::pause))
                .routes(routes!(operations::resume))
                .routes(routes!(throttle::one))
                .routes(routes!(operations::cancel))
                .routes(routes!(operations::retry))
                .routes(routes!(events::watch)),
        )
        .nest("/throttle", OpenApiRouter::new().routes(routes!(throttle::show, throttle::all)))
}

/// The five that the platform drew up.
fn platform_routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(destinations::list))
        .routes(routes!(destinations::active))
        .routes(routes!(fork::fork))
        .routes(routes!(switch::switch))
        .routes(routes!(resync::resync))
}

/// What else there is of a sync.
fn own_routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(switch::rollback))
        .routes(routes!(follow::follow))
        .routes(routes!(retire::retire))
        .routes(routes!(dead_letters::list))
        .routes(routes!(verifications::list))
}
