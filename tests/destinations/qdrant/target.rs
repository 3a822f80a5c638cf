//! The Qdrant that a test tries things on: a server of its own, or the real one that `QDRANT_URL` names.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use ::qdrant_client::qdrant::{
    CountPointsBuilder, CreateCollectionBuilder, Distance, Filter, Modifier, PointStruct, SparseVectorParamsBuilder,
    SparseVectorsConfigBuilder, UpdateStatus, UpsertPointsBuilder, Vector, VectorParamsBuilder,
};
use ::qdrant_client::{Payload, Qdrant, QdrantError};
use harness::qdrant::{QdrantServer, QdrantServerOptions};
use tonic::{Code, Status};
use uuid::Uuid;

/// Where a real server is, when one is given: its gRPC URL and its key.
pub(crate) fn real_server() -> Option<(String, Option<String>)> {
    let url = std::env::var("QDRANT_URL").ok().filter(|url| !url.is_empty())?;
    let url = url.trim_end_matches('/').replace(":6333", ":6334");
    Some((url, std::env::var("QDRANT_API_KEY").ok().filter(|key| !key.is_empty())))
}

/// A client as the product's own are, but less patient.
pub(crate) fn client(url: &str, api_key: Option<&str>) -> Qdrant {
    client_with(url, api_key, Duration::from_secs(30))
}

pub(crate) fn client_with(url: &str, api_key: Option<&str>, timeout: Duration) -> Qdrant {
    let config = Qdrant::from_url(url).timeout(timeout).skip_compatibility_check();
    config.api_key(api_key.map(str::to_owned)).build().expect("the URL is valid")
}

/// A server and a client of it, and the collections that a test made.
pub(crate) struct Target {
    pub(crate) client: Qdrant,
    server: Option<QdrantServer>,
    key: Option<String>,
    made: Mutex<Vec<String>>,
}

impl Target {
    /// The real server when one is given, else one of our own.
    pub(crate) async fn open() -> Self {
        match real_server() {
            Some((url, key)) => {
                Self { client: client(&url, key.as_deref()), server: None, key, made: Mutex::default() }
            }
            None => Self::own(QdrantServerOptions::default()).await,
        }
    }

    /// One of our own, for what needs a script or an option. None when the tests run on a real server.
    pub(crate) async fn scripted(options: QdrantServerOptions) -> Option<Self> {
        if real_server().is_some() {
            println!("skipped: this needs a server that can be scripted, and QDRANT_URL names a real one");
            return None;
        }
        Some(Self::own(options).await)
    }

    async fn own(options: QdrantServerOptions) -> Self {
        let key = options.api_key.clone();
        let server = QdrantServer::start(options).await;
        Self { client: client(&server.url(), key.as_deref()), server: Some(server), key, made: Mutex::default() }
    }

    /// The server, for scripts.
    pub(crate) fn server(&self) -> &QdrantServer {
        self.server.as_ref().expect("opened with `scripted`")
    }

    /// The key that opens the server.
    pub(crate) fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// From now on [`Self::key`] is a wrong one.
    pub(crate) fn forget_key(&mut self) {
        self.key = Some("wrong".to_owned());
    }

    pub(crate) fn server_mut(&mut self) -> &mut QdrantServer {
        self.server.as_mut().expect("opened with `scripted`")
    }

    /// A name that no other test has; removed by [`Self::close`].
    pub(crate) fn name(&self) -> String {
        let name = format!("syncmux_test_{}", Uuid::new_v4().simple());
        self.made.lock().expect("no test thread panicked").push(name.clone());
        name
    }

    /// A collection with an unnamed dense vector of four values, compared by inner product, and the sparse vector
    /// `bm25` with IDF.
    pub(crate) async fn collection(&self) -> String {
        let name = self.name();
        self.client.create_collection(plain(&name)).await.expect("create");
        name
    }

    pub(crate) async fn close(self) {
        let made = self.made.lock().expect("no test thread panicked").clone();
        for name in &made {
            self.client.delete_collection(name).await.expect("delete");
        }
    }
}

/// The request for what [`Target::collection`] makes.
pub(crate) fn plain(name: &str) -> CreateCollectionBuilder {
    let mut sparse = SparseVectorsConfigBuilder::default();
    sparse.add_named_vector_params("bm25", SparseVectorParamsBuilder::default().modifier(Modifier::Idf));
    CreateCollectionBuilder::new(name)
        .vectors_config(VectorParamsBuilder::new(4, Distance::Dot))
        .sparse_vectors_config(sparse)
}

pub(crate) fn payload(json: serde_json::Value) -> Payload {
    Payload::try_from(json).expect("an object")
}

/// A point with a dense vector and the payload `{"n": id}`.
pub(crate) fn point(id: u64, dense: [f32; 4]) -> PointStruct {
    PointStruct::new(id, dense.to_vec(), payload(serde_json::json!({ "n": id })))
}

/// Points with ids from 1 and vectors along the first axis.
pub(crate) fn points(count: u64) -> Vec<PointStruct> {
    (1..=count).map(|id| point(id, [1.0, 0.0, 0.0, 0.0])).collect()
}

/// A point with vectors by name.
pub(crate) fn named(id: u64, vectors: Vec<(&str, Vector)>) -> PointStruct {
    let vectors: HashMap<String, Vector> = vectors.into_iter().map(|(name, it)| (name.to_owned(), it)).collect();
    PointStruct::new(id, vectors, Payload::new())
}

impl Target {
    /// Writes and waits.
    pub(crate) async fn upsert(&self, name: &str, points: Vec<PointStruct>) -> Result<UpdateStatus, QdrantError> {
        let request = UpsertPointsBuilder::new(name, points).wait(true);
        let answer = self.client.upsert_points(request).await?;
        Ok(answer.result.expect("an upsert has a result").status())
    }

    pub(crate) async fn count(&self, name: &str) -> u64 {
        self.count_with(name, Filter::default()).await
    }

    pub(crate) async fn count_with(&self, name: &str, filter: Filter) -> u64 {
        let request = CountPointsBuilder::new(name).filter(filter).exact(true);
        self.client.count(request).await.expect("count").result.expect("a count has a result").count
    }
}

/// The status behind a refusal.
pub(crate) fn status<T: std::fmt::Debug>(answer: Result<T, QdrantError>) -> Status {
    match answer.expect_err("this must be refused") {
        QdrantError::ResponseError { status } | QdrantError::ResourceExhaustedError { status, .. } => status,
        other => panic!("not an answer of the server: {other}"),
    }
}

pub(crate) fn code<T: std::fmt::Debug>(answer: Result<T, QdrantError>) -> Code {
    status(answer).code()
}
