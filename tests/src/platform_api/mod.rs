//! A server that speaks the part of the platform's HTTP API that resyncs use, and does to a world's database and raw
//! store what the platform's jobs do to theirs.
//!
//! It is strict: routes, methods, queries, bodies, keys and the header of the organisation have to be right, and what
//! is not modelled is a 404. A job is a row that is pending, then running, then ended; it compares a source of its own
//! with what was captured before, writes what changed, removes what is gone, and leaves alone what is the same, even
//! when the raw store lost it. A job that was configured to capture everything writes every entity and nothing but the
//! raw store.
//!
//! Three versions of the platform: one without the route for administrators, one where its body is the configuration,
//! and one where configuration and marks are parts of it. As the platform does, it ignores what it does not know in
//! there.
//!
//! Not modelled: users and their sessions, organisations beside the world's, usage limits and the words of most
//! refusals; Temporal, Redis, schedules, cursors beyond whether there is one, and the reaper of stuck jobs;
//! destinations, chunks and vectors: a job writes none. The platform writes its files in place; this writes each in one
//! step.
//!
//! `routes` is the API, `access` who may use it, `jobs` what a job does, `source` where from, `script` what goes wrong.

mod access;
mod configuration;
mod jobs;
mod routes;
mod script;
mod source;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use sqlx::PgPool;
use sync_multiplexer::demo::store::Changes;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use uuid::Uuid;

use crate::World;
use script::Script;
pub use script::{Ending, Fault};
use source::Source;

/// Which platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Version {
    /// Jobs have no configuration, and no route rebuilds the raw store. Lists every job, in no order.
    Original,
    /// The first with that route: its body is the configuration.
    Flat,
    /// The body has the configuration as a part, beside marks.
    #[default]
    Nested,
}

/// How a test wants its platform.
#[derive(Debug, Clone, Copy, Default)]
pub struct PlatformServerOptions {
    /// Which platform.
    pub version: Version,
    /// Whether the sync has a cursor.
    pub has_cursor: bool,
    /// Whether the organisation's own key may use the routes for administrators.
    pub own_key_is_admin: bool,
}

/// A request that came in.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// Method and path, with the query.
    pub route: String,
    /// Key it came with.
    pub key: Option<String>,
    /// Organisation it named.
    pub organization: Option<String>,
    /// The body, when it was JSON.
    pub body: Option<Value>,
}

/// The server. Gone when dropped; jobs that run end with it.
#[derive(Debug)]
pub struct PlatformServer {
    address: SocketAddr,
    platform: Arc<Platform>,
    task: AbortHandle,
}

/// What handlers and jobs share.
#[derive(Debug)]
struct Platform {
    options: PlatformServerOptions,
    pool: PgPool,
    organization_id: Uuid,
    sync_id: Uuid,
    source_connection_id: Uuid,
    own_key: String,
    admin_key: String,
    script: Mutex<Script>,
    asked: Mutex<Vec<Asked>>,
    source: tokio::sync::Mutex<Source>,
    /// Jobs that run stay where they are while this is true.
    held: watch::Sender<bool>,
    jobs: Mutex<Vec<AbortHandle>>,
}

