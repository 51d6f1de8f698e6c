"""The command line: verbs, one file each; nothing is imported before the verb that needs it is named."""

from __future__ import annotations

import sys
from importlib import import_module

VERBS = {
    "replay": "run a recording through filters, network and readout, and publish what comes out",
    "train": "teach a network or a classifier with a data set or recordings, and save it",
    "eval": "measure a saved model, frozen, beside chance and baselines, and write a report",
    "models": "list the models that ship with spikestream, and others by their files",
    "run": "run a configuration, of one pipeline or several, as a daemon until it is told to stop",
    "listen": "turn a microphone into spikes, a picture of them, and decisions; also 'mic'",
    "subscribe": "print what a running spikestream publishes",
    "status": "show how a running spikestream is doing",
    "ctl": "change what a running spikestream does: settings, learning, pause, save, pipelines",
    "teach": "tell a running spikestream what it has just seen or heard",
    "info": "say what a recording is and holds",
    "convert": "write a recording in another format, or sound as the spikes of the cochlea",
    "record": "write what a sensor gives into a file",
    "devices": "list what can be opened live: microphones, cameras, and why one cannot",
    "synth": "write a labelled recording that a seed makes up",
    "formats": "list the formats of recordings: what is read, what is written, and what is missing",
    "model": "show the network that a file describes, as text and as a picture",
    "emulate": "run a network on an emulated neuromorphic chip, and say what it takes and costs there",
    "doctor": "say what this machine has for it, what is missing, and what to do about it",
    "plugins": "list sensors, formats, stages and outputs, built in and installed",
    "demo": "see it all at work on a shipped recording",
}

ALIASES = {"mic": "listen"}


def usage() -> str:
    """Return the help text of the command itself."""
    verbs = "\n".join(f"  {verb:10} {text}" for verb, text in VERBS.items())
    return (
        "usage: spikestream VERB ... | --help | --version\n\n"
        "Sensors in, spikes through a network that learns while it runs, answers out.\n\n"
        f"verbs:\n{verbs}\n\n"
        "spikestream VERB --help tells the options of a verb.\n"
        "stdout is data, stderr is log and progress.\n"
        "exit codes: 0 ok, 1 failed at run time, 2 usage or configuration, 3 input unreadable or suspicious,\n"
        "  4 device or plugin, 5 network, 6 model, 7 data lost (--strict), 129, 130 and 143 signals"
    )


def main(argv: list[str] | None = None) -> int:
    """Run one command line and return its exit code."""
    try:
        from spikestream.cli.base import open_streams, printed

        open_streams()
        return printed(lambda: _main(sys.argv[1:] if argv is None else argv))
    except KeyboardInterrupt:  # while something was still being imported
        return 130


def _main(args: list[str]) -> int:
    if args[0:1] == ["help"] and ALIASES.get(args[-1], args[-1]) in VERBS:
        args = [args[-1], "--help"]
    if not args or args[0] in ("-h", "--help", "help"):
        print(usage(), file=sys.stdout if args else sys.stderr)
        return 0 if args else 2
    if args[0] in ("-V", "--version"):
        from spikestream import __version__

        print(f"spikestream {__version__}")
        return 0
    from spikestream.cli.base import guarded, unknown_verb

    verb = ALIASES.get(args[0], args[0])
    if verb not in VERBS:
        return unknown_verb(args[0], VERBS)
    return guarded(import_module(f"spikestream.cli.{verb}"), args[1:])
