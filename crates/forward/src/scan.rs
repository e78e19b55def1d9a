//! Cursors of `SCAN` over all nodes, and the count of `SESSION.LIST`.

use command::Arguments;

/// Nodes that a cursor can name.
const MOST_NODES: u64 = 1_024;
/// What `SESSION.LIST` returns unless asked for otherwise.
const DEFAULT_COUNT: usize = 100;

/// Which node is scanned, and how far its own scan is. As a number: `inner * 1024 + node`, so that 0 is the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Index among the primaries.
    pub node: usize,
    /// The cursor that the node gave.
    pub inner: u64,
}

impl Cursor {
    /// Reads what a client sends; `None` if it is no number. Where there are fewer primaries than when it was given, it goes on at the
    /// beginning of the last one: keys may be told twice, and the scan ends.
    pub fn parse(word: Option<&[u8]>, nodes: usize) -> Option<Self> {
        let text = std::str::from_utf8(word?).ok()?;
        let number: u64 = text.parse().ok()?;
        let node = (number % MOST_NODES) as usize;
        let inner = number / MOST_NODES;
        let last = nodes.saturating_sub(1);
        Some(if node > last {
            Self {
                node: last,
                inner: 0,
            }
        } else {
            Self { node, inner }
        })
    }

    /// The cursor to go on with after this node's reply: its own scan, the next node, or 0 at the end. `None` if the node's cursor
    /// is too large to stand in one of ours.
    pub fn next(node: usize, nodes: usize, inner: u64) -> Option<u64> {
        if inner > 0 {
            return inner.checked_mul(MOST_NODES)?.checked_add(node as u64);
        }
        Some(if node + 1 < nodes { node as u64 + 1 } else { 0 })
    }
}

/// The `COUNT` of a `SESSION.LIST`; what is wrong with it the nodes will say.
pub fn list_count(arguments: Arguments<'_>) -> usize {
    let given = (1..arguments.len()).find(|at| arguments.is(*at, "COUNT"));
    let text = given.and_then(|at| arguments.get(at + 1));
    let text = text.and_then(|text| std::str::from_utf8(text).ok());
    text.and_then(|t| t.parse().ok()).unwrap_or(DEFAULT_COUNT)
}

#[cfg(test)]
mod tests {
    use super::Cursor;

    #[test]
    fn a_scan_goes_through_all_nodes_and_ends() {
        let (mut word, mut seen) = (String::from("0"), Vec::new());
        loop {
            let cursor = Cursor::parse(Some(word.as_bytes()), 3).expect("one of ours");
            seen.push((cursor.node, cursor.inner));
            let inner = if cursor.inner == 0 { 1 << 50 } else { 0 };
            let next = Cursor::next(cursor.node, 3, inner).expect("it fits");
            if next == 0 {
                break;
            }
            word = next.to_string();
        }
        let far = 1 << 50;
        assert_eq!(seen, [(0, 0), (0, far), (1, 0), (1, far), (2, 0), (2, far)]);
        let last = Cursor { node: 2, inner: 0 };
        let beyond = Cursor::parse(Some(b"70663"), 3);
        assert_eq!(beyond, Some(last), "there are fewer nodes than there were");
        assert_eq!(Cursor::parse(Some(b"x"), 3), None);
        assert_eq!(Cursor::next(0, 3, u64::MAX / 8), None);
    }
}
