"""`offhook check`, and the trunks that are shipped for peers people have."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from offhook.cli import main

ROOT = Path(__file__).parents[2]
SNIPPETS = sorted((ROOT / "config" / "trunks").glob("*.yaml"))
SECRETS = ("TWILIO_PASSWORD", "TELNYX_PASSWORD", "THREECX_PASSWORD", "CARRIER")


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """`offhook check` in the repository, with every password set. Returns the exit code."""
    monkeypatch.chdir(ROOT)
    for name in SECRETS:
        monkeypatch.setenv(name, "x")
    for name in ("GROQ_API_KEY", "ELEVENLABS_API_KEY"):
        monkeypatch.setenv(name, "")
    monkeypatch.setattr(sys, "argv", ["offhook", "check", *arguments])
    with pytest.raises(SystemExit) as left:
        main()
        sys.exit(0)
    return int(left.value.code or 0)


@pytest.mark.parametrize("path", SNIPPETS, ids=lambda path: path.stem)
def test_a_shipped_trunk_can_be_used_as_it_stands(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Operators copy it; a mistake in it would be theirs to find. It says whose facts it holds, and from when."""
    assert run(monkeypatch, str(path)) == 0
    said = capsys.readouterr().out
    (trunk,) = [line for line in said.splitlines() if line.startswith("trunk")]
    assert path.stem in trunk or path.stem == "kamailio"
    assert "rings from" in trunk and "dials nothing" not in trunk and said.endswith("good\n")
    assert " 2026" in path.read_text() and "offhook check" in path.read_text()


def test_the_peers_that_the_readme_names_are_there() -> None:
    named = {path.name for path in SNIPPETS}
    assert {"twilio.yaml", "telnyx.yaml", "asterisk.yaml", "freeswitch.yaml", "3cx.yaml"} <= named
    readme = (ROOT / "README.md").read_text()
    assert all(f"config/trunks/{name}" in readme for name in named)


def test_the_check_says_what_the_server_would_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "offhook.yaml"
    path.write_text(
        "sip: {codecs: [G722]}\n"
        "trunks:\n"
        "  - {name: a, host: [a.example, b.example], user: bot, password_env: CARRIER, register: yes, "
        'allowed: ["+49*"], max_calls: 3}\n'
        "  - {name: b, user: anna, password_env: CARRIER, challenge: yes}\n"
    )
    assert run(monkeypatch, str(path)) == 0
    assert capsys.readouterr().out.splitlines() == [
        "sip       UDP 0.0.0.0 5060, TCP 0.0.0.0 5060; codecs G722",
        "trunk     a: rings from a.example, b.example; registers bot at a.example, b.example; "
        "dials +49* over a.example, b.example; codecs G722; 3 calls at once",
        "trunk     b: rings from anywhere with the password of anna; dials nothing; codecs G722",
        "strangers drop",
        "calls     any number at once, kept in var/calls",
        "plan      dialplans/demo.yaml: 2 agents",
        "stt       pocketsphinx; groq needs GROQ_API_KEY",
        "llm       scripted; groq needs GROQ_API_KEY",
        "tts       espeak; elevenlabs needs ELEVENLABS_API_KEY",
        "good",
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("trunks: [{name: a, hots: b.example}]\n", "offhook.yaml:1:20: unknown key 'hots'."),
        ("sip: {dns: [ns.example]}\n", "offhook.yaml:1:13: 'ns.example' is no name server."),
        (
            "trunks: [{name: a, tls_name: b.example}]\n",
            "trunk 'a': `tls_name` needs the certificates of callers. Add `sip.tls.client_ca`.",
        ),
        (
            "sip: {tls: {certificates: [{names: b.example, certificate: b.pem}]}}\n",
            "`certificates` needs a default for callers who ask for no name. Add `certificate`.",
        ),
        ("sip: {tls: {certificate: gone.pem}}\n", "TLS certificate gone.pem: No such file"),
        ("dialplan: gone.yaml\n", "gone.yaml"),
        (
            "console: {enabled: no}\ntraces: {endpoint: http://127.0.0.1:4318}\n",
            "`traces` are sent by the console. Take `console.enabled: no` out.",
        ),
    ],
)
def test_a_mistake_is_named_with_its_line_and_ends_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str, says: str
) -> None:
    path = tmp_path / "offhook.yaml"
    path.write_text(text)
    assert run(monkeypatch, str(path)) == 1
    assert says in capsys.readouterr().err


def test_an_agent_that_nobody_could_serve_for_want_of_a_key_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Agent, variable, remedy: before the first caller finds out."""
    path = tmp_path / "plan.yaml"
    path.write_text(
        "version: 1\nagents:\n  sales: {instructions: x, llm: groq}\nnumbers: [{number: any, agent: sales}]\n"
    )
    assert run(monkeypatch, "--dialplan", str(path)) == 1
    said = capsys.readouterr().err
    assert "agent 'sales': llm: groq needs GROQ_API_KEY. Set it in the environment or in .env." in said
