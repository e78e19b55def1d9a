//! What replies mean.

use sim::reply::Reply;

use crate::host::node_at;
use crate::rare::{Counts, Rare};
use crate::record::{Answer, Ask, head_of};

/// Errors that say, for certain, that nothing was done, and that another try may do.
const TRY_AGAIN: [&str; 5] = [
    "TRYAGAIN",
    "NOQUORUM",
    "CLUSTERDOWN",
    "OVERLOADED",
    "MISCONF",
];
/// Errors that say, for certain, that nothing was done, and why.
const REFUSALS: [&str; 6] = ["HELD", "FENCED", "VERSION", "GONE", "EXISTS", "OOM"];

/// What a reply means for the request that it answers.
pub(super) enum Told {
    Answer(Answer),
    Elsewhere(u32),
    Later,
}

pub(super) fn told(ask: &Ask, reply: &Reply, counts: &mut Counts) -> Result<Told, String> {
    let Reply::Error(text) = reply else {
        return answer(ask, reply).map(Told::Answer);
    };
    let word = text.split_whitespace().next().unwrap_or_default();
    note_error(word, counts);
    if word == "MOVED" {
        let node = text.split_whitespace().nth(2).and_then(node_at);
        return node.map(Told::Elsewhere).ok_or_else(|| text.clone());
    }
    if TRY_AGAIN.contains(&word) {
        Ok(Told::Later)
    } else if REFUSALS.contains(&word) {
        Ok(Told::Answer(Answer::Refused))
    } else {
        Err(format!("nobody should be told: {text}"))
    }
}

fn note_error(word: &str, counts: &mut Counts) {
    let event = match word {
        "NOQUORUM" => Rare::NoQuorum,
        "TRYAGAIN" => Rare::TryAgain,
        "HELD" => Rare::Held,
        "FENCED" => Rare::Fenced,
        _ => return,
    };
    counts.note(event);
}

/// What a reply that is no error means.
fn answer(ask: &Ask, reply: &Reply) -> Result<Answer, String> {
    let number = reply
        .integer()
        .and_then(|number| u64::try_from(number).ok());
    let wrong = || format!("is answered by {reply:?}");
    match ask {
        Ask::Count if *reply == Reply::Null => Ok(Answer::Version(0)),
        Ask::Count => {
            let text = reply.bulk().map(String::from_utf8_lossy);
            let count = text.and_then(|text| text.parse().ok());
            count.map(Answer::Version).ok_or_else(wrong)
        }
        Ask::Increment | Ask::Write(..) | Ask::Commit(..) => {
            number.map(Answer::Version).ok_or_else(wrong)
        }
        Ask::Under(version) if *reply == Reply::ok() => Ok(Answer::Version(*version)),
        // Somebody has it.
        Ask::Lock(..) if *reply == Reply::Null => Ok(Answer::Value(None)),
        Ask::Unlock(_) => number.map(Answer::Ended).ok_or_else(wrong),
        Ask::Create(_)
        | Ask::Bear(..)
        | Ask::Arise(..)
        | Ask::Read
        | Ask::ReadOld
        | Ask::ReadTouch
        | Ask::Use
        | Ask::Open(..) => state(reply),
        Ask::Destroy | Ask::Revoke(_) | Ask::Touch(_) | Ask::Expire(_) => {
            number.map(Answer::Ended).ok_or_else(wrong)
        }
        Ask::Left if *reply == Reply::Integer(-2) => Ok(Answer::Left(None)),
        Ask::Left => number.map(|ms| Answer::Left(Some(ms))).ok_or_else(wrong),
        Ask::Both => halves(reply).ok_or_else(wrong)?,
        Ask::Flush if *reply == Reply::ok() => Ok(Answer::Flushed(Vec::new())),
        Ask::List(_) => listed(reply).map(Answer::Ids).ok_or_else(wrong),
        Ask::Keys => ids(reply).map(Answer::Ids).ok_or_else(wrong),
        Ask::Walk(walk) => {
            let (_, found) = page(reply).ok_or_else(wrong)?;
            let mut all = walk.found.clone();
            all.extend(found);
            all.dedup();
            Ok(Answer::Ids(all))
        }
        // A blackout may have taken it.
        Ask::Rotate(_) if *reply == Reply::Null => state(reply),
        Ask::Rotate(_) => {
            let id = reply.bulk().map(String::from_utf8_lossy);
            id.map(|id| Answer::Renamed(id.into_owned()))
                .ok_or_else(wrong)
        }
        Ask::Release(_)
        | Ask::Renew(..)
        | Ask::Put(..)
        | Ask::Raise(..)
        | Ask::Lock(..)
        | Ask::Pair(_)
        | Ask::Flush
        | Ask::Under(_) => {
            if *reply == Reply::ok() {
                Ok(Answer::Done)
            } else {
                Err(wrong())
            }
        }
        Ask::Get if *reply == Reply::Null => Ok(Answer::Value(None)),
        Ask::Get => whole(reply.bulk().ok_or_else(wrong)?).map(|v| Answer::Value(Some(v))),
    }
}

fn halves(reply: &Reply) -> Option<Result<Answer, String>> {
    let Reply::Array(halves) = reply else {
        return None;
    };
    let [one, other] = halves.as_slice() else {
        return None;
    };
    let half = |reply: &Reply| reply.bulk().map(whole).transpose();
    let found = half(one).and_then(|one| Ok(Answer::Halves(one, half(other)?)));
    Some(found)
}

/// What a list has that is one page.
fn listed(reply: &Reply) -> Option<Vec<String>> {
    let (cursor, ids) = page(reply)?;
    (cursor == "0").then_some(ids)
}

/// Where the next page begins, and what is on this one.
pub(super) fn page(reply: &Reply) -> Option<(String, Vec<String>)> {
    let Reply::Array(parts) = reply else {
        return None;
    };
    let [cursor, ids_of_page] = parts.as_slice() else {
        return None;
    };
    let cursor = String::from_utf8_lossy(cursor.bulk()?).into_owned();
    Some((cursor, ids(ids_of_page)?))
}

fn ids(reply: &Reply) -> Option<Vec<String>> {
    let Reply::Array(ids) = reply else {
        return None;
    };
    let text = |id: &Reply| Some(String::from_utf8_lossy(id.bulk()?).into_owned());
    ids.iter().map(text).collect()
}

fn whole(bytes: &[u8]) -> Result<String, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "a value is no text")?;
    let head = head_of(text).map(str::to_owned);
    head.ok_or_else(|| format!("a value was never written: {text:.60}"))
}

/// A session, or that there is none.
fn state(reply: &Reply) -> Result<Answer, String> {
    let number = |name: &str| {
        let number = reply.under(name).and_then(Reply::integer);
        number.and_then(|number| u64::try_from(number).ok())
    };
    if *reply == Reply::Null {
        return Ok(Answer::State {
            version: 0,
            value: None,
            fence: 0,
        });
    }
    let value = reply.under("fields").and_then(|fields| fields.under("v"));
    let value = value.and_then(Reply::bulk).map(whole).transpose()?;
    let (version, fence) = number("version")
        .zip(number("fence"))
        .ok_or("a session without a version")?;
    Ok(Answer::State {
        version,
        value,
        fence,
    })
}
