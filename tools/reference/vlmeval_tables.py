"""Random tables of predictions, as TSV files and as the cells that pandas reads from them."""

import csv
import io
import random
from typing import Any

import pandas as pd
from pandas._libs.parsers import STR_NA_VALUES

import vlmeval_cases as cases
import vlmeval_texts as texts
from vlmeval_original import encode

Case = dict[str, Any]
Areas = dict[str, list[str]]  # knowledge concepts of WeMath
Raw = dict[str, Any]  # cells before they are written; None is an empty one
CATEGORIES = [
    "coarse perception", "fine-grained perception", "instance reasoning", "logical reasoning",
    "math", "science & technology", "logic_reasoning", "threed", "😀", "\uffff", "Z", "a",
]  # fmt: skip


def table(rng: random.Random, benchmark: str, path: str, concepts: Areas) -> Case:
    """Returns one random table; rows of a judged one carry their number in the question."""
    rows = {
        "HRBench4K": hrbench, "MMStar": mmstar, "MME-RealWorld-Lite": mme,
        "MathVista_MINI": mathvista, "POPE": pope,
    }.get(benchmark, lambda rng: wemath(rng, concepts))(rng)  # fmt: skip
    columns = list(dict.fromkeys(name for row in rows for name in row))
    order = list(range(len(rows)))
    shuffled = rng.random() < 0.5
    if shuffled:
        rng.shuffle(order)
    for at, row in enumerate(rows):
        row["index"] = order[at]
        row["prediction"] = prediction(rng, benchmark, path, row)
        row["question"] = f"{row.get('question', 'what')} q#{at}#"
    if rng.random() < 0.3:
        prefix = rng.choice(["q_", "0", "𝟘"])
        for row in rows:
            row["index"] = f"{prefix}{row['index']}x"
    names = ["index", "question", *(c for c in columns if c != "question"), "prediction"]
    tsv = written(names, rows)
    read = pd.read_csv(io.StringIO(tsv), sep="\t")
    replies = None
    if path == "judge":
        replies = [judge_replies(rng, benchmark, row) for row in rows]
    return {
        "kind": "table", "benchmark": benchmark, "path": path, "tsv": tsv, "replies": replies,
        "rows": [{name: encode(row[name]) for name in read.columns} for _, row in read.iterrows()],
    }  # fmt: skip


def file(rng: random.Random, benchmark: str, path: str, concepts: Areas) -> Case:
    """Returns a table and texts for the original to write, evaluate and leave for us to read."""
    made = table(rng, benchmark, path, concepts)
    is_strict = benchmark == "MME-RealWorld-Lite" or path == "direct"  # fails on what is missing
    pool = [
        "=1+1", "{=A1}", "=", "_x000D_", "_x005F_", "B\r\nB", "B\x01", "\x0bB", "\x1f", "B\r", " B ",
        "http://a.b/B", "http://a.b/" + "c" * 2100, "x" * 32_764 + " BCD", "😀" * 16_380 + " is B",
        "internal:A", "mailto:B", "4", "14", "7.0", "0.60", "1e3", "TRUE", "true", "B\tC", '"B"', "'B",
    ]  # fmt: skip
    numbers = ["4", "14", "7.0", "0.60", "145", "1e3", ""]
    ways = [
        lambda text: text if rng.random() < 0.8 else rng.choice(pool),
        lambda text: text if rng.random() < 0.8 else rng.choice(pool),
        lambda _: rng.choice(numbers),
        lambda _: rng.choice(["True", "False", "true", "FALSE"]),
    ]
    # A column of numbers or truths, or a missing prediction, is more than these scorers survive.
    draw = rng.choice(ways[:2] if is_strict else ways)
    said = [draw(text_of(row["prediction"])) for row in made["rows"]]
    if is_strict:
        said = [text if text not in STR_NA_VALUES else "B" for text in said]
    suffix = rng.choice(["xlsx", "xlsx", "tsv"])
    if suffix == "xlsx" and benchmark == "MathVista_MINI":
        # A prefetched number is written with 16 digits, so that longer ones are wrong afterwards.
        said = [text if sum(map(str.isdigit, text)) < 16 else "7" for text in said]
    return {
        "kind": "file", "benchmark": benchmark, "path": path, "tsv": made["tsv"],
        "predictions": said, "suffix": suffix, "replies": None,
    }  # fmt: skip


