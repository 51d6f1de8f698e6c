"""Recordings of ROS that hold messages of events: bags of ROS 1, and MCAP of either ROS.

Known are ``EventArray`` of dvs_msgs and of prophesee_event_msgs, and ``EventPacket`` of event_camera_msgs (also under
its first name, ``EventArray`` of event_array_msgs). Origin top left, as stored. Sources: the formats' own pages; the
definitions of the messages; event_camera_codecs.
"""

from __future__ import annotations

from spikestream.formats.base import Format
from spikestream.formats.ros import bag, mcap
from spikestream.formats.ros.topics import OPTIONS

BAG = Format("bag", "ROS 1 bag", (".bag",), bag.sniff, bag.Decoder, None, OPTIONS)
MCAP = Format("mcap", "MCAP", (".mcap",), mcap.sniff, mcap.Decoder, None, OPTIONS)
