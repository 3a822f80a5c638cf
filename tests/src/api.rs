//! The HTTP API as a process, and somebody who calls it.

use std::time::Duration;

use activities::credentials::CredentialReader;
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::wait::until_some;
use crate::worker::Worker;
use crate::world::World;

/// The bearer token of the platform's backend, in every API that a world serves.
const INTERNAL_TOKEN: &str = "the internal token of a test";

/// A running API.
pub struct Api {
    process: Worker,
    /// Where it listens.
    pub url: String,
    client: reqwest::Client,
    headers: HeaderMap,
}

/// What it answered.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as it came.
    pub text: String,
}

impl Reply {
    /// The body as JSON.
    ///
    /// # Panics
    ///
    /// When it is none.
    #[must_use]
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {:?}", self.text))
    }

    /// A header, when it is there.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("headers are text"))
    }

    /// The body of an answer with this status.
    ///
    /// # Panics
    ///
    /// When the status is another one.
    #[must_use]
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.json()
    }

    /// The words of a refusal with this status and kind, which is a problem document.
    ///
    /// # Panics
    ///
    /// When it is something else.
    #[must_use]
    #[track_caller]
    pub fn refusal(&self, status: u16, kind: &str) -> String {
        let problem = self.expect(status);
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        assert_eq!(
            (problem["kind"].as_str(), problem["status"].as_u64()),
            (Some(kind), Some(status.into())),
            "{problem}"
        );
        assert!(problem["type"].is_string() && problem["title"].is_string(), "{problem}");
        problem["detail"].as_str().expect("there are words").to_owned()
    }
}

impl Api {
    /// The same API, called with other headers and no others.
    pub fn request(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> reqwest::RequestBuilder {
        let mut request = self.client.request(method, format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request
    }

    /// Sends what was put together.
    ///
    /// # Panics
    ///
    /// When no answer comes.
    pub async fn send(&self, request: reqwest::RequestBuilder) -> Reply {
        let answer = request.send().await.expect("the API answers");
        let (status, headers) = (answer.status(), answer.headers().clone());
        let text = answer.text().await.expect("the answer can be read");
        Reply { status: status.as_u16(), headers, text }
    }

    /// `GET`, as the caller that it was made for.
    pub async fn get(&self, path: &str) -> Reply {
        self.send(self.request(Method::GET, path, &[]).headers(self.headers.clone())).await
    }

    /// `POST` with a JSON body, as that caller.
    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        self.send(self.request(Method::POST, path, &[]).headers(self.headers.clone()).json(body)).await
    }

    /// `POST` with an idempotency key.
    pub async fn post_once(&self, path: &str, key: &str, body: &Value) -> Reply {
        let request = self.request(Method::POST, path, &[("idempotency-key", key)]);
        self.send(request.headers(self.headers.clone()).json(body)).await
    }

    /// The end of an operation, by long polls.
    ///
    /// # Panics
    ///
    /// When it does not end in time.
    pub async fn end(&self, operation: &str) -> Value {
        // A busy machine is no failure.
        for _ in 0..12 {
            let view = self.get(&format!("/operations/{operation}?wait=15")).await.expect(200);
            if view["state"] != "running" {
                return view;
            }
        }
        panic!("operation {operation} does not end");
    }

    /// The bearer token of the platform's backend.
    #[must_use]
    pub fn internal_token(&self) -> &'static str {
        INTERNAL_TOKEN
    }

    /// What it logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Asks it to stop (SIGTERM); whether it ended well.
    #[must_use]
    pub fn stop(self) -> bool {
        self.process.stop()
    }
}

impl World {
    /// Serves the API on a free port, with an API key of the world's organisation, which may use it.
    ///
    /// # Panics
    ///
    /// When it does not come up.
    pub async fn api(&self, arguments: &[&str]) -> Api {
        let mut command = self.command();
        command.env("SYNCMUX_INTERNAL_TOKEN", INTERNAL_TOKEN).args(["api", "--address", "127.0.0.1:0"]).args(arguments);
        let process = Worker::spawn(command, self.store_root().join(format!("api-{}.log", Uuid::new_v4())));
        let url = until_some("the API to listen", Duration::from_secs(30), || async {
            let log = process.log();
            let said = log.lines().find_map(|line| line.strip_prefix("listening on "));
            said.map(str::to_owned)
        })
        .await;
        self.enable(self.ids.organization_id).await;
        let key = self.api_key(self.ids.organization_id, "1 day").await;
        let headers = [(HeaderName::from_static("x-api-key"), HeaderValue::try_from(key).expect("a key is text"))];
        Api { process, url, client: reqwest::Client::new(), headers: headers.into_iter().collect() }
    }

    /// Gives an organisation the feature.
    ///
    /// # Panics
    ///
    /// When the platform's table refuses the row.
    pub async fn enable(&self, organization: Uuid) {
        sqlx::query(
            "INSERT INTO public.feature_flag (id, organization_id, flag) VALUES ($1, $2, 'sync_multiplexer')
             ON CONFLICT (organization_id, flag) DO UPDATE SET enabled = true",
        )
        .bind(Uuid::new_v4())
        .bind(organization)
        .execute(self.database.pool())
        .await
        .expect("a feature can be given");
    }

    /// An API key as the platform makes them, and for how long it is good.
    ///
    /// # Panics
    ///
    /// When the platform's table refuses the row.
    pub async fn api_key(&self, organization: Uuid, good_for: &str) -> String {
        let key = format!("key-{}", Uuid::new_v4().simple());
        let secret = self.encryption_key.clone().into();
        let writer = CredentialReader::new(Some(&secret)).expect("a generated key is a key");
        sqlx::query(
            "INSERT INTO public.api_key (id, created_at, modified_at, organization_id, encrypted_key, expiration_date)
             VALUES ($1, now(), now(), $2, $3, (now() AT TIME ZONE 'UTC') + $4::text::interval)",
        )
        .bind(Uuid::new_v4())
        .bind(organization)
        .bind(writer.encrypt(&json!({ "key": key })).expect("there is a key"))
        .bind(good_for)
        .execute(self.database.pool())
        .await
        .expect("an API key can be made");
        key
    }

    /// Another organisation beside the world's.
    ///
    /// # Panics
    ///
    /// When the platform's table refuses the row.
    pub async fn stranger(&self) -> Uuid {
        let organization = Uuid::new_v4();
        sqlx::query(
            "INSERT INTO public.organization (id, created_at, modified_at, name) VALUES ($1, now(), now(), 'Strangers')",
        )
        .bind(organization)
        .execute(self.database.pool())
        .await
        .expect("an organisation can be made");
        organization
    }

    /// A hash of every row of the platform and of ours, by table. What only remembers requests is left out.
    ///
    /// # Panics
    ///
    /// When the tables cannot be read.
    pub async fn every_row(&self) -> Vec<(String, Option<String>)> {
        let tables: Vec<String> = sqlx::query_scalar(
            "SELECT schemaname || '.' || tablename FROM pg_tables
             WHERE schemaname IN ('public', 'sync_multiplexer', 'sync_multiplexer_vectors')
               AND tablename NOT IN ('idempotency_key')
             ORDER BY 1",
        )
        .fetch_all(self.database.pool())
        .await
        .expect("the tables can be listed");
        let mut hashes = Vec::new();
        for table in tables {
            let query = format!("SELECT md5(string_agg(row::text, ';' ORDER BY row::text)) FROM {table} AS row");
            let hash: Option<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(query))
                .fetch_one(self.database.pool())
                .await
                .expect("the table can be read");
            hashes.push((table, hash));
        }
        hashes
    }
}