def text_of(cell: Any) -> str:
    """Returns the text of an encoded cell."""
    if cell is None:
        return ""
    return str(next(iter(cell.values())) if isinstance(cell, dict) else cell)


def written(names: list[str], rows: list[Raw]) -> str:
    """Returns the rows as a TSV file."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow(names)
    writer.writerows([["" if row.get(n) is None else row.get(n) for n in names] for row in rows])
    return out.getvalue()


def prediction(rng: random.Random, benchmark: str, path: str, row: Raw) -> Any:
    """Returns a prediction; the right one often, so that figures are not all near zero."""
    right = row.get("answer_option") or row.get("answer")
    if rng.random() < row.pop("skill", 0.5) and right is not None:
        return f"Answer: {right}" if path == "direct" else right
    if benchmark == "MME-RealWorld-Lite":
        return cases.present(rng, texts.tagged_prediction)
    if path == "direct":
        return cases.present(rng, texts.last_answer_prediction)
    if benchmark == "POPE":
        return texts.yes_no_prediction(rng)
    return rng.choice(["A", "B", "C", "D", "x", "", "nan", "A or B", texts.sentence(rng)])


def judge_replies(rng: random.Random, benchmark: str, row: Raw) -> list[str | None]:
    """Returns replies of which the last settles it."""
    right = row.get("answer_option") or row.get("answer")
    settled = "A" if benchmark not in {"POPE", "MathVista_MINI"} else "no"
    last = rng.choice([settled, settled, str(right or settled)])
    calls = cases.CHOICE_CALLS if settled == "A" else cases.POPE_CALLS
    return [*[rng.choice([None, "hm", last]) for _ in range(calls - 1)], last]


def some(rng: random.Random, values: list[Any], holes: float) -> Any:
    """Returns one of the values, or nothing."""
    return None if rng.random() < holes else rng.choice(values)


def number_of_rows(rng: random.Random) -> int:
    return rng.choice([1, 2, 3, 7, 20, 60, 100])


def option_cells(rng: random.Random) -> Raw:
    return {letter: texts.sentence(rng, 2) for letter in "ABCD"}


def hrbench(rng: random.Random) -> list[Raw]:
    """Rows of several cycles; categories absent from some, cells missing in some."""
    cycles = rng.choice([[0, 1, 2, 3], ["ABCD", "BCDA"], [0.5, 2], ["é", "𝐀", "\uffff", "z"], [7]])
    kinds = rng.choice([["single", "cross"], ["single"], ["single", "cross", "third", "all"]])
    holes = rng.choice([0, 0, 0.1])
    names = rng.choice([["category"]] * 5 + [["Category"], ["CATEGORY", "category", "Category"]])
    rows: list[Raw] = []
    for _ in range(number_of_rows(rng)):
        row = {**option_cells(rng), "answer": rng.choice("ABCD")}
        row |= {name: some(rng, kinds, holes) for name in names}
        row["cycle_category"] = some(rng, cycles, holes)
        rows.append(row)
    # Where no row has one, the original lists `nan` once a row, all without a value.
    rows[0] |= dict.fromkeys(names, kinds[0])
    return rows


def mmstar(rng: random.Random) -> list[Raw]:
    """Rows with or without splits and second categories; names may meet."""
    names = rng.sample(CATEGORIES, rng.randint(1, 6))
    seconds = rng.choice([names, ["x", "y"], ["7", "14"], ["Overall", "Z"]])
    second = rng.choice([None, None, "l2-category", "l2_category", "L2-category"])
    split = rng.choice([None, None, "split"])
    holes = rng.choice([0, 0, 0.2])
    rows: list[Raw] = []
    for _ in range(number_of_rows(rng)):
        row = {**option_cells(rng), "answer": rng.choice("ABCD"), "category": rng.choice(names)}
        if second:
            row[second] = rng.choice(seconds)
        if split:
            row[split] = some(rng, ["val", "test", "dev"], holes if rows else 0)
        rows.append(row)
    return rows


def mme(rng: random.Random) -> list[Raw]:
    """Rows of tasks and subtasks, attributes among the second categories."""
    leaves = ["Position", "position", "person/attribute/color", "Vehicle/ATTRIBUTE", "count", "İx"]
    tasks = rng.choice([["Perception", "Reasoning"], ["Perception"]])
    subtasks = rng.sample(cases.SUBTASKS, rng.randint(1, 5))
    return [
        {
            "answer": rng.choice("ABCDE"),
            "category": f"{rng.choice(tasks)}/{rng.choice(subtasks)}{rng.choice(['', '', '/more'])}",
            "l2-category": rng.choice(leaves),
        }
        for _ in range(number_of_rows(rng))
    ]


def mathvista(rng: random.Random) -> list[Raw]:
    """Rows of tasks and skills; a skill may be listed twice or be called like a task."""
    skills = ["algebraic reasoning", "geometry reasoning", "numeric commonsense", "é", "VQA task"]
    rows: list[Raw] = [
        {
            "answer": "red", "answer_option": "A", "question_type": "multi_choice",
            "answer_type": "text", "choices": "['red', 'blue', 'a']", "task": "VQA task",
            "skills": "['é']",
        }
    ]  # fmt: skip
    for _ in range(number_of_rows(rng)):
        row = cases.mathvista_row(rng)
        row["task"] = rng.choice(["VQA task", "geometry", "Overall", "math word problem"])
        listed = [rng.choice(skills) for _ in range(rng.randint(0, 3))]
        row["skills"] = rng.choice([cases.literal(rng, listed), rng.choice(skills[:3])])
        rows.append(row)
    return rows


def pope(rng: random.Random) -> list[Raw]:
    """Rows of splits that share questions; some have none."""
    names = rng.choice([["adversarial", "popular", "random"], ["popular"], ["a b", "Overall", "é"]])
    holes = rng.choice([0, 0, 0.1])
    rows: list[Raw] = []
    for _ in range(number_of_rows(rng)):
        listed = rng.sample(names, rng.randint(1, len(names)))
        glue = rng.choice([",", ",", ",", ", ", ",,"])
        category = None if rng.random() < holes else glue.join(listed) + rng.choice(["", "", ","])
        rows.append({"answer": some(rng, ["Yes", "No"], holes), "category": category})
    if all(row["category"] is None for row in rows):
        rows[0]["category"] = "popular"
    return rows


def wemath(rng: random.Random, areas: Areas) -> list[Raw]:
    """Groups of two and three steps, whole and partial, with equal and missing IDs."""
    if rng.random() < 0.15:
        return wemath_ties(rng, areas)
    rows: list[Raw] = []
    skill = rng.choice([0.2, 0.5, 0.8, 0.95])
    missing = rng.choice([0, 0, 0.15])
    concepts = [concept for area in areas.values() for concept in area]
    concepts = [*rng.sample(concepts, rng.randint(1, len(concepts))), "no such concept"]
    for group in range(rng.choice([1, 2, 5, 20, 40, 80])):
        steps = rng.choice([2, 3])
        number = rng.choice([group, group, group, group // 2])
        for key in [*map(str, range(1, steps + 1)), "multi"]:
            if rng.random() < missing:
                continue
            row = wemath_row(rng, f"{steps}steps_{key}", rng.choice(concepts), skill)
            rows.append({**row, "ID": None if rng.random() < missing / 3 else number})
    return rows or wemath(rng, areas)


def wemath_ties(rng: random.Random, areas: Areas) -> list[Raw]:
    """An area whose mean of means may lie halfway between two texts of two decimals."""
    area = rng.choice([names for names in areas.values() if len(names) in {2, 4, 8, 16}])
    # With a step missing, the means are summed in another way.
    keys = rng.choice([["2steps_1"], ["2steps_1", "2steps_2"]])
    named = [concept for concept in area for _ in range(160 // len(area))]
    rows: list[Raw] = []
    for at, concept in enumerate(named):
        row = wemath_row(rng, keys[at % len(keys)], concept, rng.choice([0.1, 0.5, 0.9]))
        rows.append({**row, "ID": at // len(keys)})
    return [*rows, {**wemath_row(rng, "2steps_multi", area[0], 1), "ID": 0}]


def wemath_row(rng: random.Random, key: str, concept: str, skill: float) -> Raw:
    return {
        **option_cells(rng), "answer": rng.choice("ABCD"), "ID": None, "key": key,
        "knowledge concept": concept, "skill": skill,
    }  # fmt: skip
