//! redis-rs 1.x below the middleware: its handshake in both protocols, and the replies it must read.

use std::collections::HashMap;

use redis::aio::MultiplexedConnection;

use crate::Address;
use crate::tap::{Report, expect_eq};

/// Runs every test of redis-rs, over RESP2 and RESP3.
pub async fn run(address: &Address, report: &mut Report) -> anyhow::Result<()> {
    for (protocol, parameters) in [("RESP2", "4"), ("RESP3", "4?protocol=resp3")] {
        let name = |what: &str| format!("redis-rs 1 over {protocol}: {what}");
        let client = redis::Client::open(address.url(parameters))?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        let _: () = redis::cmd("FLUSHDB").query_async(&mut connection).await?;
        report.record(
            &name("the handshake leaves a working connection"),
            ping(&mut connection).await,
        );
        report.record(&name("every byte comes back"), bytes(&mut connection).await);
        report.record(
            &name("SET options and lifetimes"),
            lifetimes(&mut connection).await,
        );
        report.record(&name("hashes are maps"), hashes(&mut connection).await);
        report.record(
            &name("a pipeline answers in order"),
            pipeline(&mut connection).await,
        );
        report.record(
            &name("errors keep their code"),
            errors(&mut connection).await,
        );
        report.record(
            &name("1,000 commands of 20 tasks on one connection"),
            multiplexed(&connection).await,
        );
    }
    Ok(())
}

async fn ping(connection: &mut MultiplexedConnection) -> anyhow::Result<()> {
    let pong: String = redis::cmd("PING").query_async(connection).await?;
    expect_eq("PING", pong.as_str(), "PONG")
}

async fn bytes(connection: &mut MultiplexedConnection) -> anyhow::Result<()> {
    let every: Vec<u8> = (0..=255).collect();
    let _: () = redis::cmd("SET")
        .arg("bytes")
        .arg(&every)
        .query_async(connection)
        .await?;
    let got: Vec<u8> = redis::cmd("GET")
        .arg("bytes")
        .query_async(connection)
        .await?;
    expect_eq("the value", got, every)
}

async fn lifetimes(connection: &mut MultiplexedConnection) -> anyhow::Result<()> {
    let set = |condition: &str| {
        let mut command = redis::cmd("SET");
        command
            .arg("k")
            .arg("v")
            .arg("PX")
            .arg(90_000)
            .arg(condition);
        command
    };
    expect_eq(
        "XX on nothing",
        set("XX").query_async::<Option<String>>(connection).await?,
        None,
    )?;
    expect_eq(
        "NX on nothing",
        set("NX").query_async::<Option<String>>(connection).await?,
        Some("OK".to_owned()),
    )?;
    let left: i64 = redis::cmd("PTTL").arg("k").query_async(connection).await?;
    anyhow::ensure!(left > 80_000 && left <= 90_000, "{left} ms left");
    Ok(())
}

async fn hashes(connection: &mut MultiplexedConnection) -> anyhow::Result<()> {
    let _: i64 = redis::cmd("HSET")
        .arg("h")
        .arg(&[("a", "1"), ("b", "2")])
        .query_async(connection)
        .await?;
    let all: HashMap<String, i64> = redis::cmd("HGETALL")
        .arg("h")
        .query_async(connection)
        .await?;
    expect_eq(
        "the hash",
        all,
        HashMap::from([("a".to_owned(), 1), ("b".to_owned(), 2)]),
    )
}

async fn pipeline(connection: &mut MultiplexedConnection) -> anyhow::Result<()> {
    let mut pipeline = redis::pipe();
    for n in 0..100 {
        pipeline
            .cmd("SET")
            .arg(format!("p{n}"))
            .arg(n)
            .ignore()
            .cmd("GET")
            .arg(format!("p{n}"));
    }
    let got: Vec<i64> = pipeline.query_async(connection).await?;
    expect_eq("the replies", got, (0..100).collect())
}

async fn errors(connection: &mut MultiplexedConnection) -> anyhow::Result<()> {
    let wrong = redis::cmd("GET")
        .arg("h")
        .query_async::<Option<String>>(connection)
        .await;
    let code = wrong
        .err()
        .and_then(|error| error.code().map(str::to_owned));
    expect_eq("the code", code.as_deref(), Some("WRONGTYPE"))?;
    ping(connection).await
}

async fn multiplexed(connection: &MultiplexedConnection) -> anyhow::Result<()> {
    let tasks = (0..20).map(|task| {
        let mut connection = connection.clone();
        tokio::spawn(async move {
            for n in 0..50 {
                let text = format!("{task}.{n}");
                let echo: String = redis::cmd("ECHO")
                    .arg(&text)
                    .query_async(&mut connection)
                    .await?;
                expect_eq("ECHO", echo, text)?;
            }
            anyhow::Ok(())
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await??;
    }
    Ok(())
}
