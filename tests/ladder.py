"""Writes docs/ladder.md and its pictures from the cards of the models and from one run over all of them.

    onset run --out RESULTS --set 'families=[{name="ladder",endpoint="ladder",models=[{name="*"}]}]' --set 'tasks=["*"]' --set 'prompts=["zero-shot","instruction","few-shot","scratchpad","calculator","text-tool"]'
    python3 tests/ladder.py RESULTS/latest/analysis.json models docs [FILE.md ..]

What is in the files named last (the output of tests/servers/agree.py) is put at the end.
"""

import json
import math
import pathlib
import sys

DIRECT, STEPS = "few-shot", "scratchpad"
FORMS = ["few-shot", "instruction", "zero-shot"]
TOOLS = ("calculator", "text-tool")
COLOURS = ["#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb"]

# What the README shows: exact match that leaves zero late while the cross-entropy falls all along; both turning at once; growth from the smallest on; nothing.
CASES = [
    ("multiplication-3", "few-shot", "exact match jumps alone"),
    ("reverse-5", "few-shot", "both jump"),
    ("order-6", "few-shot", "it grows smoothly"),
    ("lookup-3", "few-shot", "it stays at chance"),
]


# Of which sizes that share a loss are compared.
EQUAL = ["addition-3", "copy-8", "unscramble"]


def scale(number):
    exponent = math.floor(math.log10(number))
    return f"{number / 10**exponent:.1f}e{exponent}"


def points(analysis, task, prompt, metric, is_training=False):
    """Every point of the final models, or of the checkpoints too."""
    found = {}
    for curve in analysis["curves"]:
        if (curve["task"], curve["prompt"], curve["metric"]) == (task, prompt, metric):
            for point in curve["points"]:
                if is_training or not curve["is_training"]:
                    found[(point["model"], point["seed"], point["checkpoint"])] = point
    return list(found.values())


def discontinuous(analysis, task):
    return next(curve["metric"] for curve in analysis["curves"] if curve["task"] == task and curve["discontinuous"])


def cell(found):
    """A score, its interval and n; with several seeds the least and the largest of them."""
    scores = [point for point in found if point["score"] is not None]
    if not scores:
        return "–"
    first = min(scores, key=lambda point: point["seed"] or 0)
    words = f"{first['score']:.2f} [{first['low']:.2f}, {first['high']:.2f}] n={first['n']}"
    if len(scores) > 1:
        words += f"; seeds {min(point['score'] for point in scores):.2f} – {max(point['score'] for point in scores):.2f}"
    return words


def cards_table(cards):
    yield "| model | parameters | without embedding | tokens | FLOPs | seed | loss | loss of prose | seconds | weights (BLAKE3) |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for card in cards:
        yield (
            f"| {card['name']} | {card['params']:,} | {card['params_without_embedding']:,} | {card['tokens']:,} | {scale(card['flops'])} | {card['seed']} "
            f"| {card['loss']:.3f} | {card['loss_of_prose']:.3f} | {card['seconds']:,.0f} | `{card['weights'][:12]}` |"
        )


def losses_table(cards):
    first = [card for card in cards if card["name"] == card["rung"]]
    tasks = sorted({task for card in first for task in card["loss_by_task"]})
    yield "| task | " + " | ".join(card["name"].removeprefix("ladder-") for card in first) + " |"
    yield "|---|" + "---|" * len(first)
    for task in tasks:
        yield f"| {task} | " + " | ".join(f"{card['loss_by_task'][task]:.2f}" for card in first) + " |"


def scores_table(analysis, cards, task):
    metric, tool = discontinuous(analysis, task), None
    prompts = {curve["prompt"] for curve in analysis["curves"] if curve["task"] == task}
    tool = next((prompt for prompt in TOOLS if prompt in prompts), None)
    own = [prompt for prompt in (DIRECT, STEPS, tool) if prompt in prompts]
    yield f"**{task}**\n"
    yield "| rung | FLOPs | " + " | ".join(own) + f" | nats per token, {DIRECT} |"
    yield "|---|---|" + "---|" * (len(own) + 1)
    for card in (card for card in cards if card["name"] == card["rung"]):
        names = {other["name"] for other in cards if other["rung"] == card["rung"] and other["step"] is None}
        of = lambda prompt, name: [point for point in points(analysis, task, prompt, name) if point["model"] in names]
        nats = [-point["score"] for point in of(DIRECT, "answer-logprob") if point["score"] is not None]
        said = f"{nats[0]:.2f}" + (f" ({min(nats):.2f} – {max(nats):.2f})" if len(nats) > 1 else "") if nats else "–"
        yield f"| {card['name']} | {scale(card['flops'])} | " + " | ".join(cell(of(prompt, metric)) for prompt in own) + f" | {said} |"


