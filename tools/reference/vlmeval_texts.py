"""Predictions, options and numbers that a scorer may stumble over, drawn from a seeded generator."""

import random
from collections.abc import Callable, Sequence
from typing import Any

Text = str
BLANKS = [
    *map(chr, range(0x09, 0x0E)), *map(chr, range(0x1C, 0x21)), "\x85", "\xa0", "\u1680",
    *map(chr, range(0x2000, 0x200B)), "\u2028", "\u2029", "\u202f", "\u205f", "\u3000",
]  # fmt: skip
NOT_BLANKS = ["\u200b", "\ufeff", "\u180e", "\u2060", "\u00ad", "\x08", "\x1b", "\x7f", "\u200d"]
MARKS = list("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
WIDE_MARKS = list("（）：，。！？；［］｛｝＊＃．“”‘’—–…·、「」")
# Letters whose lower or upper case is not what it seems.
CASES = [
    "ſ", "İ", "ı", "\u212a", "ß", "ẞ", "Σ", "ς", "σ", "ΑΣ", "ΑΣ.", "ΣΑ", "ﬁ", "ŉ", "ǰ", "Ǆ", "ǅ",
    "Ω", "Å", "é", "É", "e\u0301", "ᾳ", "\u0345", "Ⓐ", "𝐀", "🅰", "Ａ", "Ｂ", "ａ", "А", "а", "𐐀", "𐐨",
    "i̇", "ẚ", "Ԁ", "ꭰ", "Ꭰ", "ᲀ", "Ⅳ",
]  # fmt: skip
BEYOND = ["😀", "𝟘", "𝟙", "\U000104a3", "🇩🇪", "👩‍🔬", "𠀀", "\U0010ffff"]
DIGITS = ["0", "1", "2", "9", "٣", "०", "५", "５", "𝟗", "\U000104a1", "²", "½", "①", "Ⅳ", "一"]
REFUSALS = [
    "Sorry, I can't help with images of people yet.",
    "I can't process this file.",
    "I'm sorry, but without the image provided",
    "Cannot determine the answer",
]
FAILURES = ["Failed to obtain answer via API", "Failed to obtain answer via API."]
# What pandas takes for no value, and words that look like it and are not.
MISSING = [
    "", "NA", "N/A", "n/a", "#N/A", "#NA", "#N/A N/A", "NaN", "nan", "-NaN", "-nan", "NULL",
    "null", "<NA>", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN", "None",
]  # fmt: skip
ALMOST_MISSING = [" ", " NA", "na", "Nan", "none", "NONE", "Null", "-", "--", "N/a", "NA.", "#n/a"]
WORDS = (
    "the a an of in on red blue left right lane car tree answer is correct option best choice "
    "because image shows I think it that yes no not none unknown A B two three people dog cat "
    "sidewalk bike Therefore so final value equals about 14 40 4 0 3.5 degrees step total"
).split()
TAGS = [
    "<think>", "</think>", "<answer>", "</answer>", "<latent>", "</latent>", "<parser>", "</parser>",
    "<answer> ", " </answer>", "<ANSWER>", "</ANSWER>", "\\boxed{", "}", "$", "**", "```", "<<", ">>",
]  # fmt: skip
PREFIXES = [
    "The best answer is", "The correct answer is", "The answer is", "The answer",
    "The best option is", "The correct option is", "Best answer:", "Best option:",
    "The best option isThe correct option is", "Best answer:Best option:",
]  # fmt: skip
VERBOSE = [
    "answer is {}", "The answer is {}.", "correct answer is **{}**", "The correct  answer\nis *{}",
    "Answer Is {}", "ANSWER IS **{}", "the anſwer iſ {}", "the answer ıs {}", "answer İs {}",
    "answeris {}", "answer is{}", "answer\u3000is\u2003{}", "answer\x1cis\x85**{}**",
    "answer\u200bis {}", "answer is ** {}", "answer is ****{}nother", "correctanswer is {}",
    "the answer is (a) or answer is {}", "answer is: {}", "an answer is\t***{}***",
]  # fmt: skip
SAID = [
    "{}", "{}.", "({})", "**{}**", "{}. ", " {} ", "{}:", "[{}]", "{}, because the car is red",
    "Option {}", "The option is {}", "Answer: {}", "Answer:{}", "Final answer: {}", "\\boxed{{{}}}",
    "<answer>{}</answer>", "<answer> {} </answer>", "<answer>\n{}\n</answer>", "<<{}>>",
    "<Thought process>: <<count them>> <Answer>: <<{}>>", "<Answer>: {}", "Answer {}", "answer: {}",
    "<think>so it is</think> <answer> {} </answer>", "<think>A or B</think>\n\n{}",
    "I am sure that it must be {}", "{} is the one that fits best of all", "A cyclist, {}",
    "It is {} I think so", "It is {} as I see it now", "{} {}", "'{}'", '"{}"', "-{}", "{}/", "_{}_",
    "（{}）", "{}。", "{}!", "#{}", "{{{}}}", "{};", "Z", "{} Z", "Z {}", "the letter\u3000{}",
]  # fmt: skip


def pick(rng: random.Random, *ways: Callable[[], Any]) -> Any:
    """Calls one of the ways."""
    return rng.choice(ways)()


def blank(rng: random.Random) -> Text:
    """Returns a blank, a space most of the time."""
    return " " if rng.random() < 0.7 else rng.choice(BLANKS)


def piece(rng: random.Random) -> Text:
    """Returns one small piece of text of any sort."""
    pools: Sequence[Sequence[str]] = [
        WORDS, WORDS, WORDS, BLANKS, NOT_BLANKS, MARKS, MARKS, WIDE_MARKS, CASES, BEYOND, DIGITS,
        TAGS, PREFIXES, list("ABCDEFGHZabcdez"), MISSING, ["answer", "Answer", "is"],
    ]  # fmt: skip
    return rng.choice(rng.choice(pools))


def jumble(rng: random.Random, most: int = 12) -> Text:
    """Returns pieces in a row, with or without blanks between them."""
    glue = rng.choice(["", " ", " ", None])
    pieces = [piece(rng) for _ in range(rng.randint(1, most))]
    if glue is not None:
        return glue.join(pieces)
    return "".join(p + (blank(rng) if rng.random() < 0.6 else "") for p in pieces)


def sentence(rng: random.Random, most: int = 14) -> Text:
    """Returns plain words."""
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, most)))


