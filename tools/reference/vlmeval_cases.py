"""Random rows, prompts and replies for each benchmark, as cases that both scorers answer."""

import ast
import random
from pathlib import Path
from typing import Any

import vlmeval_texts as texts
from vlmeval_original import encode
from vlmeval_texts import pick

Case = dict[str, Any]
Cells = dict[str, Any]
# A benchmark and how it is scored: without a judge, with one, or by WeMath's direct parser.
PATHS = [
    ("HRBench4K", "exact"), ("HRBench4K", "judge"), ("MMStar", "exact"), ("MMStar", "judge"),
    ("MME-RealWorld-Lite", "exact"), ("MathVista_MINI", "judge"), ("WeMath", "direct"),
    ("WeMath", "judge"), ("POPE", "exact"), ("POPE", "judge"),
]  # fmt: skip
MATHVISTA_CALLS, POPE_CALLS, CHOICE_CALLS = 5, 5, 3
SUBTASKS = [
    "Monitoring", "Autonomous_Driving", "OCR with Complex Context", "Diagram and Table",
    "Remote Sensing",
]  # fmt: skip
TEMPLATE = (
    "Regarding the format, please answer following the template below, and be sure to include two "
    "<> symbols:\n<Thought process>: <<your thought process>> <Answer>: <<your option>>"
)


def encoded(cells: Cells) -> Cells:
    """Returns cells as the cases file holds them."""
    return {name: encode(cell) for name, cell in cells.items()}


def question(rng: random.Random) -> str:
    """Returns a question, now and then in Chinese or with odd letters."""
    return pick(
        rng,
        lambda: texts.sentence(rng, 8) + "?",
        lambda: texts.sentence(rng, 8),
        lambda: f"{texts.sentence(rng, 3)} 图中最主要的物体是什么 {texts.piece(rng)}",
        lambda: rng.choice(["一", "龥", "鿿", "ꀀ", "䷿", "㐀", "𠀀", "、", "%s {} {0} $&"]) + "x?",
        lambda: texts.jumble(rng),
        lambda: f"{texts.sentence(rng, 4)}\n{TEMPLATE}{rng.choice(['', ' ', TEMPLATE])}",
    )


def options(rng: random.Random, most: int) -> dict[str, Any]:
    """Returns options by letter; some are missing in the middle, some look alike."""
    letters = list("ABCDEFGH"[: rng.randint(2, most)])
    if rng.random() < 0.2:
        letters = sorted(rng.sample("ABCDEFGHIKXZ", rng.randint(0, 5)))
    made: dict[str, Any] = {}
    for letter in letters:
        seen = [str(cell) for cell in made.values()]
        near = rng.random()
        if seen and near < 0.1:
            made[letter] = rng.choice(seen) + rng.choice(["", "s", " x", "0"])
        elif seen and near < 0.15:
            made[letter] = rng.choice(seen)[:2].strip() or "x"
        else:
            made[letter] = texts.option_cell(rng)
    return made


def choice_row(rng: random.Random, most: int = 4) -> Cells:
    """Returns a row of a table of choices."""
    filled = options(rng, most)
    columns = {letter: filled.get(letter) for letter in {*"ABCD", *filled}}
    letters = sorted(columns)
    answer = rng.choice([*filled, *filled, *filled, "Z", "a", None]) if filled else "A"
    row: Cells = {"question": question(rng), **{letter: columns[letter] for letter in letters}}
    if rng.random() < 0.3:
        row["hint"] = rng.choice([None, texts.sentence(rng, 4), 7, 7.0, True])
    return {**row, "answer": answer}


