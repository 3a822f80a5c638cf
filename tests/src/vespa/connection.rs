//! One connection, and the ways in which it can be made to end.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use std::{io, pin::Pin};

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::cluster::Cluster;
use super::service;
use super::tls::Tls;

/// HTTP/2 as Vespa's container is configured: streams, and bytes in flight per stream and per connection.
const STREAMS: u32 = 512;
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;
/// `requestHeaderSize`
const HEADER_BYTES: usize = 64 << 10;

/// Handle on a connection.
#[derive(Debug)]
pub struct Connection {
    /// Counted from 1.
    pub number: u64,
    go_away: Notify,
    cut: Notify,
    reset: Arc<AtomicBool>,
}

impl Connection {
    /// A connection that was just accepted.
    #[must_use]
    pub fn new(number: u64) -> Self {
        Self { number, go_away: Notify::new(), cut: Notify::new(), reset: Arc::default() }
    }

    /// Lets what is under way end and takes nothing new: GOAWAY, or `Connection: close`.
    pub fn go_away(&self) {
        self.go_away.notify_one();
    }

    /// Ends the connection with a reset, whatever is under way.
    pub fn reset(&self) {
        self.reset.store(true, Ordering::Relaxed);
        self.cut.notify_one();
    }

    /// Speaks HTTP/1.1 or HTTP/2, whichever the client begins with, until the connection ends.
    pub async fn serve(self: Arc<Self>, cluster: Arc<Cluster>, stream: TcpStream, tls: Option<Tls>) {
        // Small answers must not wait for one another.
        let _ = stream.set_nodelay(true);
        let socket = Socket { stream, reset: self.reset.clone() };
        match tls {
            None => self.speak(cluster, socket).await,
            Some(tls) => {
                // A client that is refused in the handshake has been told so by TLS.
                if let Ok(stream) = tls.accept(socket).await {
                    self.speak(cluster, stream).await;
                }
            }
        }
    }

    async fn speak<S>(self: Arc<Self>, cluster: Arc<Cluster>, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut server = auto::Builder::new(TokioExecutor::new());
        server
            .http1()
            .timer(TokioTimer::new())
            .max_buf_size(HEADER_BYTES)
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(u32::try_from(HEADER_BYTES).expect("64 KiB"))
            .keep_alive_interval(Some(Duration::from_secs(180)));
        let this = self.clone();
        let answer = service_fn(move |request| service::answer(cluster.clone(), this.clone(), request));
        let mut connection = pin!(server.serve_connection(TokioIo::new(stream), answer));
        loop {
            tokio::select! {
                // Its end, by either side; what went wrong is the client's to see.
                _ = connection.as_mut() => return,
                () = self.cut.notified() => return,
                () = self.go_away.notified() => connection.as_mut().graceful_shutdown(),
            }
        }
    }
}

/// A socket that closes with a reset when that was asked for.
struct Socket {
    stream: TcpStream,
    reset: Arc<AtomicBool>,
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.reset.load(Ordering::Relaxed) {
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
