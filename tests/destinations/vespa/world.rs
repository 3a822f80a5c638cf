//! The conformance suite on chunk documents, with each kind of id.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use activities::destinations::vespa::{
    Vespa, VespaClients, VespaCredentials, VespaEndpoint, VespaLimits, VespaSettings,
};
use activities::destinations::{Destination, Scope};
use async_trait::async_trait;
use harness::vespa::{KeywordScore, Security, VespaServer, VespaServerOptions, illegal_code_point};
use proto::v1::VespaLayout;
use proto::v1::vespa_layout::{Documents, Ids};
use serde_json::Value;
use uuid::Uuid;

use super::place::Place;
use crate::conformance::{DIMENSIONS, World, conformance_tests};

/// A Vespa with namespaces that no other test has.
struct Application {
    place: Place,
    /// Never a real one: most have no lock.
    locked: VespaServer,
    clients: VespaClients,
    ids: Ids,
    prefix: String,
    /// Slots by sync, in the order in which they were opened.
    slots: Mutex<HashMap<Uuid, Vec<Uuid>>>,
}

impl Application {
    async fn open(ids: Ids) -> Self {
        let options = VespaServerOptions { keyword_score: KeywordScore::SparseTensor, ..VespaServerOptions::default() };
        let locked = VespaServerOptions { security: Security::Token("right".into()), ..options.clone() };
        let limits = VespaLimits { attempts: 2, first_delay: Duration::from_millis(5), ..VespaLimits::default() };
        Self {
            place: Place::real_or(options).await,
            locked: VespaServer::start(locked).await,
            clients: VespaClients::new(limits),
            ids,
            prefix: format!("w{}", Uuid::new_v4().simple()),
            slots: Mutex::default(),
        }
    }

    /// Slots of one sync need namespaces of their own. With the platform's ids also syncs do: one may not write over
    /// another's documents, and every property writes the same entities.
    fn namespace(&self, scope: &Scope) -> String {
        let mut slots = self.slots.lock().expect("no holder panics");
        let slots = slots.entry(scope.sync_id).or_default();
        let position = slots.iter().position(|slot| *slot == scope.slot_id).unwrap_or_else(|| {
            slots.push(scope.slot_id);
            slots.len() - 1
        });
        match self.ids {
            Ids::Scoped => format!("{}.{position}", self.prefix),
            _ => format!("{}.{position}.{}", self.prefix, scope.sync_id.simple()),
        }
    }

    fn slot(&self, endpoint: &VespaEndpoint, scope: &Scope, dimensions: u32) -> Arc<dyn Destination> {
        let layout = VespaLayout {
            documents: Documents::Chunk.into(),
            ids: self.ids.into(),
            cluster: self.place.cluster.clone(),
            namespace: self.namespace(scope),
            ..VespaLayout::default()
        };
        let settings = VespaSettings::from_layout(&layout, dimensions).expect("the layout is valid");
        let client = self.clients.get(endpoint).expect("the endpoint is usable");
        Arc::new(Vespa::new(client, scope.clone(), settings))
    }

    /// What is in this test's namespaces, page by page.
    async fn follow(&self, method: reqwest::Method, more: &str) -> Vec<Value> {
        let client = self.place.client();
        // Names of this test begin with its prefix; a glob is the only selection that says so.
        let of = format!("cluster={}&selection=id.namespace%3D'{}*'{more}", self.place.cluster, self.prefix);
        let (mut pages, mut token) = (Vec::new(), String::new());
        loop {
            let url = format!("{}/document/v1/?{of}{token}", self.place.url);
            let response = client.request(method.clone(), url).send().await.expect("an answer");
            assert!(response.status().is_success(), "{}", response.status());
            let page: Value = response.json().await.expect("JSON");
            let next = page["continuation"].as_str().map(|next| format!("&continuation={}", next.replace('=', "%3D")));
            pages.push(page);
            match next {
                Some(next) => token = next,
                None => return pages,
            }
        }
    }
}

#[async_trait]
impl World for Application {
    fn open_sized(&self, scope: &Scope, dimensions: u32) -> Arc<dyn Destination> {
        self.slot(&self.place.endpoint(), scope, dimensions)
    }

    fn open_denied(&self, scope: &Scope) -> Arc<dyn Destination> {
        let credentials = VespaCredentials::Token("wrong".into());
        let endpoint = VespaEndpoint::new(&self.locked.url().into(), credentials).expect("the URL is valid");
        self.slot(&endpoint, scope, DIMENSIONS)
    }

    fn open_away(&self, scope: &Scope) -> Arc<dyn Destination> {
        // A port that was free a moment ago, and that the listener's end leaves refusing.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        drop(listener);
        let endpoint = VespaEndpoint::new(&url.into(), VespaCredentials::None).expect("the URL is valid");
        self.slot(&endpoint, scope, DIMENSIONS)
    }

    fn precision(&self) -> f32 {
        // The fields are bfloat16, which keeps 7 bits behind the point; the rest is cut off.
        1.0 / 128.0
    }

    async fn inventory(&self) -> Vec<String> {
        let pages = self.follow(reqwest::Method::GET, "&fieldSet=[id]&wantedDocumentCount=1000").await;
        let documents = pages.iter().flat_map(|page| page["documents"].as_array().cloned().unwrap_or_default());
        let mut ids: Vec<String> = documents.map(|document| document["id"].to_string()).collect();
        ids.sort_unstable();
        ids
    }

    fn writes_whole_entities(&self) -> bool {
        false
    }

    fn takes_id(&self, id: &str) -> bool {
        illegal_code_point(id).is_none()
    }

    fn weighs_rare_words(&self) -> bool {
        false
    }

    fn ranks_only_what_is_found(&self) -> bool {
        false
    }

    async fn close(self: Box<Self>) {
        if self.place.server.is_none() {
            self.follow(reqwest::Method::DELETE, "").await;
        }
    }
}

conformance_tests!(platform_ids, Application::open(Ids::Platform).await);
conformance_tests!(scoped_ids, Application::open(Ids::Scoped).await);
