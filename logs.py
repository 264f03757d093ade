"""How every process logs: JSON lines for machines, or a readable form on a terminal."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog

# So many names at most stand in a line; the events have them all.
MOST_TOLD = 5


def configure(log_format: str = "", level: int = logging.INFO) -> None:
    """Send all logging to standard error as `json` or `console`; unset means by the terminal."""
    chosen = log_format or ("console" if sys.stderr.isatty() else "json")
    renderer: Any
    before: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    ]
    if chosen == "console":
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    else:
        before.append(structlog.processors.format_exc_info)
        renderer = structlog.processors.JSONRenderer()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=before,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # A skipped overlap is how the scheduler coalesces; it is no news.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    structlog.configure(
        processors=[*before, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def flush() -> None:
    """Write out what the handlers still hold."""
    for handler in logging.getLogger().handlers:
        handler.flush()
