"""A server is started on a dial plan that is not good: it answers by the version before, and says so; or not at all."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.live.server import ServerError, running_server
from tests.live.sipp import SippRun
from tests.live.test_plan_reload import TOKEN, free_port, history, listens, plan, save, taken

pytestmark = pytest.mark.timeout(120)

BAD = {
    "a failing test of its own": (
        plan("berta").replace("expect: berta", "expect: '404'"),
        "200 goes to berta, not 404",
    ),
    "a name that leads nowhere": (
        plan("berta").replace("agent: berta", "agent: bertha"),
        "no agent 'bertha'",
    ),
    "a provider that no worker has": (
        plan("berta").replace("Answer.,", "Answer., llm: groqq,"),
        "no llm provider 'groqq'",
    ),
}


@pytest.mark.parametrize("why", BAD)
async def test_the_newest_good_version_answers_until_the_file_is_mended(
    tmp_path: Path, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loud, as for a failed reload: log, metric, history, API."""
    path, (text, words) = tmp_path / "plan.yaml", BAD[why]
    path.write_text(plan("anna"))
    async with running_server(tmp_path, dialplan=path, workers=1) as server:
        await server.until(lambda: bool(history(server)), "first version", 10)
        (first,) = history(server)
    path.write_text(text)
    monkeypatch.setenv("TEST_PLAN_TOKEN", TOKEN)
    port = free_port()
    console = f"{{port: {port}, tokens: [{{name: anna, role: viewer, token_env: TEST_PLAN_TOKEN}}]}}"
    async with running_server(
        tmp_path, dialplan=path, workers=1, workers_die=True, settings="plan_watch_s: 0.1\n", console=console
    ) as server:
        said = "\n".join(server.log)
        assert "older_plan_in_use" in said and "plan_refused" in said and words in said, server.tell("silent")
        assert (await server.metrics())["offhook_plan_refused"] == 1.0
        assert (await server.metrics())[f'offhook_plan{{version="{first["version"]}"}}'] == 1.0
        assert [fact["what"] for fact in history(server)] == ["in_use", "refused"]
        await server.until(lambda: listens(port), "console", 30)
        status = await _status(port)
        assert status["in_use"]["version"] == first["version"]
        assert words in " ".join(status["refused"]["problems"])
        called = await SippRun("uac_talk", server.sip_port, number="200", hold_ms=300).result(tmp_path / "1")
        assert called.succeeded == 1, server.tell(called.explain())
        assert (await server.last_call()).facts["agent"] == "anna"
        save(path, plan("clara"))
        await taken(server, 1)
        assert (await server.metrics())["offhook_plan_refused"] == 0.0
        assert (await _status(port))["refused"] is None


async def test_a_worker_that_dies_under_an_older_version_comes_back_with_it(tmp_path: Path) -> None:
    """The file is still wrong: who starts now must not read it."""
    path = tmp_path / "plan.yaml"
    path.write_text(plan("anna"))
    async with running_server(tmp_path, dialplan=path, workers=1) as server:
        await server.until(lambda: bool(history(server)), "first version", 10)
    path.write_text(BAD["a provider that no worker has"][0])
    async with running_server(tmp_path, workers_die=True, dialplan=path, workers=1) as server:
        await server.warm(2)
        called = SippRun("uac_talk", server.sip_port, number="100", hold_ms=15_000)
        running = asyncio.create_task(called.result(tmp_path / "1"))
        call = await server.last_call()
        await server.until(lambda: server.has_call(call), "worker", 10)
        worker = server.worker_of(call)
        os.kill(worker, 9)
        await server.warm_again(worker, 2)
        assert (await running).succeeded == 1
        assert (await server.finished(call))["agent"] == "anna"


async def test_without_a_version_the_server_refuses_to_start_and_names_everything(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    text = plan("berta").replace("agent: berta", "agent: bertha")
    path.write_text(text.replace("number: '200'", "number: '2x0'"))
    with pytest.raises(ServerError) as refused:
        async with running_server(tmp_path, dialplan=path, workers=1):
            pass
    said = str(refused.value)
    assert "it ended" in said
    assert "no agent 'bertha'" in said and "2x0" in said, said
    assert "has no version of this plan" in said and "offhook dialplan check" in said


async def _status(port: int) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.get(f"http://127.0.0.1:{port}/api/plan/status") as got,
    ):
        assert got.status == 200
        status: dict[str, Any] = await got.json()
        return status
