"""Reference values for the scorers, in plain Python, written next to this file as scorers.json.

    python3 tests/goldens/scorers.py

The implementations follow the definitions, not the Rust code: recursion for the edit distance, fractions for shares,
decimal arithmetic for equality.
"""

import functools
import json
import math
import pathlib
import random
import re
import unicodedata
from decimal import Decimal, getcontext
from fractions import Fraction

NUMBER = re.compile(r"[-+\u2212]?(?=\.?[0-9])([0-9]{1,3}(,[0-9]{3})+|[0-9]*)(\.[0-9]*)?")
getcontext().prec = 100  # longer than any number below, so that nothing is rounded


def number(text):
    """The number as written, without plus sign and grouping, or None."""
    text = text.strip()
    if not NUMBER.fullmatch(text):
        return None
    return text.replace(",", "").replace("\u2212", "-").lstrip("+").removesuffix(".")


def canonical(text, kind):
    text = unicodedata.normalize("NFC", text.strip())
    if kind == "number":
        return number(text) or text
    return text


def edit_distance(a, b):
    @functools.cache
    def distance(i, j):
        if i == 0 or j == 0:
            return i + j
        same = a[i - 1] == b[j - 1]
        return min(distance(i - 1, j) + 1, distance(i, j - 1) + 1, distance(i - 1, j - 1) + (not same))

    longer = max(len(a), len(b))
    return 1 - Fraction(distance(len(a), len(b)), longer) if longer else Fraction(1)


def places(a, b):
    longer = max(len(a), len(b))
    return Fraction(sum(x == y for x, y in zip(a, b)), longer) if longer else Fraction(1)


def digit_accuracy(answer, target):
    (a_whole, _, a_part), (b_whole, _, b_part) = answer.partition("."), target.partition(".")
    width = max(len(a_part), len(b_part))
    return places((a_whole + a_part.ljust(width, "0"))[::-1], (b_whole + b_part.ljust(width, "0"))[::-1])


def replies():
    rng = random.Random(20261103)
    fixed = [
        ("number", "1,234", "+1234"), ("number", "-0", "0.0"), ("number", ".5", "0.50"), ("number", "7.", "7"),
        ("number", "1,5", "15"), ("number", "", "5"), ("number", "12 apples", "12"), ("number", "\u22125", "-5"),
        ("number", "9" * 40, "9" * 39 + "8"), ("text", "kitten", "sitting"), ("text", "", "abc"), ("text", "", ""),
        ("text", "cafe\u0301", "caf\u00e9"), ("text", "\u65e5\u672c", "\u65e5\u672c\u8a9e"), ("text", "a b", "a  b"),
    ]
    yield from fixed
    for _ in range(150):
        target = str(rng.randint(-10**6, 10**6))
        answer = list(target)
        for _ in range(rng.randint(0, 3)):
            where = rng.randrange(len(answer) + 1)
            answer[where : where + rng.randint(0, 1)] = rng.choice(["", *"0123456789.,-"])
        yield "number", "".join(answer), target
    for _ in range(150):
        draw = lambda: "".join(rng.choice("abc \u00fc\u4e2d") for _ in range(rng.randint(0, 9)))
        yield "text", draw(), draw()


def judged(kind, answer, target):
    a, b = canonical(answer, kind), canonical(target, kind)
    scores = {"exact-match": float(a == b), "edit-distance": float(edit_distance(a, b))}
    if kind == "text":
        scores["character-accuracy"] = float(places(a, b))
    else:
        a, b = number(answer), number(target)
        scores["numeric-equality"] = float(a is not None and Decimal(a) == Decimal(b))
        scores["digit-accuracy"] = float(digit_accuracy(a, b)) if a is not None else 0.0
    return {"kind": kind, "answer": answer, "target": target, "scores": scores}


def brier():
    rng = random.Random(1950)
    for count in [2, 3, 4, 5] * 10:
        logprobs = [-rng.expovariate(0.2) for _ in range(count)]
        right = rng.randrange(count)
        total = math.fsum(map(math.exp, logprobs))
        squares = math.fsum((math.exp(x) / total - (k == right)) ** 2 for k, x in enumerate(logprobs))
        yield {"logprobs": logprobs, "right": right, "score": 1 - squares / 2}


def first_largest(figures):
    return max(range(len(figures)), key=lambda index: (figures[index], -index))


def multiple_choice():
    """As lm-evaluation-harness, api/task.py, process_results of multiple choice: argmax of the log-likelihoods, divided by characters, by
    bytes, or less the unconditional ones."""
    rng = random.Random(2021)
    for count in [2, 3, 4, 5] * 15:
        options = []
        while len(options) < count:
            word = "".join(rng.choice("ab \u00fc\u4e2d") for _ in range(rng.randint(1, 12))).strip()
            if word and word.lower() not in [option.lower() for option in options]:
                options.append(word)
        logprobs = [-float(rng.randint(1, 12)) for _ in range(count)]
        domain = [-float(rng.randint(1, 12)) for _ in range(count)]
        right = rng.randrange(count)
        figures = {
            "acc": logprobs,
            "acc-norm": [x / len(option) for x, option in zip(logprobs, options)],
            "acc-bytes": [x / len(option.encode()) for x, option in zip(logprobs, options)],
            "acc-mutual-info": [x - y for x, y in zip(logprobs, domain)],
        }
        scores = {name: float(first_largest(own) == right) for name, own in figures.items()}
        yield {"options": options, "logprobs": logprobs, "domain": domain, "right": right, "scores": scores}


if __name__ == "__main__":
    goldens = {
        "replies": [judged(*reply) for reply in replies()], "brier": list(brier()), "multiple_choice": list(multiple_choice()),
    }
    place = pathlib.Path(__file__).with_suffix(".json")
    place.write_text(json.dumps(goldens, indent=1) + "\n")
