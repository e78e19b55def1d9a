//! The pipeline: a batch of commands is parsed, what it will touch is fetched, then it runs.
//!
//! A lone command waits for memory two or three times: its index bucket, its entry, the log's end. With a
//! pipeline these waits overlap: all of a batch's buckets are asked for, then all entries, then the commands
//! run one after the other and find everything in cache.

use alloc::vec::Vec;

use command::{Arguments, Ended, Prepared, Scene};
use model::Now;
use model::limits;
use resp::{CommandSpan, Limits, Protocol, ProtocolError, Reply, Span};
use shard::Attempt;

use crate::stream::{State, Stream};
use crate::{CopyId, Node};

/// Commands that are prepared together: enough to hide memory, few enough to stay in the first-level cache.
pub const BATCH: usize = 32;

/// Room for one batch, kept between batches.
#[derive(Default)]
pub(crate) struct Batch {
    spans: Vec<Span>,
    commands: Vec<(CommandSpan, Prepared)>,
    /// Where parsing stopped: at the end of the last command, or behind empty ones that follow it.
    end: usize,
}

impl Batch {
    pub(crate) fn arguments<'a>(&'a self, buffer: &'a [u8], index: usize) -> Arguments<'a> {
        let span = self.commands[index].0;
        Arguments::new(
            buffer,
            &self.spans[span.first as usize..][..span.count as usize],
        )
    }

    /// The first key of a command, and whether the command only reads.
    fn first_key<'a>(&'a self, buffer: &'a [u8], index: usize) -> Option<(&'a [u8], bool)> {
        let spec = command::spec_of(self.commands[index].1)?;
        let first = usize::try_from(spec.keys.first).ok()?;
        let key = self.arguments(buffer, index).get(first)?;
        (first > 0).then(|| (key, spec.only_reads()))
    }

    pub(crate) fn len(&self) -> usize {
        self.commands.len()
    }

    /// Where a command ends, and what it is.
    pub(crate) fn command(&self, index: usize) -> (usize, Prepared) {
        let (span, prepared) = self.commands[index];
        (span.end, prepared)
    }

    /// Where the last command ends.
    fn end(&self) -> usize {
        self.commands.last().map_or(0, |(span, _)| span.end)
    }

    /// If the commands from `used` on, which did not run, cannot be parsed again, writes them to `out` in a
    /// form that can. Returns whether it did.
    fn keep_unquoted(&self, buffer: &[u8], used: usize, out: &mut Vec<u8>) -> bool {
        let ran = self.commands.partition_point(|(span, _)| span.end <= used);
        let unquoted = self.commands[ran..].iter().any(|(span, _)| span.unquoted);
        if unquoted {
            for index in ran..self.commands.len() {
                encode(self.arguments(buffer, index), out);
            }
        }
        unquoted
    }
}

/// Writes a command as clients send it.
fn encode(arguments: Arguments<'_>, out: &mut Vec<u8>) {
    let mut reply = Reply::new(out, Protocol::V2);
    reply.array(arguments.len());
    for argument in arguments.from(0) {
        reply.bulk(argument);
    }
}

impl Node {
    /// Runs as many commands of `buffer` as may run now. Returns how many bytes are done with.
    pub(crate) fn run(&mut self, now: Now, stream: &mut Stream, buffer: &mut [u8]) -> usize {
        let mut batch = core::mem::take(&mut self.batch);
        if stream.output.capacity() == 0 {
            stream.output = self.spare.pop().unwrap_or_default();
        }
        let mut used = 0;
        while stream.may_run() {
            let broken = self.parse(stream, buffer, &mut used, &mut batch);
            if batch.commands.is_empty() {
                if let Some(error) = broken {
                    resp::write_error(
                        &mut stream.output,
                        format_args!("ERR Protocol error: {error}"),
                    );
                    self.clients.expect(stream.connection).closing = true;
                    used = buffer.len();
                }
                break;
            }
            self.fetch(stream, buffer, &batch);
            used = self.run_batch(now, stream, buffer, &batch, used);
            if self.clients.expect(stream.connection).closing {
                used = buffer.len();
                break;
            }
            if batch.keep_unquoted(buffer, used, &mut stream.kept) {
                used = batch.end();
                break;
            }
        }
        self.batch = batch;
        self.unfinished |= used > 0 || stream.state == State::WaitingForLog;
        self.ran.push((stream.connection, stream.backlog()));
        used
    }

