"""Metrics: what a daemon counts, as the text that Prometheus reads (exposition format 0.0.4)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from spikestream import __version__
from spikestream.pipeline import Hop
from spikestream.service.progress import EDGES_NS, Histogram
from spikestream.service.status import outputs

if TYPE_CHECKING:
    from spikestream.service.daemon import Daemon
    from spikestream.service.supervisor import Supervisor

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
FAMILIES = {
    "info": ("gauge", "1, with the release"),
    "uptime_seconds": ("gauge", "time since the daemon began"),
    "memory_bytes": ("gauge", "resident memory"),
    "loop_stall_seconds": ("gauge", "longest stall of the event loop in the last ten seconds"),
    "tasks": ("gauge", "tasks of the event loop"),
    "threads": ("gauge", "threads of Python"),
    "descriptors": ("gauge", "open files and sockets"),
    "up": ("gauge", "1 where the sensor of a pipeline is up"),
    "learning": ("gauge", "1 where a pipeline learns"),
    "stream_seconds": ("gauge", "stream time a pipeline has reached"),
    "restarts_total": ("counter", "tries after a failure"),
    "lost_total": ("counter", "events or samples that failures have cost"),
    "hop_sent_total": ("counter", "rows the upper end of a hop of the loss ledger has sent"),
    "hop_received_total": ("counter", "rows its lower end has received"),
    "hop_filtered_total": ("counter", "rows filtered in it"),
    "hop_dropped_total": ("counter", "rows dropped in it"),
    "hop_held": ("gauge", "rows under way in it"),
    "hop_missing": ("gauge", "rows that nobody accounts for: 0"),
    "latency_seconds": ("histogram", "time a batch takes for a hop"),
    "judged_total": ("counter", "decisions that a label has judged"),
    "accuracy": ("gauge", "share of right ones among the last judged"),
    "published_messages_total": ("counter", "messages published"),
    "published_rows_total": ("counter", "rows in them"),
    "output_up": ("gauge", "1 where an output takes what is published"),
    "output_failures_total": ("counter", "times an output failed, tries to open it again included"),
    "subscribers": ("gauge", "connections with a subscription"),
    "sent_messages_total": ("counter", "messages that subscribers' connections have taken"),
    "dropped_messages_total": ("counter", "messages that subscribers were too slow for"),
    "waiting_messages": ("gauge", "messages that wait for subscribers"),
}


class Page:
    """Samples by the name of their family, in the order of `FAMILIES`; ``text`` is the page."""

    def __init__(self) -> None:
        self._samples: dict[str, list[str]] = {name: [] for name in FAMILIES}

    def add(self, family: str, value: float, suffix: str = "", **labels: str) -> None:
        """Add one sample."""
        named = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
        name = f"spikestream_{family}{suffix}"
        self._samples[family].append(f"{name}{{{named}}} {value!r}" if named else f"{name} {value!r}")

    def histogram(self, family: str, histogram: Histogram, **labels: str) -> None:
        """Add all samples of a histogram, in seconds."""
        total = 0
        for edge_ns, count in zip(EDGES_NS, histogram.counts, strict=False):
            total += count
            self.add(family, total, "_bucket", **labels, le=repr(edge_ns / 1e9))
        whole = total + histogram.counts[-1]
        self.add(family, whole, "_bucket", **labels, le="+Inf")
        self.add(family, histogram.sum_ns / 1e9, "_sum", **labels)
        self.add(family, whole, "_count", **labels)

    @property
    def text(self) -> str:
        """Return the page."""
        return "".join(f"{line}\n" for line in self._lines())

    def _lines(self) -> Iterator[str]:
        for family, samples in self._samples.items():
            if samples:
                kind, what = FAMILIES[family]
                yield f"# HELP spikestream_{family} {what}"
                yield f"# TYPE spikestream_{family} {kind}"
                yield from samples


async def page_of(daemon: Daemon) -> str:
    """Return all metrics of a daemon."""
    page, facts = Page(), daemon.facts()
    page.add("info", 1, version=__version__)
    page.add("uptime_seconds", facts["up_s"])
    page.add("memory_bytes", facts["memory_bytes"])
    page.add("loop_stall_seconds", facts["loop_stall_ms"] / 1e3)
    for count in ("tasks", "threads", "descriptors"):
        page.add(count, facts[count])
    for name, supervisor in tuple(daemon.supervisors.items()):
        _pipeline(page, name, supervisor, await supervisor.lane.still_hops())
    ledger = daemon.hub.ledger()
    for topic, tally in ledger.published.items():
        page.add("published_messages_total", tally.messages, topic=topic)
        page.add("published_rows_total", tally.rows, topic=topic)
    for one in outputs(daemon.hub):
        page.add("output_up", int(one["up"]), url=one["url"])
        page.add("output_failures_total", one["failures"], url=one["url"])
    flows = [flow for one in ledger.subscribers for flow in one.flows.values()]
    page.add("subscribers", daemon.hub.subscribers)
    page.add("sent_messages_total", sum(flow.sent.messages for flow in flows))
    page.add("dropped_messages_total", sum(flow.dropped.messages for flow in flows))
    page.add("waiting_messages", sum(flow.held.messages + flow.flying.messages for flow in flows))
    return page.text


def _pipeline(page: Page, name: str, supervisor: Supervisor, hops: Iterable[Hop]) -> None:
    lane = supervisor.lane
    page.add("up", int(supervisor.up), pipeline=name)
    page.add("learning", int(bool(lane.pipeline.settings.get("learn.enabled", False))), pipeline=name)
    page.add("stream_seconds", (lane.engine.reached or 0) / 1e6, pipeline=name)
    page.add("restarts_total", supervisor.restarts, pipeline=name)
    page.add("lost_total", supervisor.lost, pipeline=name)
    for hop in hops:
        if not hop.name.startswith(f"{name}."):  # those to subscribers are as many as these, and are summed
            _hop(page, hop, {"pipeline": name, "hop": hop.name})
    for where, histogram in lane.engine.waterfall.hops.items():
        page.histogram("latency_seconds", histogram, pipeline=name, hop=where)
    trust = lane.trust.trust
    if trust.judged:
        page.add("judged_total", trust.judged, pipeline=name)
    if trust.sliding is not None:
        page.add("accuracy", trust.sliding, pipeline=name)


def _hop(page: Page, hop: Hop, labels: Mapping[str, str]) -> None:
    page.add("hop_sent_total", hop.sent, **labels)
    page.add("hop_received_total", hop.received, **labels)
    for family, by_reason in (("hop_filtered_total", hop.filtered), ("hop_dropped_total", hop.dropped)):
        for reason, count in by_reason.items():
            page.add(family, count, **labels, reason=reason)
    page.add("hop_held", hop.held, **labels)
    page.add("hop_missing", hop.missing(), **labels)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
