//! The server: its port, its connections, and what a test does with it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use serde_json::Value;
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinHandle;

use super::cluster::Cluster;
use super::connection::Connection;
use super::faults::{FaultRule, Faults};
use super::journal::Journal;
use super::options::{Security, VespaServerOptions};
use super::tls::{Identity, Tls};
use super::value::TensorFormat;

/// A Vespa on a port of its own. Dropped, it is gone with everything in it.
#[derive(Debug)]
pub struct VespaServer {
    cluster: Arc<Cluster>,
    tls: Option<Tls>,
    address: SocketAddr,
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    accepting: JoinHandle<()>,
    connections: Arc<Mutex<Vec<Open>>>,
}

/// A connection with the task that serves it.
type Open = (Weak<Connection>, JoinHandle<()>);

impl VespaServer {
    /// Starts a server on a free port of the loopback address.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn start(options: VespaServerOptions) -> Self {
        let tls = options.security.is_tls().then(|| Tls::new(options.security == Security::MutualTls));
        let listener = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let server = Self { cluster: Arc::new(Cluster::new(options)), tls, address, running: Mutex::default() };
        server.run(listener);
        server
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Ends every connection and takes no new ones. The documents stay.
    pub async fn stop(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Running { accepting, connections }) = running else { return };
        accepting.abort();
        let _ = accepting.await;
        let connections = std::mem::take(&mut *connections.lock().unwrap_or_else(PoisonError::into_inner));
        for (_, serving) in connections {
            serving.abort();
            let _ = serving.await;
        }
    }

    /// Takes connections again, on the same port.
    ///
    /// # Panics
    /// When somebody else has taken the port meanwhile.
    pub async fn restart(&self) {
        self.stop().await;
        self.run(listen(self.address).expect("the port is still free"));
    }

    fn run(&self, listener: TcpListener) {
        let connections: Arc<Mutex<Vec<_>>> = Arc::default();
        let (cluster, tls, open) = (self.cluster.clone(), self.tls.clone(), connections.clone());
        let accepting = tokio::spawn(async move {
            for number in 1.. {
                let Ok((stream, _)) = listener.accept().await else { continue };
                let connection = Arc::new(Connection::new(number));
                let handle = Arc::downgrade(&connection);
                let serving = tokio::spawn(connection.serve(cluster.clone(), stream, tls.clone()));
                let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
                open.retain(|(_, serving): &(_, JoinHandle<()>)| !serving.is_finished());
                open.push((handle, serving));
            }
        });
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(Running { accepting, connections });
    }

    /// Tells every connection to go: GOAWAY with `NO_ERROR`, or `Connection: close`.
    pub fn go_away(&self) {
        self.each_connection(Connection::go_away);
    }

    /// Resets every connection.
    pub fn reset_connections(&self) {
        self.each_connection(Connection::reset);
    }

    fn each_connection(&self, act: impl Fn(&Connection)) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(running) = running.as_ref() else { return };
        for (connection, _) in running.connections.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            if let Some(connection) = connection.upgrade() {
                act(&connection);
            }
        }
    }

    /// What was asked.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.cluster.journal
    }

    /// What is to go wrong.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.cluster.faults
    }

    /// Adds a line to the script of faults.
    pub fn inject(&self, rule: FaultRule) {
        self.cluster.faults.inject(rule);
    }

    /// How long a worker is busy with one operation, from now on.
    pub fn set_service_time(&self, time: Duration) {
        self.cluster.queue.set_service_time(time);
    }

    /// Ids of all documents, in order, without asking over the wire.
    #[must_use]
    pub fn ids(&self) -> Vec<String> {
        let mut ids: Vec<String> = self.cluster.store().documents().map(|(id, _)| id.to_string()).collect();
        ids.sort_unstable();
        ids
    }

    /// The fields of a document, without asking over the wire.
    ///
    /// # Panics
    /// When a tensor of it holds what has no JSON.
    #[must_use]
    pub fn document(&self, id: &str) -> Option<Value> {
        let store = self.cluster.store();
        let (_, fields) = store.documents().find(|(found, _)| found.to_string() == id)?;
        let rendered = fields.iter().map(|(name, value)| {
            let value = value.render(TensorFormat::default()).expect("finite cells");
            (name.clone(), value)
        });
        Some(Value::Object(rendered.collect()))
    }

    /// Certificate of the authority that signed the server's, as PEM; none without TLS.
    #[must_use]
    pub fn authority_pem(&self) -> Option<&str> {
        self.tls.as_ref().map(|tls| tls.authority_pem.as_str())
    }

    /// A certificate that the server accepts from clients, with its key; none without TLS.
    #[must_use]
    pub fn client_identity(&self) -> Option<&Identity> {
        self.tls.as_ref().map(|tls| &tls.client)
    }
}

impl Drop for VespaServer {
    fn drop(&mut self) {
        let running = self.running.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Running { accepting, connections }) = running {
            accepting.abort();
            for (_, serving) in connections.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                serving.abort();
            }
        }
    }
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    // A restart must not wait until old connections are forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(1_024)
}
