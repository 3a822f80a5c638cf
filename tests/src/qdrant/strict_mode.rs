//! Strict mode: what a collection refuses although it could do it.

use std::time::Instant;

use ::qdrant_client::qdrant::{PayloadSchemaType, StrictModeConfig};
use tonic::Status;

use super::faults::{rate_limited, too_large};
use super::filter::Predicate;
use super::not_modelled;
use super::store::Collection;

/// What Qdrant Cloud gives to new collections.
pub(super) fn cloud_defaults() -> StrictModeConfig {
    StrictModeConfig {
        enabled: Some(true),
        unindexed_filtering_retrieve: Some(false),
        unindexed_filtering_update: Some(false),
        max_payload_index_count: Some(100),
        ..StrictModeConfig::default()
    }
}

/// Refuses limits that this server would not keep.
pub(super) fn check_modelled(config: &StrictModeConfig) -> Result<(), Status> {
    let kept = StrictModeConfig {
        enabled: config.enabled,
        max_query_limit: config.max_query_limit,
        unindexed_filtering_retrieve: config.unindexed_filtering_retrieve,
        unindexed_filtering_update: config.unindexed_filtering_update,
        upsert_max_batchsize: config.upsert_max_batchsize,
        write_rate_limit: config.write_rate_limit,
        max_payload_index_count: config.max_payload_index_count,
        ..StrictModeConfig::default()
    };
    if *config == kept { Ok(()) } else { Err(not_modelled("other limits of strict mode")) }
}

/// Points per minute that may be written, twice: each costs two tokens on a single node.
#[derive(Debug)]
pub(super) struct TokenBucket {
    per_minute: f64,
    tokens: f64,
    filled: Instant,
}

impl TokenBucket {
    fn full(per_minute: u32) -> Self {
        let per_minute = f64::from(per_minute);
        Self { per_minute, tokens: per_minute, filled: Instant::now() }
    }

    fn take(&mut self, points: u32) -> Result<(), Status> {
        let cost = f64::from(points.max(1)) * 2.0;
        if cost > self.per_minute {
            return Err(too_large());
        }
        let now = Instant::now();
        let refill = now.duration_since(self.filled).as_secs_f64() * self.per_minute / 60.0;
        self.tokens = (self.tokens + refill).min(self.per_minute);
        self.filled = now;
        if cost > self.tokens {
            let seconds = ((cost - self.tokens) / (self.per_minute / 60.0)).ceil();
            // Between 1 and 60, because the cost fits into a full bucket.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            return Err(rate_limited(seconds as u32));
        }
        self.tokens -= cost;
        Ok(())
    }
}

impl Collection {
    /// The strict mode that is on, if any.
    fn strict_mode(&self) -> Option<StrictModeConfig> {
        let config = self.config.strict_mode_config.as_ref()?;
        config.enabled().then(|| config.clone())
    }

    /// Fits the bucket to the limit; a limit that did not change keeps its level.
    pub(super) fn refresh_write_limit(&mut self) {
        match self.strict_mode().and_then(|config| config.write_rate_limit) {
            None => self.write_tokens = None,
            Some(limit) => {
                if self.write_tokens.as_ref().is_none_or(|bucket| bucket.per_minute != f64::from(limit)) {
                    self.write_tokens = Some(TokenBucket::full(limit));
                }
            }
        }
    }

    pub(super) fn check_upsert(&mut self, points: usize) -> Result<(), Status> {
        if let Some(most) = self.strict_mode().and_then(|config| config.upsert_max_batchsize) {
            check_limit("upsert limit", points, most)?;
        }
        self.pay(points)
    }

    pub(super) fn check_update_filter(&self, filter: &Predicate) -> Result<(), Status> {
        match self.strict_mode() {
            Some(config) if config.unindexed_filtering_update == Some(false) => self.check_indexed(filter),
            _ => Ok(()),
        }
    }

    pub(super) fn check_read_filter(&self, filter: &Predicate) -> Result<(), Status> {
        match self.strict_mode() {
            Some(config) if config.unindexed_filtering_retrieve == Some(false) => self.check_indexed(filter),
            _ => Ok(()),
        }
    }

    pub(super) fn check_query_limit(&self, limit: usize) -> Result<(), Status> {
        match self.strict_mode().and_then(|config| config.max_query_limit) {
            Some(most) => check_limit("limit", limit, most.into()),
            None => Ok(()),
        }
    }

    pub(super) fn check_one_more_index(&self) -> Result<(), Status> {
        match self.strict_mode().and_then(|config| config.max_payload_index_count) {
            Some(most) if u64::try_from(self.indexes.len()).is_ok_and(|indexes| indexes >= most) => {
                Err(refused(format_args!("Collection has reached the maximum number of payload indexes ({most})")))
            }
            _ => Ok(()),
        }
    }

    /// Takes the tokens for a write, whatever becomes of it.
    pub(super) fn pay(&mut self, points: usize) -> Result<(), Status> {
        let points = u32::try_from(points).map_err(|_| too_large())?;
        self.write_tokens.as_mut().map_or(Ok(()), |bucket| bucket.take(points))
    }

    fn check_indexed(&self, filter: &Predicate) -> Result<(), Status> {
        for (field, types) in filter.fields() {
            let index = self.indexes.get(field).map(|index| index.data_type());
            if !index.is_some_and(|index| types.contains(&index)) {
                let types: Vec<String> =
                    types.iter().map(PayloadSchemaType::as_str_name).map(str::to_lowercase).collect();
                return Err(refused(format_args!(
                    "Index required but not found for \"{field}\" of one of the following types: [{}]. Help: Create an \
                     index for this key or use a different filter.",
                    types.join(", ")
                )));
            }
        }
        Ok(())
    }
}

fn check_limit(name: &str, asked: usize, most: u64) -> Result<(), Status> {
    if u64::try_from(asked).is_ok_and(|asked| asked <= most) {
        return Ok(());
    }
    Err(refused(format_args!(
        "Limit exceeded {asked} > {most} for \"{name}\". Help: Reduce the \"{name}\" parameter to or below {most}."
    )))
}

fn refused(reason: std::fmt::Arguments<'_>) -> Status {
    Status::invalid_argument(format!("Bad request: {reason}"))
}
