"""HTTP: who gets in, what is answered, and metrics that Prometheus' own parser reads."""

from __future__ import annotations

import asyncio
import gzip
import re
import socket
from contextlib import asynccontextmanager

import aiohttp
import pytest
from cli import ROOT
from daemon_cases import STEP, job, plugin, steered, until
from hypothesis import example, given
from hypothesis import strategies as st
from running import run
from small import noise

from spikestream.errors import ClientError, ConfigError
from spikestream.service import http as http_room
from spikestream.service.daemon import Daemon
from spikestream.service.metrics import FAMILIES, Page
from spikestream.service.progress import EDGES_NS, Histogram, Waterfall

prometheus = pytest.importorskip("prometheus_client.parser")
__all__ = ["plugin"]
TOKEN = "0123456789abcdef" * 2
JSON = {"Content-Type": "application/json"}


@asynccontextmanager
async def serving(plugin, tmp_path, *names, **sections):
    """Yield a steered daemon that serves HTTP, and a client of it."""
    http = {"url": "http://127.0.0.1:0"}
    async with (
        steered(plugin, tmp_path, *names, http=http, **sections) as made,
        aiohttp.ClientSession(made.daemon.http.url) as client,
    ):
        yield made, client


def samples(text):
    """Return {(name, labels): value} of a page of metrics."""
    families = list(prometheus.text_string_to_metric_families(text))
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


# What is answered.


def test_alive_ready_and_why_not(tmp_path, plugin):
    async def work():
        async with serving(plugin, tmp_path, "left", "right") as (made, client):
            await until(lambda: all(one.up for one in made.daemon.supervisors.values()))
            async with client.get("/readyz") as answer:
                assert (answer.status, await answer.json()) == (200, {"ok": True, "not_ready": {}})
            made.plugin.steps["left"].given.put_nowait(None)
            await until(lambda: made.daemon.supervisors["left"].ended)
            async with client.get("/readyz") as answer:
                assert (answer.status, await answer.json()) == (503, {"ok": False, "not_ready": {"left": "ended"}})
            async with client.get("/healthz") as answer:
                assert (answer.status, await answer.json()) == (200, {"ok": True})
                assert answer.headers["Cache-Control"] == "no-store"

    run(work())


