//! String commands.

use model::time::Deadline;
use shard::{Change, Type};

use crate::{Call, Failure, Flow, Ran};

/// `GET key`
pub fn get(call: &mut Call<'_>) -> Ran {
    match call.shard.record(call.now, call.db, call.arguments.at(1)) {
        None => call.reply.null(),
        Some(record) if record.r#type == Type::String => call.reply.bulk(record.body),
        Some(_) => return Err(Failure::WrongType),
    }
    Ok(Flow::Done)
}

/// `SET key value`
pub fn set(call: &mut Call<'_>) -> Ran {
    let change = Change {
        r#type: Type::String,
        deadline: Deadline::NEVER,
        body: &[call.arguments.at(2)],
    };
    call.shard
        .put(call.now, call.db, call.arguments.at(1), change)?;
    call.reply.ok();
    Ok(Flow::Done)
}
