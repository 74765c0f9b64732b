"""Settings: the file, the environment on top of it, keys from `.env`, and errors with their place."""

from __future__ import annotations

from pathlib import Path

import pytest

from offhook.settings import Settings, load_settings
from telephony.dialplan.document import FileProblems

SHIPPED = Path(__file__).parents[2] / "config" / "offhook.yaml"


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "offhook.yaml"
    path.write_text(text)
    return path


def problems(path: Path, **environ: str) -> list[str]:
    with pytest.raises(FileProblems) as caught:
        load_settings(path, environ=environ)
    return [str(problem).removeprefix(f"{path}:") for problem in caught.value.problems]


def test_the_shipped_file_says_the_defaults() -> None:
    """It is the page where operators look up what may be set."""
    assert load_settings(SHIPPED, environ={}) == Settings()


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    """Containers are configured by variables; nested keys by two underscores."""
    path = written(tmp_path, "sip: {port: 5080, host: 10.0.0.1}\nworkers: 4\n")
    environ = {
        "OFFHOOK_SIP__PORT": "5070",
        "OFFHOOK_PROVIDERS__STT": "groq",
        "PATH": "/bin",
        "OFFHOOK_MAX_CALLS": "",
    }
    settings = load_settings(path, environ=environ)
    assert (settings.sip.port, settings.sip.host, settings.workers) == (5070, ("10.0.0.1",), 4)
    assert settings.providers.stt[0].name == "groq"
    assert [tts.name for tts in settings.providers.tts] == ["elevenlabs", "espeak"]


def test_codecs_are_named_in_order_and_in_any_case(tmp_path: Path) -> None:
    """A list in the file, words in a variable; an unknown one is refused at its place."""
    path = written(tmp_path, "sip: {codecs: [g722, pcmu, G722]}\n")
    assert load_settings(path, environ={}).sip.codecs == ("G722", "PCMU")
    assert load_settings(path, environ={"OFFHOOK_SIP__CODECS": "Opus, PCMA"}).sip.codecs == ("OPUS", "PCMA")
    (problem,) = problems(written(tmp_path, "sip:\n  codecs: [G729]\n"))
    assert problem.startswith("2:")
    assert "no codec 'G729'. Known: PCMU, PCMA, G722, OPUS." in problem
    assert problems(written(tmp_path, "sip: {codecs: []}\n"))


def test_without_a_file_the_defaults_and_the_environment_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`offhook serve` runs in an empty folder; a path that was given must exist."""
    monkeypatch.chdir(tmp_path)
    assert load_settings(environ={"OFFHOOK_WORKERS": "3"}).workers == 3
    with pytest.raises(FileProblems, match=r"gone\.yaml: cannot be read"):
        load_settings("gone.yaml", environ={})


def test_keys_come_from_dotenv_and_do_not_show_when_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process's environment wins over `.env`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("GROQ_API_KEY=from-file\nELEVENLABS_API_KEY=geheim\nOFFHOOK_WORKERS=5\n")
    monkeypatch.setenv("GROQ_API_KEY", "from-environment")
    monkeypatch.delenv("ELEVENLABS_API_KEY", raising=False)
    settings = load_settings()
    assert settings.keys["GROQ_API_KEY"].get_secret_value() == "from-environment"
    assert settings.keys["ELEVENLABS_API_KEY"].get_secret_value() == "geheim"
    assert settings.workers == 5
    assert "geheim" not in repr(settings)


def test_a_provider_takes_options(tmp_path: Path) -> None:
    """The same form as in the dial plan."""
    path = written(tmp_path, "providers:\n  llm: {provider: groq, model: llama}\n")
    llm = load_settings(path, environ={}).providers.llm[0]
    assert (llm.name, llm.options) == ("groq", {"model": "llama"})


def test_every_mistake_in_the_file_is_reported_with_its_place(tmp_path: Path) -> None:
    """The same form as a dial plan's errors."""
    text = "sip:\n  prt: 5060\nworkers: many\nlog: {level: loud}\nhttp: {port: 70000}\n"
    text += "workers: 2\nkeys: {a: b}\nproviders: {stt: {model: x}}\n"
    text += "rtp: {first_port: 20000, last_port: 10000}\nmedia_timeout_s:\n"
    assert problems(written(tmp_path, text)) == [
        "2:3: unknown key 'prt'. Did you mean 'port'?",
        "4:14: 'level' is 'loud'. Allowed: debug, info, warning or error.",
        "5:14: 'port': input should be less than or equal to 65535, found '70000'.",
        "6:1: key 'workers' is already in line 3. Keep one of the two.",
        "7:1: API keys do not belong here. Put them into .env.",
        "8:18: a provider needs its name. Add `provider:`, for instance `provider: groq`.",
        "9:6: last_port 10000 must be above first_port 20000. Leave two ports for every call at once.",
        "10:1: 'media_timeout_s' is empty. Write a value or remove the line.",
    ]


def test_a_mistake_in_the_environment_names_the_variable(tmp_path: Path) -> None:
    """Not the file, where nobody would find it."""
    path = written(tmp_path, "sip: {port: 5060}\n")
    assert problems(path, OFFHOOK_SIP__PORT="abc", OFFHOOK_SPI__PORT="1", OFFHOOK_LOG__LVEL="info") == [
        "environment variable OFFHOOK_LOG__LVEL: unknown key 'lvel'. Did you mean 'level'?",
        "environment variable OFFHOOK_SIP__PORT: 'port' must be a whole number, found 'abc'.",
        "environment variable OFFHOOK_SPI__PORT: unknown key 'spi'. Did you mean 'sip'?",
    ]


def test_a_file_that_is_not_a_mapping_is_refused(tmp_path: Path) -> None:
    """A list, a word, broken YAML."""
    assert problems(written(tmp_path, "- a\n"))[0].startswith("1:1: settings are")
    assert "not YAML" in problems(written(tmp_path, "sip: [\n"))[0]


def test_tls_is_set_by_the_file_or_by_the_environment(tmp_path: Path) -> None:
    """`on` and `off` are what people write; a key that is not known is refused at its line."""
    path = written(tmp_path, "sip:\n  tcp: off\n  tls: {certificate: phone.pem, verify: off}\n")
    sip = load_settings(path, environ={"OFFHOOK_SIP__TLS__PORT": "5071"}).sip
    assert sip.tls is not None
    assert (sip.tcp, sip.tls.port, sip.tls.certificate, sip.tls.verify) == (
        False,
        5071,
        Path("phone.pem"),
        False,
    )
    assert (
        "unknown key 'cert'. Known: alpn, certificate"
        in problems(written(tmp_path, "sip:\n  tls: {cert: phone.pem}\n"))[0]
    )


def test_what_ends_a_call_by_its_sound_and_how_packets_are_marked_may_be_set(tmp_path: Path) -> None:
    """Words in the file or in a variable; a signal that is not known is named."""
    path = written(tmp_path, "hang_up_on: []\nrtp: {dscp: 34}\n")
    settings = load_settings(path, environ={"OFFHOOK_SIP__DSCP": "26"})
    assert (settings.hang_up_on, settings.rtp.dscp, settings.sip.dscp) == ((), 34, 26)
    assert load_settings(path, environ={"OFFHOOK_HANG_UP_ON": "busy, fax"}).hang_up_on == ("busy", "fax")
    assert "'bussy'. Allowed: busy or fax" in problems(written(tmp_path, "hang_up_on: [bussy]\n"))[0]
    assert "dscp" in problems(written(tmp_path, "rtp: {dscp: 64}\n"))[0]