def mutated(rng: random.Random, text: Text) -> Text:
    """Returns the text with a few characters put in, taken out or exchanged."""
    letters = list(text)
    for _ in range(rng.randint(1, 3)):
        at = rng.randint(0, len(letters))
        what = rng.random()
        if what < 0.5:
            letters.insert(at, piece(rng))
        elif letters and what < 0.75:
            letters.pop(min(at, len(letters) - 1))
        elif letters:
            letters[min(at, len(letters) - 1)] = piece(rng)
    return "".join(letters)


def recased(rng: random.Random, text: Text) -> Text:
    """Returns the text in another case."""
    return rng.choice([text.upper, text.lower, text.title, text.swapcase])()


def said(rng: random.Random, what: Text) -> Text:
    """Returns a sentence as models write it around an answer."""
    if rng.random() < 0.1:
        return f"{rng.choice(MARKS)}{what}{rng.choice(MARKS)}"
    form = rng.choice(SAID if rng.random() < 0.6 else VERBOSE)
    return form.format(*[what] * form.count("{}"))


def filled(rng: random.Random, text: Text, length: int) -> Text:
    """Returns the text padded to a number of code points, on either side."""
    short = length - len(text)
    if short <= 0:
        return text
    pad = rng.choice([".", "-", "😀", "x", "ß", "İ", "\u200b"]) * short
    return text + pad if rng.random() < 0.5 else pad + text


def choice_prediction(rng: random.Random, options: dict[str, Any]) -> Text:
    """Returns what a model, or its enemy, may answer to a choice."""
    letters = list(options) or ["A"]
    texts = [str(option) for option in options.values()] or ["red"]
    letter = rng.choice([*letters, *letters, *"ABCDEZabcd"])
    text = rng.choice(texts)
    limit = 2 * sum(len(t) for t in texts)
    lowered = 2 * sum(len(t.lower()) for t in texts)
    made = pick(
        rng,
        lambda: said(rng, letter),
        lambda: said(rng, letter),
        lambda: said(rng, text),
        lambda: f"{letter}. {text}",
        lambda: f"{said(rng, letter)} {said(rng, rng.choice(letters))}",
        lambda: f"{sentence(rng, 6)} {text} {sentence(rng, 3)}",
        lambda: recased(rng, text),
        lambda: f"{sentence(rng, 4)}{blank(rng)}{letter}{blank(rng)}{sentence(rng, 5)}",
        lambda: filled(rng, text, rng.choice([limit, lowered]) + rng.randint(-1, 1)),
        lambda: rng.choice(REFUSALS + FAILURES) + rng.choice(["", f" {letter}", " x"]),
        lambda: rng.choice(MISSING + ALMOST_MISSING),
        lambda: number_text(rng),
        lambda: jumble(rng),
        lambda: " ".join(rng.choice(letters + ["A", "x", "Z"]) for _ in range(rng.randint(1, 7))),
    )
    return mutated(rng, made) if rng.random() < 0.3 else made


