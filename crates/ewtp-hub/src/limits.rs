//! Rates and daily budgets per account. Appending is irrevocable, so who may append how much is bounded.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Why an account has to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OverLimit {
    /// Too fast.
    #[error("more than {per_second} filings a second; wait {retry_after:?}")]
    Rate {
        /// Limit.
        per_second: u32,
        /// When to come back.
        retry_after: Duration,
    },
    /// The day's budget is used up.
    #[error("the account's {budget} log entries of this day (UTC) are used up")]
    Daily {
        /// Limit.
        budget: u64,
    },
}

struct Bucket {
    tokens_milli: u64,
    at_ms: u64,
    day: u64,
    used: u64,
}

/// Token buckets by account.
pub struct AccountLimits {
    per_second: u32,
    burst: u32,
    budget: u64,
    buckets: Mutex<HashMap<String, Bucket>>,
}

impl AccountLimits {
    /// With these limits.
    #[must_use]
    pub fn new(per_second: u32, burst: u32, budget: u64) -> Self {
        Self {
            per_second: per_second.max(1),
            burst: burst.max(1),
            budget,
            buckets: Mutex::new(HashMap::new()),
        }
    }

    /// Takes one filing from an account's share.
    ///
    /// # Errors
    /// [`OverLimit`].
    pub fn take(&self, account: &str, now_ms: u64) -> Result<(), OverLimit> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let full = u64::from(self.burst) * 1000;
        let day = now_ms / 86_400_000;
        let bucket = buckets.entry(account.to_owned()).or_insert(Bucket {
            tokens_milli: full,
            at_ms: now_ms,
            day,
            used: 0,
        });
        let grown = now_ms.saturating_sub(bucket.at_ms).saturating_mul(u64::from(self.per_second));
        bucket.tokens_milli = bucket.tokens_milli.saturating_add(grown).min(full);
        bucket.at_ms = bucket.at_ms.max(now_ms);
        if bucket.day != day {
            (bucket.day, bucket.used) = (day, 0);
        }
        if bucket.used >= self.budget {
            return Err(OverLimit::Daily { budget: self.budget });
        }
        let Some(left) = bucket.tokens_milli.checked_sub(1000) else {
            let wait = (1000 - bucket.tokens_milli).div_ceil(u64::from(self.per_second));
            return Err(OverLimit::Rate {
                per_second: self.per_second,
                retry_after: Duration::from_millis(wait),
            });
        };
        bucket.tokens_milli = left;
        bucket.used += 1;
        Ok(())
    }
}
