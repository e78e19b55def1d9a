//! The forwarding port: what clients ask, and what nodes answer.

/// Taken as either, whatever it is becomes one whole reply, or whole commands.
///
/// # Panics
/// If it does not.
pub fn forward(bytes: &[u8]) {
    forward::examine::replies(bytes);
    forward::examine::requests(bytes);
}
