"""What PortAudio knows: devices, and calls of it that may hang but never keep anybody waiting for ever."""

from __future__ import annotations

import atexit
import ctypes
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from spikestream.errors import DeviceError

T = TypeVar("T")

ANSWER_S = 5.0
"""A sound server that takes longer to answer hangs."""
INSTALL = "apt install libportaudio2 (Debian, Ubuntu), brew install portaudio (macOS)"
LIST = "spikestream listen --devices lists what there is"

opened: set[object] = set()
"""Microphones that are open: PortAudio looks for new devices only while there is none."""
_hanging: list[threading.Thread] = []
"""Calls of PortAudio that never came back; while there is one, no other is made."""
_say_nothing = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p)(
    lambda *told: None
)
"""Given to ALSA, which prints a page of errors of its own on a machine without sound."""


@dataclass(frozen=True, slots=True)
class Device:
    """Something to record from: ``number`` and ``name`` both name it; ``samplerate_hz`` is its own."""

    number: int
    name: str
    host: str
    channels: int
    samplerate_hz: float
    default: bool


def list_devices() -> list[Device]:
    """Return what can be recorded from here; raises `DeviceError` where PortAudio is missing or hangs."""
    return answered(devices)


def answered(call: Callable[[], T]) -> T:
    """Return what a call of PortAudio returns; raises `DeviceError` where it does not come back in time.

    It runs in a thread of its own, which is left behind then: no call of PortAudio can be broken off.
    """
    made: list[T] = []
    errors: list[BaseException] = []
    _hanging[:] = [thread for thread in _hanging if thread.is_alive()]
    if _hanging:
        raise DeviceError("the sound server still does not answer", remedy="restart it, or wait")

    def work() -> None:
        try:
            made.append(call())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work, daemon=True, name="portaudio")
    with _stderr_kept() as stderr:
        thread.start()
        thread.join(ANSWER_S)
        if thread.is_alive() and stderr is not None:
            os.dup2(stderr, 2)  # sounddevice had put it away while PortAudio starts
    if thread.is_alive():
        _hanging.append(thread)
        _leave_behind()
        raise DeviceError("the sound server does not answer", remedy="restart it (pulseaudio, pipewire), or wait")
    if errors:
        raise errors[0]
    return made[0]


@contextmanager
def _stderr_kept() -> Iterator[int | None]:
    """Give a copy of the number of stderr, None where there is no stderr."""
    try:
        copy = os.dup(2)
    except OSError:
        yield None
        return
    try:
        yield copy
    finally:
        os.close(copy)


def _leave_behind() -> None:
    """Keep sounddevice from ending PortAudio when the program ends: it would wait for the call that hangs."""
    # Not imported: its import may be what hangs, and would be waited for.
    handler = getattr(sys.modules.get("sounddevice"), "_exit_handler", None)
    if handler is not None:
        atexit.unregister(handler)


def devices() -> list[Device]:
    """Return what can be recorded from here, without a bound on how long that takes."""
    audio = portaudio()
    with told(audio, "PortAudio"):
        if not opened:  # it looks for devices only when it starts
            audio._terminate()
            audio._initialize()
        hosts = [host["name"] for host in audio.query_hostapis()]
        found = list(enumerate(audio.query_devices()))
        default = audio.default.device[0]
        if default < 0 and hosts:
            default = audio.query_hostapis(audio.default.hostapi)["default_input_device"]
    return [
        Device(
            number,
            one["name"],
            hosts[one["hostapi"]],
            one["max_input_channels"],
            one["default_samplerate"],
            number == default,
        )
        for number, one in found
        if one["max_input_channels"] > 0
    ]


def find(wanted: str, channels: int) -> Device:
    """Return the device of a number or a part of a name, the default one for ""; raises `DeviceError`."""
    found = devices()
    if not found:
        text = "there is no microphone: PortAudio knows no device to record from"
        raise DeviceError(text, remedy=f"plug one in, or start the sound server; {LIST}")
    if not wanted:
        fitting = [one for one in found if one.default] or found[:1]
    elif wanted.isdecimal():
        fitting = [one for one in found if one.number == int(wanted)]
    else:
        fitting = [one for one in found if wanted.lower() in f"{one.name}, {one.host}".lower()]
        fitting = [one for one in fitting if one.name.lower() == wanted.lower()] or fitting
    listed = [f"{one.number:3}  {one.name}, {one.channels} channels" for one in fitting or found]
    if len(fitting) != 1:
        text = f"{'several microphones are' if fitting else 'no microphone is'} called '{wanted}'"
        raise DeviceError(text, details=listed, remedy="choose one by its number")
    if fitting[0].channels < channels:
        raise DeviceError(f"{fitting[0].name} has {fitting[0].channels} channels, not {channels}", remedy=LIST)
    return fitting[0]


def portaudio() -> Any:
    """Return the module sounddevice; raises `DeviceError` where PortAudio is missing."""
    with suppress(OSError, AttributeError):  # there is no ALSA, and nothing to be hushed
        ctypes.CDLL("libasound.so.2").snd_lib_error_set_handler(_say_nothing)
    try:
        import sounddevice
    except OSError as error:
        raise DeviceError(f"PortAudio, which microphones need, is missing: {error}", remedy=INSTALL) from error
    return sounddevice


@contextmanager
def told(audio: Any, name: str) -> Iterator[None]:
    """Turn what PortAudio raises into `DeviceError`."""
    try:
        yield
    except (audio.PortAudioError, ValueError) as error:
        raise DeviceError(f"{name} cannot be opened: {error.args[0] if error.args else error}", remedy=LIST) from error
