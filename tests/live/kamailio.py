"""Kamailio on loopback: as carrier, a registrar and record-routing proxy that wants a password for everything
(`running_kamailio`), or as the edge in front of a server, with one socket for the world and another for the
server, so that every dialog has two Record-Routes (`running_edge`).

Only ever started by the tests that need it."""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"
USER, PASSWORD, REALM = "bot", "s3cret", "carrier.test"
START_S = 10.0
OPTIONS = (
    "OPTIONS sip:{host}:{port} SIP/2.0\r\nVia: SIP/2.0/UDP {host}:{ours};branch=z9hG4bKready{count}\r\n"
    "From: <sip:test@{host}>;tag=1\r\nTo: <sip:{host}>\r\nCall-ID: ready\r\nCSeq: {count} OPTIONS\r\n"
    "Content-Length: 0\r\n\r\n"
)

CONFIG = """
debug=1
log_stderror=yes
fork=yes
children=1
disable_tcp=yes
listen=udp:{host}:{port}
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "auth.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "siputils.so"
modparam("usrloc", "db_mode", 0)
modparam("registrar", "default_expires", 120)
modparam("registrar", "max_expires", 120)
modparam("auth", "algorithm", "{algorithm}")
modparam("auth", "nonce_expire", {nonce_s})
modparam("rr", "enable_full_lr", 1)

request_route {{
    if (method == "OPTIONS") {{ sl_send_reply("200", "OK"); exit; }}
    if (has_totag()) {{
        if (loose_route()) {{ t_relay(); exit; }}
        if (method == "ACK") {{ if (t_check_trans()) {{ t_relay(); }} exit; }}
        sl_send_reply("404", "Not here");
        exit;
    }}
    if (method == "CANCEL") {{ if (t_check_trans()) {{ t_relay(); }} exit; }}
    if (method == "REGISTER") {{
        if (!pv_www_authenticate("{realm}", "{password}", "0")) {{
            www_challenge("{realm}", "1");
            exit;
        }}
        save("location");
        exit;
    }}
    if (!pv_proxy_authenticate("{realm}", "{password}", "0")) {{
        proxy_challenge("{realm}", "1");
        exit;
    }}
    consume_credentials();
    record_route();
    if (!lookup("location")) {{ sl_send_reply("404", "Not registered"); exit; }}
    t_relay();
}}
"""

EDGE = """
debug=1
log_stderror=yes
fork=yes
children=1
tcp_children=1
listen=udp:{host}:{port}
listen={transport}:{host}:{inner}
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "siputils.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
modparam("rr", "enable_full_lr", 1)
modparam("rr", "enable_double_rr", 1)

request_route {{
    if (method == "OPTIONS" && !has_totag()) {{ sl_send_reply("200", "OK"); exit; }}
    if (!mf_process_maxfwd_header("10")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
    if (method == "CANCEL") {{ if (t_check_trans()) {{ t_relay(); }} exit; }}
    if (has_totag()) {{
        if (loose_route()) {{ t_relay(); exit; }}
        if (method == "ACK") {{ if (t_check_trans()) {{ t_relay(); }} exit; }}
        sl_send_reply("404", "Not here");
        exit;
    }}
    record_route();
    $fs = "{transport}:{host}:{inner}";
    $du = "sip:{host}:{server};transport={transport}";
    if (!t_relay()) {{ sl_reply_error(); }}
}}
"""


@dataclass(frozen=True, slots=True)
class Kamailio:
    """It listens here. inner: on the side of the server, if it stands in front of one."""

    port: int
    inner: int = 0


@asynccontextmanager
async def running_kamailio(
    folder: Path, *, algorithm: str = "SHA-256", nonce_s: int = 300
) -> AsyncIterator[Kamailio]:
    """The carrier, on a free port; stopped, with all its processes, at the end."""
    port = _free_port()
    config = CONFIG.format(
        host=HOST, port=port, realm=REALM, password=PASSWORD, algorithm=algorithm, nonce_s=nonce_s
    )
    async with _running(folder, config, port):
        yield Kamailio(port)


@asynccontextmanager
async def running_edge(folder: Path, server_port: int, transport: str = "udp") -> AsyncIterator[Kamailio]:
    """The edge in front of a server. transport: between the two; the world comes by UDP."""
    port, inner = _free_port(), _free_port()
    config = EDGE.format(host=HOST, port=port, inner=inner, server=server_port, transport=transport)
    async with _running(folder, config, port):
        yield Kamailio(port, inner)


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def _running(folder: Path, text: str, port: int) -> AsyncIterator[None]:
    program = shutil.which("kamailio") or "/usr/sbin/kamailio"
    config = folder / "kamailio.cfg"
    config.write_text(text)
    said = (folder / "kamailio.log").open("wb")
    arguments = ["-DD", "-E", "-f", str(config), "-P", str(folder / "pid"), "-m", "32", "-M", "4"]
    process = await asyncio.create_subprocess_exec(
        program, *arguments, "-Y", str(folder), stdout=said, stderr=said
    )
    try:
        await _ready(port, process, folder / "kamailio.log")
        yield
    finally:
        if process.returncode is None:
            process.terminate()  # the main process takes its children along
        await process.wait()
        said.close()


async def _ready(port: int, process: asyncio.subprocess.Process, said: Path) -> None:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.setblocking(False)
        probe.connect((HOST, port))
        ours = probe.getsockname()[1]
        for count in range(int(START_S / 0.1)):
            if process.returncode is not None:
                break
            try:
                probe.send(OPTIONS.format(host=HOST, port=port, ours=ours, count=count + 1).encode())
                async with asyncio.timeout(0.1):
                    await loop.sock_recv(probe, 4096)
                return
            except TimeoutError:
                continue
            except ConnectionRefusedError:
                await asyncio.sleep(0.1)
    raise AssertionError(f"Kamailio did not start:\n{_told(said)}")


def _told(said: Path) -> str:
    return said.read_text(errors="replace")
