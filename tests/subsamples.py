#!/usr/bin/env python3
"""Verdicts on random subsets of 10 and of 20 models of the curves of many families: how often little data still decide.

    python3 tests/subsamples.py ONSET [OUT [PROTOTYPE.py]]

ONSET is the program; OUT, by default a temporary directory, keeps its input and its analysis. 30 subsets of each curve and size, seed 1.
The prototype of the analyzer, which is not part of this repository and needs numpy and scipy, judges the same subsets where it is given.
"""
import collections, csv, json, os, random, subprocess, sys, tempfile

here = os.path.dirname(os.path.abspath(__file__))
SIZES, SUBSETS = (10, 20), 30
EMERGENT, BREAKTHROUGH = ("emergent", "emergent_last_point"), "breakthrough_from_plateau"
# A column and the names that it has in the files.
COLUMNS = {
    "task": ("task",), "model": ("model",), "flops": ("flops", "train_flops"), "score": ("score", "accuracy"),
    "n": ("n_examples", "n_questions"), "random_score": ("random_score", "random_baseline"),
}


def subsets(curves):
    rng = random.Random(1)
    for task, rows in curves.items():
        for size in SIZES:
            for number in range(SUBSETS):
                for row in rng.sample(rows, size):
                    # A family of one model is no curve of its own: only the pooled one is judged.
                    yield dict(row, task=f"{task}~{size}~{number:02}", family=row["model"])


curves = collections.defaultdict(list)
for name in ("expemergence", "obsscaling_emergent"):
    for row in csv.DictReader(open(f"{here}/data/{name}.csv", newline="")):
        row = {column: next((row[n] for n in names if row.get(n)), "") for column, names in COLUMNS.items()}
        if row["flops"]:
            curves[row["task"]].append(row)

out = sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp()
os.makedirs(out, exist_ok=True)
with open(f"{out}/subsamples.csv", "w", newline="") as file:
    writer = csv.DictWriter(file, ["task", "family", *list(COLUMNS)[1:]])
    writer.writeheader()
    writer.writerows(subsets(curves))
subprocess.run([sys.argv[1], "analyze", f"{out}/subsamples.csv", "--pool", "families", "--out", out, "-q"], check=True, stdout=subprocess.DEVNULL)

found = {"onset": f"{out}/subsamples/analysis.json"}
if len(sys.argv) > 3:
    found["prototype"] = f"{out}/prototype.json"
    subprocess.run([sys.executable, sys.argv[3], f"{out}/subsamples.csv", found["prototype"]], check=True, stdout=subprocess.DEVNULL)

verdicts = collections.defaultdict(collections.Counter)
for program, path in found.items():
    for curve in json.load(open(path))["curves"]:
        if curve["family"] == "*":
            task, size, _ = curve["task"].split("~")
            verdicts[task, int(size), program][curve["verdict"]] += 1
print("| curve | models | judged by | emergent, or at the last point | breakthrough from a plateau | either | the rest |\n|---|---|---|---|---|---|---|")
for (task, size, program), count in sorted(verdicts.items()):
    total = count.total()
    emergent, breakthrough = sum(count[v] for v in EMERGENT) / total, count[BREAKTHROUGH] / total
    rest = ", ".join(f"{n} {v}" for v, n in count.most_common() if v not in (*EMERGENT, BREAKTHROUGH)) or "none"
    print(f"| {task} | {size} of {len(curves[task])} | {program} | {emergent:.2f} | {breakthrough:.2f} | {emergent + breakthrough:.2f} | {rest} |")
