//! The cluster, for operators: what it looks like, and what they may ask of it.
//!
//! ```text
//!   GET  /cluster                      the survey, as JSON
//!   POST /cluster/drain/NODE           also undrain, forget; /cluster/recover/SHARD
//! ```
//!
//! A command is carried out by the coordinator only. Any other node answers 421 and says where that is. Whoever commands has to show the
//! cluster's secret (`Authorization: Bearer ...`), or, where there is none, to be on this machine.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use cluster::coordinator::{Command, Refusal};
use model::{NodeId, ShardId};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::Admin;
use crate::links::is_same;
use crate::message::Message;
use crate::survey::{Survey, state_name};

/// How long an answer is waited for: a command waits for the metadata store.
const PATIENCE: Duration = Duration::from_secs(5);

/// The answer to a command.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Why it is not carried out; empty if it is.
    pub error: String,
    /// Who has to be asked instead.
    pub coordinator: Option<u32>,
    /// That node's admin port.
    pub admin: Option<String>,
}

/// The survey.
pub async fn survey(State(admin): State<Admin>) -> Response {
    match take_survey(&admin).await {
        Some(survey) => json(StatusCode::OK, &survey),
        None => refuse(
            StatusCode::NOT_FOUND,
            "this server is no member of a cluster, or not yet",
        ),
    }
}

async fn take_survey(admin: &Admin) -> Option<Survey> {
    let (answer, answered) = oneshot::channel();
    if !admin.mailbox.send(Message::Survey(answer)) {
        return None;
    }
    tokio::time::timeout(PATIENCE, answered).await.ok()?.ok()
}

/// A command.
pub async fn operate(
    State(admin): State<Admin>,
    Path((command, number)): Path<(String, u32)>,
    headers: HeaderMap,
) -> Response {
    if !may_command(&admin, &headers) {
        let why = "commands need the cluster's secret (TENURE_CLUSTER_SECRET), or, where there is none, an admin port on a loopback address";
        return refuse(StatusCode::FORBIDDEN, why);
    }
    let Some(command) = parse(&command, number) else {
        return refuse(StatusCode::NOT_FOUND, "no such command");
    };
    let (answer, answered) = oneshot::channel();
    admin.mailbox.send(Message::Operate(command, answer));
    match tokio::time::timeout(PATIENCE, answered).await {
        Ok(Ok(Ok(()))) => json(StatusCode::OK, &Answer::default()),
        Ok(Ok(Err(refusal))) => refused(&admin, refusal).await,
        Ok(Err(_)) => refuse(
            StatusCode::NOT_FOUND,
            "this server is no member of a cluster",
        ),
        Err(_) => refuse(
            StatusCode::GATEWAY_TIMEOUT,
            "no answer in time: the metadata store may be down; look, and ask again",
        ),
    }
}

fn parse(command: &str, number: u32) -> Option<Command> {
    let node = NodeId(number);
    // One that no shard has, if it is none.
    let shard = ShardId(u16::try_from(number).unwrap_or(u16::MAX));
    match command {
        "drain" => Some(Command::Drain(node)),
        "undrain" => Some(Command::Undrain(node)),
        "forget" => Some(Command::Forget(node)),
        "recover" => Some(Command::RecoverLongest(shard)),
        "acknowledge" => Some(Command::Acknowledge(shard)),
        _ => None,
    }
}

fn may_command(admin: &Admin, headers: &HeaderMap) -> bool {
    if admin.secret.is_empty() {
        return admin.is_private;
    }
    let shown = headers
        .get(AUTHORIZATION)
        .map_or(&b""[..], |value| value.as_bytes());
    is_same(shown, format!("Bearer {}", admin.secret).as_bytes())
}

async fn refused(admin: &Admin, refusal: Refusal) -> Response {
    let Refusal::NotCoordinator(coordinator) = refusal else {
        return refuse(StatusCode::CONFLICT, &reason(refusal));
    };
    let survey = take_survey(admin).await.unwrap_or_default();
    let number = coordinator.map(|node| node.0);
    let node = survey.nodes.iter().find(|node| Some(node.node) == number);
    let answer = Answer {
        error: reason(refusal),
        coordinator: number,
        admin: node.map(|node| node.admin.clone()),
    };
    json(StatusCode::MISDIRECTED_REQUEST, &answer)
}

fn reason(refusal: Refusal) -> String {
    let text = match refusal {
        Refusal::NotCoordinator(Some(node)) => {
            return format!("node {} coordinates: ask that one", node.0);
        }
        Refusal::NotCoordinator(None) => "nobody coordinates yet: try again in a second",
        Refusal::NotCreated => "the cluster is not created yet: it waits for its nodes",
        Refusal::NoSuchNode => "there is no such node",
        Refusal::NoSuchShard => "there is no such shard",
        Refusal::WrongState(state) => return format!("the node is {}", state_name(state)),
        Refusal::StillAlive => "the node still answers: stop it first",
        Refusal::HoldsCopies => {
            "the node still holds copies: wait until they are replaced, or recover what cannot be"
        }
        Refusal::NotNeeded => {
            "enough members of the shard answer: it recovers by itself, and nothing has to be given up"
        }
        Refusal::NothingLost => "no recovery of the shard is on record as having lost anything",
        Refusal::NobodyHasIt => "no node that answers has anything of the shard",
        Refusal::NotHeard(node) => {
            return format!(
                "node {} has not said yet all that it has, which may be more: try again in a second. If it stays so, it cannot replace damaged files, as its log says; stop it to go on without what is in them",
                node.0
            );
        }
        Refusal::Overtaken => {
            "something else changed the same record first, or it is not known whether this did: look, and ask again"
        }
    };
    text.into()
}

fn refuse(status: StatusCode, error: &str) -> Response {
    let answer = Answer {
        error: error.into(),
        ..Answer::default()
    };
    json(status, &answer)
}

fn json(status: StatusCode, value: &impl Serialize) -> Response {
    // Only maps with keys that are no texts cannot be written, and there are none.
    let text = serde_json::to_string(value).unwrap_or_default();
    (status, [(CONTENT_TYPE, "application/json")], text + "\n").into_response()
}
