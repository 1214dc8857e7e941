#!/usr/bin/env python3
"""Writes pythia_final.csv: the final checkpoints of Pythia with the chance level of every task, in the columns that `onset analyze` reads.

    python3 tests/data/pythia.py ORIGINAL.csv > tests/data/pythia_final.csv

The original has one line per model, task, shots and metric: model, family, params, tokens, flops, task, shots, metric, value, stderr and
n_examples_est, gathered from the published result files. Chance is that of a blind guess among the options of the format.
"""
import csv, sys

OPTIONS = {
    "arc_challenge": 4, "arc_easy": 4, "blimp": 2, "boolq": 2, "copa": 2, "hellaswag": 4, "hendrycks": 4, "hendrycksTest": 4, "logiqa": 4, "mmlu": 4,
    "openbookqa": 4, "piqa": 2, "race": 4, "sciq": 4, "swag": 4, "winogrande": 2, "wsc": 2,
}
# The answer is generated, and a guess is never right.
OPEN = ("lambada", "triviaqa", "arithmetic", "drop", "webqs", "naturalqs")
COLUMNS = ("task", "family", "model", "params", "tokens", "flops", "shots", "metric", "score", "n", "random_score")


def chance(task, metric):
    if not metric.startswith(("acc", "em", "exact")):
        return ""  # A perplexity, say.
    options = OPTIONS.get(task) or OPTIONS.get(task.split("-")[0]) or OPTIONS.get(task.split("_")[0])
    if options:
        return 1 / options
    return 0 if task.startswith(OPEN) else ""


def items(row):
    """The number of items; where it is not given, the one that has this standard error (of a sample, so n - 1)."""
    if row["n_examples_est"]:
        return row["n_examples_est"]
    score, error = float(row["value"]), float(row["stderr"] or 0)
    return round(score * (1 - score) / error**2 + 1) if error and 0 < score < 1 else ""


rows = [
    dict(row, score=row["value"], n=items(row), random_score=chance(row["task"], row["metric"]))
    for row in csv.DictReader(open(sys.argv[1], newline=""))
]
rows.sort(key=lambda row: (row["task"], row["metric"], int(row["shots"]), float(row["params"])))
writer = csv.DictWriter(sys.stdout, COLUMNS, extrasaction="ignore", lineterminator="\n")
writer.writeheader()
writer.writerows(rows)
no_chance = {(row["task"], row["metric"]) for row in rows if row["random_score"] == ""}
print(f"{len(rows)} lines; without a chance: {', '.join(map(' '.join, sorted(no_chance))) or 'none'}", file=sys.stderr)
