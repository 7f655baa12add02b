"""The asynchronous engine and its session factory."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine
from sqlmodel.ext.asyncio.session import AsyncSession

CONNECT_TIMEOUT_S = 5


class Database:
    """One connection pool, alive as long as the application."""

    def __init__(self, url: str) -> None:
        """Prepare a pool for *url*; nothing connects before the first query."""
        self._engine: AsyncEngine = create_async_engine(
            url,
            pool_pre_ping=True,
            connect_args={"connect_timeout": CONNECT_TIMEOUT_S},
        )
        # Attributes stay readable after a commit: an expired one would be
        # loaded lazily, which an AsyncSession refuses (MissingGreenlet).
        self.new_session = async_sessionmaker(
            self._engine, class_=AsyncSession, expire_on_commit=False
        )

    async def ping(self) -> None:
        """Run a query; raises ``SQLAlchemyError`` when the server does not answer."""
        async with self._engine.connect() as connection:
            await connection.execute(text("SELECT 1"))

    async def close(self) -> None:
        """Close every pooled connection."""
        await self._engine.dispose()
