from __future__ import annotations

import sys

import pytest


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return pytester.run(sys.executable, "-m", "pytest", *arguments)


SUITE = """
    import pytest

    @pytest.mark.ci_sensitive
    def test_marked():
        pass

    def test_plain():
        pass
"""


def test_a_marked_test_is_listed_with_outcome_and_duration(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(SUITE)

    result = run(pytester, "--strict-markers")

    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        ["*unstale: ci_sensitive tests*", "passed *.?? s  *.py::test_marked"]
    )
    result.stdout.no_fnmatch_line("passed *test_plain")


def test_each_repetition_is_reported_alone(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(SUITE)

    result = run(pytester, "--ci-sensitive-repeat", "3", "-v")

    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines([f"*::test_marked?round-{n}-of-3? PASSED*" for n in (1, 2, 3)])
    result.stdout.fnmatch_lines([f"passed * s  *round-{n}-of-3?" for n in (1, 2, 3)])


def test_a_parametrized_class_is_repeated_for_each_value(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.ci_sensitive
        class TestMarked:
            @pytest.mark.parametrize("value", ["a", "b"])
            def test_value(self, value):
                assert value in "ab"
        """
    )

    run(pytester, "--ci-sensitive-repeat", "2").assert_outcomes(passed=4)


def test_workers_report_to_one_summary(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(SUITE)

    result = run(pytester, "--ci-sensitive-repeat", "2", "-n", "2")

    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines_random([f"passed * s  *round-{n}-of-2?" for n in (1, 2)])


def test_the_worst_phase_is_the_outcome(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        pytestmark = pytest.mark.ci_sensitive

        @pytest.fixture
        def broken():
            yield
            raise ValueError("at the end")

        def test_error(broken):
            pass

        def test_failed():
            assert False

        def test_skipped():
            pytest.skip("not today")
        """
    )

    run(pytester).stdout.fnmatch_lines(
        ["error * s  *::test_error", "failed * s  *::test_failed", "skipped * s  *::test_skipped"]
    )


def test_a_marked_test_logs_more_than_the_suite(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nlog_level = ERROR")
    pytester.makepyfile(
        """
        import logging
        import pytest

        @pytest.mark.ci_sensitive
        def test_marked():
            logging.getLogger("app").debug("close look")
            assert False

        def test_plain():
            logging.getLogger("app").debug("in passing")
            assert False
        """
    )

    result = run(pytester)

    result.stdout.fnmatch_lines("DEBUG*close look")
    result.stdout.no_fnmatch_line("DEBUG*in passing")


def test_a_marked_test_is_guarded_against_leaks_without_opt_in(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import os
        import pytest

        @pytest.mark.ci_sensitive
        def test_marked():
            os.environ["LEFT_BY_MARKED"] = "1"

        def test_plain():
            os.environ["LEFT_BY_PLAIN"] = "1"
        """
    )

    result = run(pytester)

    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines("*leaked environment: LEFT_BY_MARKED, left by test *::test_marked*")
    result.stdout.no_fnmatch_line("*LEFT_BY_PLAIN, *")


def test_nothing_is_listed_where_nothing_is_marked(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_plain(): pass")

    result = run(pytester, "--ci-sensitive-repeat", "3")

    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*ci_sensitive*")
