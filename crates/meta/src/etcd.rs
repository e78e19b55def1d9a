//! etcd: an existing, trusted engine for production.
//!
//! Used: transactions that compare values, linearizable lists, watches from a revision. Not used: leases, locks, elections, which
//! promise less than they seem to (`docs/cluster.md`). Every key has a prefix, so that several clusters and other users can share it.
//!
//! Old versions have known faults in watches and lists; [`Etcd::version`] is what `doctor` and the log should show.

use std::{
    future::Future,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use cluster::metadata::{Change, Listing, Outcome, Revision, Transaction, Write};
use tonic::{
    Request, Status,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};

use crate::{
    MetaStore, TIMEOUT, Watch,
    trouble::{Trouble, chain},
};

/// The stubs made from `proto/etcd.proto`.
#[allow(missing_docs, clippy::all, clippy::wildcard_enum_match_arm)]
mod stubs {
    tonic::include_proto!("etcdserverpb");
}

mod explain;
mod watching;

use explain::Terms;
use stubs::{
    AuthenticateRequest, CompactionRequest, Compare, DeleteRangeRequest, PutRequest, RangeRequest,
    RequestOp, StatusRequest, TxnRequest, auth_client::AuthClient, compare, kv_client::KvClient,
    maintenance_client::MaintenanceClient, request_op,
};

/// Longest answer: the list of a full map.
const MAX_ANSWER_BYTES: usize = 64 << 20;
/// How often a silent connection is asked whether it lives.
const KEEPALIVE: Duration = Duration::from_secs(1);

/// Where etcd is, and how to be let in.
#[derive(Clone, Default)]
pub struct Settings {
    /// Its members: `http://host:port`, or `https://` with TLS.
    pub endpoints: Vec<String>,
    /// What stands before every key; ends with a slash.
    pub prefix: String,
    /// User and password, if it wants them.
    pub login: Option<(String, String)>,
    /// The authority that signed etcd's certificates, as PEM, for `https://`.
    pub authority: Option<Vec<u8>>,
    /// This node's certificate and key, as PEM, if etcd wants them.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

/// A client of etcd.
pub struct Etcd {
    channel: Channel,
    prefix: Vec<u8>,
    login: Option<(String, String)>,
    /// What the last login gave.
    token: Mutex<Option<String>>,
    /// Only one question at a time logs in: etcd takes its time for each, on purpose.
    logging_in: tokio::sync::Mutex<()>,
    terms: Terms,
    trouble: Trouble,
}

impl std::fmt::Debug for Etcd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Etcd")
            .field("prefix", &String::from_utf8_lossy(&self.prefix))
            .finish_non_exhaustive()
    }
}

impl Etcd {
    /// A client; it connects when it is first asked something, and again whenever it has to.
    ///
    /// # Errors
    /// If an address or a certificate cannot be understood.
    pub fn new(settings: Settings) -> Result<Self, String> {
        explain::check_files(&settings)?;
        let mut endpoints = Vec::new();
        for address in &settings.endpoints {
            let made = endpoint(address, &settings);
            endpoints.push(made.map_err(|error| explain::unusable(address, &chain(&error)))?);
        }
        Ok(Self {
            terms: Terms::of(&settings),
            trouble: Trouble::default(),
            logging_in: tokio::sync::Mutex::new(()),
            channel: Channel::balance_list(endpoints.into_iter()),
            prefix: settings.prefix.into_bytes(),
            login: settings.login,
            token: Mutex::new(None),
        })
    }

    /// The version of the member that answers.
    ///
    /// # Errors
    /// If none does: why, for an operator.
    pub async fn version(&self) -> Result<String, String> {
        let asked = || async {
            let mut client = MaintenanceClient::new(self.channel.clone());
            let answer = client.status(self.request(StatusRequest {})).await?;
            Ok(answer.into_inner().version)
        };
        let version = self.ask(asked).await;
        version.ok_or_else(|| self.trouble.last().unwrap_or_default())
    }

    /// Has etcd forget all changes up to this revision. Operators let etcd do that by itself; tests do not wait.
    ///
    /// # Errors
    /// If it does not.
    pub async fn compact(&self, revision: Revision) -> Result<(), Status> {
        let request = CompactionRequest {
            revision: revision.0 as i64,
            physical: true,
        };
        self.kv().compact(self.request(request)).await.map(|_| ())
    }

    fn kv(&self) -> KvClient<Channel> {
        KvClient::new(self.channel.clone()).max_decoding_message_size(MAX_ANSWER_BYTES)
    }

    fn key(&self, key: &[u8]) -> Vec<u8> {
        [&self.prefix, key].concat()
    }

    /// The first key after all that begin with the prefix.
    fn end(&self) -> Vec<u8> {
        let mut end = self.prefix.clone();
        while let Some(last) = end.pop() {
            if last < u8::MAX {
                end.push(last + 1);
                return end;
            }
        }
        vec![0]
    }

