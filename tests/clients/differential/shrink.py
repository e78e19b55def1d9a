"""Makes a failing sequence small: fewer steps first, then simpler words, as long as it still fails."""

import dataclasses

import commands


def shrink(steps, fails, budget=400):
    """The shortest sequence found for which `fails(sequence)` is still true, within so many tries."""
    tries = _Tries(fails, budget)
    steps = _fewer(list(steps), tries)
    return _simpler(steps, tries)


def shrink_raw(case, fails, smaller, budget=300):
    """The smallest case found by taking the first of `smaller(case)` that still fails, again and again."""
    tries = _Tries(fails, budget)
    while True:
        found = next((other for other in smaller(case) if _is_less(other, case) and tries(other)), None)
        if found is None:
            return case
        case = found


def _is_less(one, other):
    return (len(one.parts), len(one.pieces)) < (len(other.parts), len(other.pieces))


class _Tries:
    def __init__(self, fails, budget):
        self.fails = fails
        self.left = budget

    def __call__(self, steps):
        """Whether it fails, `steps` being a sequence or a case of raw bytes."""
        if self.left <= 0 or not steps:
            return False
        self.left -= 1
        return self.fails(steps)


def _fewer(steps, fails):
    """Delta debugging: leaves out halves, quarters and so on, then single steps."""
    size = max(1, len(steps) // 2)
    while True:
        at, shrunk = 0, False
        while at < len(steps):
            shorter = steps[:at] + steps[at + size :]
            if fails(shorter):
                steps, shrunk = shorter, True
            else:
                at += size
        if size == 1 and not shrunk:
            return steps
        size = max(1, size // 2) if not shrunk or size > 1 else 1


def _simpler(steps, fails):
    """One connection for all, and short values for long ones."""
    for at, step in enumerate(steps):
        for simple in _simple_forms(step):
            changed = [*steps[:at], simple, *steps[at + 1 :]]
            if fails(changed):
                steps = changed
                break
    return steps


def _simple_forms(step):
    if step.connection != 0:
        yield dataclasses.replace(step, connection=0)
    if isinstance(step, commands.Call):
        for at, word in enumerate(step.words):
            # Numbers stay: a shorter lifetime would be another case, and an unsteady one.
            if len(word) > 8 and not word.isdigit():
                yield dataclasses.replace(step, words=(*step.words[:at], word[:1], *step.words[at + 1 :]))
