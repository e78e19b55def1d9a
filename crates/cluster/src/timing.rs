//! Every duration of the control plane, with the relations between them checked at compile time.
//!
//! All are in milliseconds of the monotonic clock. `docs/scale.md` computes with them; a test compares.

/// How often the shell calls an agent when nothing else happens.
pub const TICK_MS: u64 = 10;
/// Between two heartbeats on a link.
pub const HEARTBEAT_MS: u64 = 50;
/// For how long whoever sent a heartbeat is sent some, though the map knows of no link.
pub const CALLER_MS: u64 = 1_000;
/// Silence on a link after which its peer is suspected, at the next tick.
pub const SILENCE_MS: u64 = 240;
/// From a node's death to its suspicion, at the latest: what is promised.
pub const SUSPICION_MS: u64 = 250;
/// Ticks further apart than this mean that the observer itself stood still.
pub const GAP_MS: u64 = 100;
/// After a reset that turned out to be the link's and not the peer's, for how long only silence counts.
pub const RESET_DISTRUST_MS: u64 = 10_000;

/// How old a witness's statement may be and still count.
pub const STATEMENT_MS: u64 = 200;
/// How long a single accusation waits for somebody to contradict it.
pub const CONFIRM_MS: u64 = 100;
/// How long a convicted node must be heard before it is well again, the first time; doubled with each relapse.
pub const STEADY_MS: u64 = 500;
/// The most that [`STEADY_MS`] grows to.
pub const STEADY_MAX_MS: u64 = 8_000;
/// A node that was well for so long starts with no relapses again.
pub const FORGIVEN_MS: u64 = 60_000;

/// Convictions within this time of each other count together for the brake.
pub const BRAKE_WINDOW_MS: u64 = 1_000;
/// How long the brake holds.
pub const BRAKE_MS: u64 = 1_000;

/// How much longer each node further round the ring waits before it takes the coordinator's role.
pub const TAKEOVER_STEP_MS: u64 = 100;
/// How much longer a node that hears fewer than half of its peers waits before it takes the role: it may be the one who
/// is cut off. Doubled each time that the role was taken from it again soon.
pub const ISOLATED_MS: u64 = 1_500;
/// The most that [`ISOLATED_MS`] grows to.
pub const ISOLATED_MAX_MS: u64 = 24_000;
/// How long a coordinator may be cut off from the metadata store before another takes the role.
pub const STORE_GRACE_MS: u64 = 2_000;
/// How long an answer of the metadata store is waited for; then its outcome is unknown.
pub const STORE_TIMEOUT_MS: u64 = 1_000;
/// Between two tries to reach a metadata store that does not answer.
pub const STORE_RETRY_MS: u64 = 100;
/// How often the coordinator lists the whole map though its watch seems well: what a watch that silently stopped costs.
pub const RELIST_MS: u64 = 5_000;
/// How long the coordinator's map may differ from a node's before the node distrusts its watch and lists.
pub const BEHIND_MS: u64 = 1_000;

/// How often the coordinator compares what should be with what is.
pub const RECONCILE_MS: u64 = 50;
/// How long a lost copy may still come back before another node gets one.
pub const REPAIR_DELAY_MS: u64 = 10_000;
/// How long a primary may be unable to reach a member before that copy counts as lost.
pub const UNREACHABLE_MS: u64 = 10_000;
/// How long a primary may be unable to reach enough members to acknowledge anything; then another leads.
pub const CUT_OFF_MS: u64 = 2_000;
/// How often a node reports its copies to the coordinator.
pub const REPORT_MS: u64 = 250;
/// How old a report may be and still be used for decisions.
pub const REPORT_FRESH_MS: u64 = 1_000;
/// How long the map has been behind what copies know before anything follows from it: what was under way at a store that is lost is over by then,
/// and told.
pub const BEHIND_WAIT_MS: u64 = 2_000;
/// Between two moves that only balance.
pub const BALANCE_MS: u64 = 1_000;

const _: () = assert!(SILENCE_MS + TICK_MS <= SUSPICION_MS);
const _: () = assert!(
    SILENCE_MS > 4 * HEARTBEAT_MS,
    "a peer may lose three heartbeats in a row"
);
const _: () = assert!(CALLER_MS >= 2 * SILENCE_MS);
const _: () = assert!(GAP_MS > 2 * HEARTBEAT_MS - TICK_MS && GAP_MS < SILENCE_MS);
const _: () = assert!(STATEMENT_MS >= 3 * HEARTBEAT_MS && STATEMENT_MS < SILENCE_MS);
const _: () = assert!(
    CONFIRM_MS >= 2 * HEARTBEAT_MS,
    "every witness speaks twice meanwhile"
);
const _: () = assert!(SUSPICION_MS + CONFIRM_MS + TAKEOVER_STEP_MS < 500);
const _: () = assert!(ISOLATED_MS <= ISOLATED_MAX_MS);
const _: () = assert!(BRAKE_MS > SUSPICION_MS + CONFIRM_MS);
const _: () = assert!(STEADY_MS <= STEADY_MAX_MS && STEADY_MAX_MS < FORGIVEN_MS);
const _: () = assert!(REPORT_FRESH_MS >= 2 * REPORT_MS);
const _: () = assert!(BEHIND_WAIT_MS >= 2 * REPORT_FRESH_MS);
const _: () = assert!(REPAIR_DELAY_MS > BRAKE_MS + SUSPICION_MS);
