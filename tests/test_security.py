"""Tokens, certificates and sockets: who is let in, who is not, and that no secret is ever shown."""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import os
import re
import socket
import ssl
import subprocess
import tomllib
from pathlib import Path

import pytest
from cli import ROOT, start
from hubtools import LOCAL, run, serving, tiny, turns
from test_client import Program
from webtools import RawWeb
from wirebytes import Raw, golden, put

from spikestream.client import Client, subscribe
from spikestream.config import from_tables
from spikestream.errors import ClientError, ConfigError
from spikestream.outputs.base import door as doors
from spikestream.outputs.base import open_output
from spikestream.outputs.base.subscriber import WRONG_TOKEN_S
from spikestream.outputs.tcp import Tcp, Tcps
from spikestream.outputs.unix import Unix
from spikestream.outputs.websocket import WebSocket, WebSockets
from spikestream.security import client_tls, read_token, server_tls
from spikestream.service.hub import Hub
from spikestream.wire import ClientSession, ServerSession, Welcome

SECRET = "correct-horse-battery-staple"
SPIKES = "main.network.spikes"
HELLO = {"op": "hello", "v": [1]}
PAGE = (ROOT / "docs" / "security.md").read_text()


@pytest.fixture
def token(tmp_path):
    """Return a file that holds the token, white space around it."""
    file = tmp_path / "token"
    file.write_text(f"\n  {SECRET} \n")
    file.chmod(0o600)
    return str(file)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Return a home in which the commands of the page about keys were run."""
    home = tmp_path_factory.mktemp("home")
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.S)[:2]:
        subprocess.run(["bash", "-ec", block], env={**os.environ, "HOME": str(home)}, check=True, capture_output=True)
    return home / ".config" / "spikestream"


@pytest.fixture
def keys(home):
    """Return the options of an encrypted listener."""
    return {"tls_certificate": str(home / "certificate.pem"), "tls_key": str(home / "key.pem")}


# --- the file


def test_a_token_is_one_word_of_its_owner(token):
    assert read_token(token) == SECRET
    Path(token).chmod(0o400)
    assert read_token(token) == SECRET


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620, 0o601, 0o666])
def test_a_token_that_others_may_open_is_refused(token, mode):
    Path(token).chmod(mode)
    with pytest.raises(ConfigError, match=f"{mode:04o}") as caught:
        read_token(token)
    assert f"chmod 600 {token}" in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["", "  \n", "x" * 15, "x" * 513, "two words of sixteen", "pass-\x00-pass-pass-pass", "pässwörter-pässwörter"],
)
def test_what_is_no_token_is_refused_and_not_shown(token, text):
    Path(token).write_text(text)
    with pytest.raises(ConfigError, match="holds no token") as caught:
        read_token(token)
    assert not text.strip() or text.strip() not in str(caught.value)


def test_a_token_file_that_is_none_is_refused_without_waiting_for_it(tmp_path):
    os.mkfifo(tmp_path / "fifo", 0o600)
    for name, text in (("no", "No such file"), ("fifo", "is no file"), (".", "is no file|Is a directory")):
        with pytest.raises(ConfigError, match=text):
            read_token(str(tmp_path / name))


def test_a_token_of_somebody_else_is_refused(token, monkeypatch):
    if os.geteuid() == 0:
        os.chown(token, 12_345, 12_345)
    else:  # who cannot give a file away is somebody else for once
        monkeypatch.setattr(os, "geteuid", lambda: 12_345)
    with pytest.raises(ConfigError, match="somebody else"):
        read_token(token)


def test_certificates_that_are_none_are_refused(keys, tmp_path):
    noise, loose = tmp_path / "noise.pem", tmp_path / "loose.pem"
    noise.write_text("no key")
    noise.chmod(0o600)
    loose.write_text(Path(keys["tls_key"]).read_text())
    loose.chmod(0o644)
    certificate, key = keys["tls_certificate"], keys["tls_key"]
    for given, text in (
        ((str(tmp_path / "no.pem"), key), "cannot be read: No such file"),
        ((certificate, str(tmp_path / "no.pem")), "cannot be read: No such file"),
        ((str(noise), key), "are no certificate"),
        ((certificate, str(noise)), "are no certificate"),
        ((certificate, str(loose)), "everybody may open the private key"),
        ((certificate, ""), "are no certificate|may open"),
    ):
        with pytest.raises(ConfigError, match=text):
            server_tls(*given)
    for ca, text in ((str(noise), "holds no certificates"), (str(tmp_path / "no.pem"), "No such file")):
        with pytest.raises(ConfigError, match=text):
            client_tls(ca)
    assert server_tls(certificate, key).minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_key_with_a_password_does_not_ask_for_it(keys, tmp_path):
    locked = tmp_path / "locked.pem"
    openssl = ["openssl", "ec", "-in", keys["tls_key"], "-aes256", "-passout", "pass:x", "-out", str(locked)]
    subprocess.run(openssl, check=True, capture_output=True)
    locked.chmod(0o600)
    with pytest.raises(ConfigError, match="are no certificate"):
        server_tls(keys["tls_certificate"], str(locked))


# --- places


@pytest.mark.parametrize("make", [Tcp, WebSocket])
@pytest.mark.parametrize("location", ["0.0.0.0:0", "[::]:0", "192.0.2.1:7077"])
def test_beyond_this_machine_nothing_starts_without_a_token(make, location, token, keys):
    with pytest.raises(ConfigError, match="without a token only loopback addresses"):
        make(location)
    with pytest.raises(ConfigError, match="without a token only loopback addresses"):
        make(location, **keys)
    with pytest.raises(ConfigError, match="is not encrypted") as caught:
        make(location, token_file=token, **keys)
    assert caught.value.remedy.startswith(("tcps://", "wss://"))
    assert make(location, token_file=token).token == SECRET


@pytest.mark.parametrize("make", [Tcps, WebSockets])
def test_what_is_to_be_encrypted_does_not_start_without_a_certificate(make, token):
    with pytest.raises(ConfigError, match="needs a certificate"):
        make(LOCAL, token_file=token)


@pytest.mark.parametrize("make", [Tcp, WebSocket])
def test_with_a_token_it_may_listen_everywhere_and_says_what_that_means(make, token, caplog):
    async def work():
        async with serving(make("0.0.0.0:0", token_file=token)) as hub:
            url = hub.outputs[0].url.replace("0.0.0.0", "127.0.0.1")
            async with subscribe(url, token_file=token) as messages:
                hub.publish(SPIKES, tiny(0))
                assert (await anext(messages)).seq == 0

    with caplog.at_level(logging.DEBUG):
        run(work())
    assert "anybody on the line" in caplog.text
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    ("key", "value"),
    [("queue_bytes", 1_000), ("max_connections", 0), ("handshake_s", -1.0), ("handshake_s", 1e9)],
)
def test_limits_have_limits(key, value):
    with pytest.raises(ConfigError, match=f"publish.{key}"):
        Tcp(LOCAL, **{key: value})


def test_outputs_get_the_keys_that_are_theirs(token):
    options = {
        "token_file": token,
        "origins": ("https://lab.example",),
        "max_connections": 7,
        "urls": (),
        "nonsense": 1,
    }
    web, tcp, file = (open_output(url, **options) for url in ("ws://127.0.0.1:0", "tcp://127.0.0.1:0", "file://x"))
    assert (web.token, web.origins, web.max_connections) == (SECRET, ("https://lab.example",), 7)
    assert (tcp.token, tcp.max_connections) == (SECRET, 7)
    assert file.url == "file://x"


# --- the token on the wire


def test_sessions_agree_about_a_token():
    assert list(ServerSession(token=SECRET).receive(put({**HELLO, "token": SECRET}))) == [Welcome("")]
    assert list(ServerSession().receive(put({**HELLO, "token": SECRET}))) == [Welcome("")]
    for token in (SECRET + "x", SECRET[:-1], SECRET.upper(), "é" * 16, ""):
        server = ServerSession(token=SECRET)
        with pytest.raises(ClientError, match="token") as caught:
            list(server.receive(put({**HELLO, "token": token})))
        assert server.denied == bool(token)
        assert not token or token not in str(caught.value)
        assert SECRET.encode() not in server.to_send()
        assert list(server.receive(put({**HELLO, "token": SECRET}))) == [], "there is no second try"
    for token in (5, b"", [SECRET], None):
        with pytest.raises(ClientError):
            list(ServerSession(token=SECRET).receive(put({**HELLO, "token": token})))


def test_a_client_keeps_its_token_to_itself_until_it_is_asked():
    client = ClientSession("viewer", token=SECRET)
    list(client.receive(golden()["hello"]))
    assert SECRET.encode() not in client.to_send()


@pytest.mark.parametrize("make", [Tcp, WebSocket])
def test_nobody_gets_anything_without_the_token(make, token, caplog):
    async def work():
        async with serving(make(LOCAL, token_file=token)) as hub:
            url, raw = hub.outputs[0].url, RawWeb if make is WebSocket else Raw
            good = await raw(url).connect()
            assert "token" in (await good.read())["caps"]
            await good.send({**HELLO, "token": SECRET}, {"op": "sub", "id": 1, "topics": ["*"]})
            assert await good.read() == {"op": "sub", "id": 1}
            for messages, code, late in (
                ([HELLO], "token", False),
                ([{**HELLO, "token": SECRET[::-1]}, {"op": "sub", "id": 1, "topics": ["*"]}], "token", True),
                ([{"op": "sub", "id": 1, "topics": ["*"]}], "order", False),
                ([{"op": "ping", "t": 1}], "order", False),
                ([{"op": "req", "id": 1, "do": "teach"}], "order", False),
                ([{**HELLO, "token": "x" * 1_025}], "frame", False),
                ([{**HELLO, "token": 5}], "value", False),
            ):
                bad = await raw(url).connect()
                began = asyncio.get_running_loop().time()
                await bad.send(*messages)
                hub.publish(SPIKES, tiny(0))
                hello, error, *rest = await bad.read_all()
                assert (hello["op"], error["op"], error["code"]) == ("hello", "error", code)
                assert rest in ([], [{}])
                assert not late or asyncio.get_running_loop().time() - began > 0.99 * WRONG_TOKEN_S
            assert [(await good.read())["s"] for _ in range(7)] == list(range(7))
            assert hub.subscribers == 1

    with caplog.at_level(logging.DEBUG):
        run(work())
    assert "is cut: this is not the token" in caplog.text
    assert SECRET not in caplog.text
    assert SECRET[::-1] not in caplog.text


def test_a_unix_socket_needs_no_token(tmp_path, token):
    async def work():
        output = open_output(f"unix://{tmp_path / 's.sock'}", token_file=token)
        async with serving(output) as hub, subscribe(output.url) as messages:
            hub.publish(SPIKES, tiny(0))
            assert (await anext(messages)).seq == 0

    run(work())


@pytest.mark.parametrize("scheme", ["tcp", "tcps", "ws", "wss"])
def test_clients_come_in_by_every_door_with_token_and_certificate(scheme, token, keys, monkeypatch):
    program = Program(open_output(f"{scheme}://{LOCAL}", token_file=token, **keys))
    access = {"token_file": token, "ca": keys["tls_certificate"] if scheme in ("tcps", "wss") else ""}
    try:
        with Client(program.url, **access) as client:
            program.publish(0, 1, 2)
            assert [next(client).seq for _ in range(3)] == [0, 1, 2]
        with pytest.raises(ClientError, match="lets nobody in without a token") as caught:
            Client(program.url, ca=access["ca"])
        assert "--token-file" in caught.value.remedy
        monkeypatch.setenv("SPIKESTREAM_TOKEN_FILE", token)
        with Client(program.url, ca=access["ca"]) as client:
            program.publish(3)
            assert next(client).seq == 3
        Path(token).write_text("some-other-token-altogether")
        with pytest.raises(ClientError, match="this is not the token") as caught:
            Client(program.url, **access)
        assert "code: token" in str(caught.value)
        assert "altogether" not in str(caught.value)
    finally:
        program.close()


def test_the_commands_of_the_page_work(home, monkeypatch):
    monkeypatch.setenv("HOME", str(home.parent.parent))
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE, re.S)
    config = from_tables(tomllib.loads(text)).publish
    urls = [re.sub(r"0\.0\.0\.0:\d+", LOCAL, url) for url in config.urls if not url.startswith("unix")]
    options = {"token_file": config.token_file, "tls_certificate": config.tls_certificate, "tls_key": config.tls_key}
    program = Program(*(open_output(url, **options, origins=config.origins) for url in urls))
    lines = re.findall(r"^spikestream (subscribe \S+ --ca .*)$", PAGE, re.M)
    try:
        for line, output in zip(lines, program.hub.outputs, strict=True):
            verb, _, *access = line.split()
            url = output.url.replace("127.0.0.1", "localhost")
            reader = start(verb, url, *access, "--count", "1", "--jsonl", "--wait", "20s", cwd=home)
            program.do(program.hub.wait_subscribers(1))
            program.publish(0)
            out, err = reader.communicate(timeout=60)
            assert (reader.returncode, json.loads(out)["seq"] >= 0) == (0, True), err
            while program.hub.subscribers:
                pass
    finally:
        program.close()


# --- TLS


def test_who_does_not_trust_the_certificate_or_speak_tls_is_told_so(keys, tmp_path):
    program = Program(Tcps(LOCAL, handshake_s=0.5, **keys), Tcp(LOCAL), WebSockets(LOCAL, **keys))
    tls, plain, web = (output.url for output in program.hub.outputs)
    try:
        for url in (tls, web):
            with pytest.raises(ClientError, match="is not to be trusted") as caught:
                Client(url)
            assert "--ca" in caught.value.remedy

            async def untrusting(url=url):
                async with subscribe(url):
                    pass

            with pytest.raises(ClientError, match="is not to be trusted"):
                run(untrusting())
        with pytest.raises(ClientError, match="does not speak TLS"):
            Client(plain.replace("tcp", "tcps"), ca=keys["tls_certificate"])
        with pytest.raises(ClientError):
            Client(tls.replace("tcps", "tcp"))
        with Client(tls, ca=keys["tls_certificate"]) as client:
            program.publish(0)
            assert next(client).seq == 0
    finally:
        program.close()


# --- Unix sockets


def test_a_socket_is_never_open_to_others_whatever_the_umask(tmp_path):
    async def work():
        async with serving(Unix(str(tmp_path / "s.sock"))):
            assert (tmp_path / "s.sock").stat().st_mode & 0o777 == 0o600

    before = os.umask(0)
    try:
        run(work())
    finally:
        os.umask(before)


def test_of_several_that_find_a_socket_left_behind_one_gets_it(tmp_path):
    path = tmp_path / "s.sock"
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(path))

    async def work():
        hubs = [Hub([Unix(str(path))], epoch=str(i)) for i in range(5)]
        ends = await asyncio.gather(*(hub.start() for hub in hubs), return_exceptions=True)
        assert sorted(type(end).__name__ for end in ends) == ["ClientError"] * 4 + ["NoneType"]
        (winner,) = (hub for hub, end in zip(hubs, ends, strict=True) if end is None)
        async with subscribe(f"unix://{path}") as messages:
            assert messages.hello.epoch == winner.hello().epoch
        await asyncio.gather(*(hub.aclose() for hub in hubs))
        assert not path.exists()

    run(work())


def test_who_looks_for_sockets_left_behind_waits_for_who_does_so_already(tmp_path):
    path = tmp_path / "s.sock"

    async def work():
        folder = os.open(tmp_path, os.O_RDONLY)
        fcntl.flock(folder, fcntl.LOCK_EX)
        starting = asyncio.create_task(Hub([Unix(str(path))], epoch="5eed").start())
        await turns()
        assert not path.exists()
        with socket.socket(socket.AF_UNIX) as quicker:
            quicker.bind(str(path))
            quicker.listen()
            os.close(folder)
            with pytest.raises(ClientError, match="somebody listens"):
                await starting

    run(work())


def test_somebody_who_greets_nobody_still_has_his_socket(tmp_path):
    path = tmp_path / "s.sock"
    with socket.socket(socket.AF_UNIX) as busy:
        busy.bind(str(path))
        busy.listen(0)
        others = [socket.socket(socket.AF_UNIX) for _ in range(3)]
        for other in others:
            other.setblocking(False)
            other.connect_ex(str(path))

        async def work():
            with pytest.raises(ClientError, match="somebody listens"):
                await Hub([Unix(str(path))], epoch="5eed").start()

        run(work())
        for other in others:
            other.close()
    assert path.exists()


def test_what_a_client_says_does_not_look_like_a_line_of_the_log(caplog):
    async def work():
        async with serving() as hub:
            raw = await Raw(hub.outputs[0].url).connect()
            await raw.send({"op": "hello", "v": [1], "x\nERROR all is lost": 1})
            await raw.read_all()
            await turns()

    with caplog.at_level(logging.WARNING):
        run(work())
    (line,) = [record.getMessage() for record in caplog.records]
    assert "x?ERROR all is lost" in line
    assert "\n" not in line


def test_of_those_who_never_shake_hands_the_oldest_go(keys, monkeypatch):
    monkeypatch.setattr(doors, "UNPROVEN", 3)

    async def work():
        output = Tcps("127.0.0.1:0", **keys)
        async with serving(output):
            port = int(output.url.rpartition(":")[2])
            silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(6)]
            for reader, _ in silent[:3]:
                assert await reader.read() == b""
            assert len(output._door._entering) == 3
            for _, writer in silent:
                writer.close()

    run(work())
