//! etcd with TLS and users: the same suite, and what is told to whoever is not let in.

use std::{path::PathBuf, sync::Arc, time::Duration};

use cluster::metadata::Revision;
use meta::{
    MetaStore as _,
    etcd::{Etcd, Settings},
};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::timeout;

use crate::rig::{EtcdRig, Rig, stop};
use crate::secured_etcd::{PASSWORD, PREFIX, SecuredEtcd, USER};

/// A rig for the suite.
pub struct SecuredRig {
    etcd: SecuredEtcd,
    client: Arc<Etcd>,
}

impl SecuredRig {
    pub async fn start() -> Self {
        let etcd = SecuredEtcd::start();
        let client = Arc::new(Etcd::new(good(&etcd)).expect("settings"));
        let rig = Self { etcd, client };
        rig.wait().await;
        rig
    }

    async fn wait(&self) {
        let asking = async { while self.client.list().await.is_none() {} };
        let answered = timeout(Duration::from_secs(20), asking).await;
        assert!(answered.is_ok(), "{:?}", self.client.trouble());
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.etcd.child), signal).expect("our own child");
    }
}

impl Rig for SecuredRig {
    type Store = Etcd;

    fn store(&self) -> Arc<Etcd> {
        self.client.clone()
    }

    async fn kill(&mut self) {
        self.etcd.kill();
    }

    async fn start_again(&mut self) {
        self.etcd.start_again();
        self.wait().await;
    }

    fn pause(&mut self) {
        stop(&self.etcd.child);
    }

    fn resume(&mut self) {
        self.signal(Signal::CONT);
    }

    async fn compact(&mut self, to: Revision) {
        self.client.compact(to).await.expect("etcd compacts");
    }
}

fn read(path: PathBuf) -> Vec<u8> {
    std::fs::read(path).expect("it was made")
}

/// Settings that it lets in.
fn good(etcd: &SecuredEtcd) -> Settings {
    Settings {
        endpoints: vec![format!("https://{}", etcd.address)],
        prefix: PREFIX.into(),
        login: Some((USER.into(), PASSWORD.into())),
        authority: Some(read(etcd.papers.certificate("ca"))),
        identity: papers_of(etcd, "node"),
    }
}

fn papers_of(etcd: &SecuredEtcd, name: &str) -> Option<(Vec<u8>, Vec<u8>)> {
    let papers = &etcd.papers;
    Some((read(papers.certificate(name)), read(papers.key(name))))
}

/// What somebody is told who asks with these settings, and is not let in.
async fn refused(settings: Settings) -> String {
    let client = Etcd::new(settings).expect("settings");
    assert!(client.list().await.is_none());
    client.trouble().expect("a reason")
}

#[track_caller]
fn tells(said: &str, words: &[&str]) {
    let missing: Vec<_> = words.iter().filter(|word| !said.contains(*word)).collect();
    assert!(missing.is_empty(), "{missing:?} should be in: {said}");
}

/// Each settings is wrong in one thing, and the answer names it.
#[tokio::test]
async fn who_is_not_let_in_is_told_what_to_mend() {
    let etcd = SecuredEtcd::start();
    let login = |user: &str, password: &str| Settings {
        login: Some((user.into(), password.into())),
        ..good(&etcd)
    };
    let said = refused(login(USER, "sesame")).await;
    tells(&said, &["user tenure", "meta-user", "TENURE_META_PASSWORD"]);
    let said = refused(login("nobody", PASSWORD)).await;
    tells(&said, &["user nobody", "meta-user"]);

    let other = read(etcd.papers.certificate("other-ca"));
    let said = refused(Settings {
        authority: Some(other),
        ..good(&etcd)
    });
    tells(&said.await, &["meta-ca", "--cert-file", "UnknownIssuer"]);

    let said = refused(Settings {
        identity: None,
        ..good(&etcd)
    });
    tells(&said.await, &["meta-cert", "meta-key"]);
    let said = refused(Settings {
        identity: papers_of(&etcd, "stranger"),
        ..good(&etcd)
    });
    tells(&said.await, &["meta-cert", "--trusted-ca-file"]);

    let said = refused(Settings {
        endpoints: vec![format!("http://{}", etcd.address)],
        authority: None,
        identity: None,
        ..good(&etcd)
    });
    tells(&said.await, &["meta-ca", "TLS"]);

    let said = refused(Settings {
        prefix: "/tenure/other/".into(),
        ..good(&etcd)
    });
    let grant = "etcdctl role grant-permission";
    tells(&said.await, &[grant, "/tenure/other/", "meta-user"]);
}

