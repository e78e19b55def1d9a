use super::*;

#[test]
fn even_requests_keep_their_rate_without_drift() {
    let mut schedule = Schedule::new(30_000.0, Arrivals::Even, 5, Random::new(1));
    assert_eq!(schedule.due_ns(), 5);
    for _ in 0..30_000 * 100 {
        schedule.advance();
    }
    let drift = schedule.due_ns().abs_diff(5 + 100 * SECOND_NS);
    assert!(drift < 1_000, "{drift} ns after 100 s");
}

#[test]
fn poisson_gaps_have_the_mean_and_spread_of_an_exponential() {
    let mut schedule = Schedule::new(1_000.0, Arrivals::Poisson, 0, Random::new(2));
    let mut last = 0;
    let gaps: Vec<f64> = (0..100_000)
        .map(|_| {
            schedule.advance();
            let gap = (schedule.due_ns() - last) as f64;
            last = schedule.due_ns();
            gap
        })
        .collect();
    let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
    let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
    assert!((mean / 1e6 - 1.0).abs() < 0.02, "mean {mean}");
    assert!((variance.sqrt() / 1e6 - 1.0).abs() < 0.03, "{variance}");
}
