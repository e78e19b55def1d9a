//! tower-sessions on axum with `tower-sessions-redis-store`, which speaks through fred.

use std::collections::HashMap;

use anyhow::Context;
use axum::extract::Query;
use axum::routing::get;
use axum::{Router, http::StatusCode};
use fred::prelude::{
    ClientLike, Config, HashesInterface, KeysInterface, Pool, Server, ServerConfig,
};
use tokio::net::TcpListener;
use tower_sessions::cookie::time::Duration;
use tower_sessions::{Expiry, Session, SessionManagerLayer};
use tower_sessions_redis_store::RedisStore;

use crate::Address;
use crate::browser::Browser;
use crate::tap::{Report, expect_eq};

const LIFETIME_S: i64 = 600;

type Reply = Result<String, StatusCode>;

fn broken(error: tower_sessions::session::Error) -> StatusCode {
    eprintln!("# session error: {error}");
    StatusCode::INTERNAL_SERVER_ERROR
}

async fn login(session: Session, Query(query): Query<HashMap<String, String>>) -> Reply {
    session.cycle_id().await.map_err(broken)?;
    session
        .insert("user", query.get("user"))
        .await
        .map_err(broken)?;
    session
        .insert("cart", Vec::<String>::new())
        .await
        .map_err(broken)?;
    Ok(String::new())
}

async fn add_to_cart(session: Session, Query(query): Query<HashMap<String, String>>) -> Reply {
    let mut cart: Vec<String> = session
        .get("cart")
        .await
        .map_err(broken)?
        .unwrap_or_default();
    cart.extend(query.get("item").cloned());
    session.insert("cart", &cart).await.map_err(broken)?;
    Ok(cart.join(","))
}

async fn me(session: Session) -> Reply {
    let user: Option<String> = session.get("user").await.map_err(broken)?;
    let cart: Vec<String> = session
        .get("cart")
        .await
        .map_err(broken)?
        .unwrap_or_default();
    Ok(format!(
        "{} {}",
        user.as_deref().unwrap_or("nobody"),
        cart.join(",")
    ))
}

async fn slow(session: Session) -> Reply {
    session.load().await.map_err(broken)?;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    session.insert("visited", true).await.map_err(broken)?;
    Ok(String::new())
}

async fn logout(session: Session) -> Reply {
    session.flush().await.map_err(broken)?;
    Ok(String::new())
}

/// Connects fred's pool: each connection sends PING, CLIENT ID and INFO before it is ready.
pub async fn pool(address: &Address, size: usize) -> anyhow::Result<Pool> {
    let server = ServerConfig::Centralized {
        server: Server::new(&address.host, address.port),
    };
    let config = Config {
        server,
        ..Config::default()
    };
    let pool = Pool::new(config, None, None, None, size)?;
    pool.init().await?;
    Ok(pool)
}

/// Serves the shop and runs every test against it.
pub async fn run(address: &Address, report: &mut Report) -> anyhow::Result<()> {
    let pool = pool(address, 4).await?;
    let sessions = SessionManagerLayer::new(RedisStore::new(pool.clone()))
        .with_secure(false)
        .with_expiry(Expiry::OnInactivity(Duration::seconds(LIFETIME_S)));
    let shop = Router::new()
        .route("/login", get(login))
        .route("/cart", get(add_to_cart))
        .route("/me", get(me))
        .route("/slow", get(slow))
        .route("/logout", get(logout))
        .layer(sessions);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let origin = listener.local_addr()?.to_string();
    let serving = tokio::spawn(async move { axum::serve(listener, shop).await });

    report.record(
        "tower-sessions + fred: login, cart and a stored session with a lifetime",
        life(&origin, &pool).await,
    );
    report.record(
        "tower-sessions + fred: logging in again changes the id",
        cycle(&origin, &pool).await,
    );
    report.record(
        "tower-sessions + fred: logout destroys the session",
        ending(&origin, &pool).await,
    );
    report.record(
        "tower-sessions + fred: a slow request does not bring a session back (SET XX)",
        no_zombie(&origin, &pool).await,
    );
    report.record(
        "tower-sessions + fred: 40 users at once never mix",
        many(&origin).await,
    );
    report.record(
        "fred 10: hashes, lifetimes and errors",
        fred_contract(&pool).await,
    );

    serving.abort();
    pool.quit().await?;
    Ok(())
}

