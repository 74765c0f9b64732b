"""The tables of docs/providers.md that are made from the code: all providers, and what each was examined for.

python -m tests.pipeline.providers.tables
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

from pipeline.providers import registry
from pipeline.providers.registry import Kind, ProviderInfo
from pipeline.testing.conformance import Subject, checks_for
from pipeline.testing.conformance.subject import inapplicable
from tests.pipeline.providers.subjects import SUBJECTS

DOCUMENT = Path(__file__).parents[3] / "docs" / "providers.md"
NOT_REGISTERED = ("resilient",)  # what a list of providers becomes
KINDS: tuple[Kind, ...] = ("stt", "llm", "tts", "vad")


def written(text: str) -> str:
    """The document with its tables anew."""
    for name, lines in {"providers": providers(), "conformance": conformance()}.items():
        begin, end = f"<!-- {name}: made by tests/pipeline/providers/tables.py -->", f"<!-- end of {name} -->"
        table = "\n".join([begin, "", *lines, "", end])
        before, _, rest = text.partition(begin)
        text = before + table + rest.partition(end)[2]
    return text


def providers() -> Iterator[str]:
    """Ours, with package or extra, key and defaults."""
    yield "| kind | name | comes with | key | options and their defaults |"
    yield "| --- | --- | --- | --- | --- |"
    for row in registry.describe():
        if row.distribution == "offhook":
            options = ", ".join(f"`{name}: {_plain(value)}`" for name, value in row.defaults.items())
            keys = " or ".join(f"`{key}`" for key in row.keys)
            yield f"| {row.kind} | `{row.name}` | {_comes_with(row)} | {keys} | {options} |"


def _comes_with(row: ProviderInfo) -> str:
    return f"`offhook[{row.extra}]`" if row.extra else "offhook"


def _plain(value: str) -> str:
    """A default as YAML writes it, nearly."""
    text = {"True": "yes", "False": "no", "None": "", "''": '""', "()": "[]"}.get(value, value)
    return text.replace("|", "/")


def conformance() -> Iterator[str]:
    """Check by provider: ✓ is tested and passes, – does not apply."""
    for kind in KINDS:
        names = [name for of, name in SUBJECTS if of == kind]
        yield f"| {kind} | {' | '.join(names)} | what is asked for |"
        yield f"| --- |{' --- |' * len(names)} --- |"
        for check in checks_for(kind):
            cells = " | ".join("–" if inapplicable(_subject(kind, name), check) else "✓" for name in names)
            yield f"| {check.name} | {cells} | {check.about} |"
        yield ""
    yield from _exemptions()


def _exemptions() -> Iterator[str]:
    yield "Not asked for:"
    yield ""
    for kind, name in SUBJECTS:
        subject = _subject(kind, name)
        reasons = dict.fromkeys(subject.exempt.values())
        whys = [
            f"{', '.join(check for check, because in subject.exempt.items() if because == why)} ({why})"
            for why in reasons
        ]
        if subject.difficulties is None and kind != "vad":
            whys.append("whatever needs a server that misbehaves (it has none)")
        if whys:
            yield f"- {kind} {name}: {'; '.join(whys)}"


def _subject(kind: Kind, name: str) -> Subject:
    """Only to be looked at: its server is over when this returns."""

    async def look() -> Subject:
        async with SUBJECTS[kind, name]() as subject:
            return subject

    return asyncio.run(look())


if __name__ == "__main__":
    DOCUMENT.write_text(written(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
