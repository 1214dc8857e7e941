#!/usr/bin/env python3
"""Agreement of verdicts with three independent readers of the same curves: tests/data/readers.csv.

    onset analyze tests/data/bigg_3shot.csv --pool families --out OUT        (and the two other files)
    python3 tests/readers.py OUT

A curve counts as emergent when its verdict is emergent or emergent_last_point. Intervals: bootstrap over curves, 2,000, seed 1.
"""
import csv, json, math, os, random, sys

here = os.path.dirname(os.path.abspath(__file__))
out = sys.argv[1]
EMERGENT = ("emergent", "emergent_last_point")


def kappa(pairs):
    n = len(pairs)
    agree = sum(a == b for a, b in pairs) / n
    by_chance = sum(
        (sum(a == v for a, _ in pairs) / n) * (sum(b == v for _, b in pairs) / n) for v in {v for p in pairs for v in p}
    )
    return float("nan") if by_chance == 1 else (agree - by_chance) / (1 - by_chance)


def auc(scored):
    positive = [s for s, label in scored if label]
    negative = [s for s, label in scored if not label]
    if not positive or not negative:
        return float("nan")
    wins = sum((p > q) + 0.5 * (p == q) for p in positive for q in negative)
    return wins / len(positive) / len(negative)


def interval(rows, figure):
    rng = random.Random(1)
    values = [figure([rng.choice(rows) for _ in rows]) for _ in range(2000)]
    values = sorted(v for v in values if not math.isnan(v))
    return f"[{values[int(.025 * len(values))]:.2f}, {values[int(.975 * len(values))]:.2f}]"


curves = {}
for name in ("bigg_3shot", "expemergence", "obsscaling_emergent"):
    for curve in json.load(open(f"{out}/{name}/analysis.json"))["curves"]:
        key = (name + ".csv", curve["task"], curve["metric"])
        # The readers saw all families of a file as one curve.
        if key not in curves or curve["family"] == "*":
            curves[key] = curve

rows = []
for reader in csv.DictReader(open(f"{here}/data/readers.csv")):
    found = [c for (f, t, m), c in curves.items() if f == reader["file"] and t == reader["task"] and (not reader["metric"] or m == reader["metric"])]
    if len(found) != 1:
        sys.exit(f"{reader['file']} {reader['task']}: {len(found)} curves")
    rows.append((reader, found[0]))

majority = lambda reader: int(reader["readers_emergent"]) >= 2
is_emergent = lambda curve: curve["verdict"] in EMERGENT
binary = lambda rows: kappa([(majority(r), is_emergent(c)) for r, c in rows])
all_words = lambda rows: kappa([(r["verdict"], c["verdict"]) for r, c in rows])
ranked = lambda rows: auc([(c["emergence"], majority(r)) for r, c in rows])
print(f"curves {len(rows)}, emergent by the majority {sum(majority(r) for r, _ in rows)}")
print(f"AUC of emergence {ranked(rows):.3f} {interval(rows, ranked)}")
print(f"kappa, emergent or not {binary(rows):.3f} {interval(rows, binary)}")
print(f"kappa, all verdicts {all_words(rows):.3f} {interval(rows, all_words)}")
errors = []
for reader, curve in rows:
    if reader["onset_log10_flops"] and curve["onset"]["knee"]:
        errors.append((float(reader["onset_log10_flops"]), {k: curve["onset"][k] and math.log10(curve["onset"][k]) for k in ("below", "above", "knee", "low", "high")}))
if errors:
    for name in ("knee", "above"):
        found = [abs(e[name] - at) for at, e in errors if e[name]]
        mean = lambda values: sum(values) / len(values)
        print(f"onset, {name}: mean |error| {mean(found):.2f} {interval(found, mean)} decades over {len(found)}")
    inside = sum(e["low"] <= at <= e["high"] for at, e in errors)
    print(f"reader's onset inside the 95 % interval: {inside} of {len(errors)}")
# Wei et al. 2022 read these labels from curves of other models, so that agreement with them is reported and not sought. What emerges
# with PaLM alone does so beyond the sizes of these curves.
labels = {row["task"]: row["wei2022_label"] for row in csv.DictReader(open(f"{here}/data/bigg_3shot.csv"))}
labelled = [(r, c, labels[r["task"]] == "emergent_gpt3_lamda") for r, c in rows if labels.get(r["task"])]


def of_part(part):
    # The prototype has no such parts.
    values = [(next((e["value"] for e in c.get("evidence", []) if e["part"] == part), None), label) for _, c, label in labelled]
    return [(value, label) for value, label in values if value is not None]


against = {"emergence": [(c["emergence"], label) for _, c, label in labelled]}
against["the readers"] = [(int(r["readers_emergent"]), label) for r, _, label in labelled]
against |= {part: found for part in ("breakthroughness", "linearity") if (found := of_part(part))}
print(f"\nAUC against the labels of Wei et al. 2022, {len(labelled)} tasks of which {sum(label for *_, label in labelled)} are emergent:")
for name, scored in against.items():
    print(f"  {name} {auc(scored):.2f} {interval(scored, auc)}")
print("\ndisagreements (readers' verdicts | verdict, emergence | scores):")
for reader, curve in rows:
    if reader["verdict"] != curve["verdict"]:
        scores = " ".join(f"{p['score']:.2f}" for p in curve["points"][:14]) + (" .." if len(curve["points"]) > 14 else "")
        mark = "!" if majority(reader) != is_emergent(curve) else " "
        print(f"{mark} {reader['task'][:30]:30} {reader['verdicts']} | {curve['verdict']} {curve['emergence']:.2f} | c={curve['chance']:.2f} n={curve['points'][0]['n']} {scores}")
