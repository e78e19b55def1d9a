//! What visitors ask, and what they are told.

use command::Arguments;
use model::topology::node_name;
use resp::{Protocol, Reply};

use super::visitor::{MOST_SUBSCRIPTIONS, Visitor};
use super::{master, rows};

/// The version of Redis that is spoken, as the nodes say it.
const REDIS_VERSION: &str = "7.2.4";
const WRONG_PASSWORD: &str = "WRONGPASS invalid username-password pair or user is disabled.";
const NO_SUCH_MASTER: &str = "ERR No such master with that name";
const BY_THE_CLUSTER: &str = "ERR the cluster decides who serves: `tenure cluster drain NODE` moves everything away from a node";

/// What is wrong with a command.
type Answered = Result<(), String>;

impl Visitor {
    /// Answers one command.
    pub(super) fn answer(&mut self, arguments: Arguments<'_>, out: &mut Vec<u8>) {
        let before = out.len();
        let name = arguments.at(0).to_ascii_lowercase();
        if let Err(text) = self.run(&name, arguments, out) {
            out.truncate(before);
            resp::write_error(out, text);
        }
    }

    fn run(&mut self, name: &[u8], arguments: Arguments<'_>, out: &mut Vec<u8>) -> Answered {
        let protocol = self.protocol;
        let mut reply = Reply::new(out, protocol);
        match name {
            b"auth" => return self.auth(arguments, &mut reply),
            b"hello" => return self.hello(arguments, &mut reply),
            b"quit" => {
                self.leaves = true;
                reply.ok();
                return Ok(());
            }
            _ if !self.authenticated => return Err("NOAUTH Authentication required.".into()),
            b"reset" => self.reset(&mut reply),
            b"ping" => self.ping(arguments, &mut reply),
            b"subscribe" | b"psubscribe" => return self.subscribe(name, arguments, &mut reply),
            b"unsubscribe" | b"punsubscribe" => self.unsubscribe(name, arguments, &mut reply),
            _ if self.only_listens() => {
                let name = String::from_utf8_lossy(name).into_owned();
                return Err(format!(
                    "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"
                ));
            }
            b"sentinel" => return self.sentinel(arguments, &mut reply),
            b"client" => return self.client(arguments, &mut reply),
            b"info" => self.info(&mut reply),
            b"role" => {
                reply.array(2);
                reply.bulk_str("sentinel");
                reply.array(1);
                reply.bulk_str(&self.settings.master);
            }
            // Clients look for the keys of commands; no command here has any.
            b"command" => reply.array(0),
            _ => return Err(unknown(arguments)),
        }
        Ok(())
    }

    fn auth(&mut self, arguments: Arguments<'_>, reply: &mut Reply<'_>) -> Answered {
        let password = match arguments.len() {
            2 => arguments.at(1),
            3 => arguments.at(2),
            _ => return Err("ERR syntax error".into()),
        };
        self.prove(password)?;
        reply.ok();
        Ok(())
    }

    fn prove(&mut self, password: &[u8]) -> Answered {
        let expected = self.settings.password.as_bytes();
        if !expected.is_empty() && !same_secret(expected, password) {
            return Err(WRONG_PASSWORD.into());
        }
        self.authenticated = true;
        Ok(())
    }

    fn hello(&mut self, arguments: Arguments<'_>, reply: &mut Reply<'_>) -> Answered {
        let protocol = match arguments.get(1) {
            None => self.protocol,
            Some(b"2") => Protocol::V2,
            Some(b"3") => Protocol::V3,
            Some(_) => return Err("NOPROTO unsupported protocol version".into()),
        };
        let mut at = 2;
        while at < arguments.len() {
            if arguments.is(at, "AUTH") && at + 2 < arguments.len() {
                self.prove(arguments.at(at + 2))?;
                at += 3;
            } else if arguments.is(at, "SETNAME") && at + 1 < arguments.len() {
                self.name = arguments.at(at + 1).to_vec();
                at += 2;
            } else {
                return Err("ERR Syntax error in HELLO".into());
            }
        }
        if !self.authenticated {
            return Err("NOAUTH HELLO must be called with the client already authenticated".into());
        }
        self.protocol = protocol;
        reply.set_protocol(protocol);
        self.greet(reply);
        Ok(())
    }