def cases_table(analysis, cases):
    """What the analysis says of the tasks in the picture, and how much of the fall of their cross-entropy lies between two neighbouring sizes."""
    yield "| task | verdict | of its other metrics | cross-entropy | its largest step, of the whole fall, between |"
    yield "|---|---|---|---|---|"
    for task, prompt, _ in cases:
        own = [curve for curve in analysis["curves"] if (curve["task"], curve["prompt"], curve["is_training"]) == (task, prompt, False)]
        curve = next(curve for curve in own if curve["discontinuous"])
        nats = next(curve for curve in own if curve["metric"] == "answer-logprob")
        words = next((part["words"] for part in curve["evidence"] if part["part"] == "metric_artefact"), "–")
        first = sorted((point["x"], point["score"]) for point in nats["points"] if not point["seed"])
        steps = [(after - before, low, high) for (low, before), (high, after) in zip(first, first[1:])]
        step, low, high = max(steps)
        share = step / (first[-1][1] - first[0][1])
        yield f"| {task} | {curve['metric']}: {curve['verdict']} | {words} | {nats['verdict']} | {step:.2f} nats, {share:.0%}, {scale(low)} and {scale(high)} FLOPs |"


def forms_table(analysis):
    """Direct answers by the form of the question: where they leave chance, and the score of the largest model."""
    yield "| task | " + " | ".join(f"{prompt}: from, largest model" for prompt in FORMS) + " |"
    yield "|---|" + "---|" * len(FORMS)
    families = {curve["family"] for curve in analysis["curves"] if not curve["is_training"]}
    for order in analysis["order"]:
        onsets = dict(order["prompts"])
        if order["family"] not in families or not set(FORMS) <= set(onsets):
            continue
        task, cells = order["task"], []
        for prompt in FORMS:
            largest = max(points(analysis, task, prompt, discontinuous(analysis, task)), key=lambda point: point["x"])
            cells.append(f"{'not yet' if onsets[prompt] is None else scale(onsets[prompt])}, {cell([largest])}")
        yield f"| {task} | " + " | ".join(cells) + " |"


def techniques_table(analysis, cards):
    """Where each technique leaves chance, and what it gains over the next at the first model at which it has."""
    scales = {card["flops"]: card["name"] for card in cards if card["name"] == card["rung"]}
    yield "| task | tool | scratchpad | direct | tool - scratchpad, where the tool begins | scratchpad - direct, where scratchpad begins |"
    yield "|---|---|---|---|---|---|"
    families = {curve["family"] for curve in analysis["curves"] if not curve["is_training"]}
    in_order = []
    for order in analysis["order"]:
        task, onsets = order["task"], dict(order["prompts"])
        if order["family"] not in families:
            continue
        tool = next((prompt for prompt in TOOLS if prompt in onsets), None)
        if tool is None or STEPS not in onsets or DIRECT not in onsets:
            continue
        said = lambda prompt: "not yet" if onsets[prompt] is None else scale(onsets[prompt])
        gain = lambda prompt, other: "–" if onsets[prompt] is None else difference(analysis, task, prompt, other, scales.get(onsets[prompt]))
        gains = [gain(tool, STEPS), gain(STEPS, DIRECT)]
        yield f"| {task} | {said(tool)} | {said(STEPS)} | {said(DIRECT)} | {gains[0]} | {gains[1]} |"
        begins = [math.inf if onsets[prompt] is None else onsets[prompt] for prompt in (tool, STEPS, DIRECT)]
        if begins[0] < begins[1] < begins[2] and all(words.startswith("**+") for words in gains):
            in_order.append(task)
    yield f"\nThe tool begins at fewer FLOPs than worked steps, these at fewer than the direct answer, and both differences are significant, in {len(in_order)} tasks: {', '.join(in_order)}."


