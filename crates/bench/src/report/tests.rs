use super::*;
use crate::latency::{ErrorCount, histogram};

fn figures() -> LoadFigures {
    let mut latencies = histogram();
    latencies.saturating_record(1_500_000);
    LoadFigures {
        requests: 10,
        seconds: 2.0,
        per_second: 5.0,
        errors: Errors::new(),
        nils: 0,
        unanswered: 0,
        lost_connections: 0,
        interrupted: false,
        latency: Latency::of(&latencies),
        by_kind: Vec::new(),
        corrected: None,
        generator_lag: None,
        generator_cpu_ns_per_request: 1_000.0,
        generator_cores: 0.5,
        server: None,
    }
}

fn with_errors(count: u64) -> LoadFigures {
    let error = ErrorCount {
        count,
        example: "ERR unknown command".to_owned(),
    };
    LoadFigures {
        errors: Errors::from([("ERR".to_owned(), error)]),
        ..figures()
    }
}

#[test]
fn the_text_holds_the_figures() {
    let text = figures().to_string();
    assert!(text.contains("10 requests in 2.00 s: 5 a second"), "{text}");
    assert!(text.contains("1500.2"), "{text}");
    assert!(!text.contains("server:"), "{text}");
    let text = with_errors(3).to_string();
    assert!(text.contains("error ERR: 3 times"), "{text}");
}

#[test]
fn a_run_of_errors_is_a_failure_and_some_errors_are_not() {
    assert_eq!(figures().failure(), None);
    assert_eq!(with_errors(9).failure(), None);
    let failure = with_errors(10).failure().expect("all failed");
    assert!(failure.contains("unknown command"), "{failure}");
}

#[test]
fn a_lost_connection_is_a_failure() {
    let figures = LoadFigures {
        lost_connections: 1,
        ..figures()
    };
    assert!(figures.failure().is_some());
}
