"""What OpenSSH's client says when it cannot connect, as one line with what to do."""

from __future__ import annotations

import re

from edgeprune.errors import DeviceError, LostError
from edgeprune.transports.seam import last_line

UNREACHABLE = (
    "Connection refused",
    "Connection timed out",
    "Operation timed out",
    "timed out during banner exchange",
    "No route to host",
    "Network is unreachable",
    "Host is down",
)


def fault(said: str, where: str) -> DeviceError:
    """The error for what ``ssh`` wrote on standard error before it gave up.

    Args:
        said: all that it wrote.
        where: the destination that it was given.
    """
    if "IDENTIFICATION HAS CHANGED" in said or "has changed and you have requested" in said:
        known = re.search(r"Offending \S+ key in (\S+)", said)
        place = f" ({known.group(1)})" if known else ""
        return DeviceError(
            f"{where}: its host key is not the one that is known{place}: somebody may stand "
            "between, or the board was set up anew; only if you know that it was: ssh-keygen -R "
            "its name, and connect once by hand"
        )
    if "Host key verification failed" in said:
        return DeviceError(
            f"{where}: its host key is not known yet; connect once by hand (ssh {where}), compare "
            "the fingerprint, and accept it"
        )
    if "Permission denied" in said or "Too many authentication failures" in said:
        return DeviceError(
            f"{where}: it takes none of your keys; put one there (ssh-copy-id {where}), or load "
            "the right one (ssh-add); passwords are not asked for"
        )
    if "Could not resolve hostname" in said:
        return DeviceError(
            f"{where}: no host of that name; correct it, or give its address (--ssh user@host)"
        )
    for reason in UNREACHABLE:
        if reason in said:
            return DeviceError(
                f"{where}: cannot be reached ({reason}); is it on, in this network, and does its "
                "ssh server run?"
            )
    if "Bad configuration option" in said or "terminating, " in said or "Bad port" in said:
        return DeviceError(f"{where}: ssh does not take its configuration ({last_line(said)})")
    return LostError(f"the connection to {where} broke ({last_line(said)})")
