"""The fault that began it all: 401 in Docker, green on the host.

The tests of the API keys pass because their fixture overrides the module-level
``bearer_scheme``. When that fix was new, the image in use was older than it:
the file in the tree had the override, the file in the image had not.
"""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated
from uuid import UUID, uuid4

import pytest
from fastapi import Depends, FastAPI
from fastapi.security import HTTPAuthorizationCredentials
from fastapi.testclient import TestClient

from accounts.security import access_claims, bearer_scheme
from accounts.settings import Settings
from accounts.tokens import AccessClaims, issue_access_token

pytestmark = [pytest.mark.integration, pytest.mark.regression]

# Two levels up in both places: the root of the project, or /app in the image.
ROOT = Path(__file__).parents[2]
FIXED_FILE = Path("tests/api/test_api_keys_endpoints.py")
IN_CONTAINER = "UNSTALE_IN_CONTAINER" in os.environ
TIMEOUT_S = 60

SETTINGS = Settings.model_validate(
    {
        "environment": "test",
        "database_url": "postgresql+psycopg://nobody@database.example.com/never-used",
        "jwt_secret": "diagnostic-only-5d2f81c07be94a63",
    }
)


@pytest.fixture
def app() -> FastAPI:
    """Create an application with one route, protected like the service's own."""
    app = FastAPI()
    app.state.settings = SETTINGS

    @app.get("/probe")
    def probe(claims: Annotated[AccessClaims, Depends(access_claims)]) -> UUID:
        return claims.user_id

    return app


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    """Start the application; requests carry no credentials."""
    with TestClient(app) as client:
        yield client


def credentials_of(user_id: UUID) -> HTTPAuthorizationCredentials:
    """Return what ``bearer_scheme`` would find in the user's request."""
    token = issue_access_token(
        AccessClaims(user_id=user_id, epoch=0),
        secret=SETTINGS.jwt_secret.get_secret_value(),
        now=datetime.now(UTC),
        lifetime=timedelta(minutes=5),
    )
    return HTTPAuthorizationCredentials(scheme="Bearer", credentials=token)


def overrides_in(source: str) -> set[str]:
    """Return the names that *source* assigns to in ``dependency_overrides``.

    From the syntax tree: a comment that mentions the fix is not the fix.
    """
    return {
        target.slice.id
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Subscript)
        and isinstance(target.value, ast.Attribute)
        and target.value.attr == "dependency_overrides"
        and isinstance(target.slice, ast.Name)
    }


def test_bearer_scheme_override_is_present() -> None:
    """The fixture of the API key tests sets the override."""
    source = (ROOT / FIXED_FILE).read_text(encoding="utf-8")

    assert "bearer_scheme" in overrides_in(source)


def test_without_the_override_a_request_is_refused(client: TestClient) -> None:
    """The symptom: 401, since the request has no Authorization header."""
    assert client.get("/probe").status_code == 401


def test_bearer_scheme_override_works(app: FastAPI, client: TestClient) -> None:
    """With the override the request is the user's; taken back, it is nobody's."""
    user_id = uuid4()

    app.dependency_overrides[bearer_scheme] = lambda: credentials_of(user_id)
    overridden = client.get("/probe")
    del app.dependency_overrides[bearer_scheme]

    assert overridden.status_code == 200
    assert overridden.json() == str(user_id)
    assert client.get("/probe").status_code == 401


def test_docker_image_has_fix() -> None:
    """The image holds the fix: asked from outside on the host, looked up inside."""
    if IN_CONTAINER:
        inside = Path("/app") / FIXED_FILE
        assert Path(__file__).is_relative_to("/app")
        assert "bearer_scheme" in overrides_in(inside.read_text(encoding="utf-8"))
        return

    command = [
        *(sys.executable, "-m", "unstale", "image.verify", "--json"),
        *("--service", "test-runner"),
        *("--path", f"/app/{FIXED_FILE}"),
        *("--grep", "bearer_scheme"),
    ]
    answer = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )

    assert answer.returncode == 0, f"{answer.stdout}{answer.stderr}"
    assert json.loads(answer.stdout)["verdict"] == "fresh", answer.stdout