def difference(analysis, task, prompt, other, model):
    """The paired difference of two prompts at a model; bold where it is significant over all models of the comparison (Holm)."""
    metric = discontinuous(analysis, task)
    for found in analysis["comparisons"]:
        if found["task"] != task or found["metric"] != metric or {found["prompt"], found["baseline"]} != {prompt, other}:
            continue
        sign = 1 if found["prompt"] == prompt else -1
        for point in found["points"]:
            if point["model"] == model and point["difference"] is not None:
                low, high = sorted((sign * point["low"], sign * point["high"]))
                words = f"{sign * point['difference']:+.2f} [{low:+.2f}, {high:+.2f}] n={point['n']}"
                return f"**{words}**" if model in found["better" if sign > 0 else "hurts"] else words
    return "–"


def turning_table(analysis):
    """Prompts that hurt some models and help larger ones, each significantly."""
    families = {curve["family"] for curve in analysis["curves"] if not curve["is_training"]}
    yield "| task | prompt | against | it hurts | it helps |"
    yield "|---|---|---|---|---|"
    for found in analysis["comparisons"]:
        if found["kind"] == "sizes" or found["family"] not in families or found["metric"] != discontinuous(analysis, found["task"]):
            continue
        place = {point["model"]: point["x"] for point in found["points"]}
        if found["hurts"] and found["better"] and max(place[model] for model in found["hurts"]) <= max(place[model] for model in found["better"]):
            short = lambda models: ", ".join(model.removeprefix("ladder-") for model in models)
            yield f"| {found['task']} | {found['prompt']} | {found['baseline']} | {short(found['hurts'])} | {short(found['better'])} |"


def isotonic(pairs):
    """The root of the mean square by which scores differ from the best curve that never falls (pool adjacent violators); of equal places it has one value."""
    by_place = {}
    for place, score in pairs:
        by_place.setdefault(place, []).append(score)
    blocks = []
    for _, scores in sorted(by_place.items()):
        blocks.append([sum(scores) / len(scores), scores])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            scores = blocks[-2][1] + blocks.pop()[1]
            blocks[-1] = [sum(scores) / len(scores), scores]
    return math.sqrt(sum((mean - score) ** 2 for mean, scores in blocks for score in scores) / len(pairs))


def axes_table(analysis, cards, tasks):
    """How well one rising curve over an axis accounts for all models and states during training together."""
    by_name = {card["name"]: card for card in cards if card["seed"] == 0}
    yield "| task | states | over loss | over FLOPs | over tokens | over parameters |"
    yield "|---|---|---|---|---|---|"
    best = {"loss": [], "FLOPs": [], "tokens": [], "parameters": []}
    for task, prompt in tasks:
        found = [point for point in points(analysis, task, prompt, discontinuous(analysis, task), True) if point["model"] in by_name]
        over = lambda axis, sign: isotonic([(sign * by_name[point["model"]][axis], point["score"]) for point in found])
        values = [over("loss", -1), over("flops", 1), over("tokens", 1), over("params", 1)]
        yield f"| {task} | {len(found)} | " + " | ".join(f"{value:.3f}" for value in values) + " |"
        for axis, value in zip(best, values):
            if round(value, 3) == round(min(values), 3):
                best[axis].append(task)
    counts = ", ".join(f"over {axis} in {len(tasks)}" for axis, tasks in best.items())
    yield f"\nScores differ least from one curve {counts} of {len(tasks)} tasks, equals counted for each. What that says of loss as an axis: [science.md](science.md)."


