//! Whose a presented API key is.
//!
//! The platform keeps its keys encrypted with a random start and no hash beside them, so a lookup in the database would have to
//! decrypt every key of every organisation. Each row is decrypted once here and kept as the SHA-256 of its key: a lookup is one
//! probe of a map, and no key stays in memory.
//!
//! A key that is known is looked up in its row again after [`STANDING_AGE`], so one that was removed, has expired or lost its
//! feature stops working within that time. A key that is not known waits for the next look at new rows, one of which begins
//! every [`LOOK_INTERVAL`] at most; so a new key works at once, and guessing keys costs the guesser and not the database.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex as Guarded, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use md5::{Digest as _, Md5};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::credentials::CredentialReader;
use crate::database::Database;
use crate::database::api_keys::{self, EncryptedKey, KeyStanding};
use crate::error::Result;

/// How long what a row said is believed.
pub const STANDING_AGE: Duration = Duration::from_secs(2);

/// Between two looks for new rows.
pub const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// How long a key that was not found is refused without another look.
const UNKNOWN_AGE: Duration = Duration::from_secs(2);

/// Keys that were not found and are remembered as such.
const UNKNOWN_KEYS: usize = 4096;

/// Longest key that is looked at, in bytes; the platform's have 43.
const MAX_KEY_BYTES: usize = 512;

type Digest = [u8; 32];

/// A key that counts, and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyOwner {
    /// The row.
    pub key_id: Uuid,
    /// The tenant.
    pub organization_id: Uuid,
    /// Whether that organisation may use this product.
    pub is_enabled: bool,
}

/// The platform's keys, as one process knows them.
pub struct ApiKeys {
    database: Database,
    reader: CredentialReader,
    known: Guarded<Known>,
    /// When the last look for new rows began. Held during one, so that there is one at a time.
    last_look: Mutex<Option<Instant>>,
}

#[derive(Default)]
struct Known {
    by_digest: HashMap<Digest, Row>,
    /// Every row that was decrypted or could not be.
    rows: HashSet<Uuid>,
    unknown: HashMap<Digest, Instant>,
}

#[derive(Clone)]
struct Row {
    digest: Digest,
    key_id: Uuid,
    text_md5: String,
    standing: Option<(Instant, KeyStanding)>,
}

impl ApiKeys {
    /// Knows no key yet.
    #[must_use]
    pub fn new(database: Database, reader: CredentialReader) -> Self {
        Self { database, reader, known: Guarded::default(), last_look: Mutex::new(None) }
    }

    /// Whose the key is; nothing when there is no such key, or its time is over.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub async fn owner(&self, presented: &SecretString) -> Result<Option<KeyOwner>> {
        let text = presented.expose_secret();
        if text.is_empty() || text.len() > MAX_KEY_BYTES {
            return Ok(None);
        }
        let digest: Digest = Sha256::digest(text.as_bytes()).into();
        if let Some(row) = self.find(&digest)
            && let Some(owner) = self.standing(&row).await?
        {
            return Ok(owner);
        }
        if self.is_known_as_unknown(&digest) {
            return Ok(None);
        }
        self.look(Instant::now()).await?;
        match self.find(&digest) {
            Some(row) => Ok(self.standing(&row).await?.flatten()),
            None => {
                self.remember_unknown(digest);
                Ok(None)
            }
        }
    }

    /// What the row of a known key says; the outer absence means that the row is gone or another.
    async fn standing(&self, row: &Row) -> Result<Option<Option<KeyOwner>>> {
        let fresh = row.standing.filter(|(at, _)| at.elapsed() < STANDING_AGE);
        let standing = match fresh {
            Some((_, standing)) => standing,
            None => {
                let asked = Instant::now();
                let Some(standing) = api_keys::standing(&self.database, row.key_id, &row.text_md5).await? else {
                    self.forget(row);
                    return Ok(None);
                };
                if let Some(row) = self.known().by_digest.get_mut(&row.digest) {
                    row.standing = Some((asked, standing));
                }
                standing
            }
        };
        Ok(Some((!standing.is_expired).then_some(KeyOwner {
            key_id: row.key_id,
            organization_id: standing.organization_id,
            is_enabled: standing.is_enabled,
        })))
    }

    /// Reads rows that are new, in a look that began after `since`.
    async fn look(&self, since: Instant) -> Result<()> {
        let mut last_look = self.last_look.lock().await;
        if let Some(last) = *last_look {
            if last > since {
                return Ok(());
            }
            tokio::time::sleep(LOOK_INTERVAL.saturating_sub(last.elapsed())).await;
        }
        *last_look = Some(Instant::now());
        let known: Vec<Uuid> = self.known().rows.iter().copied().collect();
        let new = api_keys::unseen(&self.database, &known).await?;
        let decrypted: Vec<(Uuid, Option<Row>)> = new.iter().map(|row| (row.key_id, self.decrypt(row))).collect();
        let unreadable = decrypted.iter().filter(|(_, row)| row.is_none()).count();
        if unreadable > 0 {
            tracing::warn!(unreadable, "API keys of the platform that ENCRYPTION_KEY does not open are refused");
        }
        let mut known = self.known();
        for (key_id, row) in decrypted {
            known.rows.insert(key_id);
            if let Some(row) = row {
                known.by_digest.insert(row.digest, row);
            }
        }
        Ok(())
    }

    fn decrypt(&self, row: &EncryptedKey) -> Option<Row> {
        let key = self.reader.read(&row.encrypted).ok()?.text("key").ok()?;
        Some(Row {
            digest: Sha256::digest(key.expose_secret().as_bytes()).into(),
            key_id: row.key_id,
            text_md5: hex::encode(Md5::digest(row.encrypted.expose_secret().as_bytes())),
            standing: None,
        })
    }

    /// The row of a key. The map tells by time at most where in it a digest would be, and nobody chooses digests; what is
    /// found is compared in constant time all the same.
    fn find(&self, digest: &Digest) -> Option<Row> {
        let known = self.known();
        known.by_digest.get(digest).filter(|row| bool::from(row.digest.ct_eq(digest))).cloned()
    }

    fn forget(&self, row: &Row) {
        let mut known = self.known();
        known.by_digest.remove(&row.digest);
        known.rows.remove(&row.key_id);
    }

    fn is_known_as_unknown(&self, digest: &Digest) -> bool {
        self.known().unknown.get(digest).is_some_and(|at| at.elapsed() < UNKNOWN_AGE)
    }

    fn remember_unknown(&self, digest: Digest) {
        let unknown = &mut self.known().unknown;
        if unknown.len() >= UNKNOWN_KEYS {
            unknown.retain(|_, at| at.elapsed() < UNKNOWN_AGE);
        }
        if unknown.len() < UNKNOWN_KEYS {
            unknown.insert(digest, Instant::now());
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Nothing panics while it is held, and every change leaves it whole.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
