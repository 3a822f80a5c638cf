//! The conformance suite on Qdrant, in three layouts.
//!
//! Syncs share a collection, as the platform has it. Two slots of one sync are in different ones: the second slot of a sync
//! is in the second collection of the test, and so on.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use ::qdrant_client::qdrant::CountPointsBuilder;
use activities::destinations::qdrant::{Qdrant, QdrantEndpoint, QdrantSettings};
use activities::destinations::{Destination, Scope};
use async_trait::async_trait;
use harness::qdrant::{QdrantServer, QdrantServerOptions};
use proto::v1::QdrantLayout;
use uuid::Uuid;

use super::target::{client, real_server};
use crate::conformance::{World, conformance_tests};

/// A server with collections of one layout.
struct Collections {
    /// None when a real server is given.
    server: Option<QdrantServer>,
    url: String,
    api_key: Option<String>,
    layout: QdrantLayout,
    /// What the names of this test's collections begin with.
    prefix: String,
    /// The slots of each sync in the order in which they were opened.
    slots: Mutex<HashMap<Uuid, Vec<Uuid>>>,
}

/// The platform's layout. On a server of our own the first collection is the platform's shared one, by its own name.
fn platform() -> QdrantLayout {
    QdrantLayout::default()
}

/// Nothing as the platform has it.
fn own() -> QdrantLayout {
    QdrantLayout {
        dense_vector: "meaning".into(),
        sparse_vector: "words".into(),
        distance: proto::v1::qdrant_layout::Distance::Euclid.into(),
        quantization: proto::v1::qdrant_layout::Quantization::None.into(),
        hnsw: Some(proto::v1::QdrantHnsw { m: Some(16), payload_m: Some(8), ef_construct: Some(64) }),
        vectors_on_disk: Some(false),
        payload_on_disk: Some(false),
        shards: 2,
        ..QdrantLayout::default()
    }
}

impl Collections {
    async fn open(layout: QdrantLayout, options: QdrantServerOptions) -> Self {
        let prefix = format!("syncmux_test_{}", Uuid::new_v4().simple());
        println!("collections {prefix}*");
        let slots = Mutex::default();
        if let Some((url, api_key)) = real_server() {
            return Self { server: None, url, api_key, layout, prefix, slots };
        }
        let api_key = Some("right".to_owned());
        let server = QdrantServer::start(QdrantServerOptions { api_key: api_key.clone(), ..options }).await;
        Self { url: server.url(), server: Some(server), api_key, layout, prefix, slots }
    }

    fn slot(&self, scope: &Scope, dimensions: u32, url: &str, api_key: Option<&str>) -> Arc<dyn Destination> {
        let endpoint = endpoint(url, api_key);
        let position = {
            let mut slots = self.slots.lock().expect("no test thread panicked");
            let slots = slots.entry(scope.sync_id).or_default();
            slots.iter().position(|slot| *slot == scope.slot_id).unwrap_or_else(|| {
                slots.push(scope.slot_id);
                slots.len() - 1
            })
        };
        let shared = self.server.is_some() && position == 0 && self.layout == platform();
        let collection = if shared { String::new() } else { format!("{}_{position}", self.prefix) };
        // The platform's shared collections are named by length; one of another length would be another collection.
        let collection = if dimensions == crate::conformance::DIMENSIONS || !shared {
            collection
        } else {
            format!("airweave_vectors_{}", crate::conformance::DIMENSIONS)
        };
        let layout = QdrantLayout { collection, ..self.layout.clone() };
        let settings = QdrantSettings::from_layout(&layout, dimensions).expect("the layout is valid");
        Arc::new(Qdrant::connect(&endpoint, scope.clone(), settings).expect("the URL is valid"))
    }
}

/// The endpoint behind a gRPC URL, which is what the protocol server has.
pub(crate) fn endpoint(url: &str, api_key: Option<&str>) -> QdrantEndpoint {
    let grpc = url.replacen("http", "grpc", 1);
    QdrantEndpoint::new(&grpc.into(), None, api_key.map(Into::into)).expect("the URL is valid")
}

#[async_trait]
impl World for Collections {
    fn open_sized(&self, scope: &Scope, dimensions: u32) -> Arc<dyn Destination> {
        self.slot(scope, dimensions, &self.url, self.api_key.as_deref())
    }

    fn open_denied(&self, scope: &Scope) -> Arc<dyn Destination> {
        assert!(
            self.api_key.is_some(),
            "a Qdrant without a key denies nobody: start it with QDRANT__SERVICE__API_KEY and set QDRANT_API_KEY"
        );
        self.slot(scope, crate::conformance::DIMENSIONS, &self.url, Some("wrong"))
    }

    fn open_away(&self, scope: &Scope) -> Arc<dyn Destination> {
        // A port that was free a moment ago, and that the listener's end leaves refusing.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        drop(listener);
        self.slot(scope, crate::conformance::DIMENSIONS, &url, None)
    }

    fn precision(&self) -> f32 {
        // Bringing a vector to length one rounds its square, its root and the quotient.
        if self.layout == platform() { 2e-6 } else { 0.0 }
    }

    fn writes_whole_entities(&self) -> bool {
        false
    }

    async fn inventory(&self) -> Vec<String> {
        let client = client(&self.url, self.api_key.as_deref());
        let names = client.list_collections().await.expect("list").collections;
        let mut names: Vec<String> = names.into_iter().map(|collection| collection.name).collect();
        // On a real server others have collections too; what a check leaves would be named after the slot.
        let slots: Vec<String> = {
            let slots = self.slots.lock().expect("no test thread panicked");
            slots.values().flatten().map(Uuid::to_string).collect()
        };
        names.retain(|name| {
            self.server.is_some() || name.starts_with(&self.prefix) || slots.iter().any(|slot| name.contains(slot))
        });
        names.sort();
        let mut inventory = Vec::new();
        for name in names {
            let info = client.collection_info(&name).await.expect("info").result.expect("result");
            let indexes: BTreeMap<String, String> = info
                .payload_schema
                .iter()
                .map(|(field, index)| (field.clone(), format!("{:?} {:?}", index.data_type(), index.params)))
                .collect();
            let count = client.count(CountPointsBuilder::new(&name).exact(true)).await.expect("count");
            let points = count.result.expect("result").count;
            let aliases = client.list_collection_aliases(&name).await.expect("aliases").aliases;
            inventory.push(format!("{name}: {:?} {indexes:?} {points} points {aliases:?}", info.config));
        }
        inventory
    }

    async fn close(self: Box<Self>) {
        if self.server.is_some() {
            return;
        }
        let client = client(&self.url, self.api_key.as_deref());
        for collection in client.list_collections().await.expect("list").collections {
            if collection.name.starts_with(&self.prefix) {
                client.delete_collection(&collection.name).await.expect("delete");
            }
        }
    }
}

/// As Qdrant Cloud makes collections. A real server has the strictness it was configured with.
fn cloud() -> QdrantServerOptions {
    QdrantServerOptions { cloud_defaults: true, ..QdrantServerOptions::default() }
}

conformance_tests!(platform_layout, Collections::open(platform(), QdrantServerOptions::default()).await);
conformance_tests!(own_layout, Collections::open(own(), QdrantServerOptions::default()).await);
conformance_tests!(strict_mode, Collections::open(platform(), cloud()).await);
