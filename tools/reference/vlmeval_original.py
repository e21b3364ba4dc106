"""VLMEvalKit's own scoring functions, loaded from a checkout without the rest of the package.

`python vlmeval_original.py SOURCE CASES ANSWERS` answers every line of CASES (see vlmeval_cases.py)
with what the code under SOURCE says, one JSON line each. A call the original does not survive is
answered with the name of its exception.
"""

import ast
import importlib
import importlib.abc
import importlib.machinery
import json
import math
import os
import re
import shutil
import sys
import tempfile
import types
import warnings
from pathlib import Path
from typing import Any

os.environ["PRED_FORMAT"] = "tsv"
warnings.filterwarnings("ignore")

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from pandas._libs.parsers import STR_NA_VALUES  # noqa: E402

FAILED = "Failed to obtain answer via API."
RANDOM = "<random>"
ROW_MARK = re.compile(r"q#(\d+)#")  # what a table's question says of its row
JUDGE = "judge"
ABSENT = {"huggingface_hub", "sty", "torch"}
CHUNK = 500  # items that go through a file together

Case = dict[str, Any]
Answer = dict[str, Any]


def decode(cell: Any) -> Any:
    """Returns the pandas value of a cell of the cases file."""
    if cell is None:
        return math.nan
    if isinstance(cell, dict):
        return int(cell["int"]) if "int" in cell else float(cell["float"])
    return cell


def encode(value: Any) -> Any:
    """Returns the cell of the cases file for a pandas value."""
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return {"int": str(int(value))}
    if isinstance(value, (float, np.floating)):
        return None if math.isnan(value) else {"float": repr(float(value))}
    return None if value is None or value is pd.NA else value


class Absent(types.ModuleType):
    """A package that is not installed; any name of it exists and does nothing."""

    __path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {"__init__": lambda self, *_, **__: None})


