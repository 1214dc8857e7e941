#!/usr/bin/env python3
"""Counts of verdicts per prompt and metric, and every curve that is said to emerge or to break through, with its scores.

    onset analyze tests/data/pythia_final.csv --out OUT -q
    python3 tests/verdicts.py OUT/pythia_final/analysis.json
"""
import collections, json, sys

curves = [c for c in json.load(open(sys.argv[1]))["curves"] if c["family"] != "*"]
counts = collections.defaultdict(collections.Counter)
for curve in curves:
    counts[curve["prompt"], curve["metric"]][curve["verdict"]] += 1
verdicts = [v for v, _ in collections.Counter(c["verdict"] for c in curves).most_common()]
print("| prompt | metric | curves |", " | ".join(verdicts), "|")
print("|---|---|---|" + "---|" * len(verdicts))
for (prompt, metric), count in sorted(counts.items()):
    print(f"| {prompt} | {metric} | {sum(count.values())} |", " | ".join(str(count[v]) for v in verdicts), "|")
print("\n| task | prompt | metric | verdict | emergence | q | chance | n | scores, by scale |\n|---|---|---|---|---|---|---|---|---|")
for curve in sorted(curves, key=lambda c: (c["prompt"], c["metric"], c["task"])):
    if curve["verdict"] in ("emergent", "emergent_last_point", "breakthrough_from_plateau"):
        scores = " ".join(f"{p['score']:.3f}".lstrip("0") for p in curve["points"])
        q = "" if curve["q_value"] is None else f"{curve['q_value']:.3f}"
        print(f"| {curve['task']} | {curve['prompt']} | {curve['metric']} | {curve['verdict']} | {curve['emergence']:.2f} | {q} | {curve['chance']} | {curve['points'][0]['n']} | {scores} |")
