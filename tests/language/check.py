"""Finds phrases that the project does not use (banned.txt) and test names that are too long.

Usage: python3 check.py [DIRECTORY_OR_FILE …]    Prints file:line, the phrase and what to write instead; exits with 1 on any hit.
Without arguments it checks every tracked text of the repository that it is in. Needs only Python's standard library.
"""

import pathlib
import re
import subprocess
import sys
from bisect import bisect_right
from typing import NamedTuple

HERE = pathlib.Path(__file__).resolve().parent
LIST = HERE / "banned.txt"
MAX_TEST_NAME = 60
START = "¶"  # marks where a paragraph, comment or string starts

TEXTS = {".rs", ".js", ".mjs", ".ts", ".py", ".md", ".yaml", ".yml", ".toml", ".html", ".css", ".in", ".txt", ".sh", ""}
# Words of others (licenses, locks, seeds of the fuzzer). JSON is left out too: recorded events, locks and generated files.
SKIPPED = re.compile(
    r"(^|/)(LICENSE|\.gitignore)$|(^|/)(target|node_modules|\.git|__pycache__|\.venv|venv[^/]*)(/|$)"
    r"|\.lock$|(^|/)requirements[^/]*\.txt$|^tests/fuzz/seeds/"
    r"|(^|/)tests/language/|(^|/)language(-banned)?\.(py|txt)$"
)
COMMENT = {
    ".rs": r"//[/!]?",
    ".js": r"//|/\*\*?|\*/|\*(?=\s)",
    ".mjs": r"//|/\*\*?|\*/|\*(?=\s)",
    ".ts": r"//|/\*\*?|\*/|\*(?=\s)",
    ".css": r"/\*|\*/|\*(?=\s)",
    ".html": r"<!--|-->",
    ".md": r"(?:[>#|*-]|\d+\.)+(?=\s)",
}
HASH = r"#!?"
LOWER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")  # keeps the length, which str.lower does not


class Rule(NamedTuple):
    """One line of the list."""

    pattern: re.Pattern
    exact_case: bool
    instead: str
    allowed: re.Pattern | None
    only: re.Pattern | None
    never: re.Pattern | None

    def applies_to(self, path: str) -> bool:
        """Returns whether the rule is for this file."""
        return (not self.only or bool(self.only.search(path))) and not (self.never and self.never.search(path))


class Hit(NamedTuple):
    """A place that has to change."""

    path: str
    line: int
    phrase: str
    instead: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.phrase!r}: {self.instead}"


def parse_rules(text: str) -> list[Rule]:
    """Parses the list of phrases; raises ValueError on a line that is none."""
    rules = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        pattern, arrow, rest = line.partition(" => ")
        instead, *options = rest.split(" | ")
        if not arrow or not instead.strip():
            raise ValueError(f"line {number}: not `pattern => replacement`: {line}")
        limits: dict[str, re.Pattern] = {}
        for option in options:
            name = next((name for name in ("except ", "only in ", "not in ") if option.startswith(name)), None)
            if not name:
                raise ValueError(f"line {number}: unknown option {option!r}")
            limits[name.strip()] = re.compile(option[len(name) :].strip())
        options = [limits.get(name) for name in ("except", "only in", "not in")]
        rules.append(Rule(compiled(pattern.strip()), pattern.startswith("^"), instead.strip(), *options))
    return rules


def compiled(pattern: str) -> re.Pattern:
    """Compiles a pattern of the list, so that spaces match line breaks too; `find` checks that a word starts there."""
    spaced = pattern.replace(" ", r"\s+")
    if pattern.startswith("^"):
        return re.compile(rf"(?:{START}\s*|[.!?]\s+)({spaced[1:]})")
    return re.compile(rf"({spaced})(?![a-z])")


def words_of(text: str) -> str:
    """Splits identifiers into words and removes addresses of the web."""
    text = re.sub(r"https?://[^\s)>\"'`]+", "", text)
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text)
    return re.sub(r"(?<=[A-Za-z0-9])[_-](?=[A-Za-z0-9])", " ", text)


def normalized(text: str, suffix: str) -> str:
    """Returns the text with as many lines, comment marks removed and the starts of paragraphs marked."""
    comment = COMMENT.get(suffix, HASH)
    lead = re.compile(rf"^\s*({comment})\s?")
    trailing = re.compile(rf"(?<=\s)({comment})\s")
    markdown = suffix == ".md"
    lines, previous, fenced = [], "", False
    for raw in text.split("\n"):
        mark = lead.match(raw)
        kind = mark.group(1) if mark else "text" if markdown else ""
        body = raw[mark.end() :] if mark else raw.strip()
        if markdown and body.startswith("```"):
            fenced = not fenced
        if kind:
            # A comment or paragraph goes on while its marks are the same; a list item, a row or a heading starts at its mark.
            starts = bool(body.strip()) and not fenced and (kind != previous if not markdown else bool(mark) or not previous)
            alone = markdown and bool(mark) and kind[0] in "#|"
            lines.append(START * starts + words_of(body) + START * alone)
            previous = "" if alone or not body.strip() else kind
        else:
            # Code: only a comment at its end is prose.
            lines.append(words_of(trailing.sub(f" {START}", body, count=1)))
            previous = ""
    return "\n".join(lines)