/// The name of a certificate can be a user, too; then no password is needed.
#[tokio::test]
async fn without_a_user_the_certificate_says_who_asks() {
    let etcd = SecuredEtcd::start();
    let nobody = Settings {
        login: None,
        ..good(&etcd)
    };
    let client = Etcd::new(nobody).expect("settings");
    assert!(client.list().await.is_none(), "there is no user `node` yet");
    tells(&client.trouble().expect("a reason"), &["meta-user"]);
    etcd.control(&["--user", "root:root", "user", "add", "node:unused"]);
    etcd.control(&["--user", "root:root", "user", "grant-role", "node", USER]);
    assert!(client.list().await.is_some(), "{:?}", client.trouble());
    assert_eq!(client.trouble(), None);
}

/// etcd that is asked over TLS and does not speak it, and for a login and has no users.
#[tokio::test]
async fn more_safety_than_there_is_is_told_too() {
    let secured = SecuredEtcd::start();
    let plain = EtcdRig::start().await;
    let said = refused(Settings {
        endpoints: vec![format!("https://{}", plain.address())],
        login: None,
        ..good(&secured)
    });
    tells(&said.await, &["meta-ca", "does not speak TLS"]);
    let said = refused(Settings {
        endpoints: vec![format!("http://{}", plain.address())],
        authority: None,
        identity: None,
        ..good(&secured)
    });
    tells(&said.await, &["meta-user", "etcdctl auth enable"]);
}

#[tokio::test]
async fn files_that_do_not_fit_are_told_at_once() {
    let etcd = SecuredEtcd::start();
    let unusable = |settings| Etcd::new(settings).expect_err("it cannot be used");
    let (certificate, _) = papers_of(&etcd, "node").expect("both");
    let (_, key) = papers_of(&etcd, "stranger").expect("both");
    let said = unusable(Settings {
        identity: Some((certificate.clone(), key)),
        ..good(&etcd)
    });
    tells(&said, &["meta-key", "meta-cert"]);
    let said = unusable(Settings {
        identity: Some((certificate.clone(), certificate)),
        ..good(&etcd)
    });
    tells(&said, &["meta-key"]);
    let said = unusable(Settings {
        authority: Some(b"no certificate".to_vec()),
        ..good(&etcd)
    });
    tells(&said, &["meta-ca"]);
}

/// Nobody listens there.
#[tokio::test]
async fn an_etcd_that_is_not_there_is_told() {
    let mut etcd = SecuredEtcd::start();
    etcd.kill();
    let said = refused(good(&etcd)).await;
    tells(&said, &["nothing listens", &etcd.address]);
}

/// Tokens are forgotten by a restart: who has one is let in again, and the first question is answered.
#[tokio::test]
async fn a_token_that_was_forgotten_is_replaced_within_the_question() {
    let mut rig = SecuredRig::start().await;
    rig.etcd.kill();
    rig.etcd.start_again();
    // It listens before it answers; another client tells when it does, and this one still has its old token.
    let other = Etcd::new(good(&rig.etcd)).expect("settings");
    while other.list().await.is_none() {}
    while rig.client.list().await.is_none() {
        let why = rig.client.trouble().expect("a reason");
        assert!(!why.contains("token"), "{why}");
    }
}
