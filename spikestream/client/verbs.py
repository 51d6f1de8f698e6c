"""What both clients may ask of a running server, by name; docs/control.md tells what is answered."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

Answer = TypeVar("Answer")
"""A map of what came of a request, or what is awaited for it."""


class Verbs(Generic[Answer]):
    """A method for each request, all made with `request`; ``pipeline`` may be left out where there is only one."""

    def request(self, do: str, /, **fields: Any) -> Answer:
        """Ask for something and return the answer."""
        raise NotImplementedError

    def status(self, **fields: Any) -> Answer:
        """Ask for everything there is to know, of all pipelines or of ``pipeline``."""
        return self.request("status", **fields)

    def pipelines(self) -> Answer:
        """Ask which pipelines there are."""
        return self.request("pipelines")

    def get(self, key: str = "", **fields: Any) -> Answer:
        """Ask for the settings that may be changed, or for one."""
        return self.request("get", **({"key": key} if key else {}), **fields)

    def set(self, key: str, value: bool | int | float | str, **fields: Any) -> Answer:
        """Change a setting from now on."""
        return self.request("set", key=key, value=value, **fields)

    def learn(self, on: bool, **fields: Any) -> Answer:
        """Turn learning on or off."""
        return self.request("learn", on=on, **fields)

    def save(self, file: str = "", **fields: Any) -> Answer:
        """Save what was learned, to where it is always saved or to a file in the folder of control."""
        return self.request("save", **({"file": file} if file else {}), **fields)

    def load(self, file: str = "", **fields: Any) -> Answer:
        """Take over what a saved model has learned."""
        return self.request("load", **({"file": file} if file else {}), **fields)

    def pause(self, **fields: Any) -> Answer:
        """Take nothing more from the sensor."""
        return self.request("pause", **fields)

    def resume(self, **fields: Any) -> Answer:
        """Go on after a pause."""
        return self.request("resume", **fields)

    def weights(self, **fields: Any) -> Answer:
        """Ask for the weights of the network as they are now."""
        return self.request("weights", **fields)

    def add(self, name: str, **fields: Any) -> Answer:
        """Add a pipeline, from a ``file`` in the folder of control or from ``toml``, a list of lines."""
        return self.request("add", name=name, **fields)

    def remove(self, pipeline: str) -> Answer:
        """End a pipeline and forget it."""
        return self.request("remove", pipeline=pipeline)