    /// Parses up to a batch of commands from `used` on, which is moved past what asks for nothing. An
    /// error is returned, and looked at again once the commands before it have run.
    fn parse(
        &mut self,
        stream: &mut Stream,
        buffer: &mut [u8],
        used: &mut usize,
        batch: &mut Batch,
    ) -> Option<ProtocolError> {
        batch.spans.clear();
        batch.commands.clear();
        let authenticated = self.clients.expect(stream.connection).authenticated;
        // AUTH changes the limits of what comes after it.
        let (most, limits) = if authenticated {
            (BATCH, self.limits())
        } else {
            (1, Limits::UNAUTHENTICATED)
        };
        let mut from = *used;
        let mut broken = None;
        while batch.commands.len() < most {
            match stream
                .parser
                .next(buffer, &mut from, &limits, &mut batch.spans)
            {
                Ok(Some(span)) => {
                    from = span.end;
                    let spans = &batch.spans[span.first as usize..];
                    batch
                        .commands
                        .push((span, command::prepare(Arguments::new(buffer, spans))));
                }
                Ok(None) => break,
                Err(error) => {
                    // What the parser knew of the broken command would hide the error from the next look.
                    stream.parser = resp::Parser::default();
                    broken = Some(error);
                    break;
                }
            }
        }
        batch.end = from;
        if batch.commands.is_empty() {
            *used = from;
        }
        broken
    }

    fn limits(&self) -> Limits {
        Limits {
            arguments: limits::MAX_ARGUMENTS,
            bulk_bytes: self.shard.max_bulk_bytes(),
            authenticated: true,
        }
    }

    /// Asks for the memory that a pipeline will touch, unless that was done before it was handed in.
    fn fetch(&mut self, stream: &Stream, buffer: &[u8], batch: &Batch) {
        if batch.commands.len() > 1 && !self.ahead.covers(batch.commands.len()) {
            let db = self.clients.expect(stream.connection).db;
            let keys = (0..batch.commands.len()).map(|index| batch.first_key(buffer, index));
            self.fetch_now(db, keys);
        }
    }

    /// Runs the commands of a batch until one has to wait. Returns where the first that did not run begins.
    fn run_batch(
        &mut self,
        now: Now,
        stream: &mut Stream,
        buffer: &[u8],
        batch: &Batch,
        start: usize,
    ) -> usize {
        let used = if self.cluster.is_some() {
            self.run_member_commands(now, stream, buffer, batch, start)
        } else {
            self.run_commands(now, stream, buffer, batch, start)
        };
        if batch
            .commands
            .last()
            .is_some_and(|(span, _)| span.end == used)
        {
            // Behind the last command there may be lines that ask for nothing; the parser is past them.
            return batch.end;
        }
        // The parser is ahead of what ran.
        stream.parser = resp::Parser::default();
        used
    }

    #[inline]
    fn run_commands(
        &mut self,
        now: Now,
        stream: &mut Stream,
        buffer: &[u8],
        batch: &Batch,
        start: usize,
    ) -> usize {
        let mut used = start;
        let gated_from = stream.output.len();
        self.shard.begin_command();
        for (index, &(span, prepared)) in batch.commands.iter().enumerate() {
            let store = self.shard.store();
            self.ahead.step(|_| Some(store));
            let scene = Scene {
                now,
                shard: &mut self.shard,
                others: &mut [],
                server: &mut self.server,
                clients: &mut self.clients,
                connection: stream.connection,
            };
            let arguments = batch.arguments(buffer, index);
            match command::execute(
                scene,
                prepared,
                arguments,
                stream.attempt,
                &mut stream.output,
            ) {
                Ended::Replied => {}
                Ended::ReplyThenClose => self.clients.expect(stream.connection).closing = true,
                Ended::Waits => stream.state = State::Waiting,
                Ended::WaitsForLog => stream.state = State::WaitingForLog,
                Ended::Paused => stream.state = State::Paused,
            }
            if stream.state != State::Ready {
                break;
            }
            stream.attempt = Attempt::First;
            used = span.end;
            if self.clients.expect(stream.connection).closing || stream.is_paused() {
                break;
            }
        }
        // A command that has to wait has written nothing: then there is nothing to gate.
        if stream.output.len() > gated_from && self.shard.observed() > self.shard.committed() {
            stream.gate(gated_from, CopyId::ALONE, self.shard.observed());
        }
        used
    }
}
