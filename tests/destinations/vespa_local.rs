use std::sync::Arc;
use std::time::Duration;

use activities::destinations::vespa::{
    Vespa, VespaClients, VespaCredentials, VespaEndpoint, VespaLimits, VespaSettings,
};
use activities::destinations::{Destination, Scope};
use async_trait::async_trait;
use harness::vespa::{KeywordScore, Security, VespaServer, VespaServerOptions};
use proto::v1::VespaLayout;

use crate::conformance::{DIMENSIONS, World, conformance_tests};

struct Application {
    server: VespaServer,
    locked: VespaServer,
    clients: VespaClients,
    ids: i32,
}

impl Application {
    async fn create(ids: i32) -> Self {
        let options = VespaServerOptions { keyword_score: KeywordScore::SparseTensor, ..VespaServerOptions::default() };
        let locked = VespaServerOptions { security: Security::Token("right".into()), ..options.clone() };
        let limits = VespaLimits { attempts: 2, first_delay: Duration::from_millis(5), ..VespaLimits::default() };
        Self {
            server: VespaServer::start(options).await,
            locked: VespaServer::start(locked).await,
            clients: VespaClients::new(limits),
            ids,
        }
    }

    fn slot(&self, url: String, credentials: VespaCredentials, scope: &Scope, dimensions: u32) -> Arc<dyn Destination> {
        let layout = VespaLayout {
            documents: 2,
            ids: self.ids,
            namespace: format!("slot_{}", scope.slot_id.simple()),
            ..VespaLayout::default()
        };
        let settings = VespaSettings::from_layout(&layout, dimensions).unwrap();
        let endpoint = VespaEndpoint::new(&url.into(), credentials).unwrap();
        Arc::new(Vespa::new(self.clients.get(&endpoint).unwrap(), scope.clone(), settings))
    }
}

#[async_trait]
impl World for Application {
    fn open_sized(&self, scope: &Scope, dimensions: u32) -> Arc<dyn Destination> {
        self.slot(self.server.url(), VespaCredentials::None, scope, dimensions)
    }

    fn open_denied(&self, scope: &Scope) -> Arc<dyn Destination> {
        self.slot(self.locked.url(), VespaCredentials::Token("wrong".into()), scope, DIMENSIONS)
    }

    fn open_away(&self, scope: &Scope) -> Arc<dyn Destination> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        drop(listener);
        self.slot(url, VespaCredentials::None, scope, DIMENSIONS)
    }

    fn precision(&self) -> f32 {
        // bfloat16 keeps 7 bits behind the point, and the rest is cut off.
        1.0 / 128.0
    }

    async fn inventory(&self) -> Vec<String> {
        self.server.ids()
    }

    fn writes_whole_entities(&self) -> bool {
        false
    }

    fn takes_id(&self, id: &str) -> bool {
        !id.chars().any(|character| {
            u32::from(character) & 0xfffe == 0xfffe || (character < ' ' && !"\t\n\r".contains(character))
        })
    }

    fn weighs_rare_words(&self) -> bool {
        false
    }

    fn ranks_only_what_is_found(&self) -> bool {
        false
    }

    async fn close(self: Box<Self>) {}
}

conformance_tests!(platform_ids, Application::create(1).await);
conformance_tests!(scoped_ids, Application::create(2).await);
