"""Recordings of ROS written by other people's programs: rosbags for all three containers, with messages of ours.

The messages are serialised by rosbags from the definitions as they are published.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as Writer2
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

PACKET = """std_msgs/Header header
uint32 height
uint32 width
uint64 seq
uint64 time_base
string encoding
bool is_bigendian
uint8[] events
"""
EVENT = "uint16 x\nuint16 y\n{time} ts\nbool polarity\n"
ARRAY = "std_msgs/Header header\nuint32 height\nuint32 width\n{package}/Event[] events\n"
OTHER = "uint32 number\n"


def store(ros: int) -> Any:
    """Return a typestore of ROS 1 or 2 that knows the messages of events."""
    made = get_typestore(Stores.ROS1_NOETIC if ros == 1 else Stores.ROS2_HUMBLE)
    time = "time" if ros == 1 else "builtin_interfaces/Time"
    types = get_types_from_msg(PACKET, "event_camera_msgs/msg/EventPacket")
    for package in ("dvs_msgs", "prophesee_event_msgs"):
        types |= get_types_from_msg(EVENT.format(time=time), f"{package}/msg/Event")
        types |= get_types_from_msg(ARRAY.format(package=package), f"{package}/msg/EventArray")
    types |= get_types_from_msg(OTHER, "tests/msg/Other")
    made.register(types)
    return made


def header(types: Any, ros: int) -> Any:
    stamp = types["builtin_interfaces/msg/Time"](sec=5, nanosec=6)
    more = {"seq": 3} if ros == 1 else {}
    return types["std_msgs/msg/Header"](stamp=stamp, frame_id="camera", **more)


def array(
    types: Any,
    ros: int,
    events: np.ndarray,
    package: str = "dvs_msgs",
    size: tuple[int, int] = (346, 260),
    rest_ns: int = 7,
) -> Any:
    kind, time = types[f"{package}/msg/Event"], types["builtin_interfaces/msg/Time"]
    rows = [
        kind(x=x, y=y, ts=time(sec=t // 1_000_000, nanosec=t % 1_000_000 * 1000 + rest_ns), polarity=bool(p))
        for t, x, y, p in events.tolist()
    ]
    made = types[f"{package}/msg/EventArray"]
    return made(header=header(types, ros), height=size[1], width=size[0], events=rows)


def packet(
    types: Any, ros: int, data: bytes, encoding: str, seq: int, base_ns: int = 0, size: tuple[int, int] = (640, 480)
) -> Any:
    return types["event_camera_msgs/msg/EventPacket"](
        header=header(types, ros),
        height=size[1],
        width=size[0],
        seq=seq,
        time_base=base_ns,
        encoding=encoding,
        is_bigendian=False,
        events=np.frombuffer(data, np.uint8),
    )


def write(
    path: Path, messages: Sequence[tuple[str, str, Callable[[Any, int], Any]]], packing: str | None = None
) -> Path:
    """Write messages, each (topic, type, a maker of it), and return the file: .bag, .db3 or .mcap."""
    ros = 1 if path.suffix == ".bag" else 2
    known = store(ros)
    plugin = {".db3": StoragePlugin.SQLITE3, ".mcap": StoragePlugin.MCAP}.get(path.suffix)
    folder = path if ros == 1 else path.with_name(f"{path.name}.d")
    writer: Any = Writer1(path) if ros == 1 else Writer2(folder, version=9, storage_plugin=plugin)
    if packing:
        writer.set_compression(Writer1.CompressionFormat[packing])
    serialise = known.serialize_ros1 if ros == 1 else known.serialize_cdr
    with writer:
        topics = {}
        for time, (topic, kind, make) in enumerate(messages):
            if topic not in topics:
                topics[topic] = writer.add_connection(topic, kind, typestore=known)
            writer.write(topics[topic], 1000 * time, serialise(make(known.types, ros), kind))
    return path if ros == 1 else next(folder.glob(f"*{path.suffix}"))
