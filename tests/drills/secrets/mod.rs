//! No secret leaves the process.
//!
//! A whole run with known secrets, failures included, then a search for each of them, in every form, in everything that
//! others can read: histories, tables, logs at their loudest, metrics, events, what the API and commands say. Whoever
//! adds a place where the product speaks adds it to [`Evidence`]; whoever adds a secret adds it to [`Secrets`].

mod evidence;
mod http;
mod indiscreet;
mod known;

use std::process::Command;

use activities::credentials::CredentialReader;
use axum::http::StatusCode;
use harness::platform_api::{Ending, Fault, PlatformServer, PlatformServerOptions};
use harness::qdrant::{QdrantServer, QdrantServerOptions};
use harness::vespa::{Security, VespaServer, VespaServerOptions};
use harness::{EmbeddingsServer, Receiver, Worker, World, WorldOptions, until, until_some};
use proto::v1::embedder::Kind;
use proto::v1::profile::Destination;
use proto::v1::vespa_layout::Documents;
use proto::v1::{Embedder, ForkRequest, OpenAiCompatible, PgvectorLayout, Profile, QdrantLayout, VespaLayout};
use serde_json::{Value, json};
use sync_multiplexer::temporal;
use temporalio_client::{WorkflowCancelOptions, WorkflowDescribeOptions};
use uuid::Uuid;

use self::evidence::Evidence;
use self::indiscreet::Indiscreet;
use self::known::Secrets;
use crate::write_log::PATIENCE;

/// As loud as it gets: everything of ours, and what our libraries say at debug.
const LOUD: &str = "debug,activities=trace,workflows=trace,sync_multiplexer=trace,syncmux=trace";

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_leaves_the_process() {
    let mut secrets = Secrets::default();
    let mut evidence = Evidence::default();
    let stage = Stage::new(&mut secrets).await;
    let workers =
        [stage.world.worker_among(&stage.variables("text")), stage.world.worker_among(&stage.variables("json"))];
    let log = workers[0].log_file();

    stage.what_goes_well(&mut evidence).await;
    stage.what_destinations_refuse(&mut secrets, &mut evidence).await;
    stage.what_the_platform_refuses(&mut evidence).await;
    stage.what_nobody_can_use(&mut secrets, &mut evidence).await;
    stage.what_callers_are_told(&mut secrets, &mut evidence).await;

    stage.what_is_counted_and_announced(&workers[1], &mut evidence).await;
    let workflows = evidence.add_workflows(&stage.world).await;
    for worker in workers {
        assert!(worker.stop(), "a worker ends well");
    }
    evidence.add("the log of the workers", std::fs::read(log).expect("there is a log"));
    evidence.add_tables(&stage.world).await;

    // Nothing is found in what is not there.
    assert!(workflows > 20, "{workflows} workflows");
    for (what, least) in [
        ("event", 200_000),
        ("the table", 10_000),
        ("the log", 200_000),
        ("the description", 20_000),
        ("the command", 5_000),
    ] {
        let bytes = evidence.bytes_of(what);
        assert!(bytes > least, "{what}: {bytes} bytes");
    }
    let leaks = evidence.leaks(&secrets);
    assert!(leaks.is_empty(), "{} leaks\n{}", leaks.len(), leaks.join("\n"));
    stage.world.done().await;
}

/// Who takes part, and what they were told.
struct Stage {
    world: World,
    platform: PlatformServer,
    receiver: Receiver,
    receiver_url: String,
    receiver_secret: String,
    embeddings: EmbeddingsServer,
    qdrant: QdrantServer,
    qdrant_key: String,
    vespa: VespaServer,
    vespa_token: String,
    embeddings_key: String,
}