class AbsentPackages(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Stands in for packages that the scorer's modules import and never call."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        if fullname.partition(".")[0] not in ABSENT:
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: Any) -> types.ModuleType:
        return Absent(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """Nothing to run."""


class ScriptedJudge:
    """Replies from a list and notes what it was asked; None is a call that fails."""

    def __init__(self) -> None:
        self.by_row: dict[str, list[str | None]] | None = None
        self.replies: list[str | None] = []
        self.asked: list[dict[str, Any]] = []
        self.max_tokens: int | None = None

    def working(self) -> bool:
        return True

    def generate(self, prompt: str, temperature: float = 0) -> str:
        self.asked.append({"prompt": prompt, "temperature": temperature})
        replies = self.replies
        if self.by_row is not None:
            replies = self.by_row[ROW_MARK.findall(prompt)[-1]]
        reply = replies.pop(0)
        return FAILED if reply is None else reply


class Random:
    """Stands in for `random` where a judge that failed leads to a pick."""

    def choice(self, options: list[str]) -> str:
        if not options:
            raise IndexError("Cannot choose from an empty sequence")
        return RANDOM


class Original:
    """The modules of one checkout."""

    def __init__(self, source: Path, scratch: Path, files: Path) -> None:
        self.source, self.scratch, self.files = source, scratch, files
        os.environ["LMUData"] = str(scratch)
        sys.meta_path.append(AbsentPackages())
        for name in ["vlmeval", "vlmeval.dataset", "vlmeval.vlm", "vlmeval.vlm.qwen2_vl"]:
            # Their __init__ files import every data set and every model there is.
            package = types.ModuleType(name)
            package.__path__ = [str(source.joinpath(*name.split(".")))]
            sys.modules[name] = package
        sys.modules["vlmeval"].load_env = lambda: None  # type: ignore[attr-defined]
        load = importlib.import_module
        self.choice = load("vlmeval.dataset.utils.multiple_choice")
        self.mathvista = load("vlmeval.dataset.utils.mathvista")
        self.yorn = load("vlmeval.dataset.utils.yorn")
        self.wemath = load("vlmeval.dataset.utils.wemath")
        self.mcq_file = load("vlmeval.dataset.image_mcq")
        self.vqa_file = load("vlmeval.dataset.image_vqa")
        self.yorn_file = load("vlmeval.dataset.image_yorn")
        self.smp = load("vlmeval.smp")
        self.choice.rd = Random()
        self.judge = ScriptedJudge()
        for module in [self.mcq_file, self.vqa_file, self.yorn_file]:
            module.build_judge = self.build_judge
        self.classes = {
            "HRBench4K": self.mcq_file.HRBenchDataset,
            "MMStar": self.mcq_file.ImageMCQDataset,
            "MME-RealWorld-Lite": self.mcq_file.MMERealWorld,
            "MathVista_MINI": self.vqa_file.MathVista,
            "WeMath": self.mcq_file.WeMath,
            "POPE": self.yorn_file.ImageYORNDataset,
        }
        sys.modules["vlmeval.dataset"].DATASET_TYPE = (  # type: ignore[attr-defined]
            lambda name, default=None: self.classes[name].TYPE
        )
        self.prompts = load("vlmeval.vlm.qwen2_vl.prompt").Qwen2VLPromptMixin()
        self.prompts.set_dump_image(lambda _: ["picture.png"])
        self.split_thinking = self.nested("inference.py", "split_thinking")

    def nested(self, file: str, name: str) -> Any:
        """Returns a function that is defined inside another one."""
        tree = ast.parse((self.source / "vlmeval" / file).read_text())
        found = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name == name]
        names = {"warnings": warnings}
        exec(compile(ast.Module(found[:1], []), file, "exec"), names)
        return names[name]

    def build_judge(self, max_tokens: int | None = None, **_: Any) -> ScriptedJudge:
        self.judge.max_tokens = max_tokens
        return self.judge

    def dataset(self, name: str, data: pd.DataFrame | None = None) -> Any:
        """Returns a data set whose table is given instead of downloaded."""
        made = object.__new__(self.classes[name])
        made.dataset_name, made.data, made.meta_only = name, data, True
        return made

    # Items

    def items(self, cases: list[Case]) -> list[Answer]:
        """Answers items of one benchmark, and says whose prediction pandas holds for missing."""
        answers = self.scored(cases)
        for case, answer in zip(cases, answers, strict=True):
            answer["missing"] = bool(pd.isna(self.line(case)["prediction"]))
        return answers

    def scored(self, cases: list[Case]) -> list[Answer]:
        name, path = cases[0]["benchmark"], cases[0]["path"]
        if name == "MME-RealWorld-Lite":
            return self.mme_items(cases)
        if name == "WeMath" and path == "direct":
            return self.wemath_direct_items(cases)
        if name == "MathVista_MINI":
            return self.mathvista_items(cases)
        one = self.pope_item if name == "POPE" else self.choice_item
        return [caught(lambda: one(case)) for case in cases]

    def line(self, case: Case) -> dict[str, Any]:
        """Returns the row and its prediction, as the evaluation hands it to the functions."""
        row = {column: decode(cell) for column, cell in case["row"].items()}
        prediction = decode(case["prediction"])
        return {**row, "prediction": math.nan if prediction in STR_NA_VALUES else prediction}

    def set_replies(self, case: Case) -> ScriptedJudge | None:
        self.judge.asked, self.judge.by_row = [], None
        self.judge.replies = list(case["replies"] or [])
        return None if case["replies"] is None else self.judge

    def choice_item(self, case: Case) -> Answer:
        line = self.line(case)
        line["prediction"], line["GT"] = str(line["prediction"]), line["answer"]
        model = self.set_replies(case)
        found = self.choice.extract_answer_from_item(model, line, case["benchmark"])["opt"]
        return self.answer(found, found == line["GT"])

    def pope_item(self, case: Case) -> Answer:
        line = self.line(case)
        line["prediction"] = str(line["prediction"])
        model = self.set_replies(case)
        found = self.yorn.YOrN_Extraction(line["prediction"])
        if found == "Unknown" and model is not None:
            found = self.yorn.YOrN_auxeval(model, line)
        return self.answer(found, found == line["answer"])

    def answer(self, found: Any, hit: bool) -> Answer:
        asked = self.judge.asked
        return {"result": found, "score": None if found == RANDOM else int(hit), "asked": asked}

    def through_file(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Writes a table and reads it back, as every evaluation does."""
        file = str(self.scratch / "items.tsv")
        self.smp.dump(frame, file)
        return self.smp.load(file)

    def mathvista_items(self, cases: list[Case]) -> list[Answer]:
        """The judge's reply goes through a file before it is scored, with texts among its column."""
        lines = [self.line(case) for case in cases]
        drawn: list[Answer] = []
        for case, line in zip(cases, lines):
            self.set_replies(case)
            said = caught(lambda: self.mathvista.MathVista_auxeval(self.judge, line))
            drawn.append({**said, "asked": self.judge.asked})
        column = [said.get("res", "") for said in drawn] + ["text"]
        read = list(self.through_file(pd.DataFrame({"res": column}))["res"])
        answers: list[Answer] = []
        for said, line, text in zip(drawn, lines, read):
            if "crash" in said:
                answers.append({"crash": said["crash"]})
                continue
            check = {**line, "res": text}
            hit = caught(lambda: {"hit": self.mathvista.post_check(check, prefetch=False)})
            if "crash" in hit:
                answers.append(hit)
                continue
            prefetched = said["log"] == "Prefetch succeed"
            found = {"result": str(said["res"]), "score": int(hit["hit"]), "asked": said["asked"]}
            answers.append({**found, "prefetched": prefetched})
        return answers

    def mme_items(self, cases: list[Case]) -> list[Answer]:
        """Runs the whole evaluation and notes each letter on its way."""
        frame = pd.DataFrame([self.line(case) for case in cases])
        frame["index"] = range(len(frame))
        letters: list[str] = []
        extract = self.choice.extract_characters_regex

        def noting(text: str) -> str:
            letters.append(extract(text))
            return letters[-1]

        self.choice.extract_characters_regex = noting
        try:
            file = self.fresh("mme.tsv")
            self.smp.dump(frame, file)
            self.classes["MME-RealWorld-Lite"].evaluate(file)
        finally:
            self.choice.extract_characters_regex = extract
        scores = self.smp.load(file.replace(".tsv", "_score.tsv"))["score"]
        return [
            {"result": letter or None, "score": int(score), "asked": []}
            for letter, score in zip(letters, scores, strict=True)
        ]

    def wemath_direct_items(self, cases: list[Case]) -> list[Answer]:
        frame = pd.DataFrame([self.line(case) for case in cases])
        file = self.fresh("wemath.tsv")
        self.smp.dump(frame, file)
        read = self.wemath.load_and_process_data(file)
        return [
            {"result": found, "score": int(hit), "asked": []}
            for found, hit in zip(read["processed_answer"], read["joker"], strict=True)
        ]

    def fresh(self, name: str) -> str:
        """Returns a file in an empty folder."""
        return str(Path(tempfile.mkdtemp(dir=self.scratch)) / name)

    # Tables

    def table(self, case: Case) -> Answer:
        """Evaluates a predictions file as a whole."""
        name, replies = case["benchmark"], case["replies"]
        file = self.fresh("predictions.tsv")
        Path(file).write_text(case["tsv"], encoding="utf-8", newline="")
        data = self.smp.load(file)
        dataset = self.dataset(name, data.drop(columns=["prediction"]))
        self.judge.asked, self.judge.replies = [], []
        by_row = {str(at): list(said) for at, said in enumerate(replies or [])}
        self.judge.by_row = None if replies is None else by_row
        model = JUDGE if case["path"] == JUDGE else "exact_matching"
        return self.evaluated(dataset, file, model)

    def evaluated(self, dataset: Any, file: str, model: str) -> Answer:
        name = dataset.dataset_name
        try:
            # One thread: with more, what a duplicate index gets depends on which call ends first.
            made = dataset.evaluate(file, model=model, nproc=1)
        except ZeroDivisionError:
            # No composite of WeMath is solved, so that the classes fail; the means do not.
            judged = file.replace(".tsv", f"_{JUDGE}.tsv")
            means = self.wemath.wemath_accuracy(judged if model == JUDGE else file)
            return {"figures": figures_of(name, pd.DataFrame(means)), "partial": True}
        return {"figures": figures_of(name, made)}

    def file(self, case: Case) -> Answer:
        """Writes a file of predictions as a run does, evaluates it, and leaves it there."""
        name = case["benchmark"]
        table = self.fresh("table.tsv")
        Path(table).write_text(case["tsv"], encoding="utf-8", newline="")
        data = self.smp.load(table).drop(columns=["prediction"])
        dataset = self.dataset(name, data.copy())
        data["prediction"] = case["predictions"]
        self.files.mkdir(exist_ok=True)
        left = str(self.files / case["name"])
        self.smp.dump(data, left)
        self.judge.asked, self.judge.by_row = [], None
        self.judge.replies = [None] * (len(data) * 5)
        model = JUDGE if name == "MathVista_MINI" else "exact_matching"
        os.environ["PRED_FORMAT"] = case["suffix"]
        try:
            file = self.fresh(f"predictions.{case['suffix']}")
            shutil.copy(left, file)
            return self.evaluated(dataset, file, model)
        finally:
            os.environ["PRED_FORMAT"] = "tsv"

    # Prompts and thinking

    def prompt(self, case: Case) -> Answer:
        name = case["benchmark"]
        row = {column: decode(cell) for column, cell in case["row"].items()}
        frame = pd.DataFrame([row], dtype=object)
        dataset = self.dataset(name)
        if name == "MME-RealWorld-Lite":
            dataset.prepare_tsv = lambda url, md5: frame
            frame = dataset.load_data(name)
        frame["image_path"] = "picture.png"
        line = frame.iloc[0]
        if case["builder"] == "model" and self.prompts.use_custom_prompt(name):
            parts = self.prompts.build_prompt(line, name)
        else:
            parts = dataset.build_prompt(line)
        return {"text": parts[-1]["value"]}

    def thinking(self, case: Case) -> Answer:
        answer, thinking = self.split_thinking(case["text"])
        return {"answer": answer, "thinking": thinking}


def figures_of(name: str, made: Any) -> list[tuple[str, Any]]:
    """Flattens a report; names are parts joined by `/`."""
    if name == "MME-RealWorld-Lite":
        flat = [("Overall", made["Overall"])]
        for task in ["Reasoning", "Perception"]:
            for subtask, leaves in made[task].items():
                if subtask == "Avg":
                    flat.append((f"{task}/Avg", leaves))
                    continue
                flat += [(f"{task}/{subtask}/{leaf}", value) for leaf, value in leaves.items()]
    elif name == "HRBench4K":
        flat = [
            (f"{row['cycle']}/{row['type']}", row["accuracy"]) for _, row in made.iterrows()
        ]
    elif name in {"MMStar", "MathVista_MINI", "POPE"}:
        key = made.columns[0]
        flat = [
            (f"{row[key]}/{column}", row[column])
            for _, row in made.iterrows()
            for column in made.columns[1:]
        ]
    else:
        flat = [(column, made[column].iloc[0]) for column in made.columns if column != "Model"]
    return [(label, plain(value)) for label, value in flat]


def plain(value: Any) -> Any:
    """Returns a number or text that JSON keeps exactly; NaN is null."""
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return None if math.isnan(value) else float(value)
    return value


def caught(call: Any) -> Answer:
    """Calls; an exception is an answer too."""
    try:
        return call()
    except Exception as error:  # noqa: BLE001
        return {"crash": type(error).__name__, "what": str(error)[:200]}


def answer_all(original: Original, cases: list[Case]) -> list[Answer]:
    """Answers the cases in their order; items of one kind go in chunks."""
    answers: list[Answer] = [{} for _ in cases]
    chunks: dict[tuple[str, str], list[int]] = {}
    for at, case in enumerate(cases):
        if case["kind"] == "item":
            chunks.setdefault((case["benchmark"], case["path"]), []).append(at)
        else:
            call = getattr(original, case["kind"])
            answers[at] = caught(lambda: call(case))
    for places in chunks.values():
        for start in range(0, len(places), CHUNK):
            some = places[start : start + CHUNK]
            for at, answer in zip(some, original.items([cases[at] for at in some]), strict=True):
                answers[at] = answer
    return answers


def main() -> None:
    source, cases_file, answers_file = (Path(argument) for argument in sys.argv[1:])
    cases = [json.loads(line) for line in cases_file.open(encoding="utf-8")]
    with tempfile.TemporaryDirectory() as scratch:
        # What the original prints is not ours to show.
        told, sys.stdout = sys.stdout, open(os.devnull, "w")
        sys.stderr = sys.stderr if os.environ.get("TOLD") else sys.stdout
        answers = answer_all(Original(source, Path(scratch), cases_file.parent / source.name), cases)
        sys.stdout = told
    with answers_file.open("w", encoding="utf-8") as out:
        out.writelines(json.dumps(answer) + "\n" for answer in answers)


if __name__ == "__main__":
    main()
