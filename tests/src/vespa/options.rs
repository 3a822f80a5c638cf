//! How a test wants its server.

use std::time::Duration;

use super::queue::QueueLimits;
use super::schema::{FieldRow, Generation};

/// How a test wants its server. The default is the platform's deployment of late January 2026 with 8 dimensions, fast
/// and open to everyone.
#[derive(Debug, Clone)]
pub struct VespaServerOptions {
    /// Which of the platform's application packages is deployed.
    pub generation: Generation,
    /// Size of the dense tensors.
    pub dimensions: u32,
    /// Document types beside the platform's, or in place of those of the same name.
    pub more_types: Vec<(String, Vec<FieldRow>)>,
    /// Name of the content cluster.
    pub cluster: String,
    /// Who may come in.
    pub security: Security,
    /// Whether the application has `<document-api/>`.
    pub document_api: bool,
    /// Whether unknown fields are dropped instead of refused.
    pub ignore_undefined_fields: bool,
    /// How long a worker is busy with one operation.
    pub service_time: Duration,
    /// Operations that are worked on at once.
    pub workers: usize,
    /// When operations are refused because too many wait.
    pub queue: QueueLimits,
    /// Largest body of a put or an update, uncompressed.
    pub request_limit_bytes: usize,
    /// Buckets of the content cluster; visits go from one to the next.
    pub buckets: usize,
    /// How long a visit takes for one bucket.
    pub bucket_time: Duration,
    /// Buckets that a delete, update or copy with a selection works off before it gives a continuation.
    pub buckets_per_sweep: usize,
    /// Most hits of a query, and the largest offset.
    pub max_hits: usize,
    /// What the rank profiles score words by.
    pub keyword_score: KeywordScore,
}

/// What the rank profiles score words by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeywordScore {
    /// `bm25(textual_representation) + bm25(payload)`
    #[default]
    Bm25,
    /// `sum(query(q_sparse) * attribute(sparse_embedding))`, as the platform's later packages have it.
    SparseTensor,
}

/// Who may come in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Security {
    /// Everyone, over plain text.
    #[default]
    Open,
    /// Over plain text, with `Authorization: Bearer …`.
    Token(String),
    /// Over TLS.
    Tls,
    /// Over TLS, with `Authorization: Bearer …`.
    TlsWithToken(String),
    /// Over TLS, with a certificate of [`super::VespaServer::client_identity`].
    MutualTls,
}

impl Default for VespaServerOptions {
    fn default() -> Self {
        Self {
            generation: Generation::Chunks,
            dimensions: 8,
            more_types: Vec::new(),
            cluster: "airweave".into(),
            security: Security::Open,
            document_api: true,
            ignore_undefined_fields: false,
            service_time: Duration::ZERO,
            workers: 64,
            queue: QueueLimits::default(),
            request_limit_bytes: 100 << 20,
            buckets: 32,
            bucket_time: Duration::ZERO,
            buckets_per_sweep: 13,
            max_hits: 10_000,
            keyword_score: KeywordScore::Bm25,
        }
    }
}

impl Security {
    /// The token that is asked for.
    pub(super) fn token(&self) -> Option<&str> {
        match self {
            Self::Token(token) | Self::TlsWithToken(token) => Some(token),
            _ => None,
        }
    }

    /// Whether the port speaks TLS.
    pub(super) fn is_tls(&self) -> bool {
        matches!(self, Self::Tls | Self::TlsWithToken(_) | Self::MutualTls)
    }
}
