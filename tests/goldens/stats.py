"""Writes stats.json: known values of the kernels in src/stats, from scipy and statsmodels."""
import itertools
import json
import pathlib

import numpy as np
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

out = {"wilson": [], "tails": [], "bh": [], "armitage": [], "permutation": [], "bootstrap": [], "beta_binomial": []}
for k, n in [(0, 10), (1, 200), (7, 20), (100, 200), (200, 200), (3, 3), (499, 1000)]:
    low, high = proportion_confint(k, n, method="wilson")
    out["wilson"].append([k, n, max(low, 0.0), min(high, 1.0)])
for k, n, p in [(0, 10, 0.3), (3, 10, 0.3), (10, 10, 0.3), (4, 200, 0.005), (130, 200, 0.5), (80, 200, 0.5), (7, 1000, 0.011)]:
    upper = stats.binomtest(k, n, p, alternative="greater").pvalue
    lower = stats.binomtest(k, n, p, alternative="less").pvalue
    out["tails"].append([k, n, p, upper, lower])
for p in [[0.01, 0.02, 0.03, 0.04, 0.05], [0.9, 0.001, 0.2, 0.04], [0.5], [0.03, 0.03, 0.8]]:
    out["bh"].append([p, list(multipletests(p, method="fdr_bh")[1])])
for x, k, n in [([0, 1, 2, 3], [1, 3, 8, 12], [20, 20, 20, 20]), ([0, 1, 3], [9, 7, 2], [30, 40, 25])]:
    # Equal to N r^2 of the score and the outcome, item by item: the textbook identity.
    xs = np.concatenate([np.repeat(a, b) for a, b in zip(x, n)])
    ys = np.concatenate([[1] * a + [0] * (b - a) for a, b in zip(k, n)])
    z = np.sqrt(len(xs)) * np.corrcoef(xs, ys)[0, 1]
    out["armitage"].append([x, k, n, float(stats.norm.sf(z)), float(stats.norm.cdf(z))])
for x, y in [([1, 2, 3, 4], [0, 1, 2, 5]), ([3, 1, 2, 5, 4], [0.5, 0.1, 0.9, 0.8, 0.7]), ([1, 1, 2, 3, 4], [1, 2, 2, 3, 2.5])]:
    ranks = stats.rankdata(x)
    seen = float(ranks @ np.array(y))
    draws = [float(ranks @ np.array(order)) for order in itertools.permutations(y)]
    out["permutation"].append([x, y, sum(d >= seen - 1e-9 for d in draws) / len(draws)])
rng = np.random.default_rng(1)
values = [round(float(v), 3) for v in rng.beta(2, 5, size=60)]
ci = stats.bootstrap((values,), np.mean, n_resamples=100_000, method="percentile", rng=rng).confidence_interval
out["bootstrap"].append([values, float(ci.low), float(ci.high)])
for k, n, rate, rho in [(0, 10, 0.3, 0.1), (3, 10, 0.3, 0.1), (10, 10, 0.3, 0.1), (4, 200, 0.005, 0.0023), (130, 200, 0.5, 0.0023), (80, 1000, 0.07, 2e-4), (7, 1000, 0.011, 0.025)]:
    size = 1 / rho - 1
    law = stats.betabinom(n, rate * size, (1 - rate) * size)
    out["beta_binomial"].append([k, n, rate, rho, law.logpmf(k), law.sf(k - 1)])
path = pathlib.Path(__file__).with_name("stats.json")
path.write_text(json.dumps(out, indent=1, default=float) + "\n")
