"""Whether the service is fit to serve."""

from fastapi import APIRouter, HTTPException, status
from sqlalchemy.exc import SQLAlchemyError

from accounts.dependencies import DatabaseDep
from accounts.logs import HEALTH_PATH

router = APIRouter(tags=["health"])


@router.get(HEALTH_PATH)
async def health(database: DatabaseDep) -> dict[str, str]:
    """Answer 200 if the database answers a query, else 503."""
    try:
        await database.ping()
    except SQLAlchemyError as error:
        raise HTTPException(
            status.HTTP_503_SERVICE_UNAVAILABLE, detail="The database does not answer"
        ) from error
    return {"status": "ok", "database": "ok"}
