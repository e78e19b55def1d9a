//! Real Rust session middleware and clients against the server that `TENURE_ADDR` names.
//!
//! Prints each result in the Test Anything Protocol; the runner of all suites reads it.

mod actix;
mod browser;
mod clients;
mod cluster;
mod tap;
mod tower;

use anyhow::Context;

/// Where the server under test listens.
#[derive(Clone)]
pub struct Address {
    host: String,
    port: u16,
}

impl Address {
    fn from_environment() -> anyhow::Result<Self> {
        let text = std::env::var("TENURE_ADDR").context("TENURE_ADDR")?;
        let (host, port) = text.rsplit_once(':').context("TENURE_ADDR is host:port")?;
        Ok(Self {
            host: host.to_owned(),
            port: port.parse()?,
        })
    }

    /// A connection string as redis-rs wants it.
    fn url(&self, parameters: &str) -> String {
        format!("redis://{}:{}/{parameters}", self.host, self.port)
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let address = Address::from_environment()?;
    let mut report = tap::Report::default();
    match std::env::args().nth(1).as_deref() {
        Some("cluster") => cluster::run(&address, &mut report).await?,
        Some("sentinel") => cluster::run_with_sentinels(&mut report).await?,
        Some(other) => anyhow::bail!("unknown suite: {other}"),
        None => return all(address, report).await,
    }
    std::process::exit(report.finish());
}

/// The clients and the middleware against one server.
async fn all(address: Address, mut report: tap::Report) -> anyhow::Result<()> {
    clients::run(&address, &mut report).await?;
    tower::run(&address, &mut report).await?;
    // actix-web brings a runtime of its own, which must not start inside this one.
    let actix = std::thread::spawn(move || actix::run(&address));
    let results = actix
        .join()
        .map_err(|_| anyhow::anyhow!("the actix suite panicked"))??;
    for (name, outcome) in results {
        report.record(&name, outcome);
    }
    std::process::exit(report.finish());
}
