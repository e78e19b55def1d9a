//! `CLIENT KILL`.

use alloc::vec::Vec;

use model::ConnectionId;

use super::list::{ClientType, client_type};
use crate::client::Client;
use crate::failure::shown;
use crate::{Call, Failure, Flow, Ran};

/// Which connections: all that every filter fits.
#[derive(Default)]
struct Filters<'a> {
    id: Option<ConnectionId>,
    address: Option<&'a [u8]>,
    local_address: Option<&'a [u8]>,
    client_type: Option<ClientType>,
    user: Option<&'a [u8]>,
    max_age_s: Option<u64>,
    includes_self: bool,
}

/// `CLIENT KILL address` or `CLIENT KILL filter value ...`
pub fn kill(call: &mut Call<'_>) -> Ran {
    if call.arguments.len() == 3 {
        return kill_by_address(call);
    }
    let filters = filters(call)?;
    let (now_us, own) = (call.now.mono_us, call.connection);
    let fitting: Vec<_> = call
        .clients
        .iter()
        .filter(|client| filters.fit(client, now_us))
        .map(|client| client.id)
        .filter(|id| filters.includes_self || *id != own)
        .collect();
    call.reply.integer(fitting.len() as i64);
    Ok(close(call, &fitting))
}

/// The old form, which may name the own connection and says `OK`.
fn kill_by_address(call: &mut Call<'_>) -> Ran {
    let address = call.arguments.at(2);
    let found = call
        .clients
        .iter()
        .find(|client| client.address.as_bytes() == address)
        .map(|client| client.id)
        .ok_or(Failure::text("ERR No such client"))?;
    call.reply.ok();
    Ok(close(call, &[found]))
}

/// Marks connections to be closed; the own one is closed after its reply.
fn close(call: &mut Call<'_>, connections: &[ConnectionId]) -> Flow {
    let mut flow = Flow::Done;
    for &id in connections {
        if id == call.connection {
            flow = Flow::Close;
        } else {
            call.clients.to_close.push(id);
        }
    }
    flow
}

fn filters<'a>(call: &Call<'a>) -> Result<Filters<'a>, Failure> {
    let arguments = call.arguments;
    let mut filters = Filters::default();
    for at in (2..arguments.len()).step_by(2) {
        let value = arguments.get(at + 1).ok_or(Failure::Syntax)?;
        if arguments.is(at, "ID") {
            let id = crate::arguments::integer(value).filter(|id| *id > 0);
            let id = id.ok_or(Failure::text("ERR client-id should be greater than 0"))?;
            filters.id = Some(ConnectionId(id as u64));
        } else if arguments.is(at, "ADDR") {
            filters.address = Some(value);
        } else if arguments.is(at, "LADDR") {
            filters.local_address = Some(value);
        } else if arguments.is(at, "TYPE") {
            filters.client_type = Some(client_type(value)?);
        } else if arguments.is(at, "USER") {
            filters.user = Some(known_user(value)?);
        } else if arguments.is(at, "MAXAGE") {
            filters.max_age_s = Some(max_age_s(value)?);
        } else if arguments.is(at, "SKIPME") && arguments.is(at + 1, "NO") {
            filters.includes_self = true;
        } else if arguments.is(at, "SKIPME") && arguments.is(at + 1, "YES") {
            filters.includes_self = false;
        } else {
            return Err(Failure::Syntax);
        }
    }
    Ok(filters)
}

fn max_age_s(value: &[u8]) -> Result<u64, Failure> {
    let age = crate::arguments::integer(value).ok_or(Failure::text(
        "ERR maxage is not an integer or out of range",
    ))?;
    let is_positive = age > 0;
    is_positive
        .then_some(age as u64)
        .ok_or(Failure::text("ERR maxage should be greater than 0"))
}

fn known_user(name: &[u8]) -> Result<&[u8], Failure> {
    if name == b"default" {
        return Ok(name);
    }
    Err(Failure::Text(
        alloc::format!("ERR No such user '{}'", shown(name)).into(),
    ))
}

impl Filters<'_> {
    fn fit(&self, client: &Client, now_us: u64) -> bool {
        let age_s = now_us.saturating_sub(client.created_us) / 1_000_000;
        self.id.is_none_or(|id| client.id == id)
            && self.address.is_none_or(|a| client.address.as_bytes() == a)
            && self
                .local_address
                .is_none_or(|a| client.local_address.as_bytes() == a)
            && self.client_type.is_none_or(|t| t == ClientType::Normal)
            && self.user.is_none_or(|_| client.authenticated)
            && self.max_age_s.is_none_or(|most| age_s >= most)
    }
}
