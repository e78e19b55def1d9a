//! actix-session with its Redis store, which speaks through redis-rs 0.32.

use std::collections::HashMap;

use actix_session::config::PersistentSession;
use actix_session::storage::RedisSessionStore;
use actix_session::{Session, SessionMiddleware};
use actix_web::cookie::{Key, time::Duration};
use actix_web::{App, HttpServer, web};

use crate::Address;
use crate::browser::Browser;
use crate::tap::expect_eq;

const LIFETIME_S: i64 = 600;

type Reply = Result<String, actix_web::Error>;
type Results = Vec<(String, anyhow::Result<()>)>;

async fn login(session: Session, query: web::Query<HashMap<String, String>>) -> Reply {
    session.renew();
    session.insert("user", query.get("user"))?;
    session.insert("cart", Vec::<String>::new())?;
    Ok(String::new())
}

async fn add_to_cart(session: Session, query: web::Query<HashMap<String, String>>) -> Reply {
    let mut cart: Vec<String> = session.get("cart")?.unwrap_or_default();
    cart.extend(query.get("item").cloned());
    session.insert("cart", &cart)?;
    Ok(cart.join(","))
}

async fn me(session: Session) -> Reply {
    let user: Option<String> = session.get("user")?;
    let cart: Vec<String> = session.get("cart")?.unwrap_or_default();
    Ok(format!(
        "{} {}",
        user.as_deref().unwrap_or("nobody"),
        cart.join(",")
    ))
}

async fn logout(session: Session) -> Reply {
    session.purge();
    Ok(String::new())
}

/// Runs the suite in a runtime of actix-web's own.
pub fn run(address: &Address) -> anyhow::Result<Results> {
    actix_web::rt::System::new().block_on(serve_and_visit(address))
}

async fn serve_and_visit(address: &Address) -> anyhow::Result<Results> {
    let store = RedisSessionStore::builder(address.url(""))
        .cache_keygen(|id| format!("actix:{id}"))
        .build()
        .await?;
    let secret = Key::generate();
    let server = HttpServer::new(move || {
        let lifetime = PersistentSession::default().session_ttl(Duration::seconds(LIFETIME_S));
        let sessions = SessionMiddleware::builder(store.clone(), secret.clone())
            .cookie_secure(false)
            .session_lifecycle(lifetime)
            .build();
        App::new()
            .wrap(sessions)
            .route("/login", web::get().to(login))
            .route("/cart", web::get().to(add_to_cart))
            .route("/me", web::get().to(me))
            .route("/logout", web::get().to(logout))
    })
    .workers(1)
    .bind(("127.0.0.1", 0))?;
    let origin = server.addrs()[0].to_string();
    let running = server.run();
    let handle = running.handle();
    actix_web::rt::spawn(running);

    let client = redis::Client::open(address.url(""))?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let mut results = Results::new();
    let mut record = |what: &str, outcome| {
        results.push((format!("actix-session + redis-rs 0.32: {what}"), outcome))
    };
    record(
        "login, cart and a stored session with a lifetime",
        life(&origin, &mut connection).await,
    );
    record(
        "logging in again changes the id",
        renew(&origin, &mut connection).await,
    );
    record(
        "reading touches the lifetime",
        touch(&origin, &mut connection).await,
    );
    record(
        "logout destroys the session",
        ending(&origin, &mut connection).await,
    );
    handle.stop(true).await;
    Ok(results)
}

type Connection = redis::aio::MultiplexedConnection;

/// The cookie is signed, so the stored sessions are counted and read by their prefix instead.
async fn stored(connection: &mut Connection) -> anyhow::Result<Vec<String>> {
    Ok(redis::cmd("KEYS")
        .arg("actix:*")
        .query_async(connection)
        .await?)
}

async fn logged_in(origin: &str, connection: &mut Connection) -> anyhow::Result<Browser> {
    for key in stored(connection).await? {
        let _: i64 = redis::cmd("DEL").arg(key).query_async(connection).await?;
    }
    let mut browser = Browser::new(origin);
    browser.get("/login?user=ann").await?;
    Ok(browser)
}

async fn only_key(connection: &mut Connection) -> anyhow::Result<String> {
    let mut keys = stored(connection).await?;
    expect_eq("stored sessions", keys.len(), 1)?;
    Ok(keys.remove(0))
}

async fn ttl(connection: &mut Connection, key: &str) -> anyhow::Result<i64> {
    Ok(redis::cmd("TTL").arg(key).query_async(connection).await?)
}

async fn life(origin: &str, connection: &mut Connection) -> anyhow::Result<()> {
    let mut browser = logged_in(origin, connection).await?;
    browser.get("/cart?item=tea").await?;
    browser.get("/cart?item=cup").await?;
    expect_eq(
        "the page",
        browser.get("/me").await?,
        "ann tea,cup".to_owned(),
    )?;
    let key = only_key(connection).await?;
    let left = ttl(connection, &key).await?;
    anyhow::ensure!(
        left > LIFETIME_S - 10 && left <= LIFETIME_S,
        "lifetime {left} s"
    );
    Ok(())
}

async fn renew(origin: &str, connection: &mut Connection) -> anyhow::Result<()> {
    let mut browser = logged_in(origin, connection).await?;
    let old = only_key(connection).await?;
    browser.get("/login?user=bob").await?;
    anyhow::ensure!(only_key(connection).await? != old, "the id stays");
    expect_eq("the page", browser.get("/me").await?, "bob ".to_owned())
}

async fn touch(origin: &str, connection: &mut Connection) -> anyhow::Result<()> {
    let mut browser = logged_in(origin, connection).await?;
    let key = only_key(connection).await?;
    let _: i64 = redis::cmd("EXPIRE")
        .arg(&key)
        .arg(100)
        .query_async(connection)
        .await?;
    browser.get("/cart?item=tea").await?;
    let left = ttl(connection, &key).await?;
    anyhow::ensure!(left > LIFETIME_S - 10, "lifetime {left} s");
    Ok(())
}

async fn ending(origin: &str, connection: &mut Connection) -> anyhow::Result<()> {
    let mut browser = logged_in(origin, connection).await?;
    browser.get("/logout").await?;
    expect_eq("stored sessions", stored(connection).await?.len(), 0)?;
    expect_eq("the page", browser.get("/me").await?, "nobody ".to_owned())
}
