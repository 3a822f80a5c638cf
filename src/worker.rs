//! The worker process: polls the task queue until it is told to stop.

use std::time::Duration;

use activities::database::{Database, outbox, standing};
use activities::metrics::metrics;
use activities::webhooks::{self, Webhooks};
use activities::{Activities, Settings};
use temporalio_client::Client;
use temporalio_sdk::runtime::worker_tuner::{FixedSizeSlotSupplier, TunerHolder};
use temporalio_sdk::{Runtime, Worker, WorkerOptions};
use tokio::task::JoinSet;
use workflows::follow::FollowWorkflow;
use workflows::fork::ForkWorkflow;
use workflows::fork_collection::ForkCollectionWorkflow;
use workflows::resync::ResyncWorkflow;
use workflows::retire::RetireWorkflow;
use workflows::switch::SwitchWorkflow;

use crate::config::{DatabaseArgs, StoreArgs, TemporalArgs, WorkerArgs};
use crate::output::Failure;
use crate::telemetry::server::{self, Readiness};
use crate::telemetry::{self, propagation};
use crate::temporal;

/// Everything a worker is configured with.
#[derive(Debug, Clone, clap::Args)]
pub struct WorkerSettings {
    /// The platform's database.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// The raw store.
    #[command(flatten)]
    pub store: StoreArgs,
    /// Temporal.
    #[command(flatten)]
    pub temporal: TemporalArgs,
    /// The rest.
    #[command(flatten)]
    pub worker: WorkerArgs,
}

impl WorkerSettings {
    /// What the activities need of it.
    ///
    /// # Errors
    ///
    /// `InvalidInput` when the settings of the platform's own destinations or of its API are not usable.
    pub fn activities(&self) -> Result<Settings, Failure> {
        let args = &self.worker;
        Ok(Settings {
            database_url: self.database.database_url.clone(),
            database_connections: args.database_connections,
            store_url: self.store.store_url.clone(),
            encryption_key: args.encryption_key.clone(),
            native: args.native.destinations()?,
            model_dir: args.model_dir.clone(),
            embeddings_api_key: args.embeddings_api_key.clone(),
            platform_api: args.platform_api.settings(),
        })
    }
}

/// Runs a worker until `stop` resolves; then lets running activities hand over within the grace period.
///
/// # Errors
///
/// When the database, the raw store or the configuration is not usable, or the worker breaks.
pub async fn run(settings: &WorkerSettings, stop: impl Future<Output = ()>) -> Result<(), Failure> {
    let args = &settings.worker;
    let webhooks = args.webhook.settings()?;
    let activities = Activities::connect(settings.activities()?).await?;
    let database = activities.database();
    let readiness = Readiness::default();
    let server = match args.metrics_address {
        Some(address) => Some(server::serve(address, readiness.clone(), database.clone()).await?),
        None => None,
    };
    if let Some(server) = &server {
        tracing::info!(address = %server.address, "metrics are served");
    }
    let mut beside = JoinSet::new();
    beside.spawn(sweep_fences(activities.clone()));
    beside.spawn(keep_house(database.clone()));
    if server.is_some() || telemetry::are_metrics_exported() {
        beside.spawn(measure(database.clone()));
    }
    if let Some(settings) = webhooks {
        beside.spawn(Webhooks::new(database.clone(), &settings)?.run());
    }

    tokio::pin!(stop);
    let client = tokio::select! {
        client = connect_patiently(&settings.temporal) => client?,
        () = &mut stop => return Ok(()),
    };
    let runtime = Runtime::from_current_tokio(Default::default())
        .map_err(|error| Failure::from(anyhow::anyhow!("the Temporal runtime did not start: {error}")))?;
    let tuner = TunerHolder::builder()
        .workflow_task_slot_supplier(FixedSizeSlotSupplier::new(20))
        .activity_task_slot_supplier(FixedSizeSlotSupplier::new(args.activity_slots.max(1)))
        .local_activity_task_slot_supplier(FixedSizeSlotSupplier::new(4))
        .nexus_task_slot_supplier(FixedSizeSlotSupplier::new(1))
        .build();
    let options = WorkerOptions::new(&settings.temporal.task_queue)
        .tuner(tuner)
        .max_cached_workflows(200_usize)
        .graceful_shutdown_period(Duration::from_secs(args.grace_seconds))
        .max_heartbeat_throttle_interval(Duration::from_secs(5))
        // When a worker dies, its sticky workflow tasks wait this long before another worker gets them.
        .sticky_queue_schedule_to_start_timeout(Duration::from_secs(2))
        .workflow_interceptor(propagation::through_workflows())
        .register_activities(activities.clone())
        .register_workflow::<ForkWorkflow>()
        .and_then(|options| options.register_workflow::<FollowWorkflow>())
        .and_then(|options| options.register_workflow::<ForkCollectionWorkflow>())
        .and_then(|options| options.register_workflow::<SwitchWorkflow>())
        .and_then(|options| options.register_workflow::<RetireWorkflow>())
        .and_then(|options| options.register_workflow::<ResyncWorkflow>())
        .map_err(|error| Failure::from(anyhow::anyhow!("a workflow could not be registered: {error}")))?
        .build();
    let mut worker = Worker::new(&runtime, client, options)
        .map_err(|error| Failure::from(anyhow::anyhow!("the worker did not start: {error}")))?;
    let shut_down = worker.shutdown_handle();

    tracing::info!(task_queue = settings.temporal.task_queue, pid = std::process::id(), "worker up");
    readiness.set(true);
    let running = worker.run();
    tokio::pin!(running);
    let ended = tokio::select! {
        ended = &mut running => ended,
        () = &mut stop => {
            readiness.set(false);
            tracing::info!("shutting down; running activities hand over");
            activities.drain();
            shut_down();
            running.await
        }
    };
    ended.map_err(|error| Failure::from(anyhow::anyhow!("the worker broke: {error}")))?;
    tracing::info!("worker stopped");
    Ok(())
}

