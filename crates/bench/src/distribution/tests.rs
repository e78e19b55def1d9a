use super::*;

/// Draws from `shape` over `keys` keys and returns how often each key came, most frequent first.
fn frequencies(shape: Shape, keys: u64, draws: u64) -> Vec<u64> {
    let distribution = Distribution::new(shape, keys);
    let mut random = Random::new(7);
    let mut counts = vec![0u64; usize::try_from(keys).expect("small")];
    for _ in 0..draws {
        counts[usize::try_from(distribution.draw(&mut random)).expect("small")] += 1;
    }
    counts.sort_unstable_by(|a, b| b.cmp(a));
    counts
}

#[test]
fn uniform_draws_every_key_about_alike() {
    let counts = frequencies(Shape::Uniform, 100, 1_000_000);
    // 10,000 expected each; the standard deviation is 99.5.
    assert!(counts[0] < 10_500, "most frequent: {}", counts[0]);
    assert!(counts[99] > 9_500, "least frequent: {}", counts[99]);
}

#[test]
fn zipf_ranks_follow_the_power_law() {
    let keys = 1_000u64;
    let zipf = Zipf::new(DEFAULT_THETA, keys);
    let mut random = Random::new(11);
    let draws = 2_000_000u64;
    let mut counts = vec![0u64; 1_000];
    for _ in 0..draws {
        counts[usize::try_from(zipf.rank(&mut random, keys)).expect("small")] += 1;
    }
    let total = zeta(keys, DEFAULT_THETA);
    // Gray's method is exact for the two first ranks and close for the others.
    for (rank, tolerance) in [(0usize, 0.02), (1, 0.02), (9, 0.15), (99, 0.15), (500, 0.2)] {
        let expected = draws as f64 / ((rank + 1) as f64).powf(DEFAULT_THETA) / total;
        let ratio = counts[rank] as f64 / expected;
        assert!((ratio - 1.0).abs() < tolerance, "rank {rank}: {ratio}");
    }
}

#[test]
fn zipf_is_scattered_over_the_keys() {
    let keys = 1_000_000u64;
    let hot: Vec<u64> = (0..10).map(|rank| scramble(rank, keys)).collect();
    let mut sorted = hot.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(sorted.len(), 10, "hot keys collide: {hot:?}");
    assert!(
        sorted[9] - sorted[0] > keys / 4,
        "hot keys stand together: {hot:?}"
    );
    assert!(sorted[9] < keys);
}

#[test]
fn zipf_is_much_steeper_than_uniform() {
    let counts = frequencies(Shape::Zipf(DEFAULT_THETA), 10_000, 1_000_000);
    let hot: u64 = counts[..100].iter().sum();
    assert!(hot > 450_000, "the top 1 % drew only {hot} of 1,000,000");
}

#[test]
fn the_integral_continues_the_sum() {
    let theta = 0.99;
    let exact: f64 = (1..=3_000_000u64).map(|i| (i as f64).powf(-theta)).sum();
    let quick = zeta(3_000_000, theta);
    assert!((exact - quick).abs() / exact < 1e-9, "{exact} {quick}");
}

#[test]
fn few_keys_stay_in_range() {
    for keys in 1..5 {
        for shape in [Shape::Uniform, Shape::Zipf(0.5)] {
            let distribution = Distribution::new(shape, keys);
            let mut random = Random::new(keys);
            for _ in 0..1000 {
                assert!(distribution.draw(&mut random) < keys);
            }
        }
    }
}

#[test]
fn shapes_are_read_from_their_names() {
    assert_eq!("uniform".parse(), Ok(Shape::Uniform));
    assert_eq!("zipf".parse(), Ok(Shape::Zipf(DEFAULT_THETA)));
    assert_eq!("zipf:0.5".parse(), Ok(Shape::Zipf(0.5)));
    for wrong in ["zipf:1.5", "zipf:", "normal", "uniform:1"] {
        assert!(wrong.parse::<Shape>().is_err(), "{wrong}");
    }
}