impl Stage {
    async fn new(secrets: &mut Secrets) -> Self {
        let mut world = World::with(WorldOptions { entities: 24, ..WorldOptions::default() }).await;
        // The suite's Postgres trusts this machine, so it takes any password.
        let password = secrets.make_plain("password of the database");
        world.database_url = with_password(&world.database_url, &password);
        world.move_destinations(&world.database_url).await;
        secrets.know("Fernet key", &fernet_key(&world.command()));

        let platform = PlatformServer::start(&world, PlatformServerOptions::default()).await;
        for (name, value) in platform.variables().into_iter().filter(|(name, _)| name.ends_with("_KEY")) {
            secrets.know(name, &value);
        }
        let qdrant_key = secrets.make("key of Qdrant");
        let options = QdrantServerOptions { api_key: Some(qdrant_key.clone()), ..QdrantServerOptions::default() };
        let qdrant = QdrantServer::start(options).await;
        let vespa_token = secrets.make("token of Vespa");
        let security = Security::Token(vespa_token.clone());
        let vespa = VespaServer::start(VespaServerOptions { security, ..VespaServerOptions::default() }).await;
        let receiver_secret = format!("whsec_{}", CredentialReader::generate_key().replace('-', "+").replace('_', "/"));
        secrets.know("secret of webhooks", receiver_secret.trim_start_matches("whsec_").trim_end_matches('='));
        let receiver = Receiver::start(&[&receiver_secret]).await;
        let receiver_url = format!("{}?token={}", receiver.url(), secrets.make_plain("token in the url of webhooks"));
        receiver.answer_next(&[500, 401]);
        let embeddings_key = secrets.make("key of the embeddings server");
        let embeddings = EmbeddingsServer::start().await;
        Self {
            world,
            platform,
            receiver,
            receiver_url,
            receiver_secret,
            embeddings,
            qdrant,
            qdrant_key,
            vespa,
            vespa_token,
            embeddings_key,
        }
    }

    /// The environment of a worker, and of commands that take the settings of one.
    fn variables(&self, log_format: &str) -> Vec<(&'static str, String)> {
        let mut variables = self.platform.variables().to_vec();
        variables.extend([
            ("SYNCMUX_EMBEDDINGS_API_KEY", self.embeddings_key.clone()),
            ("QDRANT_FULL_URL", self.qdrant.url()),
            ("QDRANT_GRPC_PORT", self.qdrant.port().to_string()),
            ("QDRANT_API_KEY", self.qdrant_key.clone()),
            ("VESPA_URL", self.vespa.url()),
            ("VESPA_CLI_DATA_PLANE_TOKEN", self.vespa_token.clone()),
            ("SYNCMUX_WEBHOOK_URL", self.receiver_url.clone()),
            ("SYNCMUX_WEBHOOK_SECRET", self.receiver_secret.clone()),
            ("SYNCMUX_METRICS_ADDRESS", "127.0.0.1:0".to_owned()),
            ("SYNCMUX_LOG", LOUD.to_owned()),
            ("SYNCMUX_LOG_FORMAT", log_format.to_owned()),
        ]);
        variables
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.world.command();
        command.args(arguments).envs(self.variables("text"));
        command
    }

    fn request(&self, connection: Uuid, destination: Destination) -> ForkRequest {
        let embedder = Some(self.embeddings.embedder("small"));
        let profile = Profile { embedder, ..self.world.profile_of(destination) };
        ForkRequest { profile: Some(profile), ..self.world.fork_request(connection) }
    }

    /// Forks to every kind of destination, switches, goes back, resyncs, removes, and asks.
    async fn what_goes_well(&self, evidence: &mut Evidence) {
        let world = &self.world;
        let sync = world.ids.sync_id.to_string();
        let on_qdrant =
            json!({ "url": self.qdrant.url(), "grpc_port": self.qdrant.port(), "api_key": self.qdrant_key });
        let to_qdrant = world.connect_destination("qdrant", on_qdrant).await;
        let on_vespa = json!({ "url": self.vespa.url(), "token": self.vespa_token });
        let to_vespa = world.connect_destination("vespa", on_vespa).await;
        let requests = [
            self.request(world.ids.connection_v0, pgvector()),
            self.request(to_qdrant, qdrant()),
            self.request(to_vespa, vespa()),
        ];
        let mut slots = Vec::new();
        for request in &requests {
            slots.push(world.fork(request).await.expect("the fork completes").slot_id);
        }
        for slot in &slots[..2] {
            world.switch(&world.switch_request(slot)).await.expect("the switch completes");
        }
        for arguments in [
            &["rollback", "--sync", &sync, "--reason", "a drill"][..],
            &["resync", "--sync", &sync],
            &["resync", "--sync", &sync, "--rebuild"],
            &["search", "--sync", &sync, "why were customers billed twice"],
            &["search", "--sync", &sync, "--slot", &slots[1], "invoices"],
            &["follow", "--sync", &sync, "--show"],
            &["list", "--sync", &sync],
            &["status", "--sync", &sync, "--json"],
            &["doctor", "--connection", &to_qdrant.to_string()],
            &["doctor", "--json", "--connection", &to_vespa.to_string()],
            &["worker", "--help"],
        ] {
            let output = evidence.add_command(self.command(arguments));
            assert!(output.status.success(), "{arguments:?}: {}", last_lines(&output.stderr));
        }
        let retire = ["retire", "--sync", &sync, "--slot", &slots[2], "--force", "--reason", "a drill"];
        let output = evidence.add_command(self.command(&retire));
        assert!(output.status.success(), "{}", last_lines(&output.stderr));
    }