def test_requests_are_those_of_the_desk(tmp_path, plugin):
    async def work():
        async with serving(plugin, tmp_path) as (made, client):
            await made.step(2)
            change = {"key": "network.v_thresh", "value": 0.5}
            async with client.post("/do/set", json=change) as answer:
                told = {"pipeline": "main", "key": "network.v_thresh", "value": 0.5, "t": 20_000}
                assert (answer.status, await answer.json()) == (200, {"ok": True, "d": told})
            await made.step()
            assert made.lane().pipeline.settings["network.v_thresh"] == 0.5
            async with client.get("/status?pipeline=main") as answer:
                assert (await answer.json())["d"]["pipelines"]["main"]["t"] == 30_000
            async with client.post("/do/weights", headers=JSON) as answer:
                assert len((await answer.json())["d"]["d"]) == -(-32 * 5 * 4 // 3) * 4  # base64
            for do, fields, status, code in (
                ("set", {"key": "network.v_thresh"}, 400, "value"),
                ("set", {**change, "more": 1}, 400, "key"),
                ("get", {"pipeline": "left"}, 404, "pipeline"),
                ("fly", {}, 404, "do"),
                ("save", {"file": "x.npz"}, 403, "folder"),
            ):
                async with client.post(f"/do/{do}", json=fields) as answer:
                    assert (answer.status, (await answer.json())["code"]) == (status, code)

    run(work())


BAD = [
    ("get", "/nothing", {}, None, 404),
    ("get", "/do/get", {}, None, 405),
    ("post", "/do/get", {}, b"{}", 415),
    ("post", "/do/get", {"Content-Type": "text/plain"}, b"{}", 415),
    ("post", "/do/get", JSON, b"{", 400),
    ("post", "/do/get", JSON, b"[]", 400),
    ("post", "/do/get", JSON, b"[" * 60_000, 400),
    ("post", "/do/get", JSON, b'{"key": NaN}', 400),
    ("post", "/do/get", JSON, b"\xff", 400),
    ("post", "/do/get", JSON, b'{"key": "' + b"x" * 70_000 + b'"}', 413),
    ("post", "/do/get", {**JSON, "Host": "evil.example"}, b"{}", 403),
    ("get", "/metrics", {"Host": "evil.example:7078"}, None, 403),
    ("get", "/metrics", {"Host": "127.0.0.1.evil.example"}, None, 403),
    ("get", "/metrics", {"Host": "[::1"}, None, 403),
    ("get", "/metrics", {"Host": "localhost:1"}, None, 200),
    ("get", "/metrics", {"Host": "[::1]:1"}, None, 200),
    ("get", "/status", {"Origin": "http://evil.example"}, None, 403),
    ("get", "/status", {"Origin": "null"}, None, 403),
    ("post", "/do/teach", JSON, b'{"label": "x", "reward": 1' + b"0" * 400 + b"}", 400),
    ("post", "/do/load", JSON, b'{"file": "\\ud800"}', 400),
    ("post", "/do/load", JSON, b'{"file": "a\\nerror: b"}', 400),
    ("get", "/status", {"Origin": "http://["}, None, 403),
    ("get", "/status", {"Origin": "http://ex\u2100ample"}, None, 403),
    ("post", "/do/get", {"Content-Type": "application/json; charset=nonsense"}, b"{}", 200),
    ("post", "/do/get", {"Content-Type": "application/json; charset=zlib"}, b"{}", 200),
    ("post", "/do/get", {"Content-Type": "application/json; charset=utf-16"}, b"{\0}\0", 400),
    ("post", "/do/get", {**JSON, "Content-Encoding": "gzip"}, b"{}", 200),
    ("post", "/do/get", {**JSON, "Content-Encoding": "gzip"}, gzip.compress(b" " * 1_000_000), 400),
    ("post", "/do/get", {**JSON, "Content-Encoding": "deflate"}, b"\0\1", 400),
    ("get", "/status", {"Host": "localhost:5", "Origin": "http://localhost:5"}, None, 200),
    ("get", "/status", {"Host": "localhost:5", "Origin": "http://localhost:6"}, None, 403),
]


def test_what_is_no_request_of_ours_is_refused(tmp_path, plugin, caplog):
    async def work():
        async with serving(plugin, tmp_path) as (made, client):
            for method, path, headers, body, status in BAD:
                skip = ["Content-Type"] if "Content-Type" not in headers else []
                options = {"headers": headers, "data": body, "skip_auto_headers": skip}
                async with client.request(method, path, **options) as answer:
                    assert answer.status == status, (path, headers)
                    if status >= 400:
                        assert (await answer.json())["ok"] is False
            await made.step()

    run(work())
    assert not [record for record in caplog.records if record.exc_info]


BROKEN = (
    b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
    b"POST /do/get HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"POST /do/get HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00" + bytes(100) + b"\r\n\r\n",
)


def test_what_is_no_http_does_not_fill_the_log(tmp_path, plugin, caplog):
    async def work():
        async with serving(plugin, tmp_path) as (made, _):
            port = int(made.daemon.http.url.rpartition(":")[2])
            for data in BROKEN:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(data)
                assert b" 400 " in await reader.readline()
                writer.close()

    run(work())
    assert not [record for record in caplog.records if record.name != "spikestream.service.daemon"]


# Who gets in.


@pytest.fixture
def token_file(tmp_path):
    path = tmp_path / "token"
    path.write_text(TOKEN)
    path.chmod(0o600)
    return str(path)


def test_with_a_token_nobody_gets_in_without(tmp_path, plugin, token_file, monkeypatch):
    monkeypatch.setattr(http_room, "GUESS_S", 0.0)

    async def work():
        publish = {"token_file": token_file, "urls": []}
        async with serving(plugin, tmp_path, "main", "other", publish=publish) as (made, client):
            for header, status in (
                (None, 401),
                ("Bearer", 401),
                ("Bearer x", 401),
                (f"Basic {TOKEN}", 401),
                (f"Bearer {TOKEN}x", 401),
                (f"Bearer {TOKEN}", 200),
                (f"bearer  {TOKEN}", 200),
            ):
                headers = {"Authorization": header} if header else {}
                async with client.get("/metrics", headers=headers) as answer:
                    assert answer.status == status, header
            async with client.get("/healthz") as answer:
                assert answer.status == 200
            made.plugin.steps["main"].given.put_nowait(None)
            await until(lambda: made.daemon.supervisors["main"].ended)
            for headers, told in (({}, {}), ({"Authorization": f"Bearer {TOKEN}"}, {"main": "ended"})):
                async with client.get("/readyz", headers=headers) as answer:
                    assert (answer.status, (await answer.json())["not_ready"]) == (503, told)

    run(work())


@pytest.mark.parametrize(
    "url",
    ["http://0.0.0.0:7078", "http://[::]:7078", "http://192.0.2.1:7078"],
)
def test_beyond_loopback_it_wants_a_token(url, tmp_path, plugin, token_file):
    with pytest.raises(ConfigError, match="would let anybody"):
        Daemon({"main": job("main", "steps://x", http={"url": url})})
    Daemon({"main": job("main", "steps://x", http={"url": url}, publish={"token_file": token_file})})


@pytest.mark.parametrize(
    "url",
    [
        "7078",
        "https://127.0.0.1:1",
        "http://127.0.0.1",
        "http://example.org:1",
        "http://127.0.0.1:99999",
        "http://[::1:1",
    ],
)
def test_a_url_that_is_none(url, tmp_path, plugin):
    with pytest.raises(ConfigError, match="is not a URL to serve at"):
        Daemon({"main": job("main", "steps://x", http={"url": url})})


def test_a_port_that_is_taken_ends_the_daemon_before_it_begins(tmp_path, plugin):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        url = f"http://127.0.0.1:{other.getsockname()[1]}"
        daemon = Daemon({"main": job("main", "steps://x", http={"url": url})})
        with pytest.raises(ClientError, match="cannot listen at"):
            run(daemon.run())
    assert daemon.supervisors["main"].state == "ready"


@pytest.mark.parametrize("what", ["nothing", "half a head", "byte by byte", "a second head", "a body"])
def test_a_request_that_never_comes_gives_its_place_back(what, tmp_path, plugin, monkeypatch):
    monkeypatch.setattr(http_room, "PATIENCE_S", 0.1)
    monkeypatch.setattr(http_room, "IDLE_S", 0.1)
    monkeypatch.setattr(http_room, "LOOK_S", 0.01)
    monkeypatch.setattr(http_room, "MOST_CONNECTIONS", 2)
    head = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"

    async def slow(port):
        """Return all that is answered to who is slow, once the connection has ended."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        if what == "half a head":
            writer.write(head)
        elif what == "a second head":
            writer.write(head + b"\r\n" + head)
        elif what == "a body":
            writer.write(b"POST /do/get HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n")
            writer.write(b"Content-Length: 9\r\n\r\n{")
        answer = b""
        try:
            while what == "byte by byte" and not reader.at_eof() and reader.exception() is None:
                writer.write(b"x")
                await asyncio.sleep(0.005)
            while data := await reader.read(4096):
                answer += data
        except ConnectionError:
            pass
        writer.close()
        return answer

    async def work():
        async with serving(plugin, tmp_path, publish={"urls": []}) as (made, client):
            port = int(made.daemon.http.url.rpartition(":")[2])
            answers = await asyncio.gather(slow(port), slow(port))
            statuses = {"a second head": b"HTTP/1.1 200", "a body": b"HTTP/1.1 408"}
            assert all(one.startswith(statuses.get(what, b"")) for one in answers)
            assert all(bool(one) == (what in statuses) for one in answers)
            await until(lambda: not made.daemon.http._runner.server.connections)
            async with client.get("/healthz") as answer:
                assert answer.status == 200
            await until(lambda: len(made.daemon.http._due) <= 1)

    run(work())


def test_so_many_connections_and_no_more(tmp_path, plugin, monkeypatch):
    monkeypatch.setattr(http_room, "MOST_CONNECTIONS", 3)

    async def work():
        async with serving(plugin, tmp_path) as (made, client):
            port = int(made.daemon.http.url.rpartition(":")[2])
            lazy = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
            async with client.get("/healthz") as answer:
                assert answer.status == 200
            assert await lazy[0][0].read() == b"", "who asks for nothing makes room for who does"
            head = b"POST /do/get HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            head += b"Content-Length: 9\r\n\r\n"
            busy = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
            for _, writer in busy:
                writer.write(head)
            await until(lambda: len(made.daemon.http._busy) == 3)
            late, writer = await asyncio.open_connection("127.0.0.1", port)
            assert await late.read() == b""
            writer.close()
            monkeypatch.setattr(http_room, "PATIENCE_S", 0.01)
            for reader, writer in busy:
                writer.write(b"{}       ")
                assert b" 200 " in await reader.readline()
                assert b"learn.enabled" in await reader.readuntil(b"}}}")
                writer.write(head)
                assert b" 408 " in await reader.readline()
            for _, writer in (*lazy, *busy):
                writer.close()

    run(work())


# Metrics.


def test_metrics_say_what_happened(tmp_path, plugin):
    async def work():
        async with serving(plugin, tmp_path) as (made, client):
            await made.step(3)
            engine = made.lane().engine
            await until(lambda: engine.waterfall.hops["total"].count == 3)
            async with client.get("/metrics") as answer:
                assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
                return samples(await answer.text())

    found = run(work())
    main = ("pipeline", "main")
    assert found["spikestream_up", (main,)] == 1
    assert found["spikestream_stream_seconds", (main,)] == pytest.approx(0.03)
    fed = sum(len(noise(at, at + STEP, seed=at)) for at in (0, STEP, 2 * STEP))
    for hop in ("sensor to channel", "channel", "channel to pipeline", "into filter"):
        labels = (("hop", hop), main)
        assert found["spikestream_hop_sent_total", labels] == found["spikestream_hop_received_total", labels] == fed
    assert {value for (name, _), value in found.items() if name == "spikestream_hop_missing"} == {0}
    for hop in ("channel", "filter", "address", "network", "readout", "publish", "total"):
        labels = (("hop", hop), main)
        counts = [found["spikestream_latency_seconds_bucket", (*labels[:1], ("le", le), main)] for le in bounds()]
        assert counts == sorted(counts)
        assert counts[-1] == found["spikestream_latency_seconds_count", labels] == 3
        assert 0 < found["spikestream_latency_seconds_sum", labels] < 60
    topic = ("topic", "main.filter.events")
    assert found["spikestream_published_messages_total", (topic,)] == 3
    assert ("spikestream_latency_seconds_count", (("hop", "ingest"), main)) in found


def bounds():
    """Return the bounds of a histogram as they are written."""
    return [*(repr(edge / 1e9) for edge in EDGES_NS), "+Inf"]


def test_the_page_names_every_metric():
    page = (ROOT / "docs" / "control.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`spikestream_(\w+)`", page)) == set(FAMILIES)


@given(st.dictionaries(st.sampled_from("abc"), st.text(st.characters(blacklist_categories=["Cs"])), max_size=3))
@example({"a": "\\n", "b": "\\\\", "c": '\\"\n'})
def test_any_text_may_be_a_label(labels):
    page = Page()
    page.add("subscribers", 3, **labels)
    ((family,),) = [list(prometheus.text_string_to_metric_families(page.text))]
    (sample,) = family.samples
    assert (sample.labels, sample.value) == (labels, 3)


# Times.


def test_a_histogram_counts_and_forgets_what_was_long_ago():
    made = Histogram()
    for ns in (0, 10_000, 10_001, 20_000, 10**10, 10**10 + 1):
        made.add(ns)
    assert made.counts[:3] == [2, 2, 0]
    assert made.counts[-2:] == [1, 1]
    assert (made.count, made.sum_ns) == (6, 40_001 + 2 * 10**10 + 1)
    for _ in range(2_000):
        made.add(1_500_000)
    assert 1.0 <= made.percentile_ms(50) <= 2.0
    assert 1.0 <= made.percentile_ms(99.9) <= 2.0  # the ten seconds were long ago
    assert Histogram().percentile_ms(50) == 0.0


def test_percentiles_lie_between_the_edges_that_a_sort_would_find():
    values = [(7 * k * k) % 90_000_000 for k in range(900)]
    made = Histogram()
    for ns in values:
        made.add(ns)
    for percent in (1, 25, 50, 75, 99):
        exact = sorted(values)[len(values) * percent // 100]
        low = max((edge for edge in (0, *EDGES_NS) if edge < exact), default=0)
        high = min(edge for edge in EDGES_NS if edge >= exact)
        assert low * 0.99 <= made.percentile_ms(percent) * 1e6 <= high * 1.01


def test_a_stage_is_given_the_time_of_all_its_pieces(monkeypatch):
    clock = iter([100, 130, 170, 180, 260, 1_000, 1_001, 1_003])
    monkeypatch.setattr("spikestream.service.progress.monotonic_ns", lambda: next(clock))
    made = Waterfall(["filter", "network"])
    made.begin(7)
    for stage in ("filter", "network", "filter", "network"):
        made.after(stage)
    assert made.end() == 260
    made.begin(0)
    made.after("filter")
    made.after("network")
    assert made.end() == 1_003
    assert [made.hops[name].sum_ns for name in ("channel", "filter", "network")] == [7, 41, 122]
    assert list(made.told()) == ["channel", "filter", "network"]


def test_decisions_carry_their_times(tmp_path, plugin):
    from spikestream.client import subscribe

    async def work():
        async with (
            steered(plugin, tmp_path) as made,
            subscribe(made.url, ["main.readout.decisions", "*.*.spikes"]) as seen,
        ):
            await made.step(3)
            return [await anext(seen) for _ in range(9)]

    found = run(work())
    decided = [one for one in found if one.kind == "decisions" and one.n]
    assert decided
    for one in decided:
        came, through = one.at
        assert came < through <= one.published_ns + 1_000_000  # two clocks are read, one after the other
        assert one.published_ns - came < 60e9
    assert all(one.at is None for one in found if one.kind == "spikes" or not one.n)
