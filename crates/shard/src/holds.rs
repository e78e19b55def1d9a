//! Holds: exclusive, time-bounded access to one session, with a line of those who wait for it.

use model::ConnectionId;

/// The holds of a shard and the lines before them. In memory; each hold is also an entry in
/// [`store::Space::Hold`], from which a restart rebuilds this table.
#[derive(Default)]
pub struct Holds {}

impl Holds {
    pub(crate) fn connection_closed(&mut self, _connection: ConnectionId) {}
}
