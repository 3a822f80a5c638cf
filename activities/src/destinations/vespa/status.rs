//! What each status means, in one table.
//!
//! Source: Vespa's `DocumentV1ApiHandler` and its documentation of `/document/v1`. There is never a `Retry-After`.

/// What follows from the status of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Done, unless a header says otherwise.
    Done,
    /// The document is another one than the write asked for.
    ConditionNotMet,
    /// Too much at once: slower, for as long as it takes.
    Throttled,
    /// Whether it was done is not known, or it may go better next time: again, a few times.
    Uncertain,
    /// A content node is full: nobody writes until there is space.
    NoSpace,
    /// This document or this deployment does not take it, ever.
    Refused,
    /// Credentials are missing, wrong, or not for writing.
    Denied,
    /// This is not the API we think it is.
    NotTheApi,
}

impl Verdict {
    /// The verdict on a write or a page of a visit.
    pub(super) fn of(status: u16) -> Self {
        match status {
            200..=299 => Self::Done,
            // 413: larger than the container takes, which may be less than the default.
            400 | 413 => Self::Refused,
            401 | 403 => Self::Denied,
            412 => Self::ConditionNotMet,
            429 => Self::Throttled,
            507 => Self::NoSpace,
            // What will not be otherwise next time.
            501 | 505 => Self::NotTheApi,
            // 500 unspecified, 502 from something in between, 503 going down or an idle stream, 504 deadline.
            500..=599 => Self::Uncertain,
            // 404 on a write: no document-api in this cluster, or another path. 405 likewise.
            _ => Self::NotTheApi,
        }
    }

    /// Whether the server is in trouble rather than the request.
    pub(super) fn is_trouble(self) -> bool {
        self == Self::Uncertain
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(200, Verdict::Done)]
    #[case(204, Verdict::Done)]
    #[case(301, Verdict::NotTheApi)]
    #[case(400, Verdict::Refused)]
    #[case(401, Verdict::Denied)]
    #[case(403, Verdict::Denied)]
    #[case(404, Verdict::NotTheApi)]
    #[case(405, Verdict::NotTheApi)]
    #[case(412, Verdict::ConditionNotMet)]
    #[case(413, Verdict::Refused)]
    #[case(418, Verdict::NotTheApi)]
    #[case(429, Verdict::Throttled)]
    #[case(500, Verdict::Uncertain)]
    #[case(502, Verdict::Uncertain)]
    #[case(503, Verdict::Uncertain)]
    #[case(504, Verdict::Uncertain)]
    #[case(501, Verdict::NotTheApi)]
    #[case(505, Verdict::NotTheApi)]
    #[case(529, Verdict::Uncertain)]
    #[case(507, Verdict::NoSpace)]
    #[case(100, Verdict::NotTheApi)]
    #[case(999, Verdict::NotTheApi)]
    fn every_status_has_its_meaning(#[case] status: u16, #[case] verdict: Verdict) {
        assert_eq!(Verdict::of(status), verdict);
    }
}
