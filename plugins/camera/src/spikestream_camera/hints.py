"""What the library says of a camera that cannot be had, and what to do about it."""

from __future__ import annotations

from spikestream.errors import DeviceError

RULES = "/etc/udev/rules.d/65-neuromorphic-drivers.rules"
UDEV = (
    'SUBSYSTEM=="usb", ATTRS{idVendor}=="152a", ATTRS{idProduct}=="84[0-1]?", MODE="0666"',  # iniVation
    'SUBSYSTEM=="usb", ATTRS{idVendor}=="04b4", ATTRS{idProduct}=="00f[4-5]", MODE="0666"',  # Prophesee
    'SUBSYSTEM=="usb", ATTRS{idVendor}=="31f7", ATTRS{idProduct}=="000[3-4]", MODE="0666"',  # CenturyArks
)
"""USB ids of the cameras that the library opens."""
INSTALL = "sudo neuromorphic-drivers-install-udev-rules, then plug the camera in again"
ABSENT = ("no device found", "device not found", "serial not found", "no such device", "nodevice")
"""What it says where there is no such camera, or no more; its errors are texts of one class."""


def trouble(what: str, error: object, *, gone: bool = False) -> DeviceError:
    """Return the error for a camera or USB, called ``what``, of which the library says ``error``.

    ``gone`` is for one that had been opened.
    """
    said = f"{error}" or type(error).__name__
    low = said.lower()
    if "access" in low or "permission" in low:
        return DeviceError(
            f"{what} may not be opened by this user: {said}",
            details=[f"a rule in {RULES} would let it:", *UDEV],
            remedy=INSTALL,
        )
    if "busy" in low or "already used" in low:
        return DeviceError(f"{what} is in use by another program: {said}", remedy="end the other one")
    if gone:
        return DeviceError(f"{what} has gone: {said}", remedy="plug it in again")
    if any(text in low for text in ABSENT):
        return DeviceError(f"{what} is not there: {said}", remedy="spikestream devices lists the cameras there are")
    remedy = "lsusb tells whether this machine has USB at all, and sees the camera"
    return DeviceError(f"{what} cannot be asked: {said}", remedy=remedy)
