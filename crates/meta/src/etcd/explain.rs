//! Why etcd does not answer, in words that say what to do: which key of the configuration, or which command.
//!
//! TLS says no by alerts and by closing connections, etcd by texts; none of them knows what our keys are called. What is not known here is
//! told as it came.

use tonic::{Code, Status};

use super::Settings;
use crate::trouble::chain;

/// How etcd is asked, as far as that explains failures.
#[derive(Debug)]
pub struct Terms {
    members: String,
    tls: bool,
    certificate: bool,
    user: Option<String>,
    prefix: String,
}

impl Terms {
    /// Those of these settings.
    pub fn of(settings: &Settings) -> Self {
        let hosts = settings.endpoints.iter().map(|address| host(address));
        Self {
            members: hosts.collect::<Vec<_>>().join(", "),
            tls: settings.endpoints.iter().any(|a| a.starts_with("https://")),
            certificate: settings.identity.is_some(),
            user: settings.login.as_ref().map(|(user, _)| user.clone()),
            prefix: settings.prefix.clone(),
        }
    }
}

fn host(address: &str) -> &str {
    address.split_once("://").map_or(address, |(_, host)| host)
}

/// Why nothing can be asked with these settings at all.
pub fn unusable(address: &str, why: &str) -> String {
    let what = match why {
        _ if why.contains("KeyMismatch") => {
            "meta-key is not the key of the certificate in meta-cert"
        }
        _ if why.contains("private key") || why.contains("PrivateKey") => {
            "meta-key has no key in PEM form (`BEGIN PRIVATE KEY`)"
        }
        _ => {
            "an address in meta, or a file of meta-ca, meta-cert or meta-key, cannot be understood"
        }
    };
    format!("etcd {}: {what} ({why})", host(address))
}

/// What is wrong with the files of these settings, as far as that shows before anybody is asked.
pub fn check_files(settings: &Settings) -> Result<(), String> {
    let files = [
        ("meta-ca", settings.authority.as_ref()),
        (
            "meta-cert",
            settings
                .identity
                .as_ref()
                .map(|(certificate, _)| certificate),
        ),
    ];
    for (key, bytes) in files {
        let is_one = |bytes: &Vec<u8>| bytes.windows(CERTIFICATE.len()).any(|w| w == CERTIFICATE);
        if !bytes.is_none_or(is_one) {
            return Err(format!(
                "{key} has no certificate in PEM form (`BEGIN CERTIFICATE`)"
            ));
        }
    }
    Ok(())
}

/// How a certificate begins.
const CERTIFICATE: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// Whether another login may help: the token is not known any more, or older than a change of users and roles. Nothing was carried out.
pub fn is_about_token(status: &Status) -> bool {
    let text = status.message();
    text.contains("invalid auth token") || text.contains("revision of auth store is old")
}

/// Why there was no answer.
pub fn explain(status: &Status, terms: &Terms) -> String {
    let said = said(status);
    let Terms {
        members, prefix, ..
    } = terms;
    let advice = of_login(status, terms).or_else(|| of_connection(&said, terms));
    match (advice, status.code()) {
        (Some(advice), _) => format!("etcd at {members}: {advice}"),
        (None, Code::DeadlineExceeded | Code::Cancelled) => format!(
            "etcd at {members} does not answer in time: is it running, has it a majority (`etcdctl endpoint status`), is it reached from here?{}",
            of_silence(terms)
        ),
        (None, _) => format!("etcd at {members} says, about keys below {prefix}: {said}"),
    }
}

/// What the status says, and what has caused it: its own text has all of that in one, and most of it twice.
fn said(status: &Status) -> String {
    let cause = std::error::Error::source(status).map(chain);
    let texts = [Some(status.message().to_owned()), cause];
    let texts = texts.into_iter().flatten().filter(|text| !text.is_empty());
    texts.collect::<Vec<_>>().join(": ")
}

