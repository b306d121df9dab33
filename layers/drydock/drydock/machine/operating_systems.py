"""Operating systems whose updates have ended: nothing is offered to them any more, so that nothing is ever missing."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import NamedTuple


class _Ending(NamedTuple):
    """`name` and `version` are patterns of what the SSM Agent reports as PlatformName and PlatformVersion."""

    name: str
    version: str
    what: str
    last_day: date
    """Of the updates that everybody gets; those of paid extensions go on."""


_AMAZON = "https://aws.amazon.com/amazon-linux-2/faqs/, https://aws.amazon.com/amazon-linux-ami/faqs/"
_UBUNTU = "https://ubuntu.com/about/release-cycle"
_DEBIAN = "https://wiki.debian.org/LTS"
_RED_HAT = "https://access.redhat.com/support/policy/updates/errata"
_CENTOS = "https://www.centos.org/centos-linux-eol/, https://www.centos.org/cl-vs-cs/"
_ORACLE = "https://www.oracle.com/a/ocom/docs/elsp-lifetime-069338.pdf"
_SUSE = "https://www.suse.com/lifecycle"
_WINDOWS = "https://learn.microsoft.com/lifecycle/products/"

SOURCES = (_AMAZON, _UBUNTU, _DEBIAN, _RED_HAT, _CENTOS, _ORACLE, _SUSE, _WINDOWS)
"""Where the dates stand; as they were known on 2026-11-30."""

_ENDINGS = (
    _Ending("Amazon Linux AMI", "", "Amazon Linux 1", date(2023, 12, 31)),
    _Ending("Amazon Linux", "2", "Amazon Linux 2", date(2026, 6, 30)),
    _Ending("Amazon Linux", "2023", "Amazon Linux 2023", date(2029, 6, 30)),
    _Ending("Ubuntu", "14.04", "Ubuntu 14.04", date(2019, 4, 30)),
    _Ending("Ubuntu", "16.04", "Ubuntu 16.04", date(2021, 4, 30)),
    _Ending("Ubuntu", "18.04", "Ubuntu 18.04", date(2023, 5, 31)),
    _Ending("Ubuntu", "20.04", "Ubuntu 20.04", date(2025, 5, 31)),
    _Ending("Ubuntu", "22.04", "Ubuntu 22.04", date(2027, 5, 31)),
    _Ending("Ubuntu", "24.04", "Ubuntu 24.04", date(2029, 5, 31)),
    _Ending("Debian GNU/Linux", "8", "Debian 8", date(2020, 6, 30)),
    _Ending("Debian GNU/Linux", "9", "Debian 9", date(2022, 6, 30)),
    _Ending("Debian GNU/Linux", "10", "Debian 10", date(2024, 6, 30)),
    _Ending("Debian GNU/Linux", "11", "Debian 11", date(2026, 8, 31)),
    _Ending("Debian GNU/Linux", "12", "Debian 12", date(2028, 6, 30)),
    _Ending("Red Hat Enterprise Linux", "6", "Red Hat Enterprise Linux 6", date(2020, 11, 30)),
    _Ending("Red Hat Enterprise Linux", "7", "Red Hat Enterprise Linux 7", date(2024, 6, 30)),
    _Ending("Red Hat Enterprise Linux", "8", "Red Hat Enterprise Linux 8", date(2029, 5, 31)),
    _Ending("CentOS Stream", "8", "CentOS Stream 8", date(2024, 5, 31)),
    _Ending("CentOS Stream", "9", "CentOS Stream 9", date(2027, 5, 31)),
    _Ending("CentOS", "6", "CentOS 6", date(2020, 11, 30)),
    _Ending("CentOS", "7", "CentOS 7", date(2024, 6, 30)),
    _Ending("CentOS", "8", "CentOS 8", date(2021, 12, 31)),
    _Ending("Oracle Linux Server", "6", "Oracle Linux 6", date(2021, 3, 31)),
    _Ending("Oracle Linux Server", "7", "Oracle Linux 7", date(2024, 12, 31)),
    _Ending("SLES", "11", "SUSE Linux Enterprise Server 11", date(2019, 3, 31)),
    _Ending("SLES", "12", "SUSE Linux Enterprise Server 12", date(2024, 10, 31)),
    _Ending("SLES", "15", "SUSE Linux Enterprise Server 15 without a service pack", date(2019, 12, 31)),
    _Ending("SLES", "15.1", "SUSE Linux Enterprise Server 15 SP1", date(2021, 1, 31)),
    _Ending("SLES", "15.2", "SUSE Linux Enterprise Server 15 SP2", date(2021, 12, 31)),
    _Ending("SLES", "15.3", "SUSE Linux Enterprise Server 15 SP3", date(2022, 12, 31)),
    _Ending("SLES", "15.4", "SUSE Linux Enterprise Server 15 SP4", date(2023, 12, 31)),
    _Ending("SLES", "15.5", "SUSE Linux Enterprise Server 15 SP5", date(2024, 12, 31)),
    _Ending("SLES", "15.6", "SUSE Linux Enterprise Server 15 SP6", date(2025, 12, 31)),
    _Ending("SLES", "15.7", "SUSE Linux Enterprise Server 15 SP7", date(2031, 7, 31)),
    _Ending("Microsoft Windows Server", "6.0", "Windows Server 2008", date(2020, 1, 14)),
    _Ending("Microsoft Windows Server", "6.1", "Windows Server 2008 R2", date(2020, 1, 14)),
    _Ending("Microsoft Windows Server", "6.2", "Windows Server 2012", date(2023, 10, 10)),
    _Ending("Microsoft Windows Server", "6.3", "Windows Server 2012 R2", date(2023, 10, 10)),
    _Ending("Microsoft Windows Server", "10.0.14393", "Windows Server 2016", date(2027, 1, 12)),
    _Ending("Microsoft Windows Server", "10.0.17763", "Windows Server 2019", date(2029, 1, 9)),
    _Ending("Microsoft Windows Server", "10.0.20348", "Windows Server 2022", date(2031, 10, 14)),
)
"""What begins like another name or version stands before it, or is more exact: the most exact one counts."""


def describe_end(name: str, version: str, now: datetime) -> str:
    """In words that the updates of an operating system have ended; empty where they go on, or it is not known.

    `name` and `version` are PlatformName and PlatformVersion of DescribeInstanceInformation.
    """
    found = [one for one in _ENDINGS if _begins(name, one.name) and _is_of(version, one.version)]
    if not found:
        return ""
    ending = max(found, key=lambda one: (len(one.name), len(one.version)))
    if now.date() <= ending.last_day:
        return ""
    return f"{ending.what} gets no more updates since {ending.last_day:%Y-%m-%d}, unless they are paid for"


def _begins(name: str, known: str) -> bool:
    # "Amazon Linux" is not "Amazon Linux AMI"; "Red Hat Enterprise Linux Server" and Windows' editions go on.
    if known.startswith(("Amazon", "Debian", "SLES", "Ubuntu")):
        return name == known
    return name.startswith(known)


def _is_of(version: str, known: str) -> bool:
    """Whether a version is the known one or one of its releases: 7.9 is of 7, and 72 is not."""
    if known == "15":
        return version in ("15", "15.0")
    return not known or re.match(rf"{re.escape(known)}(\.|$)", version) is not None
