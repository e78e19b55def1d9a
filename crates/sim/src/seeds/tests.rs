use super::{Batch, How, Outcome, Simulator, Sum, range};

/// Every tenth seed fails, every 25th panics, and 13 is two histories.
fn run(seed: u64, how: How) -> Outcome {
    assert!(seed % 25 != 24, "as it was told to");
    thread_local! {
        static RUNS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
    }
    RUNS.set(RUNS.get() + 1);
    let differs = how.compared && seed == 13;
    Outcome {
        digest: if differs { RUNS.get() } else { seed },
        tallies: vec![("requests", seed)],
        simulated_us: 2,
        healed_us: seed,
        rare: vec![("met", 1), ("met by the last", u64::from(seed == 30))],
        failure: (seed % 10 == 9).then(|| (4, "it is a nine".into())),
    }
}

const SIMULATOR: Simulator = Simulator {
    program: "-p nothing",
    about: "",
    unit: "step",
    run,
    plan: |seed| format!("{seed}"),
};

fn sum_of(batch: &Batch) -> Sum {
    SIMULATOR.run_many(batch, &|_, _| {})
}

#[test]
fn everything_is_added_up_and_what_was_never_met_is_missing() {
    let sum = sum_of(&Batch::of(0..9));
    assert_eq!((sum.runs, sum.simulated_us, sum.healed_us), (9, 18, 8));
    assert_eq!(sum.tallies, [("requests", 36)]);
    assert_eq!(sum.missing().collect::<Vec<_>>(), ["met by the last"]);
    assert_eq!(sum.failures, Vec::<String>::new());
    let sum = sum_of(&Batch::of(30..31));
    assert_eq!(sum.missing().count(), 0);
}

#[test]
fn a_failure_ends_it_unless_it_is_to_go_on_and_a_panic_is_one() {
    let first = Batch {
        jobs: 1,
        ..Batch::of(0..40)
    };
    let sum = sum_of(&first);
    let text = "seed 9 fails in step 4: it is a nine\nReplay: cargo run --release -p nothing -- --seed 9 --trace";
    assert_eq!((sum.runs, sum.failures), (10, vec![text.to_owned()]));
    let all = Batch {
        keep_going: true,
        ..Batch::of(0..40)
    };
    let sum = sum_of(&all);
    assert_eq!((sum.runs, sum.failures.len()), (40, 5));
    assert!(
        sum.failures
            .iter()
            .any(|f| f.starts_with("seed 24 fails in step 0: it panics"))
    );
}

#[test]
fn two_histories_of_one_seed_are_a_failure() {
    let twice = Batch {
        twice: true,
        keep_going: true,
        ..Batch::of(10..18)
    };
    let sum = sum_of(&twice);
    assert_eq!(sum.failures.len(), 1, "{:?}", sum.failures);
    assert!(sum.failures[0].contains("seed 13 fails in step 0: two runs"));
}

#[test]
fn a_range_has_two_ends() {
    assert_eq!(range("3..5"), Ok(3..5));
    for wrong in ["", "3", "5..3", "3..x", "3..3"] {
        assert!(range(wrong).is_err(), "{wrong}");
    }
}
