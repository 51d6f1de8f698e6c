"""The result of a run, for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from spikestream.cli.base import LOST, Console, ended_by
from spikestream.units import show_us

if TYPE_CHECKING:
    from spikestream.batch import Decision
    from spikestream.config import Config
    from spikestream.service.lane import Lane
    from spikestream.service.session import Session


def line_of(decision: Decision, start: int) -> str:
    """Return a decision as a line, its time counted from ``start`` µs."""
    at = f"{(decision.stop - start) / 1e6:9.3f} s"
    return f"{at}  {decision.label or 'unknown':12} {decision.confidence:5.0%}  {decision.evidence:4.0f} spikes"


def json_of(decision: Decision) -> dict[str, Any]:
    """Return a decision as it is printed in JSON."""
    return {**asdict(decision), "scores": dict(decision.scores)}


def exit_code(console: Console, session: Session, signalled: int | None, strict: bool) -> int:
    """Return the exit code of a run that has ended; ``strict`` is whether anything lost is an error."""
    if strict and (session.lost() or session.problems()):
        console.log("error: data was lost, see the ledger")
        return LOST
    return ended_by(signalled)


def say_if_cold(console: Console, session: Lane | None = None) -> None:
    """Tell why nothing happens yet, where kernels have to be compiled first."""
    from spikestream.kernels import COLD

    core = session.pipeline.stages[session.core] if session is not None else None
    if COLD or getattr(core, "cold", False):
        console.log("compiling the kernels: once per version, about half a minute")


def say_if_compiled(console: Console, config: Config) -> None:
    """Tell why nothing happens yet, where a network has to be compiled for a chip first."""
    if config.chip.model:
        console.log(f"compiling {config.chip.model} for a {config.chip.target} chip")


def report(summary: Mapping[str, Any], session: Session) -> str:
    """Return the summary of a run for people: ledger, pace, latency, accuracy."""
    latency = summary["latency_ms"]
    lines = ["", "loss ledger", *(f"  {hop}" for hop in session.hops())]
    closed = "every hop closes" if not session.problems() else "THE LEDGER DOES NOT CLOSE"
    lines += [f"  {closed}", ""]
    lines += [
        f"stream time       {show_us(summary['duration_us'])}",
        f"real-time factor  {summary['realtime_factor']:.4g}",
        f"latency           p50 {latency['p50']:.2f} ms, p99 {latency['p99']:.2f} ms (batch taken to batch published)",
        f"spikes, decisions {summary['spikes_out']:,}, {summary['decisions']:,}",
    ]
    if summary["prequential_accuracy"] is not None:
        lines.append(f"while learning    {summary['prequential_accuracy']:.1%} (decided first, taught after)")
    if summary["accuracy"] is not None:
        baseline = summary["baseline_accuracy"]
        beside = f", nearest centroid {baseline:.1%}" if baseline is not None else ""
        lines.append(f"held-out accuracy {summary['accuracy']:.1%}   (chance {summary['chance']:.1%}{beside})")
    return "\n".join([*lines, *_of_chip(summary)])


def _of_chip(summary: Mapping[str, Any]) -> list[str]:
    """Return what a run on a chip, and the network beside it, have to tell."""
    lines = []
    if (chip := summary.get("chip")) is not None:
        late = chip["latency_ticks"]
        told = f", its outputs {chip['latency_ms']:g} ms late ({late} of its ticks)" if late is not None else ""
        lines.append(f"chip              law {chip['law']}, {chip['cores']:,} cores{told}")
    if (beside := summary.get("float")) is not None:
        right = "" if beside["accuracy"] is None else f", held-out accuracy {beside['accuracy']:.1%}"
        lines.append(f"float beside it   {beside['spikes_out']:,} spikes, {beside['decisions']:,} decisions{right}")
        alike = summary["spike_correlation"]
        share = "-" if summary["agreement"] is None else f"{summary['agreement']:.1%} of {summary['compared']:,}"
        lines.append(f"agreement         {share} decisions alike, correlation of spike counts {alike}")
    return lines
