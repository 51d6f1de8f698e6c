"""Write what Brian 2 and NEST say to the workloads into tests/golden/network/, where the tests compare ours with it.

    make peers && .venv/bin/python benchmarks/make_golden.py

Brian 2 runs the exact law of a tick on its numpy target, NEST its iaf_psc_exp, both in double precision. Each file
holds ``ticks`` and ``neurons`` (n,) int32, sorted by (tick, neuron); NEST stamps a spike with the end of its step.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from workloads import Cuba, Workload, save, w1, w1c, w2, w3

HERE = Path(__file__).resolve().parent
GOLDEN = HERE.parent / "tests" / "golden" / "network"


def golden() -> dict[str, tuple[str, str, Workload | Cuba]]:
    """Return file name -> (simulator, formulation, workload)."""
    return {
        "w1_100_brian2": ("brian2", "reference", w1(100)),
        "w1c_400_brian2": ("brian2", "reference", w1c(400)),
        "w2_10k_brian2": ("brian2", "reference", w2(10_000).first(500)),
        "w2_100k_brian2": ("brian2", "reference", w2(100_000).first(100)),
        "w3_nest": ("nest", "cuba", w3()),
    }


def main() -> None:
    GOLDEN.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "workload.npz"
        for name, (peer, formulation, workload) in golden().items():
            save(path, workload)
            python = HERE.parent / ".peers" / peer / "bin" / "python"
            if not python.exists():
                sys.exit(f"{peer} is not in .peers/{peer}: make peers puts it there")
            runner = HERE / f"peer_{peer}.py"
            command = [python, runner, formulation, path, "--spikes", GOLDEN / f"{name}.npz"]
            said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            print(name, said.strip().rpartition("\n")[2])


if __name__ == "__main__":
    main()