    /// Destinations that refuse, are away, repeat what they were sent, or were never any.
    async fn what_destinations_refuse(&self, secrets: &mut Secrets, evidence: &mut Evidence) {
        let world = &self.world;
        let (unauthorized, bad) =
            (Indiscreet::start(StatusCode::UNAUTHORIZED).await, Indiscreet::start(StatusCode::BAD_REQUEST).await);
        let mut secret = |what: &str| secrets.make(what);
        let mut cases = Vec::new();
        for (what, url, port) in [
            ("wrong key for Qdrant", self.qdrant.url(), self.qdrant.port()),
            ("key for a Qdrant that says it again", unauthorized.url(), unauthorized.port()),
            ("key for a Qdrant that complains of it", bad.url(), bad.port()),
            ("key for a Qdrant that is away", "http://127.0.0.1:1".to_owned(), 1),
        ] {
            cases.push(("qdrant", json!({ "url": url, "grpc_port": port, "api_key": secret(what) })));
        }
        for (what, url) in [
            ("wrong token for Vespa", self.vespa.url()),
            ("token for a Vespa that says it again", unauthorized.url()),
            ("token for a Vespa that complains of it", bad.url()),
            ("token for a Vespa that is away", "http://127.0.0.1:1".to_owned()),
        ] {
            cases.push(("vespa", json!({ "url": url, "token": secret(what) })));
        }
        let (certificate, key) = (pem(&secret("certificate")), pem(&secret("private key")));
        let certificate = json!({ "url": "https://127.0.0.1:1", "certificate": certificate, "key": key });
        cases.extend([
            ("qdrant", json!({ "url": "http://127.0.0.1:1", "grpc_port": secret("port of Qdrant"), "api_key": "k" })),
            ("qdrant", json!({ "url": { "secret": secret("url that is no text") } })),
            ("vespa", certificate),
            ("pgvector", json!({ "url": [secret("url that is a list")] })),
            ("pgvector", json!(secret("credentials that are no object"))),
        ]);
        let mut plain = |what: &str| secrets.make_plain(what);
        let postgres =
            |role: &str, password: &str, place: &str| json!({ "url": format!("postgres://{role}:{password}@{place}") });
        let here = world.database_url.rsplit_once('@').expect("a url with a user").1;
        cases.extend([
            ("pgvector", postgres("postgres", &plain("password at nobody's door"), "127.0.0.1:1/none")),
            ("pgvector", postgres("no_such_role", &plain("password of an unknown role"), here)),
            ("pgvector", postgres("me", &plain("password in a url with a bad port"), "host:port/x")),
            ("pgvector", json!({ "url": plain("password instead of a url") })),
            ("qdrant", json!({ "url": format!("http://me:{}@127.0.0.1:1", plain("password in a url of Qdrant")) })),
            ("qdrant", json!({ "url": format!("{}://qdrant", plain("scheme")) })),
            ("vespa", json!({ "url": format!("http://me:{}@127.0.0.1:1", plain("password in a url of Vespa")) })),
            ("vespa", json!({ "url": format!("http://127.0.0.1:1/?token={}", plain("token in a url of Vespa")) })),
        ]);
        let (mut requests, mut doctors) = (Vec::new(), Vec::new());
        for (kind, credentials) in cases {
            let connection = world.connect_destination(kind, credentials).await;
            let destination = match kind {
                // Its own collection, for otherwise it is refused before anybody is asked.
                "qdrant" => {
                    Destination::Qdrant(QdrantLayout { collection: "another".to_owned(), ..QdrantLayout::default() })
                }
                "vespa" => Destination::Vespa(VespaLayout {
                    documents: Documents::Chunk.into(),
                    namespace: "another".to_owned(),
                    ..VespaLayout::default()
                }),
                _ => pgvector(),
            };
            requests.push(self.request(connection, destination));
            doctors.push(self.command(&["doctor", "--json", "--connection", &connection.to_string()]));
        }
        evidence.add_commands(doctors);
        // The worker's key goes to whatever server a profile names.
        for server in [&unauthorized, &bad] {
            let embedder = Embedder {
                kind: Some(Kind::OpenAi(OpenAiCompatible {
                    base_url: format!("{}/v1", server.url()),
                    model: "small".to_owned(),
                    dimensions: 8,
                    ..OpenAiCompatible::default()
                })),
            };
            let credentials = json!({ "url": world.database_url });
            let connection = world.connect_destination("pgvector", credentials).await;
            let request = self.request(connection, pgvector());
            let profile = request.profile.clone().map(|profile| Profile { embedder: Some(embedder), ..profile });
            requests.push(ForkRequest { profile, ..request });
        }
        futures::future::join_all(requests.iter().map(|request| self.fork_in_vain(request))).await;
    }

