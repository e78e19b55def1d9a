"""Results in the Test Anything Protocol, written and read.

Every suite, in whatever language, prints `ok N - name` or `not ok N - name` for each test and the
plan `1..N` at its end. A suite that dies halfway prints no plan, and that is how it is noticed.
"""

import re
import sys
import traceback
import unittest
from dataclasses import dataclass, field

_RESULT = re.compile(r"^(not )?ok \d+ - (.*)$")
_PLAN = re.compile(r"^1\.\.(\d+)$")


class TapResult(unittest.TestResult):
    """Prints each result as it comes; skipped tests do not count as run."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def addSuccess(self, test):
        super().addSuccess(test)
        self._print("ok", test)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._print("not ok", test, err)

    def addError(self, test, err):
        super().addError(test, err)
        self._print("not ok", test, err)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        print(f"# skipped {_name(test)}: {reason}", flush=True)

    def _print(self, verdict, test, err=None):
        self.count += 1
        print(f"{verdict} {self.count} - {_name(test)}", flush=True)
        if err is not None:
            for line in "".join(traceback.format_exception(*err)).splitlines():
                print(f"  {line}", flush=True)


def _name(test):
    """The first line of the test's documentation, or its dotted name."""
    return test.shortDescription() or test.id()


def run(*cases):
    """Runs the test case classes and exits: 0 when every test passed."""
    load = unittest.defaultTestLoader.loadTestsFromTestCase
    result = TapResult()
    unittest.TestSuite(load(case) for case in cases).run(result)
    print(f"1..{result.count}", flush=True)
    sys.exit(0 if result.wasSuccessful() else 1)


@dataclass
class Tally:
    """What one stream of results said."""

    passed: int = 0
    failed: int = 0
    planned: int | None = None
    failures: list[str] = field(default_factory=list)

    def read_line(self, line):
        """Takes in one line; answers True when it was a result."""
        plan = _PLAN.match(line)
        if plan:
            self.planned = (self.planned or 0) + int(plan.group(1))
            return False
        result = _RESULT.match(line)
        if not result:
            return False
        if result.group(1):
            self.failed += 1
            self.failures.append(result.group(2))
        else:
            self.passed += 1
        return True

    def close(self, suite, exit_code):
        """Turns a silent death into a failure: no plan, too few results, or a bad exit without one."""
        reason = None
        if self.planned is None:
            reason = "it ended without a plan line"
        elif self.passed + self.failed != self.planned:
            reason = f"{self.planned} tests planned, {self.passed + self.failed} reported"
        elif self.planned == 0:
            reason = "it ran no test"
        elif exit_code != 0 and self.failed == 0:
            reason = f"it exited with {exit_code}"
        if reason:
            self.failed += 1
            self.failures.append(f"suite {suite}: {reason}")
