"""Does what the documents say, to the letter: `cargo xtask test docs` runs this.

Every fenced block of `sh` (and of JavaScript) in every Markdown file is run, the blocks of one document in one shell, in their order. A comment on the line
before a block says what a reader does not need to see:

    <!-- needs: … -->    it is not run, for want of what is named: one of NEEDS
    <!-- until: … -->    it runs until it is ended; the next block follows once it has said this
    <!-- prints: … -->   its output has this in it

AWS is played by the local cloud that the README's first block starts, and no account is needed: there, `AWS_ENDPOINT_URL` and credentials
are as for any program on this machine. Other commands, in the running text, say on their line what they need; those of `cargo xtask` are
checked by infra/xtask/src/main.rs.
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
from pathlib import Path

ROOT = Path(__file__).parents[2]
STACK = ROOT / "target/local/stack.json"
# What a block may need that is not here. "time": it takes minutes, and is what other suites do anyway.
NEEDS = ["AWS account", "Docker", "network", "time"]
# How a block of another language is run: JavaScript as a module of the clients' project.
RUN = {"sh": "{}", "js": "(cd tests/clients && node --import ./localhost.js --input-type=module) <<'JS'\n{}\nJS"}
# Languages of blocks that hold no commands.
PROSE = ["text", "query", "json"]
# Of these every mention with an option is a command.
PROGRAMS = ["aws", "cargo", "curl", "docker", "node", "npm", "pip", "python3", "rustup", "sam"]
# Names that stand for the reader's own.
OWN = {"receiver.example.com": "hooks.receiver.test"}
PATIENCE = 600
END = "\x1e"

# What differs on this machine: an HTTP error is a failure, the functions are those of the local stack, the port is a free one.
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
    """The README first: its first block starts what the others need."""
    found = [path for path in ROOT.glob("*.md")]
    for room in ["functions", "shared", "infra", "tests"]:
        found += [path for path in (ROOT / room).rglob("*.md") if not {"node_modules", "target"} & set(path.parts)]
    return sorted(found, key=lambda path: (path != ROOT / "README.md", path))


def marks_in(line):
    return dict(re.findall(r"<!-- (needs|until|prints): (.+?) -->", line))


def blocks(path):
    """The fenced blocks of a document, and the lines that are in none."""
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


def problems():
    """What is neither run nor says what it needs."""
    for path in documents():
        found, text = blocks(path)
        for block in found:
            needs = block.marks.get("needs")
            if block.language not in [*RUN, *PROSE]:
                yield f"{block.place}: of which language is it? {', '.join(RUN)} are run, {', '.join(PROSE)} are not"
            if needs and needs not in NEEDS:
                yield f"{block.place}: needs {needs!r}, which is none of {', '.join(NEEDS)}"
        for number, line in text:
            for command in re.findall(r"`([^`]+)`", line):
                words = [word for word in command.split() if not re.match("[A-Z_]+=", word)]
                options = any(word.startswith("-") for word in words)
                if options and words[0] in PROGRAMS and words[1] != "xtask" and marks_in(line).get("needs") not in NEEDS:
                    yield f"{path.relative_to(ROOT)}:{number}: {command!r} is not run, and its line does not say what it needs"


class Shell:
    """One bash for all blocks of a document: what one sets the next ones have."""

    def __init__(self, environment):
        self.bash = subprocess.Popen(
            ["bash"], cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.say(PREAMBLE)

    def say(self, text):
        self.bash.stdin.write(text)
        self.bash.stdin.flush()

    def run(self, text):
        """Whether all of it succeeded, and what it printed."""
        watch = threading.Timer(PATIENCE, self.bash.kill)
        watch.start()
        try:
            # Nobody sits at its terminal. At the first failure bash ends, and the mark does not come.
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
    """A command that runs until it is ended, in a terminal of its own."""

    def __init__(self, text, environment):
        self.log = tempfile.NamedTemporaryFile("w+")
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
        deadline = time.monotonic() + PATIENCE
        while expected not in self.printed():
            if self.process.poll() is not None or time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        return True

    def printed(self):
        return Path(self.log.name).read_text()

    def close(self):
        """As Ctrl-C does it: to all that it started."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)
            self.process.wait(60)
        self.log.close()


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return str(listener.getsockname()[1])


def deployment(directory):
    """The template with functions as `cargo xtask package` leaves them, but those of the local stack: never what may get to AWS."""
    (directory / "infra").mkdir()
    shutil.copy(ROOT / "infra/template.yaml", directory / "infra")
    for name in ["api", "ingest", "fanout", "sender", "console"]:
        place = directory / "target/lambda" / name
        place.mkdir(parents=True)
        # Without what debuggers want, which would take long to compress.
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


def of_the_local_cloud():
    stack = json.loads(STACK.read_text())
    return {
        "AWS_ENDPOINT_URL": stack["awsEndpointUrl"],
        "AWS_REGION": stack["region"],
        "AWS_DEFAULT_REGION": stack["region"],
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }


def follow(path, variables, running):
    """Runs the blocks of a document; answers how many, or None after a failure."""
    shell, count = Shell(variables), 0
    try:
        for block in blocks(path)[0]:
            if block.language in PROSE or "needs" in block.marks:
                continue
            text, began = RUN[block.language].replace("{}", block.text), time.monotonic()
            for stands, own in OWN.items():
                text = text.replace(stands, own)
            if "until" in block.marks:
                background = Background(text, variables)
                running.append(background)
                good, printed = background.says(block.marks["until"]), background.printed()
                if good and STACK.exists():
                    variables |= of_the_local_cloud()
                    shell.say("".join(f"export {name}={value}\n" for name, value in of_the_local_cloud().items()))
            else:
                good, printed = shell.run(text)
            expected = block.marks.get("prints", "")
            print(f"  {block.place:<28} {time.monotonic() - began:5.1f} s", flush=True)
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