async fn logged_in(origin: &str, user: &str) -> anyhow::Result<Browser> {
    let mut browser = Browser::new(origin);
    browser.get(&format!("/login?user={user}")).await?;
    Ok(browser)
}

fn key(browser: &Browser) -> anyhow::Result<String> {
    Ok(browser.cookie().context("no session cookie")?.to_owned())
}

async fn life(origin: &str, pool: &Pool) -> anyhow::Result<()> {
    let mut browser = logged_in(origin, "ann").await?;
    browser.get("/cart?item=tea").await?;
    browser.get("/cart?item=cup").await?;
    expect_eq(
        "the page",
        browser.get("/me").await?,
        "ann tea,cup".to_owned(),
    )?;
    let ttl: i64 = pool.ttl(key(&browser)?).await?;
    anyhow::ensure!(
        ttl > LIFETIME_S - 10 && ttl <= LIFETIME_S,
        "lifetime {ttl} s"
    );
    Ok(())
}

async fn cycle(origin: &str, pool: &Pool) -> anyhow::Result<()> {
    let mut browser = logged_in(origin, "ann").await?;
    let old = key(&browser)?;
    browser.get("/login?user=bob").await?;
    anyhow::ensure!(key(&browser)? != old, "the id stays");
    expect_eq("the old session", pool.exists::<i64, _>(old).await?, 0)?;
    expect_eq("the page", browser.get("/me").await?, "bob ".to_owned())
}

async fn ending(origin: &str, pool: &Pool) -> anyhow::Result<()> {
    let mut browser = logged_in(origin, "ann").await?;
    let old = key(&browser)?;
    browser.get("/logout").await?;
    expect_eq("the session", pool.exists::<i64, _>(old).await?, 0)?;
    expect_eq("the page", browser.get("/me").await?, "nobody ".to_owned())
}

async fn no_zombie(origin: &str, pool: &Pool) -> anyhow::Result<()> {
    let browser = logged_in(origin, "ann").await?;
    let id = key(&browser)?;
    let mut late = Browser::new(origin);
    late.adopt(&browser);
    let slow = tokio::spawn(async move { late.get("/slow").await });
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    let _: () = pool.del(&id).await?;
    // The middleware answers 500 here, as it cannot save; what counts is what is stored.
    let _ = slow.await?;
    expect_eq("the destroyed session", pool.exists::<i64, _>(id).await?, 0)
}

async fn many(origin: &str) -> anyhow::Result<()> {
    let visits = (0..40).map(|n| {
        let origin = origin.to_owned();
        tokio::spawn(async move {
            let mut browser = logged_in(&origin, &format!("user{n}")).await?;
            for item in 0..5 {
                browser.get(&format!("/cart?item={n}.{item}")).await?;
            }
            let wanted = format!("user{n} {n}.0,{n}.1,{n}.2,{n}.3,{n}.4");
            expect_eq("the page", browser.get("/me").await?, wanted)
        })
    });
    for visit in visits.collect::<Vec<_>>() {
        visit.await??;
    }
    Ok(())
}

async fn fred_contract(pool: &Pool) -> anyhow::Result<()> {
    let _: () = pool.hset("fred:hash", [("a", "1"), ("b", "2")]).await?;
    let all: HashMap<String, String> = pool.hgetall("fred:hash").await?;
    expect_eq(
        "the hash",
        (all.len(), all.get("b").map(String::as_str)),
        (2, Some("2")),
    )?;
    let many: Vec<Option<String>> = pool.hmget("fred:hash", vec!["a", "absent"]).await?;
    expect_eq("the fields", many, vec![Some("1".to_owned()), None])?;
    let wrong = pool.get::<Option<String>, _>("fred:hash").await;
    let Err(error) = wrong else {
        anyhow::bail!("reading a hash as a string passes")
    };
    anyhow::ensure!(
        error.to_string().contains("WRONGTYPE"),
        "the error says {error}"
    );
    expect_eq("deleted", pool.del::<i64, _>("fred:hash").await?, 1)
}
