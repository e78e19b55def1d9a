//! etcd as a careful operator runs it: TLS, a certificate of whoever asks, users with passwords. Debian's etcd and its `etcdctl`.
//!
//! The certificates are made anew by each test, so none of them expires in the repository.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};

/// The user that may read and write below [`PREFIX`], and nothing else.
pub const USER: &str = "tenure";
/// What it proves itself with.
pub const PASSWORD: &str = "open sesame";
/// Where it may.
pub const PREFIX: &str = "/tenure/test/";

/// Certificates and keys, as files: `ca`, and signed by it `server` and `node`; `other-ca`, and signed by that `stranger`.
pub struct Papers(PathBuf);

impl Papers {
    /// Made in this folder.
    pub fn made_in(folder: &Path) -> Self {
        let papers = Self(folder.to_owned());
        let (authority, other) = (papers.authority("ca"), papers.authority("other-ca"));
        papers.sign("server", &["127.0.0.1", "localhost"], &authority);
        papers.sign("node", &[], &authority);
        papers.sign("stranger", &[], &other);
        papers
    }

    /// The certificate of this name.
    pub fn certificate(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.pem"))
    }

    /// Its key.
    pub fn key(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.key"))
    }

    fn authority(&self, name: &str) -> Issuer<'static, KeyPair> {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        self.keep(name, &certificate.pem(), &key);
        Issuer::new(params, key)
    }

    fn sign(&self, name: &str, hosts: &[&str], by: &Issuer<'static, KeyPair>) {
        let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(hosts).expect("names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, by).expect("a certificate");
        self.keep(name, &certificate.pem(), &key);
    }

    fn keep(&self, name: &str, certificate: &str, key: &KeyPair) {
        std::fs::write(self.certificate(name), certificate).expect("a folder");
        std::fs::write(self.key(name), key.serialize_pem()).expect("a folder");
    }
}

/// See the module. Killed when dropped.
pub struct SecuredEtcd {
    folder: tempfile::TempDir,
    /// What it was given, and what it takes.
    pub papers: Papers,
    /// Where it listens: `host:port`.
    pub address: String,
    peer: String,
    /// Its process.
    pub child: Child,
}

impl SecuredEtcd {
    /// One that knows its users.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let papers = Papers::made_in(folder.path());
        let [address, peer] = [(); 2].map(|()| format!("127.0.0.1:{}", ports::reserve()));
        let mut child = launch(folder.path(), &papers, &address, &peer);
        assert!(
            listens(&mut child, &address),
            "etcd does not start: is it installed?"
        );
        let etcd = Self {
            folder,
            papers,
            address,
            peer,
            child,
        };
        etcd.introduce_users();
        etcd
    }

    /// Its process ends without warning.
    pub fn kill(&mut self) {
        self.child.kill().expect("our own child");
        self.child.wait().expect("our own child");
    }

    /// And is started again. It has forgotten whom it let in.
    pub fn start_again(&mut self) {
        self.child = launch(self.folder.path(), &self.papers, &self.address, &self.peer);
        assert!(listens(&mut self.child, &self.address), "it comes back");
    }

    fn introduce_users(&self) {
        let user = format!("{USER}:{PASSWORD}");
        let commands: [&[&str]; 8] = [
            &["user", "add", "root:root"],
            &["role", "add", "root"],
            &["user", "grant-role", "root", "root"],
            &["user", "add", &user],
            &["role", "add", USER],
            &[
                "role",
                "grant-permission",
                "--prefix=true",
                USER,
                "readwrite",
                PREFIX,
            ],
            &["user", "grant-role", USER, USER],
            &["auth", "enable"],
        ];
        for words in commands {
            self.control(words);
        }
    }

    /// Runs `etcdctl`, as somebody who needs no password yet, or says who he is.
    pub fn control(&self, words: &[&str]) {
        let output = Command::new("etcdctl")
            .env("ETCDCTL_API", "3")
            .args(["--endpoints", &format!("https://{}", self.address)])
            .arg("--cacert")
            .arg(self.papers.certificate("ca"))
            .arg("--cert")
            .arg(self.papers.certificate("node"))
            .arg("--key")
            .arg(self.papers.key("node"))
            .args(words)
            .output()
            .expect("etcdctl is installed");
        assert!(output.status.success(), "{words:?}: {output:?}");
    }
}

impl Drop for SecuredEtcd {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn launch(folder: &Path, papers: &Papers, address: &str, peer: &str) -> Child {
    let (client, peer) = (format!("https://{address}"), format!("http://{peer}"));
    Command::new("etcd")
        .args(["--name", "test", "--logger", "zap", "--log-level", "error"])
        .args(["--listen-client-urls", &client])
        .args(["--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer])
        .args(["--initial-advertise-peer-urls", &peer])
        .args(["--initial-cluster", &format!("test={peer}")])
        .arg("--data-dir")
        .arg(folder.join("data"))
        .arg("--cert-file")
        .arg(papers.certificate("server"))
        .arg("--key-file")
        .arg(papers.key("server"))
        .arg("--client-cert-auth")
        .arg("--trusted-ca-file")
        .arg(papers.certificate("ca"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("etcd is installed")
}

fn listens(child: &mut Child, address: &str) -> bool {
    while child.try_wait().expect("our own child").is_none() {
        if std::net::TcpStream::connect(address).is_ok() {
            return true;
        }
    }
    false
}