def literal(rng: random.Random, cells: list[Any]) -> str:
    """Returns a Python literal of a list, in one of its spellings."""
    made: list[str] = []
    for cell in cells:
        text = repr(cell)
        if isinstance(cell, str) and rng.random() < 0.3:
            body = cell.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
            text = '"' + body.replace('"', '\\"') + '"'
        if isinstance(cell, str) and rng.random() < 0.1:
            text = ascii(cell)
        made.append(text)
    comma = rng.choice([", ", ",", " , ", ",\n"])
    tail = rng.choice(["", "", "", ",", " "]) if made else ""
    return f"[{comma.join(made)}{tail}]"


def mathvista_row(rng: random.Random) -> Cells:
    """Returns a row of MathVista."""
    row: Cells = {
        "question": question(rng), "answer": None, "answer_option": None, "choices": None,
        "question_type": "free_form", "precision": rng.choice([None, 1.0, 2.0]),
    }  # fmt: skip
    kind = rng.choice(["integer", "float", "choice", "choice", "list", "text"])
    if kind == "choice":
        cells = list(options(rng, 8).values())
        if cells and rng.random() < 0.15:
            cells[0] = rng.choice(["n", "a", "na", "NaN"])  # part of what a missing text reads
        row["choices"] = literal(rng, cells)
        row["question_type"] = "multi_choice"
        row["answer_type"] = rng.choice(["text", "integer", "float"])
        row["answer_option"] = rng.choice(["A", *"ABCDEF"[: len(cells) or 1], None])
        row["answer"] = str(rng.choice(cells)) if cells else "x"
        return row
    row["answer_type"] = kind
    if kind == "integer":
        answers = [str(rng.randint(-3, 30)), texts.number_text(rng), rng.randint(0, 30)]
        row["answer"] = rng.choice([*answers, float(rng.randint(0, 9)), 7.5])
    elif kind == "float":
        answers = [f"{rng.random() * 10:.{rng.randint(0, 3)}f}", texts.number_text(rng)]
        row["answer"] = rng.choice([*answers, rng.random(), 0.6, 145])
    else:
        row["answer"] = rng.choice(["None", "[2, 4]", "[1.2, 3]", "red", None, "nan", 3, 2.5, True])
    return row


def mathvista_prediction(rng: random.Random, row: Cells) -> Any:
    """Returns what a model, or a judge, may say."""
    if row["question_type"] == "multi_choice":
        cells = ast.literal_eval(row["choices"])
        return texts.choice_prediction(rng, dict(zip("ABCDEFGHIJ", cells)))
    answer = str(row["answer"])
    return pick(
        rng,
        lambda: answer,
        lambda: texts.respelled(rng, answer),
        lambda: texts.respelled(rng, answer),
        lambda: texts.number_text(rng),
        lambda: f"It shows {answer} birds",
        lambda: rng.choice([7, 7.0, 7.5, 0, 0.0, True, False, 2**63, 0.6, "None", "[2, 4]"]),
        lambda: rng.choice(texts.MISSING + texts.ALMOST_MISSING + texts.FAILURES),
        lambda: texts.jumble(rng),
    )


def spoil(rng: random.Random, prediction: Any) -> Any:
    """Returns the prediction, or now and then a cell that pandas made a number, a truth or none."""
    if rng.random() > 0.03:
        return prediction
    return rng.choice([None, 7, 7.0, 0.5, True, False, 14, 1e16, float("inf")])


def replies_of(rng: random.Random, calls: int, reply: Any) -> list[str | None]:
    """Returns what a judge says, call by call."""
    said: list[str | None] = []
    if rng.random() < 0.1:
        return [None] * calls
    for _ in range(calls):
        odd = [None, rng.choice(texts.FAILURES), texts.sentence(rng), "", "Unknown", "nan"]
        said.append(rng.choice([*odd, *(str(reply()) for _ in range(6))]))
    return said


