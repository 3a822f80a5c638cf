//! A collector of traces and metrics that speaks OTLP over gRPC, and keeps what it is sent.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// A span as it was sent.
#[derive(Debug, Clone)]
pub struct SpanRecord {
    /// Its name.
    pub name: String,
    /// 32 hex digits.
    pub trace_id: String,
    /// 16 hex digits.
    pub span_id: String,
    /// 16 hex digits; empty at the root of a trace.
    pub parent_id: String,
    /// Attributes, those that are no text left out.
    pub attributes: BTreeMap<String, String>,
    /// Texts of its events.
    pub events: Vec<String>,
}

#[derive(Debug, Default)]
struct Kept {
    spans: Vec<SpanRecord>,
    metrics: Vec<String>,
}

/// The collector. Gone when dropped.
#[derive(Debug)]
pub struct Collector {
    url: String,
    kept: Arc<Mutex<Kept>>,
    task: AbortHandle,
}

impl Collector {
    /// Starts it on a free port of this machine.
    ///
    /// # Panics
    ///
    /// When there is no free port.
    pub async fn start() -> Self {
        let kept: Arc<Mutex<Kept>> = Arc::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("a bound socket has an address"));
        let server = tonic::transport::Server::builder()
            .add_service(TraceServiceServer::new(Desk(Arc::clone(&kept))))
            .add_service(MetricsServiceServer::new(Desk(Arc::clone(&kept))))
            .serve_with_incoming(TcpListenerStream::new(listener));
        Self { url, kept, task: tokio::spawn(server).abort_handle() }
    }

    /// What makes a process send here, soon and often.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("OTEL_EXPORTER_OTLP_ENDPOINT", self.url.clone()),
            ("OTEL_BSP_SCHEDULE_DELAY", "100".to_owned()),
            ("OTEL_METRIC_EXPORT_INTERVAL", "500".to_owned()),
        ]
    }

    /// Every span so far, in the order of arrival.
    ///
    /// # Panics
    ///
    /// When a request panicked.
    #[must_use]
    pub fn spans(&self) -> Vec<SpanRecord> {
        self.kept.lock().expect("no request panicked").spans.clone()
    }

    /// Names of all metrics so far.
    ///
    /// # Panics
    ///
    /// When a request panicked.
    #[must_use]
    pub fn metrics(&self) -> Vec<String> {
        self.kept.lock().expect("no request panicked").metrics.clone()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Desk(Arc<Mutex<Kept>>);

#[tonic::async_trait]
impl TraceService for Desk {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let scopes = request.into_inner().resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
        let hex = |id: &[u8]| id.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let spans = scopes.flat_map(|scope| scope.spans).map(|span| SpanRecord {
            name: span.name,
            trace_id: hex(&span.trace_id),
            span_id: hex(&span.span_id),
            parent_id: hex(&span.parent_span_id),
            attributes: span
                .attributes
                .into_iter()
                .filter_map(|attribute| match attribute.value?.value? {
                    Value::StringValue(text) => Some((attribute.key, text)),
                    _ => None,
                })
                .collect(),
            events: span.events.into_iter().map(|event| event.name).collect(),
        });
        self.0.lock().expect("no request panicked").spans.extend(spans);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Desk {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let scopes = request.into_inner().resource_metrics.into_iter().flat_map(|resource| resource.scope_metrics);
        let names = scopes.flat_map(|scope| scope.metrics).map(|metric| metric.name);
        self.0.lock().expect("no request panicked").metrics.extend(names);
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}
