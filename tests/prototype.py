#!/usr/bin/env python3
"""Times `onset analyze` beside the prototype of the analyzer on the readers' 51 curves, and alone on 1,000 made curves of 12 models.

    python3 tests/prototype.py ONSET [PROTOTYPE.py]

ONSET is the program. The prototype, which is not part of this repository, needs numpy and scipy: run the script with a Python that has them.
Both get the same files. Seconds are those of the processor, user and system, of all threads; the program's include its report.
"""
import collections, csv, json, math, os, random, resource, subprocess, sys, tempfile, time

here = os.path.dirname(os.path.abspath(__file__))
FIELDS = ["task", "family", "model", "flops", "metric", "score", "n", "random_score"]


def timed(name, curves, command):
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - start
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"| {name} | {curves} | {seconds:.1f} | {seconds / curves:.3f} | {wall:.1f} |", flush=True)


def write(path, rows):
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def published(name, pooled):
    """The curves that the readers saw, in the columns that both programs know."""
    for row in csv.DictReader(open(f"{here}/data/{name}.csv", newline="")):
        flops, n = row.get("flops") or row.get("train_flops"), row.get("n_examples") or row.get("n_questions")
        if not flops:
            continue
        exact = int(row["n_correct"]) / int(n) if row.get("n_correct") else row.get("score") or row.get("accuracy")
        chance = row.get("random_score") or row.get("random_baseline")
        # A family of one model is no curve of its own, so that neither program judges families one by one.
        family = row["model"] if pooled else row["family"]
        yield dict(zip(FIELDS, (row["task"], family, row["model"], flops, row.get("metric", "accuracy"), exact, n, chance)))


def made(curves, models=12, decades=4.5):
    """Curves of ten shapes in turn; chance, items and gain are drawn, and so is a shift of .15 decades of every model."""
    rng = random.Random(1)
    for number in range(curves):
        chance, n = rng.choice((0.0, 0.25, 0.5)), rng.choice((50, 200, 1000))
        gain, knee, above = (1 - chance) * rng.uniform(0.15, 1), rng.uniform(0.4, 0.8) * decades, rng.uniform(0.1, 0.3) * (1 - chance)
        logistic = lambda width: lambda x: chance + gain / (1 + math.exp((knee + 2.2 * width - x) / width))
        shapes = [
            lambda x: chance,
            lambda x: chance + above,
            lambda x: chance + gain * x / decades,
            lambda x: chance + above + (gain - above) * max(0, x / decades) if gain > above else chance + above,
            logistic(1.0),
            logistic(0.4),
            logistic(0.1),
            lambda x: chance + gain * max(0, x - knee) / (decades - knee),
            lambda x: chance + (gain if x > knee else 0),
            lambda x: chance + gain * (1 - x / decades),
        ]
        for model in range(models):
            x = decades * model / (models - 1)
            rate = min(max(shapes[number % len(shapes)](x + rng.gauss(0, 0.15)), 0), 1)
            score = sum(rng.random() < rate for _ in range(n)) / n
            yield dict(zip(FIELDS, (f"made-{number:04}", "made", f"made-{model:02}", 10 ** (18 + x), "accuracy", score, n, chance)))


def readers_form(path, out):
    """The prototype's output as tests/readers.py reads it."""
    rows = collections.defaultdict(list)
    for row in csv.DictReader(open(path, newline="")):
        rows[row["task"], row["metric"]].append({"score": float(row["score"]), "n": int(row["n"] or 200), "x": float(row["flops"])})
    found = json.load(open(f"{out}.json"))
    for curve in found["curves"]:
        curve["points"] = sorted(rows[curve["task"], curve["metric"]], key=lambda point: point["x"])
        curve["onset"] = curve["onset"] or dict.fromkeys(("below", "above", "knee", "low", "high"))
    os.makedirs(out)
    json.dump(found, open(f"{out}/analysis.json", "w"))


onset, prototype = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None
names = {"bigg_3shot": False, "expemergence": True, "obsscaling_emergent": True}
with tempfile.TemporaryDirectory() as out:
    print("| program and curves | curves | processor seconds | a curve | wall |\n|---|---|---|---|---|")
    for name, pooled in names.items():
        rows = list(published(name, pooled))
        curves = len({row["task"] for row in rows})
        write(f"{out}/{name}.csv", rows)
        pool = ["--pool", "families"] if pooled else []
        timed(f"onset, {name}", curves, [onset, "analyze", f"{out}/{name}.csv", *pool, "--out", f"{out}/onset", "-q"])
        if prototype:
            timed(f"prototype, {name}", curves, [sys.executable, prototype, f"{out}/{name}.csv", f"{out}/prototype.{name}.json"])
    write(f"{out}/made.csv", made(1000))
    timed("onset, made curves of 12 models", 1000, [onset, "analyze", f"{out}/made.csv", "--out", f"{out}/onset", "-q"])
    if prototype:
        os.makedirs(f"{out}/prototype")
        for name in names:
            os.rename(f"{out}/prototype.{name}.json", f"{out}/prototype/{name}.json")
            readers_form(f"{out}/{name}.csv", f"{out}/prototype/{name}")
    for program in ["onset"] + ["prototype"] * bool(prototype):
        print(f"\n{program} against the readers:")
        said = subprocess.run([sys.executable, f"{here}/readers.py", f"{out}/{program}"], check=True, capture_output=True, text=True)
        print(said.stdout.split("\n\n")[0])
