//! redis-rs 1.x as a client of a cluster, and with Sentinels: what it asks for, and what it does when a node dies.

use std::time::{Duration, Instant};

use anyhow::Context;
use redis::cluster::ClusterClient;
use redis::sentinel::{SentinelClient, SentinelServerType};

use crate::Address;
use crate::tap::{Report, expect_eq};

/// How long a successor may take; Redis takes some seconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs the tests of a cluster.
pub async fn run(address: &Address, report: &mut Report) -> anyhow::Result<()> {
    for (protocol, parameters) in [("RESP2", ""), ("RESP3", "?protocol=resp3")] {
        let client = ClusterClient::new(vec![address.url(parameters)])?;
        report.record(
            &format!("redis-rs 1 cluster over {protocol}: keys of all slots, and several of one"),
            keys(&client).await,
        );
    }
    let client = ClusterClient::builder(vec![address.url("")])
        .retries(20)
        .build()?;
    report.record(
        "redis-rs 1 cluster: when a primary is killed, the client finds its successor",
        failover(&client, address).await,
    );
    Ok(())
}

async fn keys(client: &ClusterClient) -> anyhow::Result<()> {
    let mut connection = client.get_async_connection().await?;
    for number in 0..300 {
        let () = redis::cmd("SET")
            .arg(format!("k:{number}"))
            .arg(number)
            .query_async(&mut connection)
            .await?;
    }
    for number in 0..300 {
        let got: i64 = redis::cmd("GET")
            .arg(format!("k:{number}"))
            .query_async(&mut connection)
            .await?;
        expect_eq("the value", got, number)?;
    }
    let several: Vec<i64> = redis::cmd("MGET")
        .arg(&["k:1", "k:2", "k:3"])
        .query_async(&mut connection)
        .await?;
    expect_eq("MGET over slots", several, vec![1, 2, 3])?;
    let removed: i64 = redis::cmd("DEL")
        .arg(&["k:1", "k:2"])
        .query_async(&mut connection)
        .await?;
    expect_eq("DEL over slots", removed, 2)
}

async fn failover(client: &ClusterClient, address: &Address) -> anyhow::Result<()> {
    let mut connection = client.get_async_connection().await?;
    let () = set(&mut connection, "before").await?;
    // Redis replicates after it has acknowledged.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let one = redis::Client::open(address.url(""))?;
    let mut one = one.get_multiplexed_async_connection().await?;
    let slots: Vec<Vec<redis::Value>> = redis::cmd("CLUSTER")
        .arg("SLOTS")
        .query_async(&mut one)
        .await?;
    let mut owner = None;
    for row in slots {
        let first: u16 = redis::from_redis_value(row[0].clone())?;
        let last: u16 = redis::from_redis_value(row[1].clone())?;
        let node: Vec<redis::Value> = redis::from_redis_value(row[2].clone())?;
        if (first..=last).contains(&12_182) {
            owner = Some(redis::from_redis_value::<u16>(node[1].clone())?);
        }
    }
    kill(owner.context("the slot has an owner")?)?;
    let began = Instant::now();
    while let Err(error) = set(&mut connection, "after").await {
        anyhow::ensure!(began.elapsed() < PATIENCE, "no successor: {error}");
    }
    let got: String = redis::cmd("GET")
        .arg("foo")
        .query_async(&mut connection)
        .await?;
    expect_eq("the value", got.as_str(), "after")
}

async fn set(
    connection: &mut impl redis::aio::ConnectionLike,
    value: &str,
) -> redis::RedisResult<()> {
    redis::cmd("SET")
        .arg("foo")
        .arg(value)
        .query_async(connection)
        .await
}

/// Ends the process that serves this port, as the runner has told it.
fn kill(port: u16) -> anyhow::Result<()> {
    let nodes = std::env::var("TENURE_NODES").context("TENURE_NODES")?;
    let at = nodes
        .find(&format!(":{port}\""))
        .context("the port is one of TENURE_NODES")?;
    let (_, pid) = nodes[at..].split_once("\"pid\": ").context("a pid")?;
    let pid = pid.split('}').next().context("a pid")?;
    let killed = std::process::Command::new("kill")
        .args(["-9", pid])
        .status()?;
    anyhow::ensure!(killed.success(), "kill -9 {pid}");
    Ok(())
}

/// Runs the tests with Sentinels.
pub async fn run_with_sentinels(report: &mut Report) -> anyhow::Result<()> {
    let sentinels = std::env::var("TENURE_SENTINELS").context("TENURE_SENTINELS")?;
    let sentinels: Vec<String> = sentinels
        .split(',')
        .map(|at| format!("redis://{at}"))
        .collect();
    let name = std::env::var("TENURE_MASTER").context("TENURE_MASTER")?;
    let mut client = SentinelClient::build(sentinels, name, None, SentinelServerType::Master)?;
    report.record(
        "redis-rs 1 with Sentinels: it finds the master, and another one when that is killed",
        switch(&mut client).await,
    );
    Ok(())
}

async fn switch(client: &mut SentinelClient) -> anyhow::Result<()> {
    let mut connection = client.get_async_connection().await?;
    let () = set(&mut connection, "before").await?;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let sentinels = std::env::var("TENURE_SENTINELS").context("TENURE_SENTINELS")?;
    let first = sentinels.split(',').next().context("a Sentinel")?;
    let asked = redis::Client::open(format!("redis://{first}"))?;
    let mut asked = asked.get_multiplexed_async_connection().await?;
    let (_host, port): (String, u16) = redis::cmd("SENTINEL")
        .arg("get-master-addr-by-name")
        .arg(std::env::var("TENURE_MASTER")?)
        .query_async(&mut asked)
        .await?;
    kill(port)?;
    let began = Instant::now();
    loop {
        anyhow::ensure!(began.elapsed() < PATIENCE, "no other master is found");
        let Ok(mut connection) = client.get_async_connection().await else {
            continue;
        };
        if set(&mut connection, "after").await.is_ok() {
            return Ok(());
        }
    }
}
