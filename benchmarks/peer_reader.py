"""A subscriber of our own, in a process of its own: counts what arrives and what it is told it lost.

    python benchmarks/peer_reader.py HOST:PORT

Prints "ready" once it has subscribed and, after the server's bye, a JSON line.
"""

from __future__ import annotations

import json
import sys

from spikestream.client import Client


def main() -> None:
    with Client(f"tcp://{sys.argv[1]}") as client:
        print("ready", flush=True)
        for _ in client:
            pass
        (count,) = client.counts.values()
    print(json.dumps({"messages": count.messages, "missing": count.missing, "span": count.next - count.first}))


if __name__ == "__main__":
    main()
