"""Put the application together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from fastapi import APIRouter, FastAPI, Request, status
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from accounts.database import Database
from accounts.logs import configure_logging
from accounts.passwords import Passwords
from accounts.routes import api_keys, auth, health, users
from accounts.settings import Settings, read_settings

_SHOWN = ("type", "loc", "msg")


def create_app(settings: Settings | None = None) -> FastAPI:
    """Create the application; without *settings* they come from the environment."""
    settings = settings or read_settings()
    configure_logging(settings.log_level)
    app = FastAPI(title="Accounts", debug=settings.debug, lifespan=_lifespan)
    app.state.settings = settings
    app.state.passwords = Passwords(
        time_cost=settings.password_hash_time_cost,
        memory_kib=settings.password_hash_memory_kib,
    )
    app.add_exception_handler(RequestValidationError, _refuse_without_echo)
    app.include_router(health.router)
    app.include_router(_api_v1(), prefix=settings.api_v1_prefix)
    return app


def _api_v1() -> APIRouter:
    router = APIRouter()
    for subject in (auth, users, api_keys):
        router.include_router(subject.router)
    return router


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    # Here and not in create_app: a pool belongs to the event loop it runs on.
    app.state.database = Database(app.state.settings.database_url.get_secret_value())
    try:
        yield
    finally:
        await app.state.database.close()


async def _refuse_without_echo(_request: Request, error: Exception) -> JSONResponse:
    """Answer 422 without the ``input`` FastAPI adds: it may be a password."""
    # Starlette's handlers take any Exception; this one is registered for one kind.
    problems = cast("RequestValidationError", error).errors()
    detail = [{key: problem[key] for key in _SHOWN} for problem in problems]
    return JSONResponse(
        {"detail": detail}, status_code=status.HTTP_422_UNPROCESSABLE_CONTENT
    )
