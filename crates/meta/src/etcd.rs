//! etcd: an existing, trusted engine for production.
//!
//! Used: transactions that compare values, linearizable lists, watches from a revision. Not used: leases, locks, elections, which
//! promise less than they seem to (`docs/cluster.md`). Every key has a prefix, so that several clusters and other users can share it.
//!
//! Old versions have known faults in watches and lists; [`Etcd::version`] is what `doctor` and the log should show.

use std::{sync::Mutex, time::Duration};

use cluster::metadata::{Change, Listing, Outcome, Revision, Transaction, Write};
use tonic::{
    Request, Status,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};

use crate::{MetaStore, TIMEOUT, Watch};

/// The stubs made from `proto/etcd.proto`.
#[allow(missing_docs, clippy::all, clippy::wildcard_enum_match_arm)]
mod stubs {
    tonic::include_proto!("etcdserverpb");
}

mod watching;

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
    pub fn new(settings: Settings) -> Result<Self, tonic::transport::Error> {
        let mut endpoints = Vec::new();
        for address in &settings.endpoints {
            endpoints.push(endpoint(address, &settings)?);
        }
        Ok(Self {
            channel: Channel::balance_list(endpoints.into_iter()),
            prefix: settings.prefix.into_bytes(),
            login: settings.login,
            token: Mutex::new(None),
        })
    }

    /// The version of the member that answers.
    ///
    /// # Errors
    /// If none does.
    pub async fn version(&self) -> Result<String, Status> {
        let mut client = MaintenanceClient::new(self.channel.clone());
        Ok(client
            .status(self.request(StatusRequest {}))
            .await?
            .into_inner()
            .version)
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
        let token = self
            .token
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone();
        if let Some(token) = token.and_then(|token| token.parse().ok()) {
            request.metadata_mut().insert("token", token);
        }
    }

    /// Logs in, if there is a login. Before the first question, and when etcd says that the token is none.
    async fn log_in(&self) -> Result<(), Status> {
        let Some((name, password)) = self.login.clone() else {
            return Ok(());
        };
        let mut client = AuthClient::new(self.channel.clone());
        let mut request = Request::new(AuthenticateRequest { name, password });
        request.set_timeout(TIMEOUT);
        let token = client.authenticate(request).await?.into_inner().token;
        *self
            .token
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = Some(token);
        Ok(())
    }

    fn is_logged_in(&self) -> bool {
        let token = self
            .token
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        self.login.is_none() || token.is_some()
    }

    /// A failure that a new login may mend makes the next question log in.
    fn note_failure(&self, status: &Status) {
        if status.code() == tonic::Code::Unauthenticated
            || status.message().contains("invalid auth token")
        {
            *self
                .token
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner) = None;
        }
    }

    async fn try_transact(&self, transaction: &Transaction) -> Result<Outcome, Status> {
        if !self.is_logged_in() {
            self.log_in().await?;
        }
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
        if !self.is_logged_in() {
            self.log_in().await?;
        }
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
        let answer = tokio::time::timeout(TIMEOUT, self.try_transact(transaction)).await;
        match answer {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(status)) => {
                self.note_failure(&status);
                Outcome::Unknown
            }
            Err(_) => Outcome::Unknown,
        }
    }

    async fn list(&self) -> Option<Listing> {
        match tokio::time::timeout(TIMEOUT, self.try_list()).await {
            Ok(Ok(listing)) => listing,
            Ok(Err(status)) => {
                self.note_failure(&status);
                None
            }
            Err(_) => None,
        }
    }

    async fn watch(&self, after: Revision) -> Watch {
        let (sender, watch) = Watch::new();
        match tokio::time::timeout(TIMEOUT, self.begin_watch(after)).await {
            Ok(Ok(begun)) => {
                tokio::spawn(begun.tell(sender));
            }
            Ok(Err(status)) => self.note_failure(&status),
            Err(_) => {}
        }
        watch
    }
}

/// The writes of one transaction, from the events that etcd tells.
fn change(revision: i64, writes: Vec<Write>) -> Change {
    Change {
        revision: Revision(revision as u64),
        writes,
    }
}
