//! Results in the Test Anything Protocol.

/// Counts results while printing them.
#[derive(Default)]
pub struct Report {
    count: usize,
    failed: usize,
}

impl Report {
    /// Prints one result.
    pub fn record(&mut self, name: &str, outcome: anyhow::Result<()>) {
        self.count += 1;
        match outcome {
            Ok(()) => println!("ok {} - {name}", self.count),
            Err(error) => {
                self.failed += 1;
                println!("not ok {} - {name}", self.count);
                println!("  {error:#}");
            }
        }
    }

    /// Prints the plan; answers the exit code.
    pub fn finish(self) -> i32 {
        println!("1..{}", self.count);
        i32::from(self.failed > 0)
    }
}

/// Fails with a message that shows both sides.
pub fn expect_eq<T: PartialEq + std::fmt::Debug>(
    what: &str,
    got: T,
    wanted: T,
) -> anyhow::Result<()> {
    anyhow::ensure!(got == wanted, "{what}: got {got:?}, wanted {wanted:?}");
    Ok(())
}
