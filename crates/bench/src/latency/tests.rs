use super::*;
use crate::clock::MILLISECOND_NS;

#[test]
fn percentiles_come_back_within_the_precision() {
    let mut tally = Tally::new(1);
    for micros in 1..=100_000 {
        tally.record(0, micros * MICROSECOND_NS);
    }
    let latency = Latency::of(&tally.latencies[0]);
    assert_eq!(latency.count, 100_000);
    for (found, expected) in [
        (latency.p50_us, 50_000.0),
        (latency.p90_us, 90_000.0),
        (latency.p99_us, 99_000.0),
        (latency.p999_us, 99_900.0),
        (latency.max_us, 100_000.0),
        (latency.mean_us, 50_000.5),
    ] {
        assert!((found / expected - 1.0).abs() < 0.001, "{found} {expected}");
    }
}

#[test]
fn the_correction_fills_in_what_a_stall_left_out() {
    // A closed loop at one request a millisecond sees 9,900 quick replies and one stall of 100 ms,
    // which hid 99 requests that would have waited 99 ms, 98 ms, and so on.
    let mut histogram = histogram();
    for _ in 0..9_900 {
        histogram.saturating_record(MILLISECOND_NS / 10);
    }
    histogram.saturating_record(100 * MILLISECOND_NS);
    let plain = Latency::of(&histogram);
    let corrected = Latency::corrected(&histogram, MILLISECOND_NS);
    assert!(plain.p99_us < 101.0, "{plain:?}");
    assert_eq!(corrected.count, 10_000);
    assert!(corrected.p999_us > 90_000.0, "{corrected:?}");
    assert!(
        (corrected.mean_us / 604.0 - 1.0).abs() < 0.02,
        "{corrected:?}"
    );
}

#[test]
fn errors_are_counted_by_their_first_word() {
    let mut tally = Tally::new(1);
    tally.count_error(b"ERR unknown command 'SESSION.OPEN'");
    tally.count_error(b"HELD 100");
    tally.count_error(b"HELD 200");
    tally.count_error(b"");
    let mut other = Tally::new(1);
    other.count_error(b"HELD 300");
    other.record(0, 5);
    tally.add(&other);
    assert_eq!(tally.errors["HELD"].count, 3);
    assert_eq!(tally.errors["HELD"].example, "HELD 100");
    assert_eq!(
        tally.errors["ERR"].example,
        "ERR unknown command 'SESSION.OPEN'"
    );
    assert_eq!(tally.errors["(empty)"].count, 1);
    assert_eq!(tally.error_count(), 5);
    assert_eq!(tally.all_latencies().len(), 1);
}

#[test]
fn absurd_latencies_saturate_instead_of_failing() {
    let mut tally = Tally::new(1);
    tally.record(0, 0);
    tally.record(0, u64::MAX);
    assert_eq!(tally.latencies[0].len(), 2);
}
