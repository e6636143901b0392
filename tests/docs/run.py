"""Runs the commands in the documents exactly as written: `cargo xtask test docs` starts this.

Runs every fenced block of `sh` and of JavaScript in every Markdown file. The blocks of one document run in one shell, in order. A comment
on the line before a block has instructions that readers do not need to see:

    <!-- needs: … -->        do not run it; it needs something that is not available here, one of NEEDS
    <!-- until: … -->        it runs until it is stopped; the next block follows once it has printed this
    <!-- prints: … -->       its output must contain this
    <!-- eventually: … -->   its output must contain this after one of several runs
    <!-- output -->          not a command: this text must match the output of the block before, where `…` stands for any text

The local cloud that the README's first block starts replaces AWS, so no account is needed. `AWS_ENDPOINT_URL` and credentials
are set as for any program on this machine. Commands in running text must say on their line what they need; infra/xtask/src/main.rs checks
those of `cargo xtask`. Links, and paths and source files that are named in code style, must exist.
"""

import json
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).parents[2]
STACK = ROOT / "target/local/stack.json"
# Reasons not to run a block. "time": it takes minutes, and another suite covers it.
NEEDS = ["AWS account", "Docker", "network", "time"]
# The shell command for a block of each language. JavaScript runs as a module of the clients' project.
RUN = {"sh": "{}", "js": "(cd tests/clients && node --import ./localhost.js --input-type=module) <<'JS'\n{}\nJS"}
# Languages of blocks without commands.
PROSE = ["text", "query", "json"]
# Programs whose mention with an option counts as a command.
PROGRAMS = ["aws", "cargo", "curl", "docker", "node", "npm", "pip", "python3", "rustup", "sam"]
# Placeholders for the reader's values, and the values to use here.
PLACEHOLDERS = {"receiver.example.com": "hooks.receiver.test"}
# Files that documents name and that are not in the repository: the deployment serves them, or `up` writes them.
GENERATED = ["config.json", "stack.json"]
# Seconds that a command may take, and that the output of `eventually` may take to appear.
TIMEOUT = 600
EVENTUALLY = 60
END = "\x1e"

# Differences on this machine: an HTTP error is a failure, the functions are the local stack's, the port is a free one.
PREAMBLE = """
set -eu -o pipefail
curl() { command curl --fail-with-body "$@"; }
cargo() {
  case "$1 $2" in
    "lambda watch" | "lambda invoke") command cargo "$@" --invoke-port "$ANZOL_INVOKE_PORT" ;;
    "xtask deploy") command cargo "$@" --template "$ANZOL_TEMPLATE" --parameter "Architecture=$ANZOL_ARCHITECTURE" ;;
    *) command cargo "$@" ;;
  esac
}
"""


@dataclass
class Block:
    place: str
    language: str
    text: str
    marks: dict


def documents():
    """Returns all documents, the README first: its first block starts the stack that the others use."""
    found = list(ROOT.glob("*.md"))
    for directory in ["functions", "shared", "infra", "tests"]:
        found += [path for path in (ROOT / directory).rglob("*.md") if not {"node_modules", "target"} & set(path.parts)]
    return sorted(found, key=lambda path: (path != ROOT / "README.md", path))


def marks_in(line):
    marks = dict(re.findall(r"<!-- (needs|until|prints|eventually): (.+?) -->", line))
    return marks | ({"output": True} if "<!-- output -->" in line else {})


def blocks(path):
    """Returns the fenced blocks of a document, and its other lines."""
    found, text, open_block, before = [], [], None, ""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        fence = re.match(r"(\s*)```(\w*)$", line)
        if fence and open_block is None:
            indent = len(fence[1])
            open_block = Block(f"{path.relative_to(ROOT)}:{number}", fence[2], "", marks_in(before))
        elif fence and line.strip() == "```":
            found.append(open_block)
            open_block = None
        elif open_block:
            open_block.text += line[indent:] + "\n"
        else:
            text.append((number, line))
        before = line
    assert open_block is None, f"{open_block.place} does not end"
    return found, text


