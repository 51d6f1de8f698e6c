"""``spikestream emulate``: a network on an emulated neuromorphic chip, and what it takes and costs there."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikestream.cli.base import Console, add_quiet, refuse_both
from spikestream.errors import ConfigError
from spikestream.units import duration_us, show_us

if TYPE_CHECKING:
    from spikestream.batch import Spikes
    from spikestream.cli.base.emulation import Emulation
    from spikestream.cli.base.stimulus import Stimulus
    from spikestream.config import Config
    from spikestream.model.nir.steps import Discretisation
    from spikestream.model.placement import Placement
    from spikestream.stages.chip import Chip

PROGRESS_S = 0.2
SECOND_US = 1_000_000
OUTPUTS = (".npz", ".sfri")


def parser() -> argparse.ArgumentParser:
    """Return the options of the verb."""
    made = argparse.ArgumentParser(prog="spikestream emulate", description=__doc__)
    add = made.add_argument
    add("model", metavar="MODEL", help="a placement (.npz, RANC, NSCS), NIR, the TOML of a model, or what --save kept")
    add("--target", default="truenorth", help="the chip to compile a network for: truenorth (default), loihi")
    add(
        "--framework", metavar="NAME", help="of a NIR file: step as norse, snntorch, sinabs, ... do (docs/simulator.md)"
    )
    add("--step", metavar="TIME", help="of a NIR file: the length of its steps, where it does not tell: 1ms, 100us")
    add("--save", metavar="FILE", help="save the placement")
    add("--as", dest="as_", default="npz", metavar="FORMAT", help="of --save: npz (default), ranc, ranc-mem, nscs")
    add("--input", metavar="SRC", help="a recording, a sound, packets of RANC (.json), spikes (.npz, .sfri of NSCS)")
    add("--poisson", type=float, metavar="HZ", help="noise: so many spikes a second of each input")
    add("--seed", type=int, default=0, metavar="N", help="of the noise (default 0)")
    add("--ticks", type=int, metavar="N", help="run so many ticks; else to the end of the input, or for a second")
    add("--for", dest="for_", metavar="TIME", help="run for so long: 2s, 500ms")
    add("--tick", metavar="TIME", help="length of a tick (default: that of the network, else 1ms)")
    add("--threads", type=int, default=1, metavar="N", help="threads that run the chip (default 1)")
    add("--size", metavar="WxH", help="pixels of the sensor, where the recording does not tell")
    add("--set", dest="sets", action="append", default=[], metavar="KEY=VALUE", help="e.g. hear.bands=32, of the input")
    add("--output", metavar="FILE", help="write the spikes of the outputs: .npz, or .sfri of NSCS")
    add("--plot", metavar="PICTURE", help="draw the chip: who sits where, traffic, work; .png, .svg or .pdf")
    add("--energy", metavar="FILE", help="TOML with other coefficients for the estimate of energy (docs/energy.md)")
    add("--json", action="store_true", help="print one JSON object, nothing else")
    add_quiet(made)
    return made


def run(options: argparse.Namespace) -> int:
    """Compile where need be, run, and tell what it took."""
    console = Console(options.quiet)
    _check(options)
    work = _Work(console, options)
    for line in work.run():
        console.out(line)
    return 0


def _check(options: argparse.Namespace) -> None:
    """Refuse what contradicts itself, before anything is read."""
    from spikestream.cli.base.drawing import check_picture

    refuse_both({"--ticks": options.ticks, "--for": options.for_})
    refuse_both({"--input": options.input, "--poisson": options.poisson})
    if options.ticks is not None and not 1 <= options.ticks <= 2**40:
        raise ConfigError("a run has 1 tick or more", key="--ticks", value=options.ticks, allowed="1 to 2^40")
    if not 0 <= options.seed < 2**63:
        raise ConfigError("the seed is out of range", key="--seed", value=options.seed, allowed="0 or more")
    if options.output and Path(options.output).suffix.lower() not in OUTPUTS:
        text = f"no spikes are written into '{options.output}'"
        raise ConfigError(text, key="--output", value=options.output, allowed=", ".join(OUTPUTS))
    if options.plot:
        check_picture(options.plot)
    written = [options.save, options.output, options.plot]
    read = [options.model, options.input]
    places = [os.path.realpath(path) for path in (*written, *(read if any(written) else ())) if path]
    if len({*places}) < len(places) - (options.input == options.model):
        raise ConfigError("two files of one name: nothing is written over what is read or written", key="--save")


class _Work:
    """One run: what the chip holds, what it hears, what came out."""

    def __init__(self, console: Console, options: argparse.Namespace) -> None:
        self.console, self.options = console, options
        self.config = self._configure()
        self.placement, self.compiled = self._place()
        self.tick_us = self._tick_us()
        self.ticks = self._ticks()
        self.stimulus = self._stimulus()
        if self.ticks is None and not self.stimulus.ends:
            self.ticks = -(-SECOND_US // self.tick_us)

    def run(self) -> Iterator[str]:
        """Run the chip, write what is asked for, and yield what is printed."""
        import json

        from spikestream.cli.base.chipreport import as_json, as_text
        from spikestream.cli.base.emulation import Emulation
        from spikestream.cli.base.report import say_if_cold
        from spikestream.files.energy import read_coefficients
        from spikestream.model.energy import table_of

        options = self.options
        coefficients = read_coefficients(table_of(self.placement.law), options.energy)
        if options.save:
            self._save()
        chip = self._chip()
        say_if_cold(self.console)
        chip.prepare()
        emulation = Emulation(chip, self.stimulus, self.ticks)
        self._consume(emulation)
        target = options.target if self.compiled else None
        facts = as_json(options.model, target, self.placement, emulation, coefficients)
        if options.plot:
            self._draw(emulation)
        yield json.dumps(facts, ensure_ascii=False) if options.json else as_text(facts)

    def _configure(self) -> Config:
        """Return how input is heard: as the saved network heard it, with settings on top."""
        from spikestream.config import read_config, with_value
        from spikestream.service.defaults import tables_of_model
        from spikestream.service.placing import is_saved

        base: Any = tables_of_model(self.options.model) if is_saved(self.options.model) else {}
        config = read_config(None, self.options.sets, base=base)
        return with_value(config, "sensor", size=self.options.size) if self.options.size else config

    def _place(self) -> tuple[Placement, bool]:
        from spikestream.service.placing import placed

        begun = time.monotonic()

        def progress(step: str, part: float) -> None:
            if time.monotonic() - begun > PROGRESS_S:
                self.console.progress(f"compiling: {step} {part:.0%}")

        try:
            return placed(self.options.model, self.options.target, progress, self._steps())
        finally:
            self.console.clear()

    def _steps(self) -> Discretisation | None:
        """Return how a NIR file is cut into steps, None where nothing was said."""
        from spikestream.model.nir.steps import Discretisation

        name, step = self.options.framework, self.options.step
        if name is None and step is None:
            return None
        dt_s = None if step is None else duration_us(step) * 1e-6
        return Discretisation(dt_s=dt_s) if name is None else Discretisation.of(name, dt_s=dt_s)

    def _tick_us(self) -> int:
        from spikestream.building import tick_us_of

        if self.options.tick is None:
            step_us = self.placement.notes.get("step_us") or 0
            known = self.compiled and step_us >= 1 and step_us == int(step_us)
            return int(step_us) if known else tick_us_of(self.config)
        tick_us = duration_us(self.options.tick)
        if not 1 <= tick_us <= 3600 * SECOND_US:
            text = "a tick lasts from 1 µs to one hour"
            raise ConfigError(text, key="--tick", value=self.options.tick, allowed="1us to 1h")
        return tick_us

    def _ticks(self) -> int | None:
        if self.options.for_ is None:
            return int(self.options.ticks) if self.options.ticks is not None else None
        ticks = -(-duration_us(self.options.for_) // self.tick_us)
        if ticks < 1:
            raise ConfigError("a run has 1 tick or more", key="--for", value=self.options.for_)
        return ticks

    def _stimulus(self) -> Stimulus:
        from spikestream.cli.base import stimulus

        options, placement = self.options, self.placement
        if options.input is not None:
            return stimulus.of_file(options.input, placement, self.tick_us, self.config)
        if options.poisson is not None:
            return stimulus.poisson(placement.input_count, options.poisson, options.seed, self.tick_us)
        return stimulus.beside(options.model, placement, self.tick_us) or stimulus.silence()

    def _chip(self) -> Chip:
        from spikestream.stages.chip import Chip

        chip = Chip(self.placement, tick_us=self.tick_us, threads=self.options.threads)
        if self.options.plot:
            chip.watch()
        return chip

    def _save(self) -> None:
        from spikestream.files.placements import write_placement

        write_placement(self.options.save, self.placement, format=self.options.as_)
        self.console.log(f"saved {self.options.save}")

    def _consume(self, emulation: Emulation) -> None:
        """Run to the end, and write the spikes that come out where that is asked for."""
        batches = self._shown(emulation)
        target = self.options.output
        if target is None:
            for _ in batches:
                pass
        elif Path(target).suffix.lower() == ".npz":
            from spikestream.files.spikes import write_spikes

            write_spikes(target, batches, {"outputs": self.placement.outputs, "tick_us": self.tick_us})
        else:
            import numpy as np

            from spikestream.files.nscs_spikes import nscs_output, write_nscs_spikes

            rows = [nscs_output(made, tick_us=self.tick_us) for made in batches]
            write_nscs_spikes(target, np.concatenate(rows) if rows else np.empty((0, 3), np.int64))

    def _shown(self, emulation: Emulation) -> Iterator[Spikes]:
        """Yield the spikes of the outputs, and show on a terminal how far it is."""
        due = time.monotonic() + PROGRESS_S
        for made in emulation.batches():
            yield made
            if time.monotonic() >= due:
                due = time.monotonic() + PROGRESS_S
                of_all = f" of {self.ticks:,}" if self.ticks is not None else ""
                pace = emulation.realtime_factor()
                self.console.progress(f"{emulation.ticks:,}{of_all} ticks, {pace:.3g} x real time")
        self.console.clear()

    def _draw(self, emulation: Emulation) -> None:
        from spikestream.cli.base.drawing import write_figure
        from spikestream.plots.chip import chip_picture

        figure = chip_picture(self.placement, emulation.chip.fires, emulation.heard, ticks=emulation.ticks)
        figure.suptitle(f"{Path(self.options.model).name}: {show_us(emulation.ticks * self.tick_us)}")
        write_figure(self.options.plot, figure)
        self.console.log(f"drawn into {self.options.plot}")
