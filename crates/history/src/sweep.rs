//! One pass over what was asked and told.

use std::collections::BTreeMap;

#[cfg(test)]
mod tests;

/// When something was asked of what, and when it was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span<K> {
    /// What has an order of its own: a key, a shard.
    pub of: K,
    /// When it was sent.
    pub sent: u64,
    /// When it was answered, if it was.
    pub told: Option<u64>,
}

/// Goes through all questions and answers in the order of time. `takes_effect` is asked, for each answer, at which point of its order that can have
/// taken effect, given the latest point (the *floor*) that anybody had been told of before the question was sent. Returns all floors.
///
/// # Errors
/// The first that `takes_effect` returns.
pub fn sweep<K, P, E>(
    spans: &[Span<K>],
    mut takes_effect: impl FnMut(usize, P) -> Result<P, E>,
) -> Result<Vec<P>, E>
where
    K: Ord + Clone,
    P: Ord + Copy + Default,
{
    let mut latest: BTreeMap<K, P> = BTreeMap::new();
    let mut floors = vec![P::default(); spans.len()];
    for (_, is_question, number) in events(spans) {
        let key = &spans[number].of;
        if is_question {
            floors[number] = latest.get(key).copied().unwrap_or_default();
            continue;
        }
        let point = takes_effect(number, floors[number])?;
        let known = latest.entry(key.clone()).or_default();
        *known = point.max(*known);
    }
    Ok(floors)
}

/// At one instant an answer comes before a question: that is the stricter order.
fn events<K>(spans: &[Span<K>]) -> Vec<(u64, bool, usize)> {
    let mut events = Vec::with_capacity(spans.len() * 2);
    for (number, span) in spans.iter().enumerate() {
        events.push((span.sent, true, number));
        if let Some(told) = span.told {
            events.push((told, false, number));
        }
    }
    events.sort_unstable();
    events
}
