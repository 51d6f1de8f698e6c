"""NATS: what is wrong, or not allowed, is said."""

from __future__ import annotations

import json
import sys

import pytest
from hubtools import run
from nats_cases import (
    STEP,
    TOPIC,
    Server,
    batches,
    claimed,
    first,
    flow_of,
    kept,
    opened,
    publish,
    publish_slowly,
    same,
    server,
    serving,
)

from spikestream.errors import ClientError, ConfigError
from spikestream.outputs.nats import Nats
from spikestream.sensors.nats import nats

__all__ = ["server"]


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("", "is not where a NATS server could be"),
        ("host:port", "is not where a NATS server could be"),
        ("secret@host", "a secret does not belong into a URL"),
        ("host/?steam=X", "nats has no option 'steam'"),
        ("host/?stream=a.b", "is no name of a stream"),
        ("host/?topics=", "are not topics"),
        ("host/?prefix=a.*", "cannot stand before a topic"),
        ("host/?storage=tape", "is no storage"),
        ("host/?replicas=9", "replicas = '9' is out of range"),
        ("host/?keep_s=x", "keep_s = 'x' is out of range"),
        ("host/?keep_s=5&keep_s=6", "an option is given twice"),
        ("host/?user=me", "a user needs a password"),
        ("host/?nonsense", "is no query"),
    ],
)
def test_urls_of_an_output_that_make_no_sense(url, what):
    with pytest.raises(ConfigError, match=what):
        Nats(url)


@pytest.mark.parametrize(
    ("location", "options", "what"),
    [
        ("host", {}, "is no subject of one sensor"),
        ("host/main.*.events", {}, "is no subject of one sensor"),
        ("host/a.b.c", {"durable": "x"}, "only what a stream keeps has a durable"),
        ("host/a.b.c", {"stream": "a b"}, "is no name"),
        ("host/a.b.c", {"stream": "A", "lease_s": "0"}, "lease_s = '0' is out of range"),
        ("host/a.b.c", {"size": "4"}, "is not a sensor size"),
        ("host/a.b.c", {"token_file": "/nowhere"}, "the token file /nowhere cannot be read"),
        ("host/a.b.c", {"tls_ca": "/nowhere", "size": "4x4"}, "/nowhere holds no certificates"),
    ],
)
def test_uris_of_a_sensor_that_make_no_sense(location, options, what):
    with pytest.raises(ConfigError, match=what):
        nats(location, **options)


def test_where_there_is_no_server_it_is_said(server):
    (port,) = (Server(server.folder).port,)
    with pytest.raises(ClientError, match="no NATS server answers at nats://127") as caught:
        run(opened(f"127.0.0.1:{port}"))
    assert "nats-server -js" in str(caught.value)
    assert caught.value.exit_code == 5
    with pytest.raises(ClientError, match="no NATS server answers at nats://127"):
        nats(f"127.0.0.1:{port}/{TOPIC}")


def test_a_stream_that_is_not_there_or_takes_something_else(server):
    async def work():
        hub = await opened(f"{server.place}/?stream=ONE&topics=one.filter.events")
        await hub.aclose()
        with pytest.raises(ClientError, match=r"the stream 'ONE' takes one.filter.events, and not two.filter.events"):
            await opened(f"{server.place}/?stream=ONE&topics=two.filter.events")
        with pytest.raises(ClientError, match=r"there is no stream 'ALL' at .*, and none can be made"):
            await opened(f"{server.place}/?stream=ALL")

    run(work())
    with pytest.raises(ClientError, match="there is no stream 'NONE' at"):
        nats(f"{server.place}/{TOPIC}", stream="NONE")
    with pytest.raises(ClientError, match=r"nothing of a known size has been published as one.filter.events"):
        nats(f"{server.place}/one.filter.events", stream="ONE")


@pytest.mark.parametrize(
    "begin", [lambda: run(opened("127.0.0.1:1")), lambda: nats("127.0.0.1:1/a.b.c", stream="A", size="4x4")]
)
def test_without_nats_py_it_is_said_what_to_install(begin, monkeypatch):
    monkeypatch.setitem(sys.modules, "nats.aio.client", None)
    with pytest.raises(ConfigError, match="NATS needs nats-py") as caught:
        begin()
    assert "pip install 'spikestream[nats]'" in str(caught.value)


def test_who_knows_the_token_comes_in_and_may_do_what_the_server_lets_it(tmp_path):
    secret, right, wrong = "0123456789abcdef", tmp_path / "right", tmp_path / "wrong"
    for path, text in ((right, secret), (wrong, secret[::-1])):
        path.write_text(text)
        path.chmod(0o600)
    conf = tmp_path / "conf"
    few = f'{{ user: few, password: "{secret}", permissions: {{ publish: "x.>" }} }}'
    conf.write_text(f'authorization {{ users: [{{ user: all, password: "{secret}" }}, {few}] }}\n')

    async def work(place):
        for options, what in (("", "lets nobody in"), (f"?user=all&token_file={wrong}", "lets nobody in")):
            with pytest.raises(ClientError, match=what):
                await opened(f"{place}/{options}")
        hub = await opened(f"{place}/?user=few&token_file={right}")
        with pytest.raises(ClientError, match="refuses what is published"):
            await publish_slowly(hub, batches(1_000))
        await hub.aclose()
        assert secret not in hub.outputs[0].url

    with serving(tmp_path, "-c", str(conf), user="all", password=secret) as server:
        run(work(server.place))


def test_the_permissions_that_the_page_names_are_enough(tmp_path):
    secret = "0123456789abcdef"
    (tmp_path / "password").write_text(secret)
    (tmp_path / "password").chmod(0o600)
    may = {
        "eye": (["eyes.>", "$JS.API.STREAM.>"], ["_INBOX.>"]),
        "worker": (["$JS.API.>", "$JS.ACK.>", "$KV.spikestream.>"], ["_INBOX.>"]),
        "all": ([">"], [">"]),
    }
    users = ", ".join(
        f'{{ user: {name}, password: "{secret}", '
        f"permissions: {{ publish: {json.dumps(out)}, subscribe: {json.dumps(into)} }} }}"
        for name, (out, into) in may.items()
    )
    conf = tmp_path / "conf"
    conf.write_text(f"authorization {{ users: [{users}] }}\n")

    async def work(server):
        query = f"token_file={tmp_path / 'password'}"
        hub = await opened(f"{server.place}/?stream=MAY&prefix=eyes&topics=*.filter.events&user=eye&{query}")
        await publish(hub, batches(10))
        await hub.drain(5)
        assert flow_of(hub).sent.messages == 10
        sensor = await claimed(kept(server, "MAY", "eyes", user="worker", token_file=str(tmp_path / "password")))
        same(await first(sensor, 10), batches(10))
        await sensor.saved(sensor.position(10 * STEP))
        assert await sensor._floor() > 0
        await sensor.release()
        await hub.aclose()

    with serving(tmp_path, "-c", str(conf), user="all", password=secret) as server:
        run(work(server))
