"""Of a command's error output people read the last lines, and no secrets."""

from __future__ import annotations

import pytest

from drydock.machine.error_output import ERROR_MARK, error_lines


def test_the_last_ten_lines_of_the_error_output_are_kept_and_none_of_the_output() -> None:
    output = f"out\n{ERROR_MARK}\n" + "\n".join(f"line {number}" for number in range(20)) + "\n\n"

    assert error_lines(output) == [f"line {number}" for number in range(10, 20)]
    assert error_lines("only output") == []


@pytest.mark.parametrize(
    ("line", "hidden"),
    [
        ("db_password=hunter2 failed", "hunter2"),
        ("--token abc.def.ghi", "abc.def.ghi"),
        ('{"secretKey": "wJalrXUtnFEMI/K7"}', "wJalrXUtnFEMI"),
        ("AKIAIOSFODNN7EXAMPLE is not authorized", "AKIAIOSFODNN7EXAMPLE"),
        ("https://me:s3cret@repo.example/rpm", "s3cret"),
        ("Authorization: Bearer eyJhbGciOi.x.y", "eyJhbGciOi"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----", "MIIE"),
    ],
)
def test_secrets_are_masked(line: str, hidden: str) -> None:
    found = "\n".join(error_lines(f"{ERROR_MARK}\n{line}"))

    assert hidden not in found and "***" in found