    /// Forks until an attempt has failed, or all of it; looks at it as an operator would; and cancels it.
    async fn fork_in_vain(&self, request: &ForkRequest) {
        let fork = self.world.start_fork(request).await.expect("a fork starts");
        until("a fork gets into trouble", PATIENCE, async || {
            let description = fork.describe(WorkflowDescribeOptions::default()).await.expect("Temporal answers");
            let pending = &description.raw_description.pending_activities;
            let running = description.raw_description.workflow_execution_info.as_ref().is_some_and(|it| it.status == 1);
            !running || pending.iter().any(|it| it.attempt > 1)
        })
        .await;
        let cancelled = fork.cancel(WorkflowCancelOptions::builder().reason("a drill").build()).await;
        let failure = temporal::watch_fork(&fork, |_| {}).await.expect_err("it cannot succeed");
        eprintln!("{failure}{}", if cancelled.is_ok() { "" } else { ", by itself" });
    }

    /// The platform refuses keys, jobs fail, and both say too much.
    async fn what_the_platform_refuses(&self, evidence: &mut Evidence) {
        let sync = self.world.ids.sync_id.to_string();
        let keys: Vec<String> = self
            .platform
            .variables()
            .into_iter()
            .filter(|(name, _)| name.ends_with("_KEY"))
            .map(|(_, key)| key)
            .collect();
        let said = format!("not with {} and postgres://platform:{}@db/x", keys[0], keys[1]);
        for fault in [Fault::Unauthorized, Fault::Forbidden, Fault::Refused(said.clone())] {
            self.platform.fail_next([fault]);
            let output = evidence.add_command(self.command(&["resync", "--sync", &sync]));
            assert!(!output.status.success(), "a refused resync fails");
        }
        self.platform.end_next(Ending::Failed(said));
        let output = evidence.add_command(self.command(&["resync", "--sync", &sync]));
        assert!(!output.status.success(), "a resync whose job fails fails");
    }

    /// What a worker shows to scrapers, and what the receiver of webhooks was sent.
    async fn what_is_counted_and_announced(&self, worker: &Worker, evidence: &mut Evidence) {
        let address = until_some("the worker says where its metrics are", PATIENCE, async || {
            let log = worker.log();
            let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let mut served = lines.filter(|line| line["message"] == "metrics are served");
            served.find_map(|line| line["address"].as_str().map(str::to_owned))
        })
        .await;
        for path in ["metrics", "readyz"] {
            let answer = reqwest::get(format!("http://{address}/{path}")).await.expect("the worker answers");
            evidence.add("the metrics of a worker", answer.text().await.expect("text"));
        }
        let events = self.receiver.received();
        assert!(events.len() > 20, "{} events", events.len());
        for event in events {
            evidence.add("an event", format!("{event:?}"));
        }
    }

