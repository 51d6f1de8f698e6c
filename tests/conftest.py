"""What all tests share: where the real recordings are, and that in CI nothing may skip."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Before NumPy is imported: as many workers as cores, each with as many threads of BLAS, only wait for each other.
for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(name, "1")

ROOT = Path(__file__).resolve().parent.parent
IN_CI = os.environ.get("CI", "").lower() == "true"
LONG = ("soak", "listen_teach", "checks_composing", "replay", "demo", "microphone", "session", "papers", "wav", "rules")
"""Files that take longest: they come first, so that no worker is alone with one of them at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take longest first."""
    place = {f"test_{name}": number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path.stem, len(LONG)))


@pytest.fixture(scope="session")
def data() -> Path:
    """Return the folder of real recordings, or skip where this machine has none."""
    folder = Path(os.environ.get("SPIKESTREAM_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        reason = f"no real recordings at {folder}: set SPIKESTREAM_DATA to their folder"
        (pytest.fail if IN_CI else pytest.skip)(reason)
    return folder


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    """Turn a skip into a failure in CI: a machine prepared for all tests must run them all."""
    report = yield
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {report.longrepr}"
    return report
