//! Whether the deployed application takes what this slot would write, found out without writing.
//!
//! Vespa reads a put before it looks at its condition. So a put that is complete in every field but whose condition is
//! `false` is answered with 412 when type, fields and tensor sizes are as deployed, and with 400 and the difference when
//! they are not; it writes nothing either way. A dry run would not do: Vespa does not even read those.
//!
//! A container can be told to drop fields it does not know (`ignore-undefined-fields`). It then says so only of a put that
//! it carried out, so there the puts are carried out and removed again.
//!
//! Where Vespa is to embed, the reverse is asked too: an application that takes vectors or chunks would store a text
//! without either.

use bytes::Bytes;
use reqwest::Method;

use super::body::Body;
use super::calls::wire_timeout;
use super::classify::{self, Envelope, Refusal};
use super::config::{Grain, Shape};
use super::connections::{Reply, Request, SMALL_ANSWER_BYTES};
use super::document::sample;
use super::document_id::{DocumentId, encode};
use super::feeder::{Operation, Write, Written};
use super::schema::DocumentType;
use super::service::Vespa;
use super::status::Verdict;
use crate::error::{Error, ErrorKind, Result};

const DOING: &str = "tell what is deployed";

/// Puts that no application takes where Vespa chunks and embeds.
const FOREIGN_PUTS: [(&str, &[u8]); 2] = [
    ("dense_embedding", br#"{"fields":{"dense_embedding":{"values":[0]}}}"#),
    ("chunks", br#"{"fields":{"chunks":["check"]}}"#),
];

/// A put that no application takes, unless it drops fields it does not know.
const NOBODYS_PUT: &[u8] = br#"{"fields":{"sync_multiplexer_has_no_such_field":"check"}}"#;

impl Vespa {
    /// Compares the deployed application with the profile.
    ///
    /// # Errors
    /// `IncompatibleDestination` saying what differs.
    pub(super) async fn verify_deployment(&self) -> Result<()> {
        let types = self.settings.shape.document_types();
        let first = self.sample(types.first().copied().unwrap_or_default())?;
        let probing = match self.probe(&first.id, Bytes::from_static(NOBODYS_PUT), Probing::Dry).await? {
            Probed::Taken => Probing::Real,
            Probed::Refused(_) => Probing::Dry,
        };
        for document_type in types {
            let document = self.sample(document_type)?;
            if let Probed::Refused(Refusal::Deployment(problem) | Refusal::Document(problem)) =
                self.probe(&document.id, document.body, probing).await?
            {
                return Err(classify::not_deployed(&format!("{document_type}: {problem}")));
            }
        }
        if let Shape::Platform(Grain::Entity, _) = self.settings.shape {
            self.verify_that_vespa_embeds(probing).await?;
        }
        self.verify_cluster(&first.id).await
    }

    /// Writes and removes a document that no reader finds.
    ///
    /// # Errors
    /// What writing fails with.
    pub(super) async fn write_and_remove(&self) -> Result<()> {
        let types = self.settings.shape.document_types();
        let document = self.sample(types.first().copied().unwrap_or_default())?;
        let operation = |write| Operation { id: document.id.clone(), write, condition: None };
        let put = self.client.feeder.feed(std::iter::once(operation(Write::Put(document.body.clone())))).await;
        // Also after a failure: it may have been written all the same.
        let removed = self.client.feeder.feed(std::iter::once(operation(Write::Remove))).await;
        for written in put?.into_iter().chain(removed?) {
            if let Written::Refused(reason) = written {
                return Err(classify::not_deployed(&reason));
            }
        }
        Ok(())
    }

    /// The slot's own document for checks.
    fn sample(&self, document_type: &str) -> Result<super::document::Document> {
        let specific = format!("sync-multiplexer-check_{}", self.scope.slot_id);
        sample(document_type, &self.settings, &specific)
            .map_err(|problem| Error::new(ErrorKind::InvalidInput, format!("no document can be made: {problem}")))
    }

    async fn verify_that_vespa_embeds(&self, probing: Probing) -> Result<()> {
        let base = DocumentType::Base.name();
        let id = self.sample(base)?.id;
        for (field, body) in FOREIGN_PUTS {
            match self.probe(&id, Bytes::from_static(body), probing).await? {
                Probed::Refused(Refusal::Deployment(problem)) if problem == classify::no_field(base, field) => {}
                Probed::Refused(Refusal::Deployment(problem)) if problem == classify::FIELDS_IGNORED => {}
                Probed::Taken | Probed::Refused(_) => {
                    return Err(classify::not_deployed(&format!(
                        "{base} takes {field}, so this Vespa is fed chunks and vectors and makes none itself"
                    )));
                }
            }
        }
        Ok(())
    }

    async fn verify_cluster(&self, id: &DocumentId) -> Result<()> {
        let timeout = self.client.calls.limits.read_timeout;
        let request = Request {
            method: Method::GET,
            target: format!(
                "{}?cluster={}&fieldSet=%5Bid%5D&timeout={}ms",
                id.path(),
                encode(&self.settings.cluster),
                timeout.as_millis()
            ),
            body: None,
            timeout: wire_timeout(timeout),
            answer_bytes: SMALL_ANSWER_BYTES,
        };
        let reply = self.client.calls.call(DOING, &request).await?;
        match (reply.status, Envelope::of(&reply).id) {
            (200 | 404, Some(_)) => Ok(()),
            _ => Err(classify::unexpected(DOING, &reply)),
        }
    }

    /// Asks what becomes of a put.
    async fn probe(&self, id: &DocumentId, body: Bytes, probing: Probing) -> Result<Probed> {
        let timeout = self.client.calls.limits.read_timeout;
        let condition = match probing {
            Probing::Dry => "&condition=false",
            Probing::Real => "",
        };
        let request = Request {
            method: Method::POST,
            target: format!("{}?timeout={}ms{condition}", id.path(), timeout.as_millis()),
            body: Some(Body::of(body)),
            timeout: wire_timeout(timeout),
            answer_bytes: SMALL_ANSWER_BYTES,
        };
        let reply = self.client.calls.call(DOING, &request).await;
        if probing == Probing::Real {
            // Also after a failure: it may have been written all the same.
            let remove = Operation { id: id.clone(), write: Write::Remove, condition: None };
            self.client.feeder.feed(std::iter::once(remove)).await?;
        }
        judge(&reply?, probing)
    }
}

/// How a put is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Probing {
    /// With a condition that is false.
    Dry,
    /// Really; what it wrote is removed.
    Real,
}

#[derive(Debug)]
enum Probed {
    Taken,
    Refused(Refusal),
}

fn judge(reply: &Reply, probing: Probing) -> Result<Probed> {
    let refused = |problem: &str| Ok(Probed::Refused(Refusal::Deployment(problem.to_owned())));
    match Verdict::of(reply.status) {
        _ if reply.ignored_fields => refused(classify::FIELDS_IGNORED),
        _ if reply.ignored_operation => refused(classify::IGNORED_OPERATION),
        Verdict::ConditionNotMet => Ok(Probed::Taken),
        Verdict::Done if probing == Probing::Real => Ok(Probed::Taken),
        Verdict::Done => Err(classify::broken(DOING, "it took a put whose condition is false")),
        Verdict::Refused => {
            let message = Envelope::of(reply).message.unwrap_or_default();
            Ok(Probed::Refused(classify::refusal(reply.status, &message)))
        }
        Verdict::Throttled | Verdict::Uncertain | Verdict::NoSpace | Verdict::Denied | Verdict::NotTheApi => {
            Err(classify::unexpected(DOING, reply))
        }
    }
}