def option_cell(rng: random.Random) -> Any:
    """Returns the cell of an option: text, number, truth value."""
    return pick(
        rng,
        lambda: sentence(rng, 3),
        lambda: sentence(rng, 1),
        lambda: rng.choice(["4", "14", "40", "0", "1.0", "35°", "110°", "3/11", "$1.45"]),
        lambda: rng.randint(-5, 140),
        lambda: rng.choice([4.0, 0.5, 1e16, 1e-5, 1234567.0, 0.1, -0.0, 1e22, 123456789012345.6]),
        lambda: rng.choice([True, False]),
        lambda: rng.choice(CASES) + rng.choice(["", "x", rng.choice(CASES)]),
        lambda: rng.choice(["İstanbul", "STRASSE", "straße", "ΟΔΟΣ", "\u212a", "ſ", "a", "n", "A"]),
        lambda: rng.choice([" ", "\u3000", "😀", "。", "Z", "none", "nan.", "answer", "is", "yes"]),
        lambda: jumble(rng, 3).strip("\r\n") or "x",
    )


def respelled(rng: random.Random, number: Text) -> Text:
    """Returns a number in another notation, of the same value or nearly."""
    zero = rng.choice("٠०０𝟎𝟘𝟢𝟬𝟶𐒠")
    foreign = {ord("0") + d: chr(ord(zero) + d) for d in range(10)}
    at = rng.randint(0, len(number))
    return rng.choice(
        [
            f" {number}", f"{number}\u3000", f"\x1f{number}", f"{number}\x85", f"\ufeff{number}",
            f"+{number}", f"0{number}", f"{number}.", f"{number}.0", f"{number}e0", f"{number}0",
            f"{number[:at]}_{number[at:]}", f"{number[:at]}__{number[at:]}", f"{number}_0",
            number.translate(foreign), number[:at] + number[at:].translate(foreign),
            number.replace(".", ","), number.replace("-", "−"), f"{number}.00000000000000001",
            f"{number}.5", f"{number}00e-2", f"({number})", f"{number}%", f"--{number}",
        ]
    )  # fmt: skip


def number_text(rng: random.Random) -> Text:
    """Returns a number, or nearly one, in one of many notations."""
    digits = pick(
        rng,
        lambda: str(rng.randint(0, 30)),
        lambda: str(rng.randint(0, 10**18)),
        lambda: "".join(rng.choice(DIGITS[:10]) for _ in range(rng.randint(1, 4))),
        lambda: rng.choice(["9007199254740993", "1_000", "1__0", "_1", "1_", "007", "00", "1,000"]),
        lambda: "".join(rng.choice(DIGITS) for _ in range(rng.randint(1, 3))),
    )
    return pick(
        rng,
        lambda: digits,
        lambda: digits,
        lambda: rng.choice(["+", "-", "−", "+-", "- "]) + digits,
        lambda: f"{digits}.{rng.choice(['', '0', '5', '00', '50', '5_0', '_5', '1٣'])}",
        lambda: f".{digits}",
        lambda: f"{digits}{rng.choice(['e', 'E'])}{rng.choice(['', '+', '-'])}{rng.randint(0, 4)}",
        lambda: f"{digits}.5e{rng.choice(['1_0', '_1', '', '0', '+5', '400', '-400', '٣'])}",
        lambda: rng.choice(["inf", "-Infinity", "NAN", "+nan", "infinit", "iNf", "ınf", "ınfinity"]),
        lambda: rng.choice(["0x1f", "0b11", "0o7", "1e", ".", "e5", "1f", "1d", "0x1p3", "1j", ""]),
        lambda: f"{blank(rng)}{digits}{rng.choice(BLANKS)}",
        lambda: rng.choice(BLANKS + NOT_BLANKS) + digits,
        lambda: digits + rng.choice(["%", " cm", "°", "$", "!", ". ", " 1"]),
        lambda: repr(rng.random()) + "".join(rng.choice("0123456789") for _ in range(12)),
        lambda: rng.choice(["2.2250738585072011e-308", "4.9e-324", "1e-400", "1.7976931348623159e308"]),
    )


