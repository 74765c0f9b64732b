"""The dial plan over HTTP: read, validate, replace, roll back, and what became of it.

    GET  /api/plan            the main file, its ETag          viewer
    GET  /api/plan/status     what is in use, what is on disk  viewer
    GET  /api/plan/history    every fact, the newest first     viewer
    GET  /api/plan/versions/V the main file of a version       viewer
    POST /api/plan/validate   what is wrong with a plan        viewer
    PUT  /api/plan            If-Match, X-Reason               editor
    POST /api/plan/rollback   {"version", "reason"}            editor
    GET  /api/plan/audit      who asked for what               admin

It never talks to the switch: it writes the file, the switch watches it, and both read the plan's history. So the phones
do not depend on this process, and a plan that comes by hand and one that comes from here go the same way."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeAlias

from aiohttp import web

from offhook.console.access import Access, Deed, Holder
from offhook.plans.playable import unplayable
from offhook.plans.versions import Fact, Versions, VersionsError, snapshot, write
from telephony.dialplan.document import MAX_BYTES, FileProblems, Problem
from telephony.dialplan.load import parse_plan
from telephony.dialplan.trial import failed_tests

WAIT_S = 20.0  # for the switch's word on a change
LOOK_EVERY_S = 0.1
MOST_FACTS = 1000
LONGEST_REASON = 500

Answer: TypeAlias = Awaitable[web.Response]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request with whoever made it."""

    request: web.Request
    holder: Holder