def slug(heading):
    """Returns the anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def anchors(path):
    return {slug(line.lstrip("#").strip()) for _, line in blocks(path)[1] if line.startswith("#")}


def files_near(path):
    """Returns the files that a document can name without their directory: those beside and below a README, otherwise all."""
    place = path.parent if path.name == "README.md" else ROOT
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    return subprocess.run(listed, cwd=place, check=True, capture_output=True, text=True).stdout.split("\n")


def dead_references(path, text):
    """Yields each relative link without a target, and each path and source file that is named in code style and does not exist."""
    near = files_near(path)
    for number, line in text:
        for target in re.findall(r"\]\(([^)\s]+)\)", line):
            if re.match("[a-z]+:", target):
                continue
            name, _, anchor = target.partition("#")
            file = path.parent / name if name else path
            if not file.exists() or (anchor and anchor not in anchors(file)):
                yield f"{path.relative_to(ROOT)}:{number}: the link {target} has no target"
        for name in re.findall(r"`((?:functions|shared|infra|tests)/[\w./*-]+)`", line):
            if not any(ROOT.glob(name.rstrip("/"))):
                yield f"{path.relative_to(ROOT)}:{number}: there is no {name}"
        for name in re.findall(r"`([\w.*-]+(?:/[\w.*-]+)*\.(?:css|js|json|md|py|rs|toml|txt|yaml))`", line):
            generated = name in GENERATED or name.startswith("target/")
            if not generated and not (ROOT / name).exists() and not any(fnmatch(f"/{file}", f"*/{name}") for file in near):
                yield f"{path.relative_to(ROOT)}:{number}: there is no file {name} near this document"


def problems():
    """Yields each dead reference, and each block and command that is not run and does not say what it needs."""
    for path in documents():
        found, text = blocks(path)
        for number, block in enumerate(found):
            needs = block.marks.get("needs")
            if block.language not in [*RUN, *PROSE]:
                yield f"{block.place}: unknown language; {', '.join(RUN)} are run, {', '.join(PROSE)} are not"
            if needs and needs not in NEEDS:
                yield f"{block.place}: needs {needs!r}, which is none of {', '.join(NEEDS)}"
            if "output" in block.marks and (number == 0 or not runs(found[number - 1])):
                yield f"{block.place}: shows the output of a block that is not run"
        yield from dead_references(path, text)
        for number, line in text:
            for command in re.findall(r"`([^`]+)`", line):
                words = [word for word in command.split() if not re.match("[A-Z_]+=", word)]
                options = any(word.startswith("-") for word in words)
                if options and words[0] in PROGRAMS and words[1] != "xtask" and marks_in(line).get("needs") not in NEEDS:
                    yield f"{path.relative_to(ROOT)}:{number}: {command!r} is not run, and its line does not say what it needs"


def runs(block):
    return block.language in RUN and "needs" not in block.marks


def matches(printed, shown):
    """Returns whether output is as a document shows it, where `…` stands for any text."""
    pattern = ".*".join(re.escape(part) for part in shown.strip().split("…"))
    return re.fullmatch(pattern, printed.strip(), re.DOTALL) is not None


class Shell:
    """One bash for all blocks of a document, so that they share variables and functions."""

    def __init__(self, environment):
        self.bash = subprocess.Popen(
            ["bash"], cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.say(PREAMBLE)

    def say(self, text):
        self.bash.stdin.write(text)
        self.bash.stdin.flush()

    def run(self, text):
        """Returns whether all of it succeeded, and its output."""
        watch = threading.Timer(TIMEOUT, self.bash.kill)
        watch.start()
        try:
            # There is no terminal. At the first failure bash exits and does not print the end mark.
            self.say(f"{{\n{text}\n}} < /dev/null\necho {END}\n")
            printed = []
            for line in self.bash.stdout:
                if line.endswith(END + "\n"):
                    return True, "".join([*printed, line[:-2]])
                printed.append(line)
            return False, "".join(printed)
        finally:
            watch.cancel()

    def close(self):
        self.bash.stdin.close()
        self.bash.wait()
        self.bash.stdout.close()


class Background:
    """A command that runs until it is stopped, in a separate session."""

    def __init__(self, text, environment):
        self.log = tempfile.NamedTemporaryFile("w+")  # noqa: SIM115 (closed by close)
        self.process = subprocess.Popen(
            ["bash", "-c", f"{PREAMBLE}\n{text}"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def says(self, expected):
        deadline = time.monotonic() + TIMEOUT
        while expected not in self.printed():
            if self.process.poll() is not None or time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        return True

    def printed(self):
        return Path(self.log.name).read_text()

    def close(self):
        """Stops the command and all its children, as Ctrl-C does."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)
            self.process.wait(60)
        self.log.close()


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return str(listener.getsockname()[1])


