"""How a run ends: step by step, each tried whatever became of those before it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

log = logging.getLogger(__name__)


async def taken(steps: Iterable[Callable[[], Awaitable[None]]]) -> BaseException | None:
    """Take all steps in turn, and return the first error.

    Being cancelled, by a second signal, ends the step under way and none of those after it.
    """
    errors: list[BaseException] = []
    for step in steps:
        try:
            await step()
        except asyncio.CancelledError as error:
            errors.append(error)
        except Exception as error:  # of a plugin's output, say: the model is saved all the same
            log.warning("at the end: %s", error)
            errors.append(error)
    return errors[0] if errors else None
