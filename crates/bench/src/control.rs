//! One blocking connection for the few requests beside the load: `AUTH`, `DBSIZE`, `TIME`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::reply::parse_number;
use crate::request::append_command;

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a reply on this connection may take.
const REPLY_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest bulk or array that is taken here.
const LENGTH_LIMIT: usize = 16 << 20;

/// Where the server is, and how to be let in.
#[derive(Clone, Debug)]
pub struct Server {
    /// `host:port`.
    pub addr: String,
    /// What to AUTH with.
    pub password: Option<String>,
}

/// A reply, kept whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `+OK`, a bulk string, or a null as an empty text.
    Text(String),
    /// `:1`
    Integer(i64),
    /// `-ERR ...`, without the dash.
    Error(String),
    /// `*2`
    Array(Vec<Value>),
}

impl Server {
    /// A connection that is authenticated and whose server answers.
    pub fn connect(&self) -> Result<Control> {
        let stream = self.stream()?;
        stream.set_read_timeout(Some(REPLY_TIMEOUT))?;
        let mut control = Control {
            stream: BufReader::new(stream),
        };
        if let Some(password) = &self.password {
            control
                .call(&["AUTH", password])
                .context("the server refused the password")?;
        }
        match control.ask(&["PING"])? {
            Value::Error(text) if text.starts_with("NOAUTH") => {
                bail!(
                    "the server at {} asks for a password: give one with --password",
                    self.addr
                )
            }
            Value::Error(text) => bail!("the server at {} does not serve: {text}", self.addr),
            Value::Text(_) | Value::Integer(_) | Value::Array(_) => Ok(control),
        }
    }

    /// A connected and authenticated stream for the load.
    pub fn load_stream(&self) -> Result<TcpStream> {
        if self.password.is_none() {
            return self.stream();
        }
        Ok(self.connect()?.stream.into_inner())
    }

    fn stream(&self) -> Result<TcpStream> {
        let addresses: Vec<_> = self
            .addr
            .to_socket_addrs()
            .with_context(|| format!("'{}' is not an address: use host:port", self.addr))?
            .collect();
        let mut failure = None;
        for address in addresses {
            match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    return Ok(stream);
                }
                Err(error) => failure = Some(error),
            }
        }
        let reason = failure.map_or_else(|| "it has no address".into(), |error| error.to_string());
        bail!(
            "cannot connect to {}: {reason}. Is the server running there?",
            self.addr
        )
    }
}

/// A blocking connection.
#[derive(Debug)]
pub struct Control {
    stream: BufReader<TcpStream>,
}

impl Control {
    /// Sends one command and takes its reply; an error reply is an error.
    pub fn call(&mut self, arguments: &[&str]) -> Result<Value> {
        match self.ask(arguments)? {
            Value::Error(text) => bail!("{} failed: {text}", arguments.join(" ")),
            value @ (Value::Text(_) | Value::Integer(_) | Value::Array(_)) => Ok(value),
        }
    }

    /// Sends one command whose reply is an integer.
    pub fn integer(&mut self, arguments: &[&str]) -> Result<i64> {
        match self.call(arguments)? {
            Value::Integer(number) => Ok(number),
            other @ (Value::Text(_) | Value::Error(_) | Value::Array(_)) => {
                bail!(
                    "{} answered {other:?} instead of an integer",
                    arguments.join(" ")
                )
            }
        }
    }

    /// Sends one command and takes its reply, error or not.
    pub fn ask(&mut self, arguments: &[&str]) -> Result<Value> {
        let arguments: Vec<&[u8]> = arguments.iter().map(|text| text.as_bytes()).collect();
        let mut request = Vec::new();
        append_command(&arguments, &mut request);
        self.stream.get_mut().write_all(&request)?;
        self.take_reply().context("no reply from the server")
    }

    /// The server's clock, in milliseconds since 1970.
    pub fn server_time_ms(&mut self) -> Result<u64> {
        let Value::Array(parts) = self.call(&["TIME"])? else {
            bail!("TIME did not answer an array");
        };
        let number = |place: usize| match parts.get(place) {
            Some(Value::Text(text)) => text.parse::<u64>().ok(),
            Some(Value::Integer(number)) => u64::try_from(*number).ok(),
            Some(Value::Error(_) | Value::Array(_)) | None => None,
        };
        number(0)
            .zip(number(1))
            .map(|(seconds, micros)| seconds * 1_000 + micros / 1_000)
            .context("TIME did not answer two numbers")
    }

    fn take_reply(&mut self) -> Result<Value> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line)?;
        let text = line.trim_ascii_end();
        let Some((&mark, rest)) = text.split_first() else {
            bail!("the connection was closed");
        };
        match mark {
            b'+' => Ok(Value::Text(String::from_utf8_lossy(rest).into_owned())),
            b'-' => Ok(Value::Error(String::from_utf8_lossy(rest).into_owned())),
            b':' => Ok(Value::Integer(parse_number(rest).context("a bad number")?)),
            b'$' => self.take_bulk(rest),
            b'*' => {
                let elements = length(rest)?.unwrap_or(0);
                let taken: Result<Vec<_>> = (0..elements).map(|_| self.take_reply()).collect();
                Ok(Value::Array(taken?))
            }
            _ => bail!("this is not the Redis protocol"),
        }
    }

    fn take_bulk(&mut self, header: &[u8]) -> Result<Value> {
        let Some(length) = length(header)? else {
            return Ok(Value::Text(String::new()));
        };
        let mut body = vec![0; length + 2];
        self.stream.read_exact(&mut body)?;
        body.truncate(length);
        Ok(Value::Text(String::from_utf8_lossy(&body).into_owned()))
    }
}

/// A header's length, or `None` for a null.
fn length(header: &[u8]) -> Result<Option<usize>> {
    match parse_number(header) {
        Some(-1) => Ok(None),
        Some(number) => usize::try_from(number)
            .ok()
            .filter(|&length| length <= LENGTH_LIMIT)
            .map(Some)
            .context("a bad length"),
        None => bail!("a bad length"),
    }
}