/// Between two looks for fences that expired.
const SWEEP: Duration = Duration::from_secs(10);

/// Between two looks for events that are too old.
const HOUSE: Duration = Duration::from_hours(1);

/// Between two looks at how everything stands.
const MEASURE: Duration = Duration::from_secs(10);

fn every(period: Duration) -> tokio::time::Interval {
    let mut tick = tokio::time::interval(period);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    tick
}

/// Removes events that nobody fetched, whether this worker has a receiver or not.
async fn keep_house(database: Database) {
    let mut tick = every(HOUSE);
    loop {
        tick.tick().await;
        match outbox::prune(&database, webhooks::KEPT).await {
            Ok(0) => {}
            Ok(events) => tracing::warn!(events, "removed events that no receiver of webhooks took"),
            Err(error) => tracing::warn!(%error, "old events could not be removed; trying again"),
        }
    }
}

/// Shows what all workers together stand at: each shows the same.
async fn measure(database: Database) {
    let mut tick = every(MEASURE);
    loop {
        tick.tick().await;
        let measured = async {
            let lag = standing::worst_lag(&database).await?;
            metrics().lag(lag.entities, lag.age);
            for (operation, count) in standing::running_operations(&database).await? {
                metrics().operations_running(operation, count);
            }
            Ok::<_, activities::error::Error>(())
        };
        if let Err(error) = measured.await {
            tracing::warn!(%error, "lag and running operations could not be measured; trying again");
        }
    }
}

/// Removes what expired fences left, now and again and again: whoever raised them may be gone.
async fn sweep_fences(activities: Activities) {
    let mut tick = every(SWEEP);
    loop {
        tick.tick().await;
        match activities.sweep_fences().await {
            Ok(0) => {}
            Ok(fences) => tracing::warn!(fences, "removed fences whose operations did not come back in time"),
            Err(error) => tracing::warn!(%error, "expired fences could not be looked for; trying again"),
        }
    }
}

/// Resolves on SIGTERM or ctrl-C.
pub async fn shutdown_signal() {
    let interrupted = tokio::signal::ctrl_c();
    let mut terminated = match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(terminated) => terminated,
        Err(error) => {
            tracing::warn!(%error, "SIGTERM cannot be watched; only ctrl-C stops this process gracefully");
            let _ = interrupted.await;
            return;
        }
    };
    tokio::select! {
        _ = interrupted => {}
        _ = terminated.recv() => {}
    }
}

/// The SDK's worker does not wait for a server that is still starting; this does.
async fn connect_patiently(args: &TemporalArgs) -> Result<Client, Failure> {
    let mut pause = Duration::from_millis(250);
    loop {
        match temporal::connect(args).await {
            Err(failure) if failure.kind() == Some(workflows::domain::ErrorKind::Unavailable) => {
                tracing::warn!(%failure, "trying again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(10));
            }
            done => return done,
        }
    }
}
