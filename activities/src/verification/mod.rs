//! Comparing what a destination holds with what was recorded, and what the raw store gives.
//!
//! `counts` compares the points of every entity with the ledger; `content` compares entities with what they should have
//! become. `whole` does both for a slot, the second for a sample; `delta` does them for what one plan changed. What differs is
//! counted and named in a [`Comparison`], and recorded once per plan.
//!
//! An object that changed since it was written is a live write, which the next plan carries over: no difference. `suspects`
//! are looked at more than once for that.

mod content;
mod counts;
mod delta;
mod suspects;
mod whole;

use proto::v1::VerifyResult;
use uuid::Uuid;

use crate::context::Context;
use crate::database::{SlotScope, verifications};
use crate::error::{Error, ErrorKind, Result};

/// Entities read back at a time.
const BATCH: usize = 64;

/// Entities that are mended at most. More of them say that it is not single entities that are wrong.
const MOST_IN_DOUBT: usize = 10_000;

/// Differences that are named; all are counted.
const EXAMPLES: usize = 10;

/// What was compared, and what differed.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    pub(crate) result: VerifyResult,
}

impl Comparison {
    fn example(&mut self, words: String) {
        if self.result.examples.len() < EXAMPLES {
            self.result.examples.push(words);
        }
    }

    /// How many places differ.
    pub(crate) fn differences(&self) -> u64 {
        let result = &self.result;
        result.entities_missing_points
            + result.entities_surplus_points
            + result.entities_unknown
            + result.sample_differences
            + u64::from(result.points_expected != result.points_found)
    }

    /// Records the outcome under the plan, and answers whether nothing differed. Of several outcomes of one plan the first
    /// counts.
    pub(crate) async fn record(
        &self,
        context: &Context,
        scope: &SlotScope,
        plan_id: Uuid,
        operation_id: Uuid,
    ) -> Result<bool> {
        let passed = self.differences() == 0;
        let stored = serde_json::to_value(&self.result).map_err(|error| {
            Error::new(ErrorKind::Internal, "the verification cannot be written as JSON").with_source(error)
        })?;
        verifications::record(&context.database, scope, plan_id, operation_id, passed, &stored).await?;
        Ok(passed)
    }
}