def row_of(rng: random.Random, benchmark: str, path: str) -> Cells:
    """Returns a random row, without its index."""
    if benchmark == "MathVista_MINI":
        return mathvista_row(rng)
    if benchmark == "POPE":
        answer = rng.choice(["Yes", "No", "Yes", "No", None])
        return {"question": question(rng), "answer": answer}
    if benchmark == "MME-RealWorld-Lite":
        category = f"{rng.choice(['Perception', 'Reasoning'])}/{rng.choice(SUBTASKS)}"
        row: Cells = {"question": question(rng), "answer": rng.choice("ABCDE")}
        return {**row, "category": category, "l2-category": "x"}
    return choice_row(rng, 8 if benchmark == "WeMath" else 5)


def item_of(rng: random.Random, benchmark: str, path: str, row: Cells) -> Case:
    """Returns a random prediction for a row, with the replies of a judge where there is one."""
    calls = CHOICE_CALLS
    if benchmark == "MathVista_MINI":
        calls = MATHVISTA_CALLS
        draw = lambda: mathvista_prediction(rng, row)  # noqa: E731
    elif benchmark == "POPE":
        calls = POPE_CALLS
        draw = lambda: texts.yes_no_prediction(rng)  # noqa: E731
    elif benchmark == "MME-RealWorld-Lite":
        draw = lambda: present(rng, texts.tagged_prediction)  # noqa: E731
    elif path == "direct":
        draw = lambda: present(rng, texts.last_answer_prediction)  # noqa: E731
    else:
        filled = {k: v for k, v in row.items() if len(k) == 1 and v is not None}
        draw = lambda: texts.choice_prediction(rng, filled)  # noqa: E731
    # Where the original fails on anything but text there is nothing to compare.
    is_text = benchmark == "MME-RealWorld-Lite" or path == "direct"
    prediction = draw() if is_text else spoil(rng, draw())
    replies = replies_of(rng, calls, draw) if path == "judge" else None
    return {
        "kind": "item", "benchmark": benchmark, "path": path, "row": encoded(row),
        "prediction": encode(prediction), "replies": replies,
    }  # fmt: skip


def item(rng: random.Random, benchmark: str, path: str) -> Case:
    """Returns one random item."""
    return item_of(rng, benchmark, path, row_of(rng, benchmark, path))


def present(rng: random.Random, draw: Any) -> str:
    """Returns a prediction that pandas does not take for a missing one."""
    while (text := draw(rng)) in texts.MISSING:
        pass
    return text


def prompt(rng: random.Random, benchmark: str) -> Case:
    """Returns a row to build the prompt of."""
    if benchmark == "MME-RealWorld-Lite":
        choices = [f"({letter}) {texts.jumble(rng, 4)}" for letter in "ABCDE"]
        row: Cells = {"question": question(rng), "multi-choice options": literal(rng, choices)}
    elif benchmark in {"MathVista_MINI", "POPE"}:
        row = {"question": question(rng)}
    else:
        row = choice_row(rng, 8)
    builder = rng.choice(["dataset", "model"])
    return {"kind": "prompt", "benchmark": benchmark, "row": encoded(row), "builder": builder}


def thinking(rng: random.Random) -> Case:
    """Returns a text with tags of thinking in all orders."""
    tags = ["<think>", "</think>", "<think>", "</think>", "</think >", "<THINK>", "<answer>", "x"]
    parts = [rng.choice(tags) + rng.choice(["", texts.piece(rng), texts.blank(rng)]) for _ in range(6)]
    return {"kind": "thinking", "text": "".join(parts[: rng.randint(0, 6)])}


def concepts_of(source: Path) -> dict[str, list[str]]:
    """Returns the names of WeMath's knowledge concepts by area, as the original lists them."""
    tree = ast.parse((source / "vlmeval/dataset/utils/wemath.py").read_text())
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "knowledge_structure_nodes":
            nodes = ast.literal_eval(node.value)
            areas: dict[str, list[str]] = {}
            for node in nodes:
                areas.setdefault(node["root2"], []).append(node["full node"].split("_")[-1])
            return areas
    raise SystemExit(f"{source}: no knowledge_structure_nodes in wemath.py")