def find(path: str, text: str, rules: list[Rule]) -> list[Hit]:
    """Returns the hits in one file."""
    raw_lines = text.split("\n")
    prose = normalized(text, pathlib.PurePosixPath(path).suffix)
    lower = prose.translate(LOWER)
    starts = [0, *(match.end() for match in re.finditer("\n", prose))]
    hits = []
    for rule in rules:
        if not rule.applies_to(path):
            continue
        for match in rule.pattern.finditer(prose if rule.exact_case else lower):
            before = prose[match.start(1) - 1 : match.start(1)]
            if not rule.exact_case and before.isascii() and before.isalpha():
                continue  # the end of a longer word
            line = bisect_right(starts, match.start(1))
            last = bisect_right(starts, max(match.end(1) - 1, match.start(1)))
            context = " ".join(raw_lines[line - 1 : min(last, line + 1)])
            if not (rule.allowed and rule.allowed.search(context)):
                phrase = " ".join(prose[match.start(1) : match.end(1)].replace(START, "").split())
                hits.append(Hit(path, line, phrase if len(phrase) <= 60 else phrase[:57] + "…", rule.instead))
    return sorted(hits + long_test_names(path, text), key=lambda hit: hit.line)


RUST_TEST = re.compile(r"#\[(?:\w+::)?test\b[^\n]*\]\s*(?:(?:#\[[^\n]*\]|//[^\n]*)\s*)*(?:pub(?:\([^)]*\))? )?(?:async )?fn (\w+)")
PYTHON_TEST = re.compile(r"^\s*(?:async )?def (test_\w+)", re.MULTILINE)
STRING = r"""'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`"""
# The first argument of `test(…)` or `uiTest(…)`: a title, or an expression that chooses one.
JAVASCRIPT_TEST = re.compile(rf"""(?<![\w.])(?:test|uiTest)(?:\.\w+)?\(((?:[^'"`,;(){{}}]*(?:{STRING}))+)""")
JAVASCRIPT = {".js", ".mjs", ".ts"}


def test_names(path: str, text: str) -> list[tuple[int, str]]:
    """Returns the names of tests in Rust and Python and the titles of tests in JavaScript, each with its position."""
    suffix = pathlib.PurePosixPath(path).suffix
    if suffix in JAVASCRIPT:
        return [
            (match.start(1) + string.start(), string.group()[1:-1])
            for match in JAVASCRIPT_TEST.finditer(text)
            for string in re.finditer(STRING, match.group(1))
        ]
    pattern = {".rs": RUST_TEST, ".py": PYTHON_TEST}.get(suffix)
    return [(match.start(1), match.group(1)) for match in pattern.finditer(text)] if pattern else []


def long_test_names(path: str, text: str) -> list[Hit]:
    """Returns the tests whose names are longer than 60 characters; values that a title inserts do not count."""
    hits = []
    for position, name in test_names(path, text):
        length = len(re.sub(r"\$\{[^}]*\}", "", name))
        if length > MAX_TEST_NAME:
            hits.append(Hit(path, text.count("\n", 0, position) + 1, name, f"{length} characters, at most {MAX_TEST_NAME}"))
    return hits


def is_text(path: str) -> bool:
    """Returns whether a path names a text of ours."""
    return pathlib.PurePosixPath(path).suffix in TEXTS and not SKIPPED.search(path)


def top_of(place: pathlib.Path) -> pathlib.Path:
    """Returns the root of the repository that a place is in, or the place itself."""
    directory = place if place.is_dir() else place.parent
    command = ["git", "-C", str(directory), "rev-parse", "--show-toplevel"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    return pathlib.Path(answer.stdout.strip()) if answer.returncode == 0 else directory


def files(places: list[pathlib.Path]) -> list[tuple[str, pathlib.Path]]:
    """Lists the texts under the given places, by their paths inside the repository."""
    found = {}
    for place in map(pathlib.Path.resolve, places):
        if not place.exists():
            raise FileNotFoundError(f"{place} does not exist")
        top = top_of(place)
        command = ["git", "-C", str(top), "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", str(place)]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        if answer.returncode == 0:
            paths = [top / name for name in answer.stdout.split("\0") if name]
        else:
            paths = [place] if place.is_file() else sorted(path for path in place.rglob("*") if path.is_file())
        for path in paths:
            name = path.relative_to(top).as_posix()
            if is_text(name) and path.is_file():
                found[name] = path
    return sorted(found.items())


def main() -> int:
    """Checks the places of the command line and returns the exit code."""
    listing = LIST if LIST.exists() else HERE / "language-banned.txt"
    rules = parse_rules(listing.read_text(encoding="utf-8"))
    places = [pathlib.Path(word) for word in sys.argv[1:]] or [top_of(HERE)]
    hits, checked = [], 0
    for name, path in files(places):
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        checked += 1
        hits += find(name, text, rules)
    for hit in hits:
        print(hit)
    print(f"{len(hits)} hits in {checked} files" if hits else f"{checked} files, no banned phrase", file=sys.stderr)
    return 1 if hits else 0


if __name__ == "__main__":
    sys.exit(main())
