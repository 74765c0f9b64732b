"""The dial plan over HTTP: tokens, roles, If-Match, what is refused, and what is written down."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from offhook.console.access import Access, Holder
from offhook.console.plan_api import PlanApi
from offhook.plans.versions import Fact, Versions, snapshot
from offhook.settings import load_settings
from telephony.dialplan.document import FileProblems
from telephony.dialplan.load import load_plan

PLAN = (
    "version: 1\nagents: {desk: {instructions: x}, night: {instructions: x}}\n"
    "numbers: [{number: '100', agent: desk}]\ntests: [{call: '100', expect: desk}]\n"
)
BETTER = PLAN.replace("instructions: x}, night", "instructions: Be brief.}, night")
TOKENS = {
    "viewer": "the-viewer-s-token-00",
    "editor": "the-editor-s-token-00",
    "admin": "the-admin-s-token-000",
}


class Api:
    """The API as somebody with a role sees it."""

    def __init__(self, session: aiohttp.ClientSession, url: str, plan: Path, versions: Versions) -> None:
        self.session, self.url, self.plan, self.versions = session, url, plan, versions

    async def ask(
        self, method: str, path: str, role: str = "", **more: Any
    ) -> tuple[int, dict[str, Any], Mapping[str, str]]:
        headers = more.pop("headers", {}) | ({"Authorization": f"Bearer {TOKENS[role]}"} if role else {})
        async with self.session.request(method, self.url + path, headers=headers, **more) as answer:
            text = await answer.text()
            body = json.loads(text) if answer.content_type == "application/json" else {"text": text}
            return answer.status, body, answer.headers

    async def saved(self) -> Fact:
        """What was saved, as soon as something was."""
        while (fact := await asyncio.to_thread(self.versions.last, "saved")) is None:  # noqa: ASYNC110 # a file
            await asyncio.sleep(0)
        return fact

    async def etag(self) -> str:
        return (await self.ask("GET", "/api/plan", "viewer"))[2]["ETag"]


@asynccontextmanager
async def an_api(folder: Path, wait_s: float = 0.0) -> AsyncIterator[Api]:
    plan = folder / "plan.yaml"
    plan.write_text(PLAN)
    holders = [Holder(role, role, sha256(token.encode()).hexdigest()) for role, token in TOKENS.items()]
    app = web.Application()
    access = Access(holders, folder / "versions" / "audit.jsonl")
    app.add_routes(PlanApi(plan, folder / "versions", access, wait_s).routes())
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    try:
        async with aiohttp.ClientSession() as session:
            yield Api(session, f"http://{host}:{port}", plan, Versions(folder / "versions", plan))
    finally:
        await runner.cleanup()


async def test_every_path_asks_for_a_token_and_for_a_role_that_is_high_enough(tmp_path: Path) -> None:
    needed = [
        ("GET", "/api/plan", "viewer"), ("GET", "/api/plan/status", "viewer"), ("GET", "/api/plan/history", "viewer"),
        ("POST", "/api/plan/validate", "viewer"), ("PUT", "/api/plan", "editor"),
        ("POST", "/api/plan/rollback", "editor"), ("GET", "/api/plan/audit", "admin"),
    ]  # fmt: skip
    async with an_api(tmp_path) as api:
        for method, path, role in needed:
            status, _, headers = await api.ask(method, path)
            assert (status, headers["WWW-Authenticate"]) == (401, "Bearer"), path
            wrong = {"Authorization": "Bearer the-editor-s-token-01"}
            assert (await api.ask(method, path, headers=wrong))[0] == 401
            lower = {"editor": "viewer", "admin": "editor"}.get(role)
            if lower:
                assert (await api.ask(method, path, lower))[0] == 403, path
            assert (await api.ask(method, path, role))[0] not in (401, 403), path
        assert api.plan.read_text() == PLAN
        lines = [json.loads(line) for line in (tmp_path / "versions/audit.jsonl").read_text().splitlines()]
        assert [line["status"] for line in lines].count(401) == 2 * len(needed)
        assert all(token not in json.dumps(lines) for token in TOKENS.values())


async def test_a_good_plan_is_put_in_place_and_the_switch_s_word_is_waited_for(tmp_path: Path) -> None:
    async with an_api(tmp_path, wait_s=20) as api:
        headers = {"If-Match": await api.etag(), "X-Reason": "shorter answers"}
        putting = asyncio.create_task(api.ask("PUT", "/api/plan", "editor", data=BETTER, headers=headers))
        saved = await api.saved()
        assert (saved.author, saved.reason) == ("editor", "shorter answers")
        api.versions.note("in_use", saved.version)  # as the switch does (tests/live/test_plan_reload.py)
        status, body, answered = await putting
        assert (status, body) == (200, {"version": saved.version, "in_use": True})
        assert api.plan.read_text() == BETTER and answered["ETag"] == await api.etag()
        assert saved.version == snapshot(load_plan(api.plan)).version
        last = (await api.ask("GET", "/api/plan/audit", "admin"))[1]["audit"]
        (put,) = [line for line in last if line["method"] == "PUT"]
        assert (put["who"], put["status"], put["version"], put["reason"]) == (
            "editor", 200, saved.version, "shorter answers",
        )  # fmt: skip


async def test_a_plan_that_the_switch_refuses_is_a_conflict_with_its_reasons(tmp_path: Path) -> None:
    async with an_api(tmp_path, wait_s=20) as api:
        putting = asyncio.create_task(
            api.ask("PUT", "/api/plan", "editor", data=BETTER, headers={"If-Match": "*"})
        )
        saved = await api.saved()
        api.versions.note("refused", saved.version, problems=["agent 'desk': no such provider"])
        status, body, _ = await putting
        assert (status, body["in_use"], body["problems"]) == (409, False, ["agent 'desk': no such provider"])
        shown = (await api.ask("GET", "/api/plan/status", "viewer"))[1]
        assert (shown["in_use"], shown["refused"]["problems"]) == (None, ["agent 'desk': no such provider"])


async def test_who_has_not_seen_the_last_version_cannot_overwrite_it(tmp_path: Path) -> None:
    async with an_api(tmp_path) as api:
        seen = await api.etag()
        assert (await api.ask("PUT", "/api/plan", "editor", data=BETTER))[0] == 428
        one = await api.ask("PUT", "/api/plan", "editor", data=BETTER, headers={"If-Match": seen})
        assert one[0] == 202 and one[1]["in_use"] is False  # no switch has said a word
        assert (await api.ask("PUT", "/api/plan", "admin", data=PLAN, headers={"If-Match": seen}))[0] == 412
        assert api.plan.read_text() == BETTER


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (PLAN.replace("agent: desk}", "agent: dusk}"), 3, "Did you mean 'desk'?"),
        (PLAN.replace("expect: desk", "expect: night"), 4, "100 goes to desk, not night"),
        ("- x", 1, "a dial plan begins with keys"),
    ],
)
async def test_a_bad_plan_changes_nothing_and_is_told_line_by_line(
    tmp_path: Path, text: str, line: int, words: str
) -> None:
    async with an_api(tmp_path) as api:
        for method, path in (("POST", "/api/plan/validate"), ("PUT", "/api/plan")):
            status, body, _ = await api.ask(method, path, "editor", data=text, headers={"If-Match": "*"})
            assert status == (422 if method == "PUT" else 200)
            assert body["problems"][0]["line"] == line and words in body["problems"][0]["text"]
        assert api.plan.read_text() == PLAN
        assert api.versions.history() == []


async def test_a_plan_with_a_date_that_is_past_is_good_and_says_so(tmp_path: Path) -> None:
    old = PLAN + "timezone: UTC\ncalendars: {office: {open: {mon: 9:00-17:00}, closed: [2001-12-24]}}\n"
    async with an_api(tmp_path) as api:
        _, body, _ = await api.ask("POST", "/api/plan/validate", "viewer", data=old)
        assert (body["good"], body["problems"]) == (True, [])
        (warning,) = body["warnings"]
        assert (warning["line"], warning["column"]) == (6, 56)
        status, _, _ = await api.ask("PUT", "/api/plan", "editor", data=old, headers={"If-Match": "*"})
        assert status != 422 and api.plan.read_text() == old


async def test_a_rollback_puts_the_files_of_a_version_back(tmp_path: Path) -> None:
    async with an_api(tmp_path) as api:
        first = snapshot(load_plan(api.plan))
        api.versions.keep(first)
        api.versions.note("in_use", first.version)
        api.plan.write_text(BETTER)
        api.versions.note("in_use", snapshot(load_plan(api.plan)).version)
        status, body, _ = await api.ask("POST", "/api/plan/rollback", "editor", json={"reason": "worse"})
        assert (status, body["version"], api.plan.read_text()) == (202, first.version, PLAN)
        history = (await api.ask("GET", "/api/plan/history", "viewer"))[1]["history"]
        assert (history[0]["what"], history[0]["author"], history[0]["reason"]) == (
            "saved",
            "editor",
            "worse",
        )
        text = (await api.ask("GET", f"/api/plan/versions/{first.version[:6]}", "viewer"))[1]["text"]
        assert text == PLAN
        assert (await api.ask("POST", "/api/plan/rollback", "editor", json={"version": "zz"}))[0] == 409
        assert (await api.ask("POST", "/api/plan/rollback", "editor", data="[]"))[0] == 400


def test_tokens_come_from_the_environment_or_as_digests_and_never_in_clear(tmp_path: Path) -> None:
    path = tmp_path / "offhook.yaml"
    path.write_text(
        "console:\n  tokens:\n    - {name: anna, role: editor, token_env: ANNA}\n"
        f"    - {{name: wall, sha256: {sha256(b'x').hexdigest()}}}\n"
    )
    settings = load_settings(path, environ={"ANNA": TOKENS["editor"]})
    anna, wall = settings.console.holders()
    assert anna == {"name": "anna", "role": "editor", "sha256": sha256(TOKENS["editor"].encode()).hexdigest()}
    assert wall["role"] == "viewer" and TOKENS["editor"] not in str(settings.model_dump())
    for text, words in (
        ("{name: a, token: secret}", "a token does not belong here"),
        ("{name: a, token_env: GONE}", "no variable 'GONE'"),
        ("{name: a, token_env: SHORT}", "has fewer than 20 characters"),
        ("{name: a}", "give it one of token_env and sha256"),
    ):
        path.write_text(f"console:\n  tokens:\n    - {text}\n")
        with pytest.raises(FileProblems, match=words):
            load_settings(path, environ={"SHORT": "abc"})
