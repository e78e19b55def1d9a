//! A client that is gone is noticed, whether it is read or not.

use std::time::Duration;

use model::limits::READ_AHEAD_BYTES;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::{End, while_reading};

/// What becomes of a command that is never answered, when its client has sent so much behind it and goes. Much more than is read would fill
/// the system's buffers, and the end stays behind it.
async fn gone_behind(bytes: usize, may_wait: bool) -> Option<Result<bool, End>> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (socket, _) = listener.accept().await.unwrap();
    let (mut reader, _writer) = socket.into_split();
    let (run, mut ahead) = (std::future::pending(), Vec::new());
    let serving = while_reading(run, &mut reader, &mut ahead, may_wait, false);
    let going = async {
        client.write_all(&vec![b'x'; bytes]).await.unwrap();
        drop(client);
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
    for bytes in [1, READ_AHEAD_BYTES + (4 << 10)] {
        let served = run(gone_behind(bytes, true));
        assert!(matches!(served, Some(Err(End))), "{bytes} bytes behind it");
    }
}

#[test]
fn any_other_command_is_waited_for() {
    assert!(run(gone_behind(READ_AHEAD_BYTES + (4 << 10), false)).is_none());
}
