//! Patience ends, whatever is believed of the node.

use std::time::Duration;

use model::topology::Address;
use tokio::time::{Instant, sleep};

use super::Patience;
use crate::plan::{Part, Request, To};
use crate::routes::Cluster;

/// How long the reply of a node of which nothing is heard, and nothing is known, is waited for.
async fn waited(waits: Option<Duration>, most: Duration) -> Duration {
    let nobody = Address {
        host: "127.0.0.1".into(),
        port: 1,
    };
    let cluster = Cluster::new(nobody.clone(), Vec::new(), String::new());
    let part = Part {
        request: Request::Made(Vec::new()),
        to: To::Slot(0),
        only_reads: false,
        waits,
    };
    let began = Instant::now();
    let mut patience = Patience::new(&cluster, &part, &nobody, most);
    while began.elapsed() < Duration::from_secs(10) {
        sleep(patience.tick()).await;
        if !patience.is_left().await {
            break;
        }
    }
    began.elapsed()
}

#[test]
fn it_ends_also_where_a_command_waits_for_others() {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().unwrap();
    let most = Duration::from_millis(400);
    let few = runtime.block_on(waited(None, most));
    let many = runtime.block_on(waited(Some(Duration::from_millis(1_000)), most));
    assert!(few >= most && few < 3 * most, "{few:?}");
    let longest = 2 * most + Duration::from_secs(1);
    assert!(many >= longest && many < 3 * longest, "{many:?}");
}
