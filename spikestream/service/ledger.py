"""The end of a pipeline's loss ledger: what of it the hub has published, and what each subscriber got."""

from __future__ import annotations

from spikestream.pipeline import Hop
from spikestream.service.hub import Ledger


def published_of(ledger: Ledger, pipeline: str, stage: str) -> tuple[int, int]:
    """Return the rows of a stage that were published, and those that no frame could hold."""
    topics = [topic for topic in ledger.published if topic.startswith(f"{pipeline}.{stage}.")]
    return sum(ledger.published[topic].rows for topic in topics), sum(ledger.left_out[topic] for topic in topics)


def hops_to_subscribers(pipeline: str, ledger: Ledger) -> list[Hop]:
    """Return a hop for each topic of a pipeline to each subscriber."""
    hops = []
    for one in ledger.subscribers:
        for topic, flow in one.flows.items():
            if topic.startswith(f"{pipeline}."):
                lost, held = {"slow or gone": flow.dropped.rows}, flow.held.rows + flow.flying.rows
                asked = {"on request": flow.left_out.rows}
                name = f"{topic} to {one.peer}"
                hops.append(Hop(name, flow.due.rows, flow.sent.rows, filtered=asked, dropped=lost, held=held))
    return hops