impl PlatformServer {
    /// Starts it for a world, on a free port of this machine.
    ///
    /// # Panics
    ///
    /// When there is no free port, or the world's tables cannot be changed.
    pub async fn start(world: &World, options: PlatformServerOptions) -> Self {
        Self::start_at(world, options, SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// Starts it where one was before, or where one was expected.
    ///
    /// # Panics
    ///
    /// When the port is taken, or the world's tables cannot be changed.
    pub async fn start_at(world: &World, options: PlatformServerOptions, address: SocketAddr) -> Self {
        let pool = world.database.pool().clone();
        configuration::add_columns(&pool, options.version).await;
        let source_connection_id = sqlx::query_scalar("SELECT id FROM public.source_connection WHERE sync_id = $1")
            .bind(world.ids.sync_id)
            .fetch_one(&pool)
            .await
            .expect("the sync has a source connection");
        let platform = Arc::new(Platform {
            options,
            pool,
            organization_id: world.ids.organization_id,
            sync_id: world.ids.sync_id,
            source_connection_id,
            own_key: format!("own-{}", Uuid::new_v4().simple()),
            admin_key: format!("admin-{}", Uuid::new_v4().simple()),
            script: Mutex::default(),
            asked: Mutex::default(),
            source: tokio::sync::Mutex::new(Source::beside(world)),
            held: watch::Sender::new(false),
            jobs: Mutex::default(),
        });
        let listener = TcpListener::bind(address).await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let app = routes::router(Arc::clone(&platform));
        let task = tokio::spawn(async move { axum::serve(listener, app).await }).abort_handle();
        Self { address, platform, task }
    }

    /// Where it is, as a worker is told.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The organisation's key.
    #[must_use]
    pub fn own_key(&self) -> &str {
        &self.platform.own_key
    }

    /// An administrator's key, of another organisation.
    #[must_use]
    pub fn admin_key(&self) -> &str {
        &self.platform.admin_key
    }

    /// What the environment of a worker that asks this platform has, with both keys.
    #[must_use]
    pub fn variables(&self) -> [(&'static str, String); 3] {
        [
            ("PLATFORM_API_URL", self.url()),
            ("PLATFORM_API_KEY", self.own_key().to_owned()),
            ("PLATFORM_ADMIN_API_KEY", self.admin_key().to_owned()),
        ]
    }

    /// The source connection, by which the API calls the sync.
    #[must_use]
    pub fn source_connection(&self) -> Uuid {
        self.platform.source_connection_id
    }

    /// Lets the next requests that would start a job go wrong, one after the other.
    ///
    /// # Panics
    ///
    /// When a request panicked.
    pub fn fail_next(&self, faults: impl IntoIterator<Item = Fault>) {
        self.platform.script.lock().expect("no request panicked").faults.extend(faults);
    }

    /// Lets the next job end so.
    ///
    /// # Panics
    ///
    /// When a request panicked.
    pub fn end_next(&self, ending: Ending) {
        self.platform.script.lock().expect("no request panicked").endings.push_back(ending);
    }

    /// Keeps jobs running until they are let go or cancelled.
    pub fn hold_jobs(&self) {
        self.platform.held.send_replace(true);
    }

    /// Lets them end.
    pub fn let_jobs_go(&self) {
        self.platform.held.send_replace(false);
    }

    /// Changes the source: `count` entities are updated, half as many added and a quarter as many removed. The next job
    /// sees it.
    pub async fn change_source(&self, round: u32, count: usize) -> Changes {
        self.platform.source.lock().await.change(round, count)
    }

    /// What it was asked since the last call.
    ///
    /// # Panics
    ///
    /// When a request panicked.
    #[must_use]
    pub fn take_asked(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.platform.asked.lock().expect("no request panicked"))
    }

    /// Starts a job as a schedule or a person does, and returns its id.
    pub async fn start_job(&self, scheduled: bool) -> Uuid {
        jobs::start(&self.platform, scheduled, None, Vec::new()).await
    }

    /// The rows of the sync's jobs, oldest first: id and status.
    ///
    /// # Panics
    ///
    /// When they cannot be read.
    pub async fn jobs(&self) -> Vec<(Uuid, String)> {
        sqlx::query_as("SELECT id, status FROM public.sync_job WHERE sync_id = $1 ORDER BY created_at, id")
            .bind(self.platform.sync_id)
            .fetch_all(&self.platform.pool)
            .await
            .expect("jobs can be listed")
    }
}

impl Drop for PlatformServer {
    fn drop(&mut self) {
        self.task.abort();
        if let Ok(jobs) = self.platform.jobs.lock() {
            jobs.iter().for_each(AbortHandle::abort);
        }
    }
}
