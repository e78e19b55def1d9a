//! `LCS`: the longest common subsequence of two strings.
//!
//! The textbook table of lengths, walked back from its end; neighbouring matches are told as ranges. Its size is
//! limited, as the product of two long strings would hold everybody else up.

use alloc::vec::Vec;

use super::string_of;
use crate::{Call, Failure, Flow, Ran};

/// Cells of the table, four bytes each: filling them takes some milliseconds.
const MAX_CELLS: usize = 4 << 20;

/// A piece that both strings have: its first and last index in each.
struct Match {
    a: (usize, usize),
    b: (usize, usize),
}

#[derive(Default)]
struct Options {
    wants_len: bool,
    wants_indices: bool,
    shows_len: bool,
    least_len: usize,
}

/// `LCS key1 key2 [LEN] [IDX] [MINMATCHLEN len] [WITHMATCHLEN]`
pub fn lcs(call: &mut Call<'_>) -> Ran {
    let mut string = |index: usize| {
        let record = call
            .shard
            .record(call.now, call.db, call.arguments.at(index));
        match string_of(record) {
            Ok(record) => Ok(record.map_or(Vec::new(), |record| record.body.to_vec())),
            Err(_) => Err(Failure::text(
                "ERR The specified keys must contain string values",
            )),
        }
    };
    let (a, b) = (string(1)?, string(2)?);
    let options = options(call)?;
    let cells = (a.len() + 1).saturating_mul(b.len() + 1);
    if cells > MAX_CELLS {
        let text = alloc::format!(
            "ERR LCS would fill a table of {cells} cells, and {MAX_CELLS} are the most"
        );
        return Err(Failure::Text(text.into()));
    }
    let (common, matches) = walk(&a, &b, &lengths(&a, &b));
    if options.wants_indices {
        reply_matches(call, &matches, common.len(), &options);
    } else if options.wants_len {
        call.reply.integer(common.len() as i64);
    } else {
        call.reply.bulk(&common);
    }
    Ok(Flow::Done)
}

fn options(call: &Call<'_>) -> Result<Options, Failure> {
    let arguments = call.arguments;
    let (mut at, mut options) = (3, Options::default());
    while at < arguments.len() {
        if arguments.is(at, "LEN") {
            options.wants_len = true;
        } else if arguments.is(at, "IDX") {
            options.wants_indices = true;
        } else if arguments.is(at, "WITHMATCHLEN") {
            options.shows_len = true;
        } else if arguments.is(at, "MINMATCHLEN") && at + 1 < arguments.len() {
            at += 1;
            options.least_len = usize::try_from(arguments.integer(at)?).unwrap_or(0);
        } else {
            return Err(Failure::Syntax);
        }
        at += 1;
    }
    if options.wants_len && options.wants_indices {
        return Err(Failure::text(
            "ERR If you want both the length and indexes, please just use IDX.",
        ));
    }
    Ok(options)
}

/// The length of the longest common subsequence of every two prefixes, row by row of `a`.
fn lengths(a: &[u8], b: &[u8]) -> Vec<u32> {
    let width = b.len() + 1;
    let mut table = alloc::vec![0u32; (a.len() + 1) * width];
    for (i, x) in a.iter().enumerate() {
        let (above, row) = table[i * width..].split_at_mut(width);
        for (j, y) in b.iter().enumerate() {
            row[j + 1] = if x == y {
                above[j] + 1
            } else {
                above[j + 1].max(row[j])
            };
        }
    }
    table
}

/// The subsequence, and its pieces from the last to the first.
fn walk(a: &[u8], b: &[u8], table: &[u32]) -> (Vec<u8>, Vec<Match>) {
    let width = b.len() + 1;
    let (mut i, mut j) = (a.len(), b.len());
    let (mut common, mut matches): (Vec<u8>, Vec<Match>) = (Vec::new(), Vec::new());
    while i > 0 && j > 0 {
        if a[i - 1] == b[j - 1] {
            common.push(a[i - 1]);
            match matches.last_mut() {
                Some(last) if last.a.0 == i && last.b.0 == j => {
                    (last.a.0, last.b.0) = (i - 1, j - 1);
                }
                Some(_) | None => matches.push(Match {
                    a: (i - 1, i - 1),
                    b: (j - 1, j - 1),
                }),
            }
            (i, j) = (i - 1, j - 1);
        } else if table[(i - 1) * width + j] > table[i * width + j - 1] {
            i -= 1;
        } else {
            j -= 1;
        }
    }
    common.reverse();
    (common, matches)
}

fn reply_matches(call: &mut Call<'_>, matches: &[Match], len: usize, options: &Options) {
    let long: Vec<_> = matches
        .iter()
        .filter(|m| m.a.1 - m.a.0 + 1 >= options.least_len)
        .collect();
    let reply = &mut call.reply;
    reply.map(2);
    reply.bulk_str("matches");
    reply.array(long.len());
    for found in long {
        reply.array(2 + usize::from(options.shows_len));
        for (start, end) in [found.a, found.b] {
            reply.array(2);
            reply.integer(start as i64);
            reply.integer(end as i64);
        }
        if options.shows_len {
            reply.integer((found.a.1 - found.a.0 + 1) as i64);
        }
    }
    reply.bulk_str("len");
    reply.integer(len as i64);
}
