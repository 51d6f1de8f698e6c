"""Status: what running pipelines and their subscribers have to tell, as plain maps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from spikestream.service.hub import Hub
from spikestream.service.tended import Tended

if TYPE_CHECKING:
    from spikestream.service.lane import Lane


async def lane_status(lane: Lane) -> dict[str, Any]:
    """Return what there is to know of one pipeline."""
    problems = [f"{hop}" for hop in await lane.still_hops() if hop.missing()]
    engine = lane.engine
    return {
        "sensor": lane.uri,
        "live": engine.sensor.live,
        "t": engine.reached or 0,
        "waiting": engine.channel.waiting,
        "paused_dropped": engine.passed_by,
        "gaps": len(lane.pipeline.gaps),
        "learning": bool(lane.pipeline.settings.get("learn.enabled", False)),
        **lane.figures(),
        "trust": lane.trust.stats() if lane.trust.trust.judged else None,
        "problems": problems,
        "state": lane.state,
    }


def outputs(hub: Hub) -> list[Mapping[str, Any]]:
    """Return how every output is that is opened again where it fails."""
    return [output.status() for output in hub.outputs if isinstance(output, Tended)]


def subscribers(hub: Hub) -> list[Mapping[str, Any]]:
    """Return the account of every subscriber: messages sent, waiting and dropped, and the gaps that say so."""
    told: list[Mapping[str, Any]] = []
    for one in hub.ledger().subscribers:
        flows = one.flows.values()
        told.append(
            {
                "peer": one.peer,
                "client": one.client,
                "left": one.left,
                "topics": len(one.flows),
                "sent": sum(flow.sent.messages for flow in flows),
                "rows": sum(flow.sent.rows for flow in flows),
                "waiting": sum(flow.held.messages + flow.flying.messages for flow in flows),
                "dropped": sum(flow.dropped.messages for flow in flows),
                "gaps": one.gaps,
                "missing": sum(abs(flow.imbalance()) for flow in flows),
            }
        )
    return told
