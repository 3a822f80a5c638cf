//! Webhooks: events of operations, signed, sent to the one receiver that this deployment has.
//!
//! At least once: an event waits in the [outbox] from the transaction that it tells of until the
//! receiver acknowledged it with a status of 2xx; an attempt that ended in between is made again under the same
//! `webhook-id`. Of an operation the next event is sent when the one before was acknowledged or given up, and `sequence`
//! grows, so a receiver can put them in order that gets some twice. What is not acknowledged within [`GIVEN_UP_AFTER`] is
//! given up, kept for people to see, and removed later.
//!
//! Requests follow the Standard Webhooks specification: headers `webhook-id`, `webhook-timestamp` and `webhook-signature`,
//! HMAC-SHA256 with each of the secrets, so that secrets can be changed without a gap.
//!
//! Start at [`Webhooks`]. `address` says where may be sent, `secret` signs, `request` is one attempt.

mod address;
mod request;
mod secret;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use secrecy::{ExposeSecret as _, SecretString};

pub use secret::SigningSecret;

use crate::database::Database;
use crate::database::outbox::{self, Event};
use crate::error::Result;
use crate::metrics::{Delivery, metrics};
use address::Address;
use request::{Answer, Receiver};

/// How long a receiver may be away before its events are given up.
pub const GIVEN_UP_AFTER: Duration = Duration::from_hours(72);

/// How long events are kept at most, given up or not.
pub const KEPT: Duration = Duration::from_hours(240);

/// Events sent side by side by one worker; no two of one operation.
const BATCH: u32 = 16;

/// Between two looks when nothing is due.
const POLL: Duration = Duration::from_secs(1);

/// How long events go on being written when no worker asks for them any more.
const WANTED: Duration = Duration::from_hours(24);

/// How often that is said again.
const RENEWED_EVERY: Duration = Duration::from_mins(10);

/// First and longest wait after a failed attempt.
const BACK_OFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_hours(1));

/// Where events go, and how they are signed.
#[derive(Debug, Clone)]
pub struct WebhookSettings {
    /// Address of the receiver; it may hold a token.
    pub url: SecretString,
    /// One secret, or several with white space between them: the first is the newest.
    pub secrets: SecretString,
}

/// Sends events.
pub struct Webhooks {
    database: Database,
    receiver: Arc<Receiver>,
}

impl fmt::Debug for Webhooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhooks").finish_non_exhaustive()
    }
}

impl Webhooks {
    /// Sends nothing yet.
    ///
    /// # Errors
    ///
    /// `InvalidInput` when the address may not be sent to, or a secret is none.
    pub fn new(database: Database, settings: &WebhookSettings) -> Result<Self> {
        let address = Address::parse(settings.url.expose_secret())?;
        let secrets = SigningSecret::parse_all(&settings.secrets)?;
        Ok(Self { database, receiver: Arc::new(Receiver::new(address, secrets)?) })
    }

    /// Has events written, and sends them, until it is dropped. A database that is away is waited for.
    pub async fn run(self) {
        let mut wanted = None::<tokio::time::Instant>;
        loop {
            if wanted.is_none_or(|since| since.elapsed() >= RENEWED_EVERY) {
                match outbox::want(&self.database, WANTED).await {
                    Ok(()) => wanted = Some(tokio::time::Instant::now()),
                    Err(error) => tracing::warn!(%error, "events cannot be asked for; trying again"),
                }
            }
            match self.send_due().await {
                // The next events of those operations are due by now.
                Ok(1..) => {}
                Ok(0) => tokio::time::sleep(POLL).await,
                Err(error) => {
                    tracing::warn!(%error, "events cannot be read; trying again");
                    tokio::time::sleep(POLL).await;
                }
            }
        }
    }

    /// Sends what is due; answers how many events were settled or put off.
    async fn send_due(&self) -> Result<usize> {
        let events = outbox::claim(&self.database, BATCH, request::LEASE).await?;
        let taken = events.len();
        let attempts = stream::iter(events).map(async |event| self.send(event).await).buffer_unordered(BATCH as usize);
        let outcomes: Vec<Result<()>> = attempts.collect().await;
        for error in outcomes.into_iter().filter_map(Result::err) {
            tracing::warn!(%error, "what became of an event could not be recorded; it may be sent again");
        }
        Ok(taken)
    }

    async fn send(&self, event: Event) -> Result<()> {
        let (id, event_type, attempt) = (event.event_id, event.event_type.as_str(), event.attempts);
        let failure = match self.receiver.send(&event).await {
            Answer::Acknowledged => {
                metrics().webhook_delivery(Delivery::Delivered);
                tracing::debug!(%id, event_type, attempt, "event delivered");
                return outbox::delivered(&self.database, &event).await;
            }
            Answer::NotAcknowledged(failure) => failure,
        };
        let age = (chrono::Utc::now() - event.occurred_at).to_std().unwrap_or_default();
        let delay = (!failure.is_final && age < GIVEN_UP_AFTER).then(|| {
            let planned = back_off(attempt.unsigned_abs(), fastrand::f64());
            planned.max(failure.retry_after.unwrap_or_default()).min(BACK_OFF.1)
        });
        let why = failure.why.as_str();
        if let Some(delay) = delay {
            metrics().webhook_delivery(Delivery::Failed);
            tracing::info!(%id, event_type, attempt, why, delay_ms = delay.as_millis(), "event not acknowledged");
        } else {
            metrics().webhook_delivery(Delivery::Dead);
            tracing::warn!(%id, event_type, attempt, why, "event given up");
        }
        outbox::failed(&self.database, &event, why, delay).await
    }
}

/// The wait after an attempt, counted from one: twice the one before, between half and all of it so that events that failed
/// together do not come together. `chance` is between zero and one.
fn back_off(attempt: u32, chance: f64) -> Duration {
    let (first, longest) = BACK_OFF;
    let whole = first.saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1))).min(longest);
    whole.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_an_hour_and_are_never_equal() {
        let ms = |attempt, chance| back_off(attempt, chance).as_millis();
        assert_eq!((ms(1, 0.0), ms(1, 1.0)), (500, 1_000));
        assert_eq!((ms(4, 0.0), ms(4, 1.0)), (4_000, 8_000));
        assert_eq!((ms(13, 1.0), ms(u32::MAX, 1.0)), (3_600_000, 3_600_000));
    }

    #[test]
    fn an_attempt_ends_before_it_is_taken_for_dead() {
        assert!(request::TIMEOUT * 2 < request::LEASE);
    }
}