class PlanApi:
    """One plan. path: its main file; root: where versions are kept; trunks: those of the settings (load_plan)."""

    def __init__(
        self,
        path: Path,
        root: Path,
        access: Access,
        wait_s: float = WAIT_S,
        trunks: Mapping[str, int] | None = None,
    ) -> None:
        self._path, self._access, self._wait_s, self._trunks = path, access, wait_s, trunks
        self._versions = Versions(root, path)
        self._changing = asyncio.Lock()

    def routes(self) -> list[web.RouteDef]:
        """For the application."""
        return [
            web.get("/api/plan", self._for("viewer", self._get)),
            web.get("/api/plan/status", self._for("viewer", self._status)),
            web.get("/api/plan/history", self._for("viewer", self._history)),
            web.get("/api/plan/versions/{version}", self._for("viewer", self._version)),
            web.post("/api/plan/validate", self._for("viewer", self._validate)),
            web.put("/api/plan", self._for("editor", self._put)),
            web.post("/api/plan/rollback", self._for("editor", self._rollback)),
            web.get("/api/plan/audit", self._for("admin", self._audit)),
        ]

    def _for(
        self, role: str, handler: Callable[[Asked], Answer]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """Only for whoever has that role or more; everything is written down, refusals too."""

        async def handle(request: web.Request) -> web.StreamResponse:
            holder = self._access.holder(request.headers.get("Authorization", ""))
            try:
                if holder is None:
                    answer = _refuse(
                        401, "give a bearer token. They are listed in console.tokens of the settings."
                    )
                    answer.headers["WWW-Authenticate"] = "Bearer"
                elif not holder.may(role):
                    answer = _refuse(403, f"{holder.name} is {holder.role}, this takes {role}.")
                else:
                    answer = await handler(Asked(request, holder))
            except VersionsError as error:
                answer = _refuse(409, str(error))
            await asyncio.to_thread(self._access.log, _deed(request, holder, answer))
            return answer

        return handle

    # ------------------------------------------------------------ reading

    async def _get(self, asked: Asked) -> web.Response:
        data = await asyncio.to_thread(_read, self._path)
        return web.Response(body=data, content_type="application/yaml", headers={"ETag": _etag(data)})

    async def _status(self, asked: Asked) -> web.Response:
        data = await asyncio.to_thread(_read, self._path)
        facts = await asyncio.to_thread(self._versions.history)
        used = next((fact for fact in reversed(facts) if fact.what == "in_use"), None)
        last = next((fact for fact in reversed(facts) if fact.what != "saved"), None)
        refused = last if last is not None and last.what == "refused" else None
        return web.json_response(
            {
                "in_use": asdict(used) if used else None,
                "refused": asdict(refused) if refused else None,
                "etag": _etag(data),
            }
        )

    async def _history(self, asked: Asked) -> web.Response:
        facts = await asyncio.to_thread(self._versions.history)
        return web.json_response({"history": [asdict(fact) for fact in facts[: -MOST_FACTS - 1 : -1]]})

    async def _version(self, asked: Asked) -> web.Response:
        version = await asyncio.to_thread(self._versions.find, asked.request.match_info["version"])
        files = await asyncio.to_thread(self._versions.files, version)
        return web.Response(body=next(iter(files.values())), content_type="application/yaml")

    async def _audit(self, asked: Asked) -> web.Response:
        text = await asyncio.to_thread(_lines, self._access.log_path)
        return web.json_response({"audit": [json.loads(line) for line in text[: -MOST_FACTS - 1 : -1]]})

    async def _validate(self, asked: Asked) -> web.Response:
        found, _ = await asyncio.to_thread(self._problems, await _body(asked.request))
        problems = [_shown(one) for one in found if not one.warning]
        warnings = [_shown(one) for one in found if one.warning]
        return web.json_response({"good": not problems, "problems": problems, "warnings": warnings})

    # ------------------------------------------------------------ changing

    async def _put(self, asked: Asked) -> web.Response:
        request = asked.request
        if (known := request.headers.get("If-Match")) is None:
            return _refuse(428, "say in If-Match which version you changed: the ETag of GET /api/plan.")
        data = await _body(request)
        found, version = await asyncio.to_thread(self._problems, data)
        if shown := [_shown(one) for one in found if not one.warning]:
            return web.json_response({"error": "the plan is not good", "problems": shown}, status=422)
        async with self._changing:
            now = await asyncio.to_thread(_read, self._path)
            if known not in ("*", _etag(now)):
                return _refuse(412, "somebody else has changed the plan meanwhile. Get it again.")
            before = await asyncio.to_thread(self._versions.history)
            reason = _reason(request.headers.get("X-Reason", ""))
            await asyncio.to_thread(self._save, data, version, asked.holder.name, reason)
        if data == now:
            return web.json_response({"version": version, "in_use": True}, headers={"ETag": _etag(data)})
        return await self._outcome(version, len(before), {"ETag": _etag(data)})

    def _save(self, data: bytes, version: str, author: str, reason: str) -> None:
        with self._versions.locked():
            self._versions.note("saved", version, author=author, reason=reason)
            write(self._path, data)

    async def _rollback(self, asked: Asked) -> web.Response:
        try:
            wanted = json.loads(await _body(asked.request) or b"{}")
            version, reason = str(wanted.get("version", "")), _reason(str(wanted.get("reason", "")))
        except (ValueError, AttributeError):
            return _refuse(400, 'send JSON: {"version": "...", "reason": "..."}')
        async with self._changing:
            before = await asyncio.to_thread(self._versions.history)
            version = await asyncio.to_thread(self._versions.find, version)
            reason = reason or f"rolled back to {version}"
            put_back = self._versions.put_back
            await asyncio.to_thread(put_back, version, author=asked.holder.name, reason=reason)
        return await self._outcome(version, len(before), {})

    async def _outcome(self, version: str, known: int, headers: dict[str, str]) -> web.Response:
        """What the switch made of it: 200 it is in use, 409 it was refused, 202 nothing was heard yet."""
        verdict = await self._verdict(version, known)
        body: dict[str, Any] = {
            "version": version,
            "in_use": verdict is not None and verdict.what == "in_use",
        }
        if verdict is None:
            return web.json_response(
                body | {"note": "the switch has not taken it yet"}, status=202, headers=headers
            )
        if verdict.what == "refused":
            body |= {"error": "refused; the plan before stays in use", "problems": list(verdict.problems)}
        return web.json_response(body, status=200 if body["in_use"] else 409, headers=headers)

    async def _verdict(self, version: str, known: int) -> Fact | None:
        loop = asyncio.get_running_loop()
        until = loop.time() + self._wait_s
        while loop.time() < until:
            facts = (await asyncio.to_thread(self._versions.history))[known:]
            for fact in facts:
                if fact.what != "saved" and fact.version in (version, ""):
                    return fact
            await asyncio.sleep(LOOK_EVERY_S)
        return None

    def _problems(self, data: bytes) -> tuple[list[Problem], str]:
        """What is to be said of a plan that would stand in our file's place, and its version if nothing is wrong."""
        try:
            today = datetime.now(UTC).date()
            plan = parse_plan(data, str(self._path), trunks=self._trunks, today=today, also=unplayable)
        except FileProblems as error:
            return error.problems, ""
        return [*plan.warnings, *failed_tests(plan)], snapshot(plan, data).version


def _deed(request: web.Request, holder: Holder | None, answer: web.Response) -> Deed:
    body: dict[str, Any] = {}
    if answer.content_type == "application/json" and isinstance(answer.body, bytes):
        body = json.loads(answer.body)
    return Deed(
        holder.name if holder else "",
        holder.role if holder else "",
        request.remote or "",
        request.method,
        request.path,
        answer.status,
        str(body.get("version", "")),
        _reason(request.headers.get("X-Reason", "")) or str(body.get("error", "")),
    )


async def _body(request: web.Request) -> bytes:
    """Raises HTTPRequestEntityTooLarge."""
    data = await request.content.read(MAX_BYTES + 1)
    while len(data) <= MAX_BYTES and (more := await request.content.read(MAX_BYTES + 1 - len(data))):
        data += more
    if len(data) > MAX_BYTES:
        raise web.HTTPRequestEntityTooLarge(max_size=MAX_BYTES, actual_size=len(data))
    return data


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise VersionsError(f"{path}: {error.strerror}.") from error


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def _etag(data: bytes) -> str:
    """Of the main file's bytes: what an editor has seen."""
    return f'"{sha256(data).hexdigest()[:12]}"'


def _reason(text: str) -> str:
    return " ".join(text.split())[:LONGEST_REASON]


def _shown(problem: Problem) -> dict[str, Any]:
    return {key: value for key, value in asdict(problem).items() if key != "warning"}


def _refuse(status: int, why: str) -> web.Response:
    return web.json_response({"error": why}, status=status)