def deployment(directory):
    """Returns a template beside functions as `cargo xtask package` leaves them. They are local builds, which must never reach AWS."""
    (directory / "infra").mkdir()
    shutil.copy(ROOT / "infra/template.yaml", directory / "infra")
    for name in ["api", "ingest", "fanout", "sender", "console"]:
        place = directory / "target/lambda" / name
        place.mkdir(parents=True)
        # Removes debug information, which takes long to compress.
        subprocess.run(["strip", "-o", place / "bootstrap", Path(os.environ["ANZOL_FUNCTIONS"], name)], check=True)
    return directory / "infra/template.yaml"


def environment(directory):
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CARGO_PKG_", "CARGO_MANIFEST_"))}
    return variables | {
        "ANZOL_INVOKE_PORT": free_port(),
        "ANZOL_TEMPLATE": str(deployment(directory)),
        "ANZOL_ARCHITECTURE": "arm64" if platform.machine() in ("aarch64", "arm64") else "x86_64",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    }


def local_cloud_variables():
    stack = json.loads(STACK.read_text())
    return {
        "AWS_ENDPOINT_URL": stack["awsEndpointUrl"],
        "AWS_REGION": stack["region"],
        "AWS_DEFAULT_REGION": stack["region"],
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }


def follow(path, variables, running):
    """Runs the blocks of a document and returns their number, or None after a failure."""
    shell, count, printed = Shell(variables), 0, ""
    try:
        for block in blocks(path)[0]:
            if "output" in block.marks:
                if not matches(printed, block.text):
                    print(f"{printed}\n{block.place} shows other output:\n{block.text}")
                    return None
                continue
            if not runs(block):
                continue
            text, started = RUN[block.language].replace("{}", block.text), time.monotonic()
            for placeholder, value in PLACEHOLDERS.items():
                text = text.replace(placeholder, value)
            if "until" in block.marks:
                background = Background(text, variables)
                running.append(background)
                good, printed = background.says(block.marks["until"]), background.printed()
                if good and STACK.exists():
                    variables |= local_cloud_variables()
                    shell.say("".join(f"export {name}={value}\n" for name, value in local_cloud_variables().items()))
            else:
                good, printed = shell.run(text)
                while good and block.marks.get("eventually", "") not in printed and time.monotonic() < started + EVENTUALLY:
                    time.sleep(0.5)
                    good, printed = shell.run(text)
            expected = block.marks.get("prints", block.marks.get("eventually", ""))
            print(f"  {block.place:<34} {time.monotonic() - started:5.1f} s", flush=True)
            if not good or expected not in printed:
                why = "failed" if not good else f"did not print {expected!r}"
                print(f"{printed}\n{block.place} {why}:\n{block.text}")
                return None
            count += 1
        return count
    finally:
        shell.close()


def main():
    if wrong := list(problems()):
        sys.exit("\n".join(wrong))
    running = []
    with tempfile.TemporaryDirectory() as directory:
        variables = environment(Path(directory))
        try:
            counts = [follow(path, variables, running) for path in documents()]
        finally:
            for background in reversed(running):
                background.close()
    if None in counts:
        sys.exit("not every command in the documents works")
    print(f"{sum(counts)} blocks of commands run")


if __name__ == "__main__":
    main()