    fn greet(&self, reply: &mut Reply<'_>) {
        reply.map(6);
        for (name, value) in [
            ("server", "redis"),
            ("version", REDIS_VERSION),
            ("mode", "sentinel"),
        ] {
            reply.bulk_str(name);
            reply.bulk_str(value);
        }
        reply.bulk_str("proto");
        reply.integer(match self.protocol {
            Protocol::V2 => 2,
            Protocol::V3 => 3,
        });
        reply.bulk_str("id");
        reply.integer(1);
        reply.bulk_str("modules");
        reply.array(0);
    }

    fn reset(&mut self, reply: &mut Reply<'_>) {
        self.channels.clear();
        self.patterns.clear();
        self.name.clear();
        self.protocol = Protocol::V2;
        self.authenticated = self.settings.password.is_empty();
        reply.simple("RESET");
    }

    /// Whether only messages and what is about them may be sent: in RESP2 a reply could not be told from a message.
    fn only_listens(&self) -> bool {
        self.protocol == Protocol::V2 && self.subscriptions() > 0
    }

    fn subscriptions(&self) -> usize {
        self.channels.len() + self.patterns.len()
    }

    fn ping(&self, arguments: Arguments<'_>, reply: &mut Reply<'_>) {
        let message = arguments.get(1);
        if self.only_listens() {
            reply.array(2);
            reply.bulk_str("pong");
            reply.bulk(message.unwrap_or_default());
        } else if let Some(message) = message {
            reply.bulk(message);
        } else {
            reply.simple("PONG");
        }
    }

    fn subscribe(
        &mut self,
        name: &[u8],
        arguments: Arguments<'_>,
        reply: &mut Reply<'_>,
    ) -> Answered {
        if arguments.len() < 2 {
            let name = String::from_utf8_lossy(name).into_owned();
            return Err(format!(
                "ERR wrong number of arguments for '{name}' command"
            ));
        }
        if self.subscriptions() + arguments.len() > MOST_SUBSCRIPTIONS {
            return Err("ERR too many subscriptions".into());
        }
        for channel in arguments.from(1) {
            if name == b"subscribe" {
                self.channels.insert(channel.to_vec());
            } else {
                self.patterns.insert(channel.to_vec());
            }
            self.acknowledge(name, Some(channel), reply);
        }
        Ok(())
    }

    fn unsubscribe(&mut self, name: &[u8], arguments: Arguments<'_>, reply: &mut Reply<'_>) {
        let all = if name == b"unsubscribe" {
            &mut self.channels
        } else {
            &mut self.patterns
        };
        let named: Vec<Vec<u8>> = match arguments.len() {
            1 => all.iter().cloned().collect(),
            _ => arguments.from(1).map(<[u8]>::to_vec).collect(),
        };
        if named.is_empty() {
            self.acknowledge(name, None, reply);
        }
        for channel in named {
            if name == b"unsubscribe" {
                self.channels.remove(&channel);
            } else {
                self.patterns.remove(&channel);
            }
            self.acknowledge(name, Some(&channel), reply);
        }
    }

    fn acknowledge(&self, name: &[u8], channel: Option<&[u8]>, reply: &mut Reply<'_>) {
        reply.push(3);
        reply.bulk(name);
        match channel {
            Some(channel) => reply.bulk(channel),
            None => reply.null(),
        }
        reply.integer(self.subscriptions() as i64);
    }

    fn client(&mut self, arguments: Arguments<'_>, reply: &mut Reply<'_>) -> Answered {
        if arguments.is(1, "SETNAME") && arguments.len() == 3 {
            self.name = arguments.at(2).to_vec();
            reply.ok();
        } else if arguments.is(1, "GETNAME") {
            reply.bulk(&self.name);
        } else if arguments.is(1, "SETINFO") {
            reply.ok();
        } else if arguments.is(1, "ID") {
            reply.integer(1);
        } else {
            return Err(unknown(arguments));
        }
        Ok(())
    }

    fn info(&self, reply: &mut Reply<'_>) {
        let name = &self.settings.master;
        let at = master(&self.known).and_then(|node| node.forwarding.as_ref());
        let (status, address) = match at {
            Some(at) => ("ok", format!("{}:{}", at.host, at.port)),
            None => ("odown", "?".to_owned()),
        };
        let sentinels = 1 + rows::sentinels(&self.known).count();
        let text = format!(
            "# Server\r\nredis_version:{REDIS_VERSION}\r\nredis_mode:sentinel\r\nserver_name:tenure\r\n\r\n# Sentinel\r\nsentinel_masters:1\r\nsentinel_tilt:0\r\nsentinel_tilt_since_seconds:-1\r\nsentinel_running_scripts:0\r\nsentinel_scripts_queue_length:0\r\nsentinel_simulate_failure_flags:0\r\nmaster0:name={name},status={status},address={address},slaves=0,sentinels={sentinels}\r\n"
        );
        reply.bulk_str(&text);
    }

