//! What the HTTP API says and logs, to callers it knows and to callers it does not.

use harness::Api;
use reqwest::Method;
use serde_json::json;

use super::evidence::Evidence;
use super::known::Secrets;
use super::{LOUD, Stage};

impl Stage {
    /// Asks for everything that is recorded, with keys that are right, wrong, too old, and in the wrong place.
    pub(super) async fn what_callers_are_told(&self, secrets: &mut Secrets, evidence: &mut Evidence) {
        let world = &self.world;
        let own = world.ids.organization_id;
        let token = secrets.make_plain("internal token");
        let api = world.api(&["--log", LOUD, "--internal-token", &token]).await;
        let mut keys = Vec::new();
        for (name, good_for) in [("API key", "1 day"), ("API key that is too old", "-1 day")] {
            let key = world.api_key(own, good_for).await;
            secrets.know(name, key.trim_start_matches("key-"));
            keys.push(key);
        }
        let bearer = format!("Bearer {token}");
        let wrong_bearer = format!("Bearer {}", secrets.make_plain("wrong token"));
        let basic = format!("Basic {}", secrets.make_plain("password of somebody"));
        let guess = secrets.make_plain("wrong API key");
        let own = own.to_string();
        let sync = format!("/sync-multiplex/{}", world.ids.sync_id);
        for headers in [
            &[("x-api-key", keys[0].as_str())][..],
            &[("x-api-key", &keys[1])],
            &[("x-api-key", &guess)],
            &[("x-api-key", &keys[0]), ("x-organization-id", &keys[0])],
            &[("authorization", &bearer), ("x-organization-id", &own)],
            &[("authorization", &bearer), ("x-organization-id", &token)],
            &[("authorization", &wrong_bearer), ("x-organization-id", &own)],
            &[("authorization", &basic)],
            &[("idempotency-key", &keys[0]), ("x-api-key", &keys[0])],
        ] {
            for path in ["/operations?limit=100", "/no/such/route", &format!("{sync}/destinations")] {
                keep(&api, evidence, api.request(Method::GET, path, headers)).await;
            }
            let body = json!({ "destination_connection_id": keys[0], "profile": { "qdrant": { "api_key": token } } });
            let request = api.request(Method::POST, &format!("{sync}/destinations/fork"), headers).json(&body);
            keep(&api, evidence, request).await;
        }
        for path in ["/metrics", "/readyz", "/openapi.json"] {
            keep(&api, evidence, api.request(Method::GET, path, &[])).await;
        }
        evidence.add("the log of the API", api.log());
        assert!(api.stop(), "the API ends well");
    }
}

async fn keep(api: &Api, evidence: &mut Evidence, request: reqwest::RequestBuilder) {
    let reply = api.send(request).await;
    evidence.add("an answer of the API", format!("{} {:?}\n{}", reply.status, reply.headers, reply.text));
}
