"""A circuit in plain Python, cell by cell, written from the law in model/circuit.py, not from the kernel."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise

import numpy as np


class Circuit:
    """Steps of ``circuit``: `step` takes what each input gives and returns what each output gives.

    ``number`` is float, or np.float32 for a run in single precision. `seen` counts what has happened.
    """

    def __init__(self, circuit, number=float):
        self.c, self.number, self.seen, self.n = circuit, number, Counter(), 0
        self.past = {}  # (source, step): what it gave, by address
        self.cells = {one.name: [Cell(one, j, number) for j in range(one.size)] for one in circuit.cells}
        self.rows = {}
        for link in circuit.links:
            weights, first = [number(w) for w in link.weights.tolist()], link.first.tolist()
            targets = list(zip(link.post.tolist(), weights, strict=True))
            self.rows[id(link)] = [targets[a:b] for a, b in pairwise(first)]

    def step(self, values):
        given = [self.number(value) for value in values]
        for name, size in self.c.inputs:
            self.past[name, self.n], given = given[:size], given[size:]
        for one in self.c.cells:
            heard = [self.number(b) for b in one.bias.tolist()]
            for link in self.c.links:
                if link.target == one.name and self.n >= link.delay:
                    self.hear(link, heard)
            cells = self.cells[one.name]
            self.past[one.name, self.n] = [cell.step(x, self.seen) for cell, x in zip(cells, heard, strict=True)]
        self.n += 1
        return [value for name in self.c.outputs for value in self.past[name, self.n - 1]]

    def hear(self, link, heard):
        for value, row in zip(self.past[link.source, self.n - link.delay], self.rows[id(link)], strict=True):
            if value:
                self.seen["delay", link.delay] += 1
                for j, weight in row:
                    heard[j] += weight * value

    def v(self, name):
        return [cell.v for cell in self.cells[name]]


class Cell:
    def __init__(self, cells, j, number):
        self.o, self.number = cells, number
        names = "decay gain drift threshold reset_to floor"
        self.p = {name: number(getattr(cells, name)[j]) for name in names.split()}
        self.refractory = int(cells.refractory[j])
        self.v, self.i, self.before, self.wait = number(cells.v0[j]), number(0), number(0), 0
        if cells.has_current:
            self.p |= {name: number(getattr(cells, name)[j]) for name in ("current_decay", "current_gain")}

    def step(self, x, seen):
        o, p, old = self.o, self.p, self.v
        y = x
        if o.has_current:
            seen["current", o.old_current] += 1
            now = p["current_decay"] * self.i + p["current_gain"] * x
            y, self.i = (self.i if o.old_current else now), now
        slope = p["gain"] * y + p["drift"]
        free = p["decay"] * old + p["gain"] * y + p["drift"]
        seen["floor"] += free < p["floor"]
        self.v = max(free, p["floor"])
        if not o.spiking:
            seen["analog"] += self.v != 0
            return self.v
        if o.late_reset and self.before:
            seen["late", o.reset] += 1
            self.v = self.after(self.v, self.before)
        spikes = self.fires(old, slope, seen)
        given, self.before = (self.before if o.late_spikes else spikes), spikes
        seen["late spikes"] += bool(o.late_spikes and given)
        return given

    def fires(self, old, slope, seen):
        o, p = self.o, self.p
        if self.wait:
            seen["refractory"] += 1
            self.wait -= 1
            self.v = p["reset_to"]
            return self.number(0)
        top = p["threshold"]
        if not (self.v > top or (o.at_threshold and self.v == top)):
            return self.number(0)
        seen["at"] += self.v == top
        seen["spike", o.reset] += 1
        self.wait = self.refractory
        spikes = self.number(min(math.floor(self.v / top), 1024) if o.several else 1)
        seen["several"] += spikes > 1
        if o.reset == "crossing":
            self.v = self.crossed(old, slope, seen)
        elif not o.late_reset:
            self.v = self.after(self.v, spikes)
        return spikes

    def after(self, v, spikes):
        """Return v after the reset of ``spikes``."""
        if self.o.reset == "value":
            return self.p["reset_to"]
        return v - spikes * (self.p["threshold"] - self.p["reset_to"])

    def crossed(self, old, slope, seen):
        """Return where v stands after it was reset when it reached the threshold."""
        decay, top, low = (self.p[name] for name in ("decay", "threshold", "reset_to"))
        one = self.number(1)
        if decay == one:
            seen["crossed a line"] += 1
            return old + slope - (top - low)
        goal = slope / (one - decay)
        at_once = old >= top or goal <= top  # the latter where it reaches what it goes to, and only just
        seen["crossed at once"] += at_once
        rest = decay if at_once else decay * (goal - old) / (goal - top)
        return goal - (goal - low) * rest


def run(circuit, values, number=float):
    """Return outputs (steps, outputs) of a run on ``values`` (steps, inputs), and the twin."""
    twin = Circuit(circuit, number)
    return np.array([twin.step(row) for row in np.asarray(values, float).tolist()]), twin