/// What else a silence may be. In TLS 1.3 whoever connects is done before the other end has looked at his certificate: each connection seems
/// to be made, and is ended before it is asked anything.
fn of_silence(terms: &Terms) -> &'static str {
    match (terms.tls, terms.certificate) {
        (false, _) => "",
        (true, true) => {
            " Or it ends each connection: meta-cert has to be signed by the authority in its --trusted-ca-file, be valid now, and be for client authentication"
        }
        (true, false) => {
            " Or it ends each connection, as it wants a certificate of this node (--client-cert-auth): set meta-cert and meta-key"
        }
    }
}

/// What etcd itself says of users.
fn of_login(status: &Status, terms: &Terms) -> Option<String> {
    let said = status.message();
    let user = terms.user.as_deref().unwrap_or_default();
    let has = |text: &str| said.contains(text);
    if has("authentication failed") || has("invalid user ID or password") {
        Some(format!(
            "it does not know user {user} with this password: compare meta-user and TENURE_META_PASSWORD with `etcdctl user get {user}`"
        ))
    } else if has("user name is empty") || has("user name not found") {
        Some("it wants a user: set meta-user and TENURE_META_PASSWORD".into())
    } else if has("authentication is not enabled") {
        Some(
            "it has no authentication enabled: leave out meta-user, or `etcdctl auth enable`"
                .into(),
        )
    } else if has("permission denied") {
        let who = if user.is_empty() { "this node" } else { user };
        Some(format!(
            "{who} may not read and write keys below {0}: `etcdctl role grant-permission ROLE --prefix=true readwrite {0}`, and give the role to the user of meta-user",
            terms.prefix
        ))
    } else {
        None
    }
}

/// What the connection says.
fn of_connection(said: &str, terms: &Terms) -> Option<String> {
    // The same failure is `Connection reset by peer` of the system, and `connection reset` of what sits on it.
    let lower = said.to_lowercase();
    let has = |texts: &[&str]| {
        texts
            .iter()
            .any(|text| lower.contains(&text.to_lowercase()))
    };
    let advice = if has(&["UnknownIssuer"]) {
        "its certificate was not signed by the authority in meta-ca: give the one that signed etcd's --cert-file"
    } else if has(&["NotValidForName"]) {
        "its certificate is for other names: use in meta a name or address that it has, or have one made for this one"
    } else if has(&["Expired", "NotValidYet"]) {
        "its certificate is not valid at this time: renew it, or mend a clock"
    } else if has(&["CertificateRequired", "certificate required"]) && !terms.certificate {
        "it wants a certificate of this node: set meta-cert and meta-key"
    } else if has(&["received fatal alert"]) && terms.certificate {
        "it does not take this node's certificate: meta-cert has to be signed by the authority in etcd's --trusted-ca-file, be valid now, and be for client authentication"
    } else if has(&["received fatal alert"]) {
        "it ends the connection while TLS is agreed on: if it wants a certificate of this node, set meta-cert and meta-key"
    } else if has(&["InvalidContentType", "tls handshake eof"]) {
        "it does not speak TLS: leave out meta-ca, or start etcd with --cert-file and --key-file"
    } else if has(&["Connection refused"]) {
        "nothing listens there: is etcd running, and is the address in meta that of its --listen-client-urls?"
    } else if has(&["failed to lookup address"]) {
        "no such host is known here: compare meta"
    } else if !terms.tls && has(CLOSED) {
        "it closes connections without a word: if it speaks TLS (https:// in its --listen-client-urls), set meta-ca"
    } else if terms.tls && terms.certificate && has(CLOSED) {
        "it closes connections once TLS is agreed on: meta-cert has to be signed by the authority in its --trusted-ca-file, be valid now, and be for client authentication"
    } else if terms.tls && !terms.certificate && has(CLOSED) {
        "it closes connections once TLS is agreed on: if it wants a certificate of this node (--client-cert-auth), set meta-cert and meta-key"
    } else {
        return None;
    };
    Some(format!("{advice} ({})", innermost(said)))
}

/// How a connection ends whose other end has not understood a word, or did not like what it understood.
const CLOSED: &[&str] = &[
    "Connection reset",
    "broken pipe",
    "connection closed",
    "stream closed",
    "unexpected end of file",
    "UnexpectedEof",
    "frame with invalid size",
    "http2 error",
];

/// The last cause is the one that tells.
fn innermost(said: &str) -> &str {
    said.rsplit(": ").next().unwrap_or(said)
}
