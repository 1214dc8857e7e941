"""What `samples = "until-resolved"` saves and what it costs, on the built-in ladder: for each seed a run of a fixed number of samples, then one until the
verdicts are settled, which finds its replies in the store. Prints a table for docs/science.md.

    python3 tests/until_resolved.py ONSET DIRECTORY [SEEDS]
"""

import json
import pathlib
import subprocess
import sys

SAMPLES = 400
# Verdicts of all kinds: artefacts of the metric, transitions, growth, chance.
TASKS = ["addition-2", "multiplication-3", "copy-8", "lookup-1", "unscramble", "lookup-3", "order-6"]


def run(program, directory, seed, *more):
    """The verdict of every curve of an all-or-nothing metric, which samples are spent on, and the number of scored records."""
    tasks, prompts = json.dumps(TASKS), '["few-shot"]'
    arguments = ["run", "-q", "--set", f"tasks={tasks}", "--set", f"prompts={prompts}", "--set", f"seed={seed}", *more]
    subprocess.run([program, *arguments], cwd=directory, check=True, capture_output=True)
    analysis = json.loads((directory / "results/latest/analysis.json").read_text())
    discontinuous = [curve for curve in analysis["curves"] if curve["discontinuous"]]
    verdicts = {(curve["task"], curve["prompt"], curve["metric"]): curve["verdict"] for curve in discontinuous}
    return verdicts, sum(point["n"] for curve in discontinuous for point in curve["points"])


def main(program, directory, seeds):
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.toml").write_text((pathlib.Path(__file__).parent.parent / "config.toml").read_text())
    print("| seed | verdicts that are the same | scored records | of those of the fixed number |\n|---|---|---|---|", flush=True)
    same = total = fewer = all_records = 0
    differing, of_fixed = [], {}
    for seed in range(1, seeds + 1):
        fixed, records = run(program, directory, seed, "--samples", str(SAMPLES))
        settled, spent = run(program, directory, seed, "--until-resolved", "--max-samples", str(SAMPLES))
        for curve, verdict in fixed.items():
            of_fixed.setdefault(curve, []).append(verdict)
        equal = [curve for curve in fixed if settled[curve] == fixed[curve]]
        differing += [(seed, curve, fixed[curve], settled[curve]) for curve in fixed if settled[curve] != fixed[curve]]
        print(f"| {seed} | {len(equal)} of {len(fixed)} | {spent:,} | {spent / records:.0%} |", flush=True)
        same, total, fewer, all_records = same + len(equal), total + len(fixed), fewer + spent, all_records + records
    print(f"| all | {same} of {total} | {fewer:,} | {fewer / all_records:.0%} |")
    usual = sum(max(verdicts.count(verdict) for verdict in verdicts) for verdicts in of_fixed.values())
    print(f"of the fixed number {usual} of {total} verdicts are the most frequent of their curve over the seeds")
    for seed, curve, fixed, settled in differing:
        print(f"seed {seed}: {' '.join(curve)}: {fixed} of {SAMPLES} samples, {settled} until resolved")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve(), int(sys.argv[3]) if len(sys.argv) > 3 else 20)
