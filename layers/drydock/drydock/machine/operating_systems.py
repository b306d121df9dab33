"""Operating systems whose updates have ended: nothing is offered to them any more, so that nothing is ever missing."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import NamedTuple

from drydock.catalogue.saying import say


class _Ending(NamedTuple):
    """`name` and `version` are patterns of what the SSM Agent reports as PlatformName and PlatformVersion."""

    name: str
    version: str
    what: str
    last_day: date
    """Of the updates that everybody gets; those of paid extensions go on."""
    source: str
    """Where that day stands. Where only the month is published, its last day."""


_AMAZON_1 = "https://aws.amazon.com/amazon-linux-ami/faqs/"
_AMAZON_2 = "https://aws.amazon.com/amazon-linux-2/faqs/"
_AMAZON_2023 = "https://docs.aws.amazon.com/linux/al2023/ug/release-cadence.html"
_UBUNTU = "https://ubuntu.com/about/release-cycle"
_DEBIAN = "https://wiki.debian.org/LTS"
_RED_HAT = "https://access.redhat.com/support/policy/updates/errata"
_CENTOS = "https://www.centos.org/centos-linux-eol/"
_CENTOS_STREAM = "https://www.centos.org/cl-vs-cs/"
_ORACLE = "https://www.oracle.com/a/ocom/docs/elsp-lifetime-069338.pdf"
_SUSE = "https://www.suse.com/lifecycle"
_WINDOWS = "https://learn.microsoft.com/lifecycle/products/"

_ENDINGS = (
    _Ending("Amazon Linux AMI", "", "Amazon Linux 1", date(2023, 12, 31), _AMAZON_1),
    _Ending("Amazon Linux", "2", "Amazon Linux 2", date(2026, 6, 30), _AMAZON_2),
    _Ending("Amazon Linux", "2023", "Amazon Linux 2023", date(2029, 6, 30), _AMAZON_2023),
    _Ending("Ubuntu", "14.04", "Ubuntu 14.04", date(2019, 4, 30), _UBUNTU),
    _Ending("Ubuntu", "16.04", "Ubuntu 16.04", date(2021, 4, 30), _UBUNTU),
    _Ending("Ubuntu", "18.04", "Ubuntu 18.04", date(2023, 5, 31), _UBUNTU),
    _Ending("Ubuntu", "20.04", "Ubuntu 20.04", date(2025, 5, 31), _UBUNTU),
    _Ending("Ubuntu", "20.10", "Ubuntu 20.10", date(2021, 7, 22), _UBUNTU),
    _Ending("Ubuntu", "21.04", "Ubuntu 21.04", date(2022, 1, 20), _UBUNTU),
    _Ending("Ubuntu", "21.10", "Ubuntu 21.10", date(2022, 7, 14), _UBUNTU),
    _Ending("Ubuntu", "22.04", "Ubuntu 22.04", date(2027, 5, 31), _UBUNTU),
    _Ending("Ubuntu", "22.10", "Ubuntu 22.10", date(2023, 7, 20), _UBUNTU),
    _Ending("Ubuntu", "23.04", "Ubuntu 23.04", date(2024, 1, 25), _UBUNTU),
    _Ending("Ubuntu", "23.10", "Ubuntu 23.10", date(2024, 7, 12), _UBUNTU),
    _Ending("Ubuntu", "24.04", "Ubuntu 24.04", date(2029, 5, 31), _UBUNTU),
    _Ending("Ubuntu", "24.10", "Ubuntu 24.10", date(2025, 7, 10), _UBUNTU),
    _Ending("Ubuntu", "25.04", "Ubuntu 25.04", date(2026, 1, 17), _UBUNTU),
    _Ending("Ubuntu", "25.10", "Ubuntu 25.10", date(2026, 7, 31), _UBUNTU),
    _Ending("Ubuntu", "26.04", "Ubuntu 26.04", date(2031, 4, 30), _UBUNTU),
    _Ending("Debian GNU/Linux", "8", "Debian 8", date(2020, 6, 30), _DEBIAN),
    _Ending("Debian GNU/Linux", "9", "Debian 9", date(2022, 6, 30), _DEBIAN),
    _Ending("Debian GNU/Linux", "10", "Debian 10", date(2024, 6, 30), _DEBIAN),
    _Ending("Debian GNU/Linux", "11", "Debian 11", date(2026, 8, 31), _DEBIAN),
    _Ending("Debian GNU/Linux", "12", "Debian 12", date(2028, 6, 30), _DEBIAN),
    _Ending("Debian GNU/Linux", "13", "Debian 13", date(2030, 6, 30), _DEBIAN),
    _Ending("Red Hat Enterprise Linux", "6", "Red Hat Enterprise Linux 6", date(2020, 11, 30), _RED_HAT),
    _Ending("Red Hat Enterprise Linux", "7", "Red Hat Enterprise Linux 7", date(2024, 6, 30), _RED_HAT),
    _Ending("Red Hat Enterprise Linux", "8", "Red Hat Enterprise Linux 8", date(2029, 5, 31), _RED_HAT),
    _Ending("Red Hat Enterprise Linux", "9", "Red Hat Enterprise Linux 9", date(2032, 5, 31), _RED_HAT),
    _Ending("Red Hat Enterprise Linux", "10", "Red Hat Enterprise Linux 10", date(2035, 5, 31), _RED_HAT),
    _Ending("CentOS Stream", "8", "CentOS Stream 8", date(2024, 5, 31), _CENTOS_STREAM),
    _Ending("CentOS Stream", "9", "CentOS Stream 9", date(2027, 5, 31), _CENTOS_STREAM),
    _Ending("CentOS Stream", "10", "CentOS Stream 10", date(2030, 5, 31), _CENTOS_STREAM),
    _Ending("CentOS", "6", "CentOS 6", date(2020, 11, 30), _CENTOS),
    _Ending("CentOS", "7", "CentOS 7", date(2024, 6, 30), _CENTOS),
    _Ending("CentOS", "8", "CentOS 8", date(2021, 12, 31), _CENTOS),
    _Ending("Oracle Linux Server", "6", "Oracle Linux 6", date(2021, 3, 31), _ORACLE),
    _Ending("Oracle Linux Server", "7", "Oracle Linux 7", date(2024, 12, 31), _ORACLE),
    _Ending("Oracle Linux Server", "8", "Oracle Linux 8", date(2029, 7, 31), _ORACLE),
    _Ending("Oracle Linux Server", "9", "Oracle Linux 9", date(2032, 6, 30), _ORACLE),
    _Ending("SLES", "11", "SUSE Linux Enterprise Server 11", date(2019, 3, 31), _SUSE),
    _Ending("SLES", "12", "SUSE Linux Enterprise Server 12", date(2024, 10, 31), _SUSE),
    _Ending("SLES", "15", "SUSE Linux Enterprise Server 15 GA", date(2019, 12, 31), _SUSE),
    _Ending("SLES", "15.1", "SUSE Linux Enterprise Server 15 SP1", date(2021, 1, 31), _SUSE),
    _Ending("SLES", "15.2", "SUSE Linux Enterprise Server 15 SP2", date(2021, 12, 31), _SUSE),
    _Ending("SLES", "15.3", "SUSE Linux Enterprise Server 15 SP3", date(2022, 12, 31), _SUSE),
    _Ending("SLES", "15.4", "SUSE Linux Enterprise Server 15 SP4", date(2023, 12, 31), _SUSE),
    _Ending("SLES", "15.5", "SUSE Linux Enterprise Server 15 SP5", date(2024, 12, 31), _SUSE),
    _Ending("SLES", "15.6", "SUSE Linux Enterprise Server 15 SP6", date(2025, 12, 31), _SUSE),
    _Ending("SLES", "15.7", "SUSE Linux Enterprise Server 15 SP7", date(2031, 7, 31), _SUSE),
    _Ending("SLES", "16.0", "SUSE Linux Enterprise Server 16.0", date(2027, 11, 30), _SUSE),
    _Ending("Microsoft Windows Server", "6.0", "Windows Server 2008", date(2020, 1, 14), _WINDOWS),
    _Ending("Microsoft Windows Server", "6.1", "Windows Server 2008 R2", date(2020, 1, 14), _WINDOWS),
    _Ending("Microsoft Windows Server", "6.2", "Windows Server 2012", date(2023, 10, 10), _WINDOWS),
    _Ending("Microsoft Windows Server", "6.3", "Windows Server 2012 R2", date(2023, 10, 10), _WINDOWS),
    _Ending("Microsoft Windows Server", "10.0.14393", "Windows Server 2016", date(2027, 1, 12), _WINDOWS),
    _Ending("Microsoft Windows Server", "10.0.16299", "Windows Server 1709", date(2019, 4, 9), _WINDOWS),
    _Ending("Microsoft Windows Server", "10.0.17134", "Windows Server 1803", date(2019, 11, 12), _WINDOWS),
    _Ending("Microsoft Windows Server", "10.0.17763", "Windows Server 2019", date(2029, 1, 9), _WINDOWS),
    _Ending("Microsoft Windows Server", "10.0.18362", "Windows Server 1903", date(2020, 12, 8), _WINDOWS),
    _Ending("Microsoft Windows Server", "10.0.18363", "Windows Server 1909", date(2021, 5, 11), _WINDOWS),
    _Ending("Microsoft Windows Server", "10.0.19041", "Windows Server 2004", date(2021, 12, 14), _WINDOWS),
    _Ending("Microsoft Windows Server", "10.0.19042", "Windows Server 20H2", date(2022, 8, 9), _WINDOWS),
    _Ending("Microsoft Windows Server", "10.0.20348", "Windows Server 2022", date(2031, 10, 14), _WINDOWS),
    _Ending("Microsoft Windows Server", "10.0.25398", "Windows Server 23H2", date(2026, 5, 12), _WINDOWS),
    _Ending("Microsoft Windows Server", "10.0.26100", "Windows Server 2025", date(2034, 11, 14), _WINDOWS),
)
"""What begins like another name or version stands before it, or is more exact: the most exact one counts.

On 2026-12-01 every row was held against the data of endoflife.date as of 2026-08-22. Where days are between the two
(Ubuntu 14.04, 16.04, 22.04, 23.04, 25.10), the later one stands here: nothing may be called unpatchable too early. Held
against the vendors' own words as well, as far as copies were found: Windows Server 2004 and the end of its channel on
2022-08-09 (MicrosoftDocs/windowsserverdocs), 2008 to 2019 (a copy of Microsoft Learn's lifecycle pages of 2025-07-08),
Debian 10 and 11 (announcement of the LTS team, June 2024), CentOS 7 and Stream 8 (blog.centos.org), Amazon Linux 2
(aws.amazon.com as others quote it). For Red Hat and Oracle, only others that quote them were found, and agree; for
SUSE, none.
"""


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
    return say("system.ended", system=ending.what, since=ending.last_day)


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
