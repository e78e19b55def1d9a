"""Medians, ratios, and how they are shown and written."""

import json
import os
import statistics


class Result:
    """One scenario's figures, by side and round."""

    def __init__(self, scenario, peer, counts=True):
        self.scenario = scenario
        self.goals = [goal for goal in scenario.goals if goal.holds(peer)]
        # Whether the scale is the real one, so that the goals may be held against the figures.
        self.counts = counts
        self.rounds = {"tenure": [], "peer": []}
        self.foreign = []
        self.failures = []

    def add(self, side, figures, foreign_cores):
        """Takes in one round of one side."""
        self.rounds[side].append({**figures, "foreign cores": foreign_cores})
        self.foreign.append(foreign_cores)

    def fail(self, side, message):
        """Takes in that a side could not be measured."""
        self.failures.append(f"{side}: {message}")

    def median(self, side, figure):
        """The median over the rounds, or none without one."""
        values = [figures[figure] for figures in self.rounds[side] if figures.get(figure) is not None]
        return statistics.median(values) if values else None

    def ratio(self, figure):
        """Tenure's median divided by the peer's, or none."""
        ours, theirs = self.median("tenure", figure), self.median("peer", figure)
        return ours / theirs if ours is not None and theirs else None

    def goal_value(self, goal):
        """The number that a goal bounds."""
        if goal.kind == "ratio":
            return self.ratio(goal.figure)
        return self.median("tenure", goal.figure)

    def unmet(self):
        """Goals that were measured and missed."""
        if not self.counts:
            return []
        return [goal for goal in self.goals if goal.met(self.goal_value(goal)) is False]

    def table(self, names):
        """The figures for people."""
        rounds = max(len(self.rounds["tenure"]), len(self.rounds["peer"]))
        if rounds == 0:
            # Nothing but the failures is left to tell.
            return "\n".join([f"{self.scenario.name}: {self.scenario.about}", *map("  failed: {}".format, self.failures)])
        width = max(14, *(len(name) + 2 for name in names.values()))
        plural = "" if rounds == 1 else "s"
        lines = [f"{self.scenario.name}: {self.scenario.about} ({rounds} round{plural})"]
        lines.append(f"  {'':40}{names['tenure']:>{width}}{names['peer']:>{width}}{'ratio':>9}  goal")
        for figure in self.scenario.shown:
            ours, theirs = self.median("tenure", figure), self.median("peer", figure)
            ratio = self.ratio(figure)
            ratio = "" if ratio is None else f"{ratio:.2f}"
            cells = f"{show(ours):>{width}}{show(theirs):>{width}}{ratio:>9}"
            lines.append(f"  {figure:40}{cells}  {self.verdict(figure)}".rstrip())
        noisiest = max(self.foreign, default=0.0)
        if noisiest > NOISE_CORES:
            lines.append(f"  noisy: others used up to {noisiest:.2f} cores meanwhile")
        lines += [f"  failed: {failure}" for failure in self.failures]
        return "\n".join(lines)

    def verdict(self, figure):
        """What the goal says of a figure, if it has one."""
        for goal in self.goals:
            if goal.figure != figure:
                continue
            met = {True: "met", False: "MISSED", None: "not measured"}[goal.met(self.goal_value(goal))]
            met = met if self.counts else "too small a run to tell"
            what = "ratio " if goal.kind == "ratio" else ""
            return f"{what}{goal.sign} {goal.bound:g}: {met}"
        return ""

    def json(self):
        """Everything, for programs."""
        figures = {figure for side in self.rounds.values() for one in side for figure in one}
        return {
            "counts": self.counts,
            "name": self.scenario.name,
            "about": self.scenario.about,
            "sync": self.scenario.sync,
            "shown": self.scenario.shown,
            "noisiest": max(self.foreign, default=None),
            "rounds": self.rounds,
            "medians": {
                side: {figure: self.median(side, figure) for figure in sorted(figures)} for side in self.rounds
            },
            "ratios": {figure: self.ratio(figure) for figure in sorted(figures)},
            "goals": [
                {
                    "figure": goal.figure,
                    "kind": goal.kind,
                    "bound": f"{goal.sign} {goal.bound:g}",
                    "value": self.goal_value(goal),
                    "met": goal.met(self.goal_value(goal)),
                }
                for goal in self.goals
            ],
            "failures": self.failures,
        }


def markdown(document):
    """A results file as tables for docs/benchmarks.md."""
    names, about = document["names"], document["machine"]
    lines = [
        f"{document['at']}, commit `{document['commit']}`: {about['cores']} cores of {about['cpu']},"
        f" {about['memory_gib']} GiB, Linux {about['kernel']}; {names['tenure']} against {names['peer']}.",
        "",
        f"| scenario | figure | {names['tenure']} | {names['peer']} | ratio | goal | |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for scenario in document["scenarios"]:
        goals = {goal["figure"]: goal for goal in scenario["goals"]}
        for figure in scenario["shown"]:
            ours, theirs = (scenario["medians"][side].get(figure) for side in ("tenure", "peer"))
            if ours is None and theirs is None:
                continue
            ratio = scenario["ratios"].get(figure)
            goal = goals.get(figure)
            bound = ("ratio " if goal["kind"] == "ratio" else "") + goal["bound"] if goal else ""
            met = {True: "met", False: "**missed**", None: ""}[goal["met"]] if goal else ""
            ratio = "" if ratio is None else f"{ratio:.2f}"
            cells = [scenario["name"], figure, show(ours), show(theirs), ratio, bound, met]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


# Cores used by others from which a figure is called noisy.
NOISE_CORES = 0.10


def show(value):
    """A number in few digits."""
    if value is None:
        return "-"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 1 else f"{value:.2f}"


def write(path, document):
    """Writes JSON so that a reader never sees half of it."""
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    part = f"{path}.part"
    with open(part, "w", encoding="utf-8") as file:
        json.dump(document, file, indent=1)
        file.write("\n")
    os.replace(part, path)