    fn sentinel(&mut self, arguments: Arguments<'_>, reply: &mut Reply<'_>) -> Answered {
        let command = arguments.get(1).unwrap_or_default().to_ascii_lowercase();
        match (command.as_slice(), arguments.len()) {
            (b"masters" | b"primaries", 2) => {
                let row = rows::of_master(&self.known, &self.settings.master);
                reply.array(usize::from(row.is_some()));
                if let Some(row) = &row {
                    rows::write(reply, row);
                }
            }
            (b"get-master-addr-by-name" | b"get-primary-addr-by-name", 3) => {
                let known = self.is_master(arguments.at(2));
                let node = master(&self.known).filter(|_| known);
                match node.and_then(|node| node.forwarding.as_ref()) {
                    Some(at) => {
                        reply.array(2);
                        reply.bulk_str(&at.host);
                        reply.bulk_str(&at.port.to_string());
                    }
                    None => reply.null_array(),
                }
            }
            (b"master" | b"primary", 3) => {
                self.named(arguments)?;
                let row = rows::of_master(&self.known, &self.settings.master);
                rows::write(reply, &row.ok_or(NO_SUCH_MASTER)?);
            }
            (b"replicas" | b"slaves", 3) => {
                self.named(arguments)?;
                reply.array(0);
            }
            (b"sentinels", 3) => {
                self.named(arguments)?;
                let rows: Vec<_> = rows::sentinels(&self.known)
                    .filter_map(rows::of_sentinel)
                    .collect();
                reply.array(rows.len());
                for row in &rows {
                    rows::write(reply, row);
                }
            }
            (b"ckquorum", 3) => return self.check_quorum(arguments, reply),
            (b"is-master-down-by-addr", 6) => {
                reply.array(3);
                reply.integer(0);
                reply.bulk_str("*");
                reply.integer(0);
            }
            (b"myid", 2) => reply.bulk_str(&node_name(self.known.me)),
            (b"pending-scripts", 2) => reply.array(0),
            (b"info-cache", _) => reply.array(0),
            (
                b"failover" | b"reset" | b"monitor" | b"remove" | b"set" | b"flushconfig"
                | b"config",
                _,
            ) => {
                return Err(BY_THE_CLUSTER.into());
            }
            (_, _) => {
                let command = String::from_utf8_lossy(&command).into_owned();
                return Err(format!(
                    "ERR unknown subcommand or wrong number of arguments for '{command}'. Try SENTINEL HELP."
                ));
            }
        }
        Ok(())
    }

    fn is_master(&self, name: &[u8]) -> bool {
        self.settings.master.as_bytes() == name
    }

    fn named(&self, arguments: Arguments<'_>) -> Answered {
        if self.is_master(arguments.at(2)) {
            Ok(())
        } else {
            Err(NO_SUCH_MASTER.into())
        }
    }

    /// Whether the next failover could be decided: a majority of the nodes lives.
    fn check_quorum(&self, arguments: Arguments<'_>, reply: &mut Reply<'_>) -> Answered {
        self.named(arguments)?;
        let nodes = self.known.nodes.len();
        let well = self
            .known
            .nodes
            .iter()
            .filter(|node| node.is_well())
            .count();
        if 2 * well > nodes {
            reply.simple(&format!(
                "OK {well} usable Sentinels. Quorum and failover authorization can be reached"
            ));
            Ok(())
        } else {
            Err(format!(
                "NOQUORUM {well} usable Sentinels of {nodes}. A majority cannot be reached"
            ))
        }
    }
}

fn unknown(arguments: Arguments<'_>) -> String {
    let mut text = format!(
        "ERR unknown command '{}', with args beginning with: ",
        String::from_utf8_lossy(arguments.at(0))
    );
    for word in arguments.from(1).take(4) {
        text += &format!(
            "'{}' ",
            String::from_utf8_lossy(&word[..word.len().min(32)])
        );
    }
    text
}

/// Compares in a time that depends on the lengths only.
fn same_secret(a: &[u8], b: &[u8]) -> bool {
    let difference = a.iter().zip(b).fold(0, |all, (x, y)| all | (x ^ y));
    a.len() == b.len() && std::hint::black_box(difference) == 0
}