class Picture:
    """Panels side by side, drawn by hand: no library is needed to look at it."""

    WIDTH, HEIGHT, LEFT, GAP, TOP = 250, 170, 50, 62, 48

    def __init__(self, columns, rows):
        self.columns, self.rows, self.parts = columns, rows, []

    def panel(self, column, row, title, label, xs, low, high, log=True):
        left, top = self.LEFT + column * (self.WIDTH + self.GAP), self.TOP + row * (self.HEIGHT + self.GAP)
        place = (lambda x: math.log10(x)) if log else (lambda x: x)
        first, last = place(min(xs)), place(max(xs))
        at_x = lambda x: left + self.WIDTH * (0.04 + 0.92 * (place(x) - first) / (last - first))
        at_y = lambda y: top + self.HEIGHT * (1 - (y - low) / (high - low))
        self.parts.append(f'<rect x="{left}" y="{top}" width="{self.WIDTH}" height="{self.HEIGHT}" fill="none" stroke="#999"/>')
        self.text(left + self.WIDTH / 2, top - 8, title, "middle", 13)
        for y in (low, (low + high) / 2, high):
            self.text(left - 5, at_y(y) + 4, f"{y:.3g}", "end", 11)
        ticks = [10.0**e for e in range(math.ceil(first), math.floor(last) + 1)] if log else [min(xs), max(xs)]
        for x in ticks:
            self.text(at_x(x), top + self.HEIGHT + 15, f"1e{round(math.log10(x))}" if log else f"{x:.2g}", "middle", 11)
        self.text(left + self.WIDTH / 2, top + self.HEIGHT + 30, label, "middle", 11)
        return at_x, at_y

    def text(self, x, y, words, anchor, size, colour="#222"):
        words = words.replace("&", "&amp;").replace("<", "&lt;")
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{colour}">{words}</text>')

    def line(self, places, colour):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        self.parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.6"/>')

    def dot(self, x, y, colour, low=None, high=None):
        if low is not None:
            self.parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{low:.1f}" y2="{high:.1f}" stroke="{colour}" stroke-opacity=".6"/>')
        self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.6" fill="{colour}"/>')

    def svg(self):
        width = self.LEFT + self.columns * (self.WIDTH + self.GAP)
        height = self.TOP + self.rows * (self.HEIGHT + self.GAP) - 20
        head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" font-family="sans-serif">'
        return head + f'<rect width="{width}" height="{height}" fill="#fff"/>' + "".join(self.parts) + "</svg>\n"


def four_cases(analysis, cases):
    """The metric of the verdict above, nats per token of the answer below, over training FLOPs."""
    picture = Picture(len(cases), 2)
    for column, (task, prompt, words) in enumerate(cases):
        scored = sorted(points(analysis, task, prompt, discontinuous(analysis, task)), key=lambda point: point["x"])
        nats = sorted(points(analysis, task, prompt, "answer-logprob"), key=lambda point: point["x"])
        xs = [point["x"] for point in scored]
        at_x, at_y = picture.panel(column, 0, f"{words}: {task}", discontinuous(analysis, task), xs, 0, 1)
        for point in scored:
            picture.dot(at_x(point["x"]), at_y(point["score"]), COLOURS[0], at_y(point["low"]), at_y(point["high"]))
        most = max(-point["score"] for point in nats)
        at_x, at_y = picture.panel(column, 1, "nats per token of the answer", "training FLOPs", xs, 0, math.ceil(most))
        for point in nats:
            picture.dot(at_x(point["x"]), at_y(-point["score"]), COLOURS[1])
    return picture.svg()


def equal_losses(analysis, cards, tasks):
    """Scores over the loss, of states during training and of final models, a colour for each size."""
    by_name = {card["name"]: card for card in cards}
    kept = sorted({card["rung"] for card in cards if card["step"] is not None}, key=lambda rung: by_name[rung]["params"])
    picture = Picture(len(tasks), 1)
    for column, (task, prompt) in enumerate(tasks):
        found = [point for point in points(analysis, task, prompt, discontinuous(analysis, task), True) if point["model"] in by_name]
        own = lambda rung: [point for point in found if by_name[point["model"]]["rung"] == rung and by_name[point["model"]]["seed"] == 0]
        xs = [by_name[point["model"]]["loss"] for rung in kept for point in own(rung)]
        at_x, at_y = picture.panel(column, 0, f"{task}, {prompt}", "held-out loss, nats per token", xs, 0, 1)
        for point in found:
            card = by_name[point["model"]]
            if card["rung"] not in kept and card["seed"] == 0 and min(xs) <= card["loss"] <= max(xs):
                picture.dot(at_x(card["loss"]), at_y(point["score"]), COLOURS[-1])
        for colour, rung in zip(COLOURS, kept):
            line = sorted((by_name[point["model"]]["loss"], point) for point in own(rung))
            picture.line([(at_x(loss), at_y(point["score"])) for loss, point in line], colour)
            for loss, point in line:
                picture.dot(at_x(loss), at_y(point["score"]), colour, at_y(point["low"]), at_y(point["high"]))
    for index, (colour, rung) in enumerate(zip(COLOURS, kept)):
        picture.text(60 + 110 * index, 14, rung, "start", 12, colour)
    picture.text(60 + 110 * len(kept), 14, "other rungs, at their end", "start", 12, COLOURS[-1])
    return picture.svg()


