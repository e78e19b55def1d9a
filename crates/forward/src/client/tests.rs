//! A client that is gone is noticed, whether it is read or not.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use model::limits::{LINE_AHEAD_BYTES, READ_AHEAD_BYTES};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::{Ahead, End, while_reading};
use crate::metrics::{Kept, Metrics};

fn ahead() -> Ahead {
    let metrics = Arc::new(Metrics::default());
    Ahead {
        bytes: Vec::new(),
        kept: Kept::nothing(&metrics),
        metrics,
        most_of_all: usize::MAX,
    }
}

/// What becomes of a command that is never answered, when its client has sent so much behind it and goes, or stays.
async fn asked_before(
    bytes: usize,
    ahead: &mut Ahead,
    may_wait: bool,
    stays: bool,
) -> Option<Result<bool, End>> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (socket, _) = listener.accept().await.unwrap();
    let (mut reader, _writer) = socket.into_split();
    let serving = while_reading(std::future::pending(), &mut reader, ahead, may_wait, false);
    let going = async {
        // The other end may have closed it.
        let _ = client.write_all(&vec![b'x'; bytes]).await;
        let _client = stays.then_some(client);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        served = timeout(Duration::from_secs(5), serving) => served.ok(),
        () = going => None,
    }
}

fn run<T>(work: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(work)
}

#[test]
fn a_command_that_waits_for_others_is_given_up_when_its_client_goes() {
    for bytes in [1, READ_AHEAD_BYTES + (4 << 10), 40 << 20] {
        let served = run(asked_before(bytes, &mut ahead(), true, false));
        assert!(matches!(served, Some(Err(End))), "{bytes} bytes behind it");
    }
}

/// The end of whoever sends on and on could not be seen.
#[test]
fn a_command_that_waits_for_others_is_given_up_when_too_much_is_sent_behind_it() {
    let mut some = ahead();
    let served = run(asked_before(LINE_AHEAD_BYTES - 1, &mut some, true, true));
    assert!(served.is_none(), "it waits on");
    assert_eq!(some.bytes.len(), LINE_AHEAD_BYTES - 1);
    let mut much = ahead();
    let served = run(asked_before(LINE_AHEAD_BYTES, &mut much, true, true));
    assert!(matches!(served, Some(Err(End))));
    assert_eq!(much.metrics.cut_off.load(Ordering::Relaxed), 1);
}

/// All clients together may keep only so much, what is read ahead included.
#[test]
fn what_is_read_ahead_is_counted() {
    let mut much = ahead();
    much.most_of_all = READ_AHEAD_BYTES;
    let served = run(asked_before(LINE_AHEAD_BYTES - 1, &mut much, true, true));
    assert!(matches!(served, Some(Err(End))));
    // A buffer grows to twice its size.
    let most = 2 * READ_AHEAD_BYTES;
    assert!(much.bytes.len() <= most, "{}", much.bytes.len());
}

#[test]
fn any_other_command_is_waited_for() {
    let mut some = ahead();
    let bytes = READ_AHEAD_BYTES + (4 << 10);
    assert!(run(asked_before(bytes, &mut some, false, false)).is_none());
}
