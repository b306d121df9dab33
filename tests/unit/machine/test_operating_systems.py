"""Which operating systems get no more updates, by what their agents report."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from drydock.machine.operating_systems import describe_end

NOW = datetime(2026, 11, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "version", "says"),
    [
        ("Amazon Linux", "2", "Amazon Linux 2 gets no more updates since 2026-06-30"),
        ("Amazon Linux AMI", "2018.03", "Amazon Linux 1 gets no more updates since 2023-12-31"),
        ("Ubuntu", "20.04", "Ubuntu 20.04 gets no more updates since 2025-05-31"),
        ("Debian GNU/Linux", "11", "Debian 11 gets no more updates since 2026-08-31"),
        ("Red Hat Enterprise Linux Server", "7.9", "Red Hat Enterprise Linux 7 gets"),
        ("CentOS Linux", "7.6.2004", "CentOS 7 gets"),
        ("CentOS Stream", "8", "CentOS Stream 8 gets no more updates since 2024-05-31"),
        ("SLES", "15.6", "SUSE Linux Enterprise Server 15 SP6 gets"),
        ("SLES", "12.5", "SUSE Linux Enterprise Server 12 gets"),
        ("Microsoft Windows Server 2012 R2 Standard", "6.3.9600", "Windows Server 2012 R2 gets"),
        ("Microsoft Windows Server 2008 R2 Datacenter", "6.1.7601", "Windows Server 2008 R2 gets"),
    ],
)
def test_what_has_ended_is_named_with_its_last_day(name: str, version: str, says: str) -> None:
    assert describe_end(name, version, NOW).startswith(says)


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("Amazon Linux", "2023"),
        ("Ubuntu", "22.04"),
        ("Debian GNU/Linux", "12.8"),
        ("Red Hat Enterprise Linux", "8.10"),
        ("Red Hat Enterprise Linux", "70.1"),
        ("CentOS Stream", "9"),
        ("SLES", "15.7"),
        ("Microsoft Windows Server 2016 Datacenter", "10.0.14393"),
        ("Microsoft Windows Server 2025 Datacenter", "10.0.26100"),
        ("Bottlerocket", "1.2"),
        ("", ""),
    ],
)
def test_what_goes_on_or_is_not_known_has_not_ended(name: str, version: str) -> None:
    assert describe_end(name, version, NOW) == ""


def test_the_last_day_is_one_of_updates() -> None:
    assert describe_end("Amazon Linux", "2", datetime(2026, 6, 30, 23, tzinfo=UTC)) == ""
    assert describe_end("Amazon Linux", "2", datetime(2026, 7, 1, tzinfo=UTC)) != ""
