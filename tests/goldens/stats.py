"""Writes stats.json: known values of the kernels in src/stats, from scipy and statsmodels."""
import itertools
import json
import pathlib

import numpy as np
from scipy import optimize, stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

out = {"wilson": [], "tails": [], "bh": [], "armitage": [], "permutation": [], "bootstrap": [], "beta_binomial": [],
       "holm": [], "mcnemar": [], "paired_interval": [], "paired_mean": [], "imbens_manski": [], "censored": []}
for width, error in [(0.0, 0.02), (0.005, 0.02), (0.02, 0.02), (0.1, 0.03), (1.0, 0.01)]:
    root = optimize.brentq(lambda c: stats.norm.cdf(c + width / error) - stats.norm.cdf(-c) - 0.95, 1.0, 3.0, xtol=1e-14)
    out["imbens_manski"].append([width, error, root])
for seed, limit in [(1, 400.0), (2, 150.0), (3, 3000.0)]:
    lengths = np.round(np.exp(np.random.default_rng(seed).normal(5.5, 0.8, size=80)), 1)
    seen, beyond = [float(x) for x in lengths if x < limit], int((lengths >= limit).sum())
    def loss(parameters):
        law = stats.norm(parameters[0], np.exp(parameters[1]))
        return -(law.logpdf(np.log(seen)).sum() + beyond * law.logsf(np.log(limit)))
    found = optimize.minimize(loss, [5.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-12, "fatol": 1e-13, "maxiter": 20_000}).x
    out["censored"].append([seen, limit, beyond, float(found[0]), float(np.exp(found[1]))])
for k, n in [(0, 10), (1, 200), (7, 20), (100, 200), (200, 200), (3, 3), (499, 1000)]:
    low, high = proportion_confint(k, n, method="wilson")
    out["wilson"].append([k, n, max(low, 0.0), min(high, 1.0)])
for k, n, p in [(0, 10, 0.3), (3, 10, 0.3), (10, 10, 0.3), (4, 200, 0.005), (130, 200, 0.5), (80, 200, 0.5), (7, 1000, 0.011)]:
    upper = stats.binomtest(k, n, p, alternative="greater").pvalue
    lower = stats.binomtest(k, n, p, alternative="less").pvalue
    out["tails"].append([k, n, p, upper, lower])
for p in [[0.01, 0.02, 0.03, 0.04, 0.05], [0.9, 0.001, 0.2, 0.04], [0.5], [0.03, 0.03, 0.8]]:
    out["bh"].append([p, list(multipletests(p, method="fdr_bh")[1])])
    out["holm"].append([p, list(multipletests(p, method="holm")[1])])
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
for gained, lost in [(0, 0), (1, 0), (0, 6), (5, 5), (9, 2), (6, 16), (40, 20), (3, 90), (300, 240)]:
    two_sided = mcnemar([[1, gained], [lost, 1]], exact=True).pvalue
    changed = gained + lost
    better = stats.binomtest(gained, changed, 0.5, alternative="greater").pvalue if changed else 1.0
    worse = stats.binomtest(lost, changed, 0.5, alternative="greater").pvalue if changed else 1.0
    out["mcnemar"].append([gained, lost, two_sided, better, worse])


def tango(gained, lost, n):
    """Tango's interval without his formula: the nuisance parameter is the maximum of the likelihood, found by search."""
    z = stats.norm.ppf(0.975)

    def statistic(d):
        rest = n - gained - lost

        def slope(u):  # of the log-likelihood at probabilities max(d, 0) + u, max(-d, 0) + u and 1 - |d| - 2 u
            terms = [(gained, max(d, 0) + u, 1), (lost, max(-d, 0) + u, 1), (rest, 1 - abs(d) - 2 * u, -2)]
            return sum(factor * items / p for items, p, factor in terms if items)

        # The slope falls; where no item forces it to begin at plus infinity, its maximum may be at the edge.
        most = (1 - abs(d)) / 2
        edge = 1e-14 * most
        if rest == 0:
            u = most
        elif slope(edge) <= 0:
            u = 0.0
        else:
            u = optimize.brentq(slope, edge, most - edge, xtol=1e-300, rtol=1e-15)
        q = max(-d, 0) + u
        return (gained - lost - n * d) / np.sqrt(n * (2 * q + d * (1 - d)))

    seen = (gained - lost) / n
    edge = 1e-9
    low = optimize.brentq(lambda d: statistic(d) - z, -1 + edge, seen, xtol=1e-14) if seen > -1 else -1.0
    high = optimize.brentq(lambda d: statistic(d) + z, seen, 1 - edge, xtol=1e-14) if seen < 1 else 1.0
    return low, high


# Airway hyper-responsiveness and complete response, chapter 8 of Fagerland, Lydersen and Laake 2017 (Statistical Analysis of
# Contingency Tables): they print -0.1240 to -0.0054 for the second, with an exact McNemar of 0.052479.
for gained, lost, n in [(1, 7, 21), (6, 16, 161), (40, 20, 160), (0, 1, 44), (30, 2, 100), (5, 5, 10), (9, 0, 12), (70, 30, 1000)]:
    out["paired_interval"].append([gained, lost, n, *tango(gained, lost, n)])
low, high = out["paired_interval"][1][3:]
assert (round(low, 4), round(high, 4)) == (-0.1240, -0.0054)
assert round(mcnemar([[59, 6], [16, 80]], exact=True).pvalue, 6) == 0.052479
for values in [[0.1, 0.4, -0.2, 0.3, 0.0], [1.5, 2.5], [round(float(v), 3) for v in rng.normal(0.05, 0.3, size=40)]]:
    test = stats.ttest_1samp(values, 0.0)
    interval = test.confidence_interval(0.95)
    out["paired_mean"].append([values, np.mean(values), interval.low, interval.high, test.pvalue])
path = pathlib.Path(__file__).with_name("stats.json")
path.write_text(json.dumps(out, indent=1, default=float) + "\n")
