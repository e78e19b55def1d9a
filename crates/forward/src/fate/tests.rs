use std::sync::Arc;

use model::topology::Address;

use super::{Fate, Outcome, give_up_overtaken};
use crate::plan::{Part, Request, To};

fn part(slot: u16) -> Part {
    Part {
        request: Request::Made(Vec::new()),
        to: To::Slot(slot),
        only_reads: false,
        waits: None,
    }
}

fn node() -> Arc<Address> {
    Arc::new(Address {
        host: "n".into(),
        port: 1,
    })
}

/// What becomes of a part that is answered so.
fn after(reply: &str) -> Fate {
    let part = part(7);
    let mut fate = Fate::new(&part);
    fate.answered(reply.as_bytes().to_vec(), &part, &node());
    fate
}

#[test]
fn only_what_was_not_executed_is_sent_again() {
    for again in [
        "-MOVED 7 m:2\r\n",
        "-ASK 7 m:2\r\n",
        "-TRYAGAIN x\r\n",
        "-CLUSTERDOWN x\r\n",
        "-LOADING x\r\n",
        "-ERR max number of clients reached\r\n",
    ] {
        assert!(after(again).is_pending(), "{again}");
    }
    for last in [
        "+OK\r\n",
        "-ERR x\r\n",
        "-NOQUORUM x\r\n",
        "-OOM x\r\n",
        "-HELD 5\r\n",
        "-MOVEDX\r\n",
    ] {
        assert_eq!(after(last).outcome, Outcome::Kept(last.as_bytes().to_vec()));
    }
    let moved = after("-MOVED 7 :2\r\n");
    assert!(matches!(&moved.to, To::Node(at) if at.host == "n" && at.port == 2));
    assert!(after("-ASK 7 m:2\r\n").asking && !moved.asking);
}

#[test]
fn what_was_overtaken_in_its_slot_is_not_sent_again() {
    let parts = [part(1), part(2), part(1)];
    let mut fates: Vec<Fate> = parts.iter().map(Fate::new).collect();
    fates[0].not_executed("TRYAGAIN later", &parts[0]);
    fates[1].not_executed("TRYAGAIN later", &parts[1]);
    fates[2].outcome = Outcome::Kept(b"+OK\r\n".to_vec());
    give_up_overtaken(&parts, &mut fates);
    assert_eq!(
        fates[0].outcome,
        Outcome::Kept(b"-TRYAGAIN later\r\n".to_vec())
    );
    assert!(fates[1].is_pending(), "nothing of its slot was executed");
}
