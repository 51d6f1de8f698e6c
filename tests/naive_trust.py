"""ADWIN and sliding accuracy in plain Python, from the equations: every cut is tried, everything is counted anew."""

from __future__ import annotations

import math

MOST, LEAST = 4_096, 16


def judged(outcomes: list[bool], window: int, delta: float) -> tuple[list[tuple[int, float, float, int]], list[float]]:
    """Return the falls (number of the judgement, older share, newer share, newer count), and the bests in order."""
    memory: list[bool] = []
    recent: list[bool] = []
    falls, bests = [], []
    best = None
    for number, right in enumerate(outcomes):
        memory = [*memory, right][-MOST:]
        recent = [*recent, right][-window:]
        n = len(memory)
        fell = False
        for n1 in [LEAST * 2**k for k in range(20)]:
            n0 = n - n1
            if n0 < LEAST or not delta:
                continue
            older, newer = memory[:n0], memory[n0:]
            mean0, mean1 = sum(older) / n0, sum(newer) / n1
            p = sum(memory) / n
            m = 1 / (1 / n0 + 1 / n1)
            delta_prime = delta / math.log(n)
            cut = math.sqrt(2 / m * p * (1 - p) * math.log(2 / delta_prime)) + 2 / (3 * m) * math.log(2 / delta_prime)
            if abs(mean0 - mean1) >= cut:
                memory = newer
                if mean1 < mean0:
                    falls.append((number, mean0, mean1, n1))
                    fell = True
                break
        if fell:
            recent, best = [], None
        elif len(recent) == window and (best is None or sum(recent) / window > best):
            best = sum(recent) / window
            bests.append(best)
    return falls, bests
