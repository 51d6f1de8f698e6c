"""One program as a reader and a writer of recordings, for benchmarks/interop.py.

    python benchmarks/peer_interop.py PROGRAM

Asked by lines of JSON, ``{"do": "read" | "write", "format": …, "path": …, "events": …}``, it reads a recording into the
``.npy`` file ``events``, or writes the events of that file, and answers each with a line: "" or what was raised.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import peer_formats

from spikestream.batch import EVENT, Array

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))
SIDES = {"bin": (34, 34)}
SIDE = (346, 260)
NAMES = {"t": ("t", "timestamp", "ts"), "x": ("x", "xs"), "y": ("y", "ys"), "p": ("p", "on", "polarity", "ps")}


def side_of(format: str) -> tuple[int, int]:
    """Return the width and height of the sensor whose events are written in a format."""
    return SIDES.get(format, SIDE)


def columns(found: Any) -> Array:
    """Return what a program has read, in fields or attributes of any names, as an array (n,) EVENT."""
    parts = {ours: np.asarray(_column(found, names)).ravel() for ours, names in NAMES.items()}
    if parts["t"].dtype.kind == "m":
        parts["t"] = parts["t"].astype("m8[us]").astype(np.int64)
    if parts["t"].dtype.kind == "f":  # of evlib, in seconds
        parts["t"] = np.rint(parts["t"] * 1e6)
    events = np.empty(len(parts["t"]), EVENT)
    for name in "txy":
        events[name] = parts[name]
    events["p"] = parts["p"] > 0
    return events


def _column(found: Any, names: tuple[str, ...]) -> Any:
    for name in names:
        if hasattr(found, name):
            return getattr(found, name)
        try:
            return found[name]
        except Exception:  # every library says in its own way that it has no such column
            continue
    raise KeyError(f"no column {names[0]}")


# Who reads


def read_spikestream(path: str, format: str) -> Any:
    import spikestream as ss

    return ss.read(path).data


def read_evt3(path: str, format: str) -> Any:
    import evt3

    return evt3.decode_file(path)


def read_evlib(path: str, format: str) -> Any:
    import evlib

    return evlib.load_events(path).collect()


def read_evio(path: str, format: str) -> Any:
    import evio

    return evio.read(path)


def read_evlab(path: str, format: str) -> Any:
    from evlab.formats import load

    return load(path).events


def read_tonic(path: str, format: str) -> Any:
    from tonic.io import read_aedat4

    return read_aedat4(path) if format == "aedat4" else peer_formats.tonic_whole(path, format)


def read_numpy(path: str, format: str) -> Any:
    found = np.load(path)
    return found["events"] if format == "npz" and "events" in found else found


def read_h5py(path: str, format: str) -> Any:
    import h5py
    import hdf5plugin  # noqa: F401  # Blosc, which it makes known to HDF5

    with h5py.File(path) as file:
        if "CD" in file:
            return file["CD/events"][:]
        return {name: column[:] for name, column in file["events"].items()}


def read_rosbags(path: str, format: str) -> Any:
    from rosbags.highlevel import AnyReader

    rows = []
    with AnyReader([Path(path) if format == "bag" else Path(path).with_suffix("")]) as reader:
        for connection, _, data in reader.messages():
            message: Any = reader.deserialize(data, connection.msgtype)
            rows += [
                (one.ts.sec * 10**6 + one.ts.nanosec // 1000, one.x, one.y, one.polarity) for one in message.events
            ]
    return np.array(rows, EVENT)


# Who writes


def write_spikestream(path: str, format: str, events: Array) -> None:
    import spikestream as ss

    stop = int(events["t"][-1]) + 1
    ss.write(path, ss.Events(0, stop, events, side_of(format)), format=format.partition("-")[0])


def write_faery(path: str, format: str, events: Array) -> None:
    import faery

    name, _, packing = format.partition("-")
    stream = faery.events_stream_from_array(events.astype(faery.EVENTS_DTYPE), dimensions=side_of(format))
    version = {"evt2": "evt2", "evt3": "evt3", "dat": "dat2"}.get(name)
    compression = (packing, 1) if packing in ("lz4", "zstd") else None
    stream.to_file(Path(path), version=version, compression=compression, zero_t0=False)


def write_dv(path: str, format: str, events: Array) -> None:
    import dv_processing as dv

    config = dv.io.MonoCameraWriter.Config("DVXplorer_X1")
    config.addEventStream(side_of(format))
    config.compression = getattr(dv.CompressionType, format.partition("-")[2].upper())
    writer, store = dv.io.MonoCameraWriter(path, config), dv.EventStore()
    for t, x, y, p in events.tolist():
        store.push_back(t, x, y, p)
    writer.writeEvents(store, "events")


def write_evutils(path: str, format: str, events: Array) -> None:
    from evutils.io import EventWriter
    from evutils.types import EventArray

    width, height = side_of(format)
    more: dict[str, Any] = {"format": format} if format.startswith("evt") else {}
    with EventWriter(path, width=width, height=height, **more) as writer:
        writer.write(EventArray(**{name: events[name].copy() for name in "txyp"}))


def write_expelliarmus(path: str, format: str, events: Array) -> None:
    from expelliarmus import Wizard

    theirs = np.empty(len(events), [("t", "i8"), ("x", "i2"), ("y", "i2"), ("p", "u1")])
    for name in "txyp":
        theirs[name] = events[name]
    Wizard(encoding=format).save(path, theirs)


def write_event_stream(path: str, format: str, events: Array) -> None:
    import event_stream

    theirs = np.empty(len(events), event_stream.dvs_dtype)
    for ours, name in zip("txyp", theirs.dtype.names, strict=True):
        theirs[name] = events[ours]
    event_stream.Encoder(path, "dvs", *side_of(format)).write(theirs)


def write_evio(path: str, format: str, events: Array) -> None:
    import evio

    evio.write(path, evio.from_arrays(*(events[name] for name in "xytp")))


def write_evlab(path: str, format: str, events: Array) -> None:
    from evlab.formats import from_arrays, save

    save(from_arrays(*(events[name] for name in "xytp"), *side_of(format)), path)


def write_evlib(path: str, format: str, events: Array) -> None:
    from evlib.formats import save_events_to_hdf5, save_events_to_text

    save = save_events_to_hdf5 if format == "hdf5" else save_events_to_text
    x, y = (events[name].astype(np.int64) for name in "xy")
    save(x, y, events["t"] / 1e6, np.where(events["p"], 1, -1), path)


def write_numpy(path: str, format: str, events: Array) -> None:
    if format == "npy":
        np.save(path, events)
    else:
        np.savez(path, **{name: events[name] for name in "txyp"})


def write_h5py(path: str, format: str, events: Array) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        for name in "txyp":
            file[f"events/{name}"] = events[name]


def write_rosbags(path: str, format: str, events: Array) -> None:
    import rosfiles  # the messages of the tests

    parts = (events[at : at + 300] for at in range(0, len(events), 300))
    made = [("/events", "dvs_msgs/msg/EventArray", partial(rosfiles.array, events=part)) for part in parts]
    file = rosfiles.write(Path(path), made)
    if format != "bag":  # a folder with that file in it, and its description
        file.parent.rename(Path(path).with_suffix(""))
        Path(path).hardlink_to(Path(path).with_suffix("") / file.name)


def done(program: str, do: str, format: str, path: str, events: str) -> None:
    """Read or write one recording."""
    if do == "write":
        globals()[f"write_{program}"](path, format, np.load(events))
        return
    read: Callable[[str, str], Any] = globals().get(f"read_{program}") or getattr(peer_formats, f"{program}_whole")
    np.save(events, columns(read(path, format.partition("-")[0])))


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the libraries print themselves is no answer
    for line in sys.stdin:
        said = ""
        try:
            done(sys.argv[1], **json.loads(line))
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # a panic of a library in Rust is none that `except Exception` catches
            said = f"{type(error).__name__}: {error}"
        print(json.dumps(said), file=answers, flush=True)


if __name__ == "__main__":
    main()
