from __future__ import annotations

import sys
from typing import Any

import pytest
from sqlalchemy import make_url

OPT_IN = "[pytest]\nunstale_leaks = true\n"

APP = """
    from fastapi import Depends, FastAPI

    def get_current_user():
        return "nobody"

    app = FastAPI()

    @app.get("/me")
    def me(user: str = Depends(get_current_user)):
        return user
"""


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return pytester.run(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments)


@pytest.fixture
def accounts(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeini(OPT_IN + "pythonpath = .")
    pytester.makepyfile(accounts=APP)
    return pytester


@pytest.mark.parametrize("when", ["at the top", "lazily"])
def test_the_session_fixture_that_leaves_an_override_is_named_at_its_own_teardown(
    accounts: pytest.Pytester, when: str
) -> None:
    load = "from accounts import app, get_current_user"
    accounts.makeconftest(
        f"""
        import pytest
        from fastapi.testclient import TestClient
        {load if when == "at the top" else ""}

        @pytest.fixture(scope="session")
        def client_with_mock_auth():
            {load if when == "lazily" else ""}
            app.dependency_overrides[get_current_user] = lambda: "test@example.com"
            return TestClient(app)
        """
    )
    accounts.makepyfile(
        test_api="""
        def test_me(client_with_mock_auth):
            assert client_with_mock_auth.get("/me").json() == "test@example.com"

        def test_last():
            pass
        """
    )

    result = run(accounts)

    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(
        [
            "*ERROR at teardown of test_last*",
            (
                "leaked dependency_overrides: accounts.get_current_user, "
                "left by fixture client_with_mock_auth (conftest.py:*)"
            ),
        ]
    )


def test_an_override_that_is_removed_is_no_leak(accounts: pytest.Pytester) -> None:
    accounts.makepyfile(
        test_api="""
        import pytest
        from accounts import app, get_current_user

        @pytest.fixture(scope="module")
        def mock_auth():
            app.dependency_overrides[get_current_user] = lambda: "a"
            yield
            app.dependency_overrides.clear()

        def test_on_top(mock_auth):
            before = app.dependency_overrides[get_current_user]
            app.dependency_overrides[get_current_user] = lambda: "b"
            app.dependency_overrides[get_current_user] = before

        def test_after(mock_auth):
            pass
        """
    )

    run(accounts).assert_outcomes(passed=2)


def test_a_test_that_changes_a_living_fixtures_override_is_named(
    accounts: pytest.Pytester,
) -> None:
    accounts.makepyfile(
        test_api="""
        import pytest
        from accounts import app, get_current_user

        @pytest.fixture(scope="module")
        def mock_auth():
            app.dependency_overrides[get_current_user] = lambda: "a"
            yield
            app.dependency_overrides.clear()

        def test_culprit(mock_auth):
            app.dependency_overrides[get_current_user] = lambda: "b"

        def test_victim(mock_auth):
            pass
        """
    )

    result = run(accounts)

    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(
        ["*ERROR at teardown of test_culprit*", "leaked *left by test test_api.py::test_culprit"]
    )


def test_an_override_of_the_whole_suite_is_nobodys_leak(accounts: pytest.Pytester) -> None:
    accounts.makeconftest(
        """
        import pytest
        from fastapi.testclient import TestClient
        from accounts import app, get_current_user

        app.dependency_overrides[get_current_user] = lambda: "test@example.com"

        @pytest.fixture(scope="session")
        def client():
            return TestClient(app)
        """
    )
    accounts.makepyfile(test_api="def test_me(client): assert client.get('/me').is_success")

    run(accounts).assert_outcomes(passed=1)


def test_an_app_that_ends_with_its_test_leaks_nothing(accounts: pytest.Pytester) -> None:
    accounts.makepyfile(
        test_api="""
        import pytest
        from fastapi import FastAPI

        @pytest.fixture
        def app():
            return FastAPI()

        def test_own_app(app):
            app.dependency_overrides[print] = lambda: None
        """
    )

    run(accounts).assert_outcomes(passed=1)


def test_an_app_of_a_living_fixture_is_watched(accounts: pytest.Pytester) -> None:
    accounts.makepyfile(
        test_api="""
        import pytest
        from fastapi import FastAPI

        @pytest.fixture(scope="session")
        def shared():
            return FastAPI()

        def test_culprit(shared):
            shared.dependency_overrides[print] = lambda: None

        def test_victim(shared):
            pass
        """
    )

    result = run(accounts)

    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(
        "leaked dependency_overrides: builtins.print, left by test *culprit"
    )


def test_a_configured_app_is_found_below_its_module(pytester: pytest.Pytester) -> None:
    pytester.makeini(OPT_IN + "pythonpath = .\nunstale_app =\n  accounts:Holder.inner")
    pytester.makepyfile(
        accounts="""
        from fastapi import FastAPI

        class Holder:
            inner = FastAPI()
        """,
        test_api="""
        from accounts import Holder

        def test_culprit():
            Holder.inner.dependency_overrides[print] = lambda: None
        """,
    )

    run(pytester).assert_outcomes(passed=1, errors=1)


def test_a_changed_environment_is_named_without_its_values(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHANGED", "old-value")
    monkeypatch.setenv("REMOVED", "old-value")
    pytester.makeini(OPT_IN)
    pytester.makepyfile(
        """
        import os
        import pytest

        @pytest.fixture
        def token():
            os.environ["API_TOKEN"] = "new-value"
            return "t"

        def test_culprit(token):
            os.environ["CHANGED"] = "new-value"
            del os.environ["REMOVED"]

        def test_victim():
            pass
        """
    )

    result = run(pytester)

    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines_random(
        [
            "leaked environment: API_TOKEN, left by fixture token (*.py:5)",
            "leaked environment: CHANGED, REMOVED, left by test *::test_culprit",
        ]
    )
    assert "old-value" not in result.stdout.str()
    result.stdout.no_fnmatch_line("leaked*new-value*")


def test_what_monkeypatch_puts_back_is_no_leak(pytester: pytest.Pytester) -> None:
    pytester.makeini(OPT_IN)
    pytester.makepyfile(
        """
        import pytest

        @pytest.fixture(scope="session")
        def patch():
            with pytest.MonkeyPatch.context() as patch:
                yield patch

        @pytest.fixture(scope="session")
        def everywhere(patch):
            patch.setenv("EVERYWHERE", "1")

        @pytest.fixture
        def here(monkeypatch):
            monkeypatch.setenv("HERE", "1")

        def test_first(here, everywhere, monkeypatch):
            monkeypatch.setenv("HERE", "2")

        def test_second(here, everywhere):
            pass
        """
    )

    run(pytester).assert_outcomes(passed=2)


TRANSACTIONS = """
    import os
    import pytest
    from sqlalchemy import create_engine, text
    from sqlalchemy.orm import Session

    engine = create_engine(os.environ["APP_URL"])

    @pytest.fixture
    def forgotten():
        session = Session(engine)
        session.execute(text("SELECT 1"))
        yield session

    @pytest.fixture
    def closed():
        with Session(engine) as session:
            session.execute(text("SELECT 1"))
            yield session

    @pytest.fixture(scope="module")
    def shared():
        with Session(engine) as session:
            yield session
"""


@pytest.fixture
def transactions(
    pytester: pytest.Pytester, database: str, monkeypatch: pytest.MonkeyPatch
) -> pytest.Pytester:
    monkeypatch.setenv("APP_URL", database)
    pytester.makeini(OPT_IN)
    pytester.makeconftest(TRANSACTIONS)
    return pytester


def test_an_open_transaction_is_named(transactions: pytest.Pytester, database: str) -> None:
    transactions.makepyfile(
        """
        def test_culprit(forgotten):
            pass

        def test_fine(closed):
            closed.commit()
            assert closed.connection().in_transaction()
        """
    )

    result = run(transactions)

    result.assert_outcomes(passed=2, errors=1)
    name = make_url(database).database
    result.stdout.fnmatch_lines(
        [
            "*ERROR at teardown of test_culprit*",
            f"leaked transaction: one on {name}, left by fixture forgotten (conftest.py:9)",
        ]
    )


def test_a_read_over_a_shared_session_is_the_tests_transaction(
    transactions: pytest.Pytester,
) -> None:
    transactions.makepyfile(
        """
        from sqlalchemy import text

        def test_culprit(shared):
            shared.execute(text("SELECT 1"))

        def test_polite(shared):
            shared.rollback()
            shared.execute(text("SELECT 1"))
            shared.commit()
        """
    )

    result = run(transactions)

    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines("leaked transaction: *left by test *::test_culprit")


def test_autocommit_opens_no_transaction(transactions: pytest.Pytester) -> None:
    transactions.makepyfile(
        """
        import pytest
        from conftest import engine
        from sqlalchemy import text

        KEPT = []

        def test_reads():
            options = {"isolation_level": "AUTOCOMMIT"}
            KEPT.append(engine.connect().execution_options(**options))
            KEPT[0].execute(text("SELECT 1"))

        def test_closes():
            KEPT.pop().close()
        """
    )

    run(transactions).assert_outcomes(passed=2)


def test_who_clears_up_after_another_leaves_nothing(pytester: pytest.Pytester) -> None:
    pytester.makeini(OPT_IN)
    pytester.makepyfile(
        """
        import os

        def test_culprit():
            os.environ["LEFT"] = "1"

        def test_tidy():
            del os.environ["LEFT"]
        """
    )

    result = run(pytester)

    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines("leaked environment: LEFT, left by test *::test_culprit")


def test_an_error_at_teardown_stays_the_news(pytester: pytest.Pytester) -> None:
    pytester.makeini(OPT_IN)
    pytester.makepyfile(
        """
        import os
        import pytest

        @pytest.fixture
        def broken():
            yield
            raise ValueError("the news")

        def test_culprit(broken):
            os.environ["LEFT"] = "1"
        """
    )

    result = run(pytester)

    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*ValueError: the news*", "leaked environment: LEFT, left by *"])


def test_each_worker_names_its_own_leaks(pytester: pytest.Pytester) -> None:
    pytester.makeini(OPT_IN)
    pytester.makepyfile(
        """
        import os

        def test_one():
            os.environ["LEFT_BY_ONE"] = "1"

        def test_two():
            os.environ["LEFT_BY_TWO"] = "1"

        def test_three():
            pass
        """
    )

    result = run(pytester, "-n", "2")

    result.assert_outcomes(passed=3, errors=2)
    result.stdout.fnmatch_lines_random(
        [
            "leaked environment: LEFT_BY_ONE, left by test *::test_one",
            "leaked environment: LEFT_BY_TWO, left by test *::test_two",
        ]
    )


def test_without_opt_in_nothing_is_judged(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("import os\ndef test_leaves(): os.environ['LEFT'] = '1'")

    run(pytester).assert_outcomes(passed=1)


# Rows committed beside the isolation

BESIDE = """
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session
import os

engine = create_engine(os.environ["APP_URL"])

def write(sql):
    with engine.begin() as connection:
        connection.execute(text(sql))

@pytest.fixture(scope="module")
def seeds():
    write("INSERT INTO countries VALUES ('AT')")
    yield
    write("DELETE FROM countries WHERE code = 'AT'")

@pytest.fixture
def tidy():
    write("INSERT INTO countries VALUES ('FR')")
    yield
    write("DELETE FROM countries WHERE code = 'FR'")

def test_isolated(isolated_database, seeds):
    isolated_database.connection.execute(text("INSERT INTO countries VALUES ('IT')"))
    with Session(**isolated_database.session_kwargs) as session:
        session.execute(text("UPDATE countries SET code = 'NL' WHERE code = 'DE'"))
        session.commit()

def test_rolls_back(isolated_database):
    with engine.connect() as connection:
        connection.execute(text("INSERT INTO countries VALUES ('PL')"))

def test_puts_back(tidy): pass

def test_commits(isolated_database):
    isolated_database.connection.execute(text("INSERT INTO countries VALUES ('IT')"))
    write("INSERT INTO \\"user\\" (id, name) VALUES (1, 'Ann')")

def test_is_innocent(isolated_database): pass

def test_commits_without_the_fixture():
    write("UPDATE countries SET code = 'LI' WHERE code = 'CH'")
    write("DELETE FROM \\"user\\"")
"""


@pytest.mark.parametrize("arguments", [(), ("-n", "2")], ids=["one process", "xdist"])
def test_rows_committed_beside_a_savepoint_are_named_at_their_test(
    suite: Any, arguments: tuple[str, ...]
) -> None:
    suite.migrate()
    suite.opts(isolation="savepoint", leaks="true")
    suite.tests(BESIDE)

    result = suite.run("-rE", "--dist=loadfile", *arguments)

    result.assert_outcomes(passed=6, errors=2)
    told = [line for line in result.stdout.lines if line.startswith("leaked rows")]
    beside = "committed outside of the isolation while test test_it.py::"
    both = 'public.countries (1 written anew), public."user" (1 fewer)'
    assert told == [
        f'leaked rows: public."user" (1 more), {beside}test_commits ran',
        f"leaked rows: {both}, {beside}test_commits_without_the_fixture ran",
    ]


def test_without_the_leak_guard_nobody_counts_rows(suite: Any) -> None:
    suite.migrate()
    suite.opts(isolation="savepoint")
    suite.tests(BESIDE)

    suite.run().assert_outcomes(passed=6)
