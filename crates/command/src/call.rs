//! One command being run.

use alloc::boxed::Box;

use model::{ConnectionId, Db, Now};
use resp::Reply;
use shard::{Attempt, Shard};
use store::Usage;

use crate::failure::shown;
use crate::table::Spec;
use crate::{Arguments, Client, Clients, Failure, Server};

/// Everything that a handler may look at and change.
pub struct Call<'a> {
    /// The time.
    pub now: Now,
    /// The command's entry in the table; of a subcommand where there is one.
    pub spec: &'static Spec,
    /// The command's words.
    pub arguments: Arguments<'a>,
    /// Where the reply goes.
    pub reply: Reply<'a>,
    /// The data.
    pub shard: &'a mut Shard,
    /// What else this node has; see [`Other`].
    pub others: &'a mut [Other],
    /// The node: settings, counters, chance.
    pub server: &'a mut Server,
    /// All connections.
    pub clients: &'a mut Clients,
    /// The connection that sent the command.
    pub connection: ConnectionId,
    /// Its database.
    pub db: Db,
    /// Whether the command runs for the first time, or again after it had to wait.
    pub attempt: Attempt,
}

/// One of several shards of a node: a command that names no key is about all of them for which the node answers, and its own shard
/// is then one that holds nothing. A command with keys sees only theirs.
pub struct Other {
    /// Its number, which ascends from one to the next: cursors carry it.
    pub number: u16,
    /// Whether the node answers for it now.
    pub answers: bool,
    /// Its data.
    pub shard: Box<Shard>,
}

/// What happens after a handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// The reply is written.
    Done,
    /// Nothing was written: the command waits, and runs again (see [`Attempt`]) when the shard says so.
    Wait,
    /// The reply is written, and the connection is closed after it.
    Close,
}

/// What a handler returns.
pub type Ran = Result<Flow, Failure>;

impl Call<'_> {
    /// All shards that a command without keys is about.
    pub fn shards(&mut self) -> impl Iterator<Item = &mut Shard> {
        let others = self.others.iter_mut().filter(|other| other.answers);
        let others = others.map(|other| &mut *other.shard);
        core::iter::once(&mut *self.shard).chain(others)
    }

    /// What the data of this node uses: of copies that answer nobody, too.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.server
            .usage
            .unwrap_or_else(|| self.shard.store().usage())
    }

    /// The connection that sent the command.
    pub fn client(&mut self) -> &mut Client {
        self.clients.expect(self.connection)
    }

    /// The error of a command with too few or too many words.
    #[must_use]
    pub fn wrong_arity(&self) -> Failure {
        wrong_arity(self.spec)
    }

    /// The same of a subcommand whose number of words the table cannot tell.
    #[must_use]
    pub fn wrong_form(&self) -> Failure {
        let container = self.spec.name.split('|').next().unwrap_or_default();
        let text = alloc::format!(
            "ERR unknown subcommand or wrong number of arguments for '{}'. Try {} HELP.",
            shown(self.arguments.at(1)),
            container.to_ascii_uppercase()
        );
        Failure::Text(text.into())
    }
}

/// The error of a command with too few or too many words.
#[must_use]
pub fn wrong_arity(spec: &Spec) -> Failure {
    let text = alloc::format!("ERR wrong number of arguments for '{}' command", spec.name);
    Failure::Text(text.into())
}
