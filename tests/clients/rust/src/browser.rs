//! A browser, as far as sessions are concerned: GET over HTTP/1.1 with one cookie kept.

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Keeps the one cookie that a session needs and sends it back.
pub struct Browser {
    origin: String,
    cookie: Option<String>,
}

impl Browser {
    /// A fresh browser for the application at `origin`, given as host:port.
    pub fn new(origin: &str) -> Self {
        Self {
            origin: origin.to_owned(),
            cookie: None,
        }
    }

    /// Takes over the cookie of another browser, as a second window does.
    pub fn adopt(&mut self, other: &Self) {
        self.cookie.clone_from(&other.cookie);
    }

    /// The cookie's value, if the application has set one.
    pub fn cookie(&self) -> Option<&str> {
        self.cookie
            .as_deref()
            .and_then(|pair| pair.split_once('='))
            .map(|(_, value)| value)
    }

    /// Requests `path` and answers with the body of a 200 reply.
    pub async fn get(&mut self, path: &str) -> anyhow::Result<String> {
        let mut stream = TcpStream::connect(&self.origin).await?;
        let cookie = self
            .cookie
            .as_ref()
            .map(|c| format!("cookie: {c}\r\n"))
            .unwrap_or_default();
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: {}\r\n{cookie}connection: close\r\n\r\n",
            self.origin
        );
        stream.write_all(request.as_bytes()).await?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await?;
        let (head, body) = reply
            .split_once("\r\n\r\n")
            .context("a reply without a body")?;
        anyhow::ensure!(
            head.starts_with("HTTP/1.1 200"),
            "{path} answered {head} {body}"
        );
        self.keep_cookie(head);
        Ok(body.to_owned())
    }

    fn keep_cookie(&mut self, head: &str) {
        for line in head.lines() {
            let Some((name, value)) = line.split_once(": ") else {
                continue;
            };
            if !name.eq_ignore_ascii_case("set-cookie") {
                continue;
            }
            let pair = value.split(';').next().unwrap_or_default();
            self.cookie = (!pair.ends_with('=')).then(|| pair.to_owned());
        }
    }
}
