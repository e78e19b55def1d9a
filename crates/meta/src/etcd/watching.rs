//! A watch on etcd.
//!
//! etcd says when a watch begins further back than what it remembers. It does not say when a watch begins in its future, as it
//! does after etcd was restored from a backup: it waits for that future. So the first answer's revision is compared here.

use cluster::metadata::{Change, Revision, Write};
use tokio::sync::mpsc;
use tonic::{Request, Status, Streaming};

use super::{
    Etcd, MAX_ANSWER_BYTES, change,
    stubs::{
        Event, WatchCreateRequest, WatchRequest, WatchResponse, event::EventType,
        watch_client::WatchClient, watch_request::RequestUnion,
    },
};

/// A watch that etcd has accepted.
pub(super) struct Begun {
    answers: Streaming<WatchResponse>,
    /// Dropping it would end the watch.
    _questions: mpsc::Sender<WatchRequest>,
    prefix: Vec<u8>,
}

impl Etcd {
    pub(super) async fn begin_watch(&self, after: Revision) -> Result<Begun, Status> {
        let create = WatchCreateRequest {
            key: self.prefix.clone(),
            range_end: self.end(),
            start_revision: after.0 as i64 + 1,
            progress_notify: true,
        };
        let (questions, asked) = mpsc::channel(1);
        let question = WatchRequest {
            request_union: Some(RequestUnion::CreateRequest(create)),
        };
        questions
            .send(question)
            .await
            .map_err(|_| Status::cancelled("nobody asks"))?;
        let mut request = Request::new(Questions(asked));
        self.sign(&mut request);
        let mut client =
            WatchClient::new(self.channel.clone()).max_decoding_message_size(MAX_ANSWER_BYTES);
        let mut answers = client.watch(request).await?.into_inner();
        let first = answers
            .message()
            .await?
            .ok_or_else(|| Status::cancelled("no watch"))?;
        let now = first.header.map_or(0, |header| header.revision as u64);
        if first.canceled || now < after.0 {
            return Err(Status::out_of_range("the watch cannot begin there"));
        }
        Ok(Begun {
            answers,
            _questions: questions,
            prefix: self.prefix.clone(),
        })
    }
}

impl Begun {
    /// Tells changes until the watch breaks, or nobody listens.
    pub(super) async fn tell(mut self, to: mpsc::Sender<Change>) {
        loop {
            let answer = tokio::select! {
                answer = self.answers.message() => answer,
                () = to.closed() => return,
            };
            let Ok(Some(answer)) = answer else { return };
            if answer.canceled || answer.compact_revision != 0 {
                return;
            }
            for change in self.changes(answer.events) {
                if to.try_send(change).is_err() {
                    return;
                }
            }
        }
    }

    /// Events of one revision are one transaction; etcd tells them together and in order.
    fn changes(&self, events: Vec<Event>) -> Vec<Change> {
        let mut changes: Vec<Change> = Vec::new();
        for event in events {
            let deleted = event.r#type() == EventType::Delete;
            let Some(kv) = event.kv else { continue };
            let Some(key) = kv.key.strip_prefix(self.prefix.as_slice()) else {
                continue;
            };
            let write = Write {
                key: key.to_vec(),
                value: (!deleted).then_some(kv.value),
            };
            match changes.last_mut() {
                Some(last) if last.revision.0 == kv.mod_revision as u64 => last.writes.push(write),
                Some(_) | None => changes.push(change(kv.mod_revision, vec![write])),
            }
        }
        changes
    }
}

/// The questions of one watch, as a stream.
struct Questions(mpsc::Receiver<WatchRequest>);

impl tonic::codegen::tokio_stream::Stream for Questions {
    type Item = WatchRequest;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<WatchRequest>> {
        self.0.poll_recv(context)
    }
}