    /// Settings that are wrong: a password in a url that does not parse, a key that is none, a store behind a bad door.
    async fn what_nobody_can_use(&self, secrets: &mut Secrets, evidence: &mut Evidence) {
        let sync = self.world.ids.sync_id.to_string();
        let list = ["list", "--sync", &sync];
        let check = ["arf", "check", "--sync", &sync];
        let mut secret = |what: &str| secrets.make_plain(what);
        let settings: [(&[&str], &str, String); 11] = [
            (
                &list,
                "DATABASE_URL",
                format!("postgres://me:{}@127.0.0.1:1/x", secret("password of a database that is away")),
            ),
            (
                &list,
                "DATABASE_URL",
                format!("postgres://me:{}@host:port/x", secret("password in a database url that is none")),
            ),
            (&list, "DATABASE_URL", format!("mysql://me:{}@host/x", secret("password of another database"))),
            (&["migrate"], "DATABASE_URL", secret("password instead of a database url")),
            (&["doctor"], "ENCRYPTION_KEY", secret("key that is no Fernet key")),
            (
                &["doctor"],
                "QDRANT_FULL_URL",
                format!("http://me:{}@127.0.0.1:1", secret("password in QDRANT_FULL_URL")),
            ),
            (&["doctor"], "VESPA_URL", format!("http://me:{}@127.0.0.1:1", secret("password in VESPA_URL"))),
            (
                &["doctor"],
                "PLATFORM_API_URL",
                format!("http://me:{}@127.0.0.1:1", secret("password in PLATFORM_API_URL")),
            ),
            (&check, "ARF_STORE_URL", format!("s3://me:{}@bucket/prefix", secret("key in ARF_STORE_URL"))),
            (&check, "AWS_SECRET_ACCESS_KEY", secret("key of S3")),
            (&["worker"], "ENCRYPTION_KEY", secret("key that is no Fernet key either")),
        ];
        let mut commands = Vec::new();
        for (arguments, name, value) in settings {
            let mut command = self.command(arguments);
            if name == "AWS_SECRET_ACCESS_KEY" {
                command
                    .env("ARF_STORE_URL", "s3://bucket/prefix")
                    .env("AWS_ACCESS_KEY_ID", "somebody")
                    .env("AWS_REGION", "eu-west-1")
                    .env("SYNCMUX_S3_ENDPOINT", "http://127.0.0.1:1");
            }
            command.env(name, value);
            commands.push(command);
        }
        let wrong = ["worker", "--encryption-key", &secret("key beside an unknown flag"), "--no-such-flag"];
        commands.push(self.command(&wrong));
        for output in evidence.add_commands(commands) {
            assert!(!output.status.success(), "a bad setting does: {}", String::from_utf8_lossy(&output.stdout));
        }
    }
}

fn pgvector() -> Destination {
    Destination::Pgvector(PgvectorLayout::default())
}

fn qdrant() -> Destination {
    Destination::Qdrant(QdrantLayout::default())
}

fn vespa() -> Destination {
    Destination::Vespa(VespaLayout { documents: Documents::Chunk.into(), ..VespaLayout::default() })
}

/// The url with a password for its user.
fn with_password(url: &str, password: &str) -> String {
    let (front, back) = url.split_once('@').expect("a url with a user");
    let user = front.strip_prefix("postgres://").expect("a url of Postgres").split(':').next().unwrap_or_default();
    format!("postgres://{user}:{password}@{back}")
}

fn fernet_key(command: &Command) -> String {
    let value = command.get_envs().find(|(name, _)| *name == "ENCRYPTION_KEY").and_then(|(_, value)| value);
    value.and_then(|value| value.to_str()).expect("the world has a key").to_owned()
}

/// Something that begins like a PEM text and is none.
fn pem(secret: &str) -> Value {
    json!(format!("-----BEGIN PRIVATE KEY-----\n{secret}\n-----END PRIVATE KEY-----\n"))
}

fn last_lines(said: &[u8]) -> String {
    let text = String::from_utf8_lossy(said);
    let lines: Vec<_> = text.lines().rev().take(5).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}