def main(analysis_file, models, out, more):
    analysis = json.loads(pathlib.Path(analysis_file).read_text())
    cards = [json.loads(file.read_text()) for file in pathlib.Path(models).glob("*/card.json")]
    cards.sort(key=lambda card: (card["params"], card["tokens"], card["seed"]))
    out = pathlib.Path(out)
    tasks = list(dict.fromkeys(curve["task"] for curve in analysis["curves"]))
    cases = [case for case in CASES if case[0] in tasks]
    (out / "four-cases.svg").write_text(four_cases(analysis, cases))
    (out / "equal-loss.svg").write_text(equal_losses(analysis, cards, [(task, DIRECT) for task in EQUAL if task in tasks]))
    lines = [
        "# The ladder",
        "",
        "Written by `python3 tests/ladder.py`; the first lines of that file say how. FLOPs are 6 x parameters x tokens, the embedding counted, since it is the",
        "output layer too, and attention over the context not. The loss is the cross-entropy of held-out replies in the mix, that of prose of held-out sentences that ask",
        "nothing: both in nats per token. Every model is made by `onset ladder train --rung RUNG --seed SEED`; seconds are those of the clock, several models side by side on two cores that",
        "did other work too, some stopped for a while.",
        "",
        "## Models",
        "",
        *cards_table(cards),
        "",
        "## Both sides of the debate",
        "",
        "![Four tasks over training FLOPs](four-cases.svg)",
        "",
        "Answered directly after worked examples, all seeds. What the analysis says of them; a metric without a chance, such as cross-entropy, is judged by its trend alone, so that",
        "a step in it is seen in the last column and is no verdict (first seeds):",
        "",
        *cases_table(analysis, cases),
        "",
        "## Cross-entropy of direct answers, nats per token",
        "",
        *losses_table(cards),
        "",
        "## Scores",
        "",
        "Of the first seed with its 95 % interval over items; of several seeds also the least and the largest.",
        "",
    ]
    for task in tasks:
        lines += [*scores_table(analysis, cards, task), ""]
    lines += [
        "## Forms of the question",
        "",
        "Direct answers after worked examples, to an instruction and to the bare question: the training FLOPs of the first size of which all seeds are above chance, and the score of the",
        "largest model.",
        "",
        *forms_table(analysis),
        "",
        "## Techniques",
        "",
        "The training FLOPs of the first size of which all seeds are above chance, and what a technique gains there, at the first seed, over the next one on the same items, with",
        "its 95 % interval; bold where it is significant among all models of the comparison (Holm).",
        "",
        *techniques_table(analysis, cards),
        "",
        "Prompts that hurt small models and help large ones, each significantly:",
        "",
        *turning_table(analysis),
        "",
        "## Sizes that share a loss",
        "",
        "![Scores over the held-out loss, for states during training of several sizes](equal-loss.svg)",
        "",
        "By how much scores differ from the best rising curve (root mean square), over all first seeds and their states during training:",
        "",
        *axes_table(analysis, cards, [(task, DIRECT) for task in tasks if (task, DIRECT) in {(curve["task"], curve["prompt"]) for curve in analysis["curves"]}]),
        "",
    ]
    for file in more:
        lines += [pathlib.Path(file).read_text().rstrip(), ""]
    (out / "ladder.md").write_text("\n".join(lines))


if __name__ == "__main__":
    main(*sys.argv[1:4], sys.argv[4:])