    /// With the token of the last login.
    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(TIMEOUT);
        self.sign(&mut request);
        request
    }

    fn sign<T>(&self, request: &mut Request<T>) {
        if let Some(token) = self.token().clone().and_then(|token| token.parse().ok()) {
            request.metadata_mut().insert("token", token);
        }
    }

    fn token(&self) -> MutexGuard<'_, Option<String>> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks, and takes note of why there is no answer.
    async fn ask<T, F>(&self, question: impl Fn() -> F + Send) -> Option<T>
    where
        F: Future<Output = Result<T, Status>> + Send,
        T: Send,
    {
        let asked = tokio::time::timeout(TIMEOUT, self.ask_logged_in(question));
        let answer = asked
            .await
            .unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer in time")));
        match answer {
            Ok(answer) => {
                self.trouble.clear();
                Some(answer)
            }
            Err(status) => {
                self.trouble.note(explain::explain(&status, &self.terms));
                None
            }
        }
    }

    /// Asks once more after another login, if the token was none any more: etcd forgets tokens when it starts again and when they
    /// were not used for a while. What it refuses for that it has not carried out.
    async fn ask_logged_in<T, F>(&self, question: impl Fn() -> F + Send) -> Result<T, Status>
    where
        F: Future<Output = Result<T, Status>> + Send,
        T: Send,
    {
        self.log_in().await?;
        match question().await {
            Err(status) if self.login.is_some() && explain::is_about_token(&status) => {
                *self.token() = None;
                self.log_in().await?;
                question().await
            }
            answer => answer,
        }
    }

    /// Logs in, if there is a login and no token.
    async fn log_in(&self) -> Result<(), Status> {
        let Some((name, password)) = self.login.clone() else {
            return Ok(());
        };
        let _turn = self.logging_in.lock().await;
        if self.token().is_some() {
            return Ok(());
        }
        let mut client = AuthClient::new(self.channel.clone());
        let mut request = Request::new(AuthenticateRequest { name, password });
        request.set_timeout(TIMEOUT);
        let token = client.authenticate(request).await?.into_inner().token;
        *self.token() = Some(token);
        Ok(())
    }

    async fn try_transact(&self, transaction: &Transaction) -> Result<Outcome, Status> {
        let request = TxnRequest {
            compare: transaction
                .compares
                .iter()
                .map(|c| self.compare(c))
                .collect(),
            success: transaction
                .writes
                .iter()
                .map(|w| self.operation(w))
                .collect(),
        };
        let answer = self.kv().txn(self.request(request)).await?.into_inner();
        let revision = answer.header.map(|header| Revision(header.revision as u64));
        Ok(match revision {
            Some(revision) if answer.succeeded => Outcome::Committed(revision),
            Some(_) => Outcome::Conflict,
            None => Outcome::Unknown,
        })
    }

    /// A key that is not there has version 0, and no value to compare.
    fn compare(&self, wanted: &cluster::metadata::Compare) -> Compare {
        let (target, union) = match &wanted.expected {
            Some(value) => (
                compare::CompareTarget::Value,
                compare::TargetUnion::Value(value.clone()),
            ),
            None => (
                compare::CompareTarget::Version,
                compare::TargetUnion::Version(0),
            ),
        };
        Compare {
            result: compare::CompareResult::Equal.into(),
            target: target.into(),
            key: self.key(&wanted.key),
            target_union: Some(union),
        }
    }

    fn operation(&self, write: &Write) -> RequestOp {
        let key = self.key(&write.key);
        let request = match write.value.clone() {
            Some(value) => request_op::Request::RequestPut(PutRequest { key, value }),
            None => request_op::Request::RequestDeleteRange(DeleteRangeRequest { key }),
        };
        RequestOp {
            request: Some(request),
        }
    }

    async fn try_list(&self) -> Result<Option<Listing>, Status> {
        let request = RangeRequest {
            key: self.prefix.clone(),
            range_end: self.end(),
        };
        let answer = self.kv().range(self.request(request)).await?.into_inner();
        let own = answer.kvs.into_iter().filter_map(|kv| {
            let key = kv.key.strip_prefix(self.prefix.as_slice())?.to_vec();
            Some((key, kv.value))
        });
        let entries = own.collect();
        Ok(answer.header.map(|header| Listing {
            revision: Revision(header.revision as u64),
            entries,
        }))
    }
}

fn endpoint(address: &str, settings: &Settings) -> Result<Endpoint, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(address.to_owned())?
        .connect_timeout(TIMEOUT)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(2 * KEEPALIVE)
        .keep_alive_while_idle(true);
    if !address.starts_with("https://") {
        return Ok(endpoint);
    }
    let mut tls = ClientTlsConfig::new();
    if let Some(authority) = &settings.authority {
        tls = tls.ca_certificate(Certificate::from_pem(authority));
    }
    if let Some((certificate, key)) = &settings.identity {
        tls = tls.identity(Identity::from_pem(certificate, key));
    }
    endpoint.tls_config(tls)
}

impl MetaStore for Etcd {
    async fn transact(&self, transaction: &Transaction) -> Outcome {
        let answer = self.ask(|| self.try_transact(transaction)).await;
        answer.unwrap_or(Outcome::Unknown)
    }

    async fn list(&self) -> Option<Listing> {
        self.ask(|| self.try_list()).await.flatten()
    }

    async fn watch(&self, after: Revision) -> Watch {
        let (sender, watch) = Watch::new();
        if let Some(begun) = self.ask(|| self.begin_watch(after)).await {
            tokio::spawn(begun.tell(sender));
        }
        watch
    }

    fn trouble(&self) -> Option<String> {
        self.trouble.last()
    }
}

/// The writes of one transaction, from the events that etcd tells.
fn change(revision: i64, writes: Vec<Write>) -> Change {
    Change {
        revision: Revision(revision as u64),
        writes,
    }
}
