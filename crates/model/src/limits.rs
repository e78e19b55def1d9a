//! Every fixed limit of the system, in one file, with the relations between them checked at compile time.
//!
//! Limits that an operator may change have their defaults here and their current values in the
//! configuration that the part was made with.

/// Databases of `SELECT`.
pub const DATABASES: u8 = 16;

/// Bytes of a segment, in memory and on disk. One place: everything else is derived from it.
pub const SEGMENT_BYTES: usize = 8 << 20;
/// Bits of an entry's offset within a segment.
pub const SEGMENT_OFFSET_BITS: u32 = 23;
/// Bytes of a segment's header; the first entry stands here.
pub const SEGMENT_HEADER_BYTES: usize = 64;
/// Longest batch of entries: what one command may change at once. Lies wholly in one segment.
pub const MAX_BATCH_BYTES: usize = SEGMENT_BYTES - SEGMENT_HEADER_BYTES - (64 << 10);

/// Longest key, in bytes.
pub const MAX_KEY_BYTES: usize = (1 << 16) - 1;
/// Longest key of a user's, in bytes: chunks of a collection add a number to it.
pub const MAX_USER_KEY_BYTES: usize = MAX_KEY_BYTES - 16;
/// Longest value, in bytes, unless configured lower or (up to [`MAX_VALUE_BYTES`]) higher.
pub const DEFAULT_VALUE_BYTES: usize = 1 << 20;
/// The highest that the longest value can be configured to.
pub const MAX_VALUE_BYTES: usize = 7 << 20;

/// Arguments of one command.
pub const MAX_ARGUMENTS: usize = 1 << 20;
/// Bytes of one inline command.
pub const MAX_INLINE_BYTES: usize = 64 << 10;
/// Bytes of one connection's query buffer, after authentication.
pub const MAX_QUERY_BUFFER_BYTES: usize = 64 << 20;
/// Bytes of replies that a connection may leave unread before it is closed.
pub const MAX_OUTPUT_BUFFER_BYTES: usize = 64 << 20;
/// Bytes of unread replies at which a connection's further commands wait.
pub const OUTPUT_PAUSE_BYTES: usize = 1 << 20;
/// Bytes that a connection may send behind a command that waits before it is left unread.
pub const READ_AHEAD_BYTES: usize = 256 << 10;
/// Bytes that a connection may send behind a command that stands in a line before it stands there no longer. Until then it is read, so its end is seen:
/// left unread, more than the kernels' buffers hold would hide it.
pub const LINE_AHEAD_BYTES: usize = 4 << 20;
/// Seconds of silence after which the kernel asks whether a client is still there, unless configured otherwise: as Redis.
pub const DEFAULT_KEEPALIVE_S: u64 = 300;
/// The highest that they can be configured to: Linux takes no more.
pub const MAX_KEEPALIVE_S: u64 = 32_767;

/// Arguments of one command before authentication.
pub const MAX_ARGUMENTS_UNAUTHENTICATED: usize = 10;
/// Bytes of one argument before authentication.
pub const MAX_BULK_BYTES_UNAUTHENTICATED: usize = 16 << 10;
/// Bytes of the query buffer before authentication.
pub const MAX_QUERY_BUFFER_BYTES_UNAUTHENTICATED: usize = 1 << 20;

/// Longest hold, in milliseconds: a day.
pub const MAX_HOLD_MS: u64 = 86_400_000;
/// Connections that may wait for one session.
pub const MAX_WAITERS: usize = 65_536;
/// Longest user name of a session, in bytes.
pub const MAX_USER_BYTES: usize = 255;

/// Nodes of a cluster, those that are gone included until they are forgotten.
pub const MAX_NODES: u16 = 1_024;
/// Shards of a cluster.
pub const MAX_SHARDS: u16 = 4_096;
/// Copies that a shard can be configured to have.
pub const MAX_TARGET_COPIES: u8 = 5;
/// Longest address of a node, in bytes: `host:port`.
pub const MAX_ADDRESS_BYTES: usize = 255;
/// Suspects that a heartbeat names; their number it tells in full.
pub const MAX_SUSPECTS: usize = 16;
/// Copies that one report describes; a node with more sends several.
pub const MAX_REPORTED_COPIES: usize = 256;
/// Keys that one metadata transaction compares, and as many that it writes: etcd's default is 128 operations.
pub const MAX_TRANSACTION_KEYS: usize = 120;
/// Records of a cluster that the metadata store may hold: shards, nodes, and some.
pub const MAX_RECORDS: usize = MAX_SHARDS as usize + MAX_NODES as usize + 4_096;
/// Copies that one node may be receiving at a time.
pub const MAX_REPAIRS_PER_NODE: usize = 2;

const _: () = assert!(MAX_SHARDS <= crate::slot::SLOTS);
const _: () = assert!(MAX_TARGET_COPIES as usize + 2 <= crate::membership::MAX_COPIES);
const _: () = assert!(SEGMENT_BYTES == 1 << SEGMENT_OFFSET_BITS);
const _: () = assert!(DEFAULT_VALUE_BYTES <= MAX_VALUE_BYTES);
const _: () = assert!(MAX_VALUE_BYTES + MAX_KEY_BYTES + 4096 <= MAX_BATCH_BYTES);
const _: () = assert!(MAX_BULK_BYTES_UNAUTHENTICATED <= MAX_QUERY_BUFFER_BYTES_UNAUTHENTICATED);
const _: () = assert!(OUTPUT_PAUSE_BYTES <= MAX_OUTPUT_BUFFER_BYTES);
const _: () = assert!(READ_AHEAD_BYTES <= MAX_QUERY_BUFFER_BYTES_UNAUTHENTICATED);
const _: () = assert!(READ_AHEAD_BYTES <= LINE_AHEAD_BYTES);
const _: () = assert!(LINE_AHEAD_BYTES <= MAX_QUERY_BUFFER_BYTES);
