//! A receiver of webhooks: it checks signatures as the Standard Webhooks specification says, by itself, and answers as a test
//! tells it to.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::oneshot;

/// One request.
#[derive(Debug, Clone)]
pub struct Received {
    /// `webhook-id`.
    pub id: String,
    /// The body.
    pub body: Value,
    /// How many of the secrets that the receiver knows had signed it.
    pub valid_signatures: usize,
    /// What was answered.
    pub status: u16,
}

impl Received {
    /// What an event says happened: its type, then the phase or how it ended.
    #[must_use]
    pub fn what(&self) -> String {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let kind = text(&self.body["type"]);
        match kind.as_str() {
            "operation.ended" => format!("{kind} {}", text(&self.body["data"]["state"])),
            _ => format!("{kind} {}", text(&self.body["data"]["phase"])),
        }
    }
}

#[derive(Debug, Default)]
struct Desk {
    received: Vec<Received>,
    script: VecDeque<u16>,
    secrets: Vec<Vec<u8>>,
}

/// The receiver. Gone when dropped.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    desk: Arc<Mutex<Desk>>,
    /// Dropped, it lets go of every connection.
    serving: Mutex<Option<oneshot::Sender<()>>>,
}

impl Receiver {
    /// Starts it on a free port of this machine. `secrets` are those that it accepts, as the worker has them.
    ///
    /// # Panics
    ///
    /// When there is no free port, or a secret is none.
    pub async fn start(secrets: &[&str]) -> Self {
        let secret = |text: &&str| {
            let text = text.strip_prefix("whsec_").expect("a secret has its prefix");
            STANDARD.decode(text).expect("a secret is base64")
        };
        let desk = Desk { secrets: secrets.iter().map(secret).collect(), ..Desk::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let receiver = Self { address, desk: Arc::new(Mutex::new(desk)), serving: Mutex::default() };
        receiver.serve(listener);
        receiver
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// Answers the next requests with these, and 204 after them. A status of 0 is no answer, ever.
    pub fn answer_next(&self, statuses: &[u16]) {
        self.desk().script.extend(statuses);
    }

    /// Takes no connections any more. What it received stays.
    pub fn go_away(&self) {
        drop(self.serving.lock().expect("no holder panics").take());
    }

    /// Takes connections again, on the same port.
    ///
    /// # Panics
    ///
    /// When somebody else has taken the port meanwhile.
    pub fn come_back(&self) {
        let socket = TcpSocket::new_v4().expect("a socket");
        // A return must not wait until old connections are forgotten.
        socket.set_reuseaddr(true).expect("a socket can be set up");
        socket.bind(self.address).expect("the port is still free");
        self.serve(socket.listen(64).expect("the port is still free"));
    }

    /// Every request so far, in order.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.desk().received.clone()
    }

    /// Requests that were acknowledged, in order.
    #[must_use]
    pub fn acknowledged(&self) -> Vec<Received> {
        self.desk().received.iter().filter(|it| (200..300).contains(&it.status)).cloned().collect()
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().expect("no request panicked")
    }

    fn serve(&self, listener: TcpListener) {
        let desk = Arc::clone(&self.desk);
        let handler = move |headers: HeaderMap, body: Bytes| async move {
            let status = {
                let mut desk = desk.lock().expect("no request panicked");
                let status = desk.script.pop_front().unwrap_or(204);
                let received = read(&headers, &body, &desk.secrets, status);
                desk.received.push(received);
                status
            };
            if status == 0 {
                std::future::pending::<()>().await;
            }
            StatusCode::from_u16(status).expect("a script holds statuses")
        };
        let app = Router::new().route("/hook", post(handler));
        let (sender, end) = oneshot::channel::<()>();
        // Connections that are kept alive must end as well, which only a graceful end does.
        let until = async move {
            let _ = end.await;
        };
        tokio::spawn(async move { axum::serve(listener, app).with_graceful_shutdown(until).await });
        *self.serving.lock().expect("no holder panics") = Some(sender);
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.go_away();
    }
}

fn read(headers: &HeaderMap, body: &[u8], secrets: &[Vec<u8>], status: u16) -> Received {
    let header = |name: &str| headers.get(name).and_then(|it| it.to_str().ok()).unwrap_or_default().to_owned();
    let (id, timestamp) = (header("webhook-id"), header("webhook-timestamp"));
    let age = chrono::Utc::now().timestamp() - timestamp.parse::<i64>().unwrap_or_default();
    let signatures = header("webhook-signature");
    let is_by = |secret: &&Vec<u8>| {
        signatures.split(' ').filter_map(|it| it.strip_prefix("v1,")).any(|signature| {
            let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("a key of any length");
            mac.update(format!("{id}.{timestamp}.").as_bytes());
            mac.update(body);
            STANDARD.decode(signature).is_ok_and(|signature| mac.verify_slice(&signature).is_ok())
        })
    };
    let valid_signatures = if age.abs() <= 300 { secrets.iter().filter(is_by).count() } else { 0 };
    Received { id, body: serde_json::from_slice(body).unwrap_or_default(), valid_signatures, status }
}
