"""Passwords in addresses, never shown: the one function behind every message, log line, report and stored setting."""

from __future__ import annotations

import re
from urllib.parse import unquote, unquote_plus

_NAMED = r"\w*(?:password|passwd|passphrase|pwd|token|secret|access_?key|api_?key|credential|signature)\w*|sig|sas"
_SEPARATOR = r"(?:[?&;]|%3B|%26)\s*"
# A password may hold any letter, also @ : and /. What ends it is the last @ of the word; in a text that is one address
# as a whole, the last @ at all.
_WHOLE = re.compile(r"^([A-Za-z][\w.+-]*:/{2,3}[^/\s:@]*):(.*)@", re.S)
_INSIDE = re.compile(r"(://[^/\s:@]*):(\S*)@")
_TOKEN = re.compile(r"(\b(?:https?|ftps?)://)[^/\s:@?#]+@", re.I)
_ODBC = re.compile(r"(odbc_connect=)([^\n]*)", re.I)
_PARAMETER = re.compile(rf"({_SEPARATOR}(?:{_NAMED})(?:=|%3D))([^&\s]+)", re.I)
_PART = re.compile(r"(?:pwd|password)\s*=\s*(\{[^}]*\}|[^;]+)", re.I)
_SHORTEST = 3  # a shorter one is in every word


def masked(text: str, address: str = "") -> str:
    """The text with *** for each password in it: `scheme://user:password@`, `?password=..`, `?odbc_connect=..`.

    address: one whose passwords are masked wherever they stand in the text, as in what a driver says of it.
    """
    for secret in _secrets(address):
        text = text.replace(secret, "***")
    text = _INSIDE.sub(r"\1:***@", _WHOLE.sub(r"\1:***@", text))
    text = _ODBC.sub(r"\1***", _TOKEN.sub(r"\1***@", text))
    return _PARAMETER.sub(r"\1***", text)


def _secrets(address: str) -> list[str]:
    """The passwords of an address, as written and as a driver reads them, longest first."""
    found = [match.group(2) for match in (_WHOLE.match(address),) if match]
    found += [value for _, value in _PARAMETER.findall(address)]
    for _, value in _ODBC.findall(address):
        found += [part for plain in (value, unquote_plus(value)) for part in _PART.findall(plain)]
    forms = {form for value in found for form in (value, unquote(value), unquote_plus(value))}
    return sorted((form for form in forms if len(form) >= _SHORTEST), key=len, reverse=True)