def yes_no_prediction(rng: random.Random) -> Text:
    """Returns an answer to a question for yes or no, with all marks that are normalised."""
    word = rng.choice(["yes", "no", "Yes", "No", "YES", "NO", "yeſ", "Nº", "yes", "no", "not", "ＹＥＳ"])
    mark = rng.choice(MARKS + WIDE_MARKS)
    made = pick(
        rng,
        lambda: rng.choice(["{}", "{}.", "{}, it is.", "{}!", "**{}**", "<answer>{}</answer>"]).format(word),
        lambda: f"{word}{mark}{rng.choice(['', ' ', rng.choice(BLANKS)])}{sentence(rng, 5)}",
        lambda: f"{sentence(rng, 3)}{mark}{word}{mark}{sentence(rng, 2)}",
        lambda: f"{mark}{word}{rng.choice(MARKS)}",
        lambda: f"a {mark}b {word}{mark}c",
        lambda: f"a{mark} b {word}{mark}c",
        lambda: f"{word}{rng.choice(',;/-')}{rng.choice(['1,2', '٣,५', '1, 2', '²,1', '1，2'])}",
        lambda: f"1,000 {sentence(rng, 2)}{mark}{word}{mark}",
        lambda: "." * rng.randint(30, 34) + word + "." * rng.randint(0, 2),
        lambda: "a. " * rng.randint(30, 33) + f"{word}.",
        lambda: f"{rng.choice(DIGITS)}.{word}.{rng.choice(DIGITS)} {word}.",
        lambda: f"{word}{blank(rng)}{rng.choice(['no', 'yes', 'know', 'yesterday', 'No.', ''])}",
        lambda: f"{jumble(rng, 3)}{blank(rng)}{word}{blank(rng)}{jumble(rng, 3)}",
        lambda: rng.choice(MISSING + ALMOST_MISSING + FAILURES),
        lambda: jumble(rng),
        lambda: sentence(rng),
    )
    return mutated(rng, made) if rng.random() < 0.3 else made


def tagged_prediction(rng: random.Random) -> Text:
    """Returns an answer for the scorer that deletes prefixes and takes the first capital."""
    letter = rng.choice(["A", "B", "C", "D", "E", "a", "b", "e", "(a)", "(", ")", "c)", "F", "", " "])
    prefix = rng.choice(PREFIXES)
    low = sentence(rng, 14).lower()
    made = pick(
        rng,
        lambda: said(rng, letter),
        lambda: f"{prefix}{rng.choice(['', ' ', ': '])}{letter}",
        lambda: f"{prefix}{rng.choice(PREFIXES)}{letter}",
        lambda: f"{prefix[:6]}{rng.choice(PREFIXES)}{prefix[6:]} {letter}",
        lambda: f"<answer>{blank(rng)}{letter}{blank(rng)}</answer>",
        lambda: f"<answer>{rng.choice([prefix, sentence(rng, 3), 'ß', 'ŉ', letter])}\n{letter}</answer>",
        lambda: f"<answer>{jumble(rng, 3)}</answer><answer>{letter}</answer>",
        lambda: low,
        lambda: f"{low}{blank(rng)}{letter}",
        lambda: " ".join(["x"] * rng.randint(9, 12)) + rng.choice(["", " C", " c", "\u200bc"]),
        lambda: prefix + rng.choice(BLANKS),
        lambda: jumble(rng),
        lambda: rng.choice(CASES + BLANKS + NOT_BLANKS + REFUSALS + FAILURES + ["(", ")", "(a", "e)"]),
    )
    return mutated(rng, made) if rng.random() < 0.25 else made


def last_answer_prediction(rng: random.Random) -> Text:
    """Returns an answer for the scorer that takes the first letter after the last `Answer`."""
    letter = rng.choice(["A", "B", "C", "D", "G", "H", "I", "a", "(B)", "", "Ａ", "none"])
    lead = rng.choice(["<Answer>: ", "Answer", "Answer:", "Answer: <<", "<<", "", "answer: ", "AnswerAnswer"])
    marks = "".join(rng.choice(list("<>:. ") + [rng.choice(BLANKS)]) for _ in range(rng.randint(0, 4)))
    made = pick(
        rng,
        lambda: f"{lead}{marks}{letter}{rng.choice(['', '>>', '.', ' Answer', ' and more'])}",
        lambda: f"{sentence(rng, 5)} {lead}{letter}{marks}",
        lambda: said(rng, letter),
        lambda: f"{marks}{letter}{sentence(rng, 3)}",
        lambda: f"{lead}{rng.choice(NOT_BLANKS + BLANKS + CASES)}{letter}",
        lambda: jumble(rng),
        lambda: sentence(rng).capitalize(),
    )
    return mutated(rng, made) if rng.random() < 0.25 else made
