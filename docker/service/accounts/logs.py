"""How much the service says, and what it does not mention."""

import logging

HEALTH_PATH = "/health"

# Uvicorn gives each of its loggers a level of its own, so none inherits.
_LOGGERS = ("accounts", "uvicorn", "uvicorn.access", "uvicorn.error")


def configure_logging(level: str) -> None:
    """Set the *level* of the service's and the server's loggers."""
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(level)
    logging.getLogger("uvicorn.access").addFilter(is_worth_a_line)


def is_worth_a_line(record: logging.LogRecord) -> bool:
    """Leave successful health checks out of the access log.

    There is one a second, and the log's last lines are what a failed run shows.
    """
    # uvicorn: (client address, method, path, HTTP version, status)
    match record.args:
        case (_, _, path, _, 200):
            return path != HEALTH_PATH
        case _:
            return True
