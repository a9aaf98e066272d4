"""URLs of data: which places are URLs, how files below them are named, and how they are shown.

An URL may hold secrets: a password before the host, or a signature in the query. :func:`shown_url` leaves out both, and
is what messages, notes and reports use.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from fusionbench.core.io import escaped

_URL = re.compile(r"[a-z][a-z0-9+.-]+://")  # two letters and more: C:/data is a folder
_COLLAPSED = re.compile(r"([a-z][a-z0-9+.-]+):/(?!/)")  # what pathlib makes of one


def url_of(place: str | Path) -> str | None:
    """The URL that ``place`` is, ``s3://bucket/data``, or None for a folder or a name.

    A :class:`~pathlib.Path` made from an URL has lost a slash, which is put back.

    Example:
        >>> from pathlib import Path
        >>> from fusionbench.core.urls import url_of
        >>> url_of("s3://bucket/data"), url_of(Path("s3://bucket/data")), url_of("data/fusiondigits")
        ('s3://bucket/data', 's3://bucket/data', None)
    """
    text = str(place)
    if _URL.match(text):
        return text
    if isinstance(place, Path):
        text = place.as_posix()
        if (found := _COLLAPSED.match(text)) and not Path(f"{found[1]}:").exists():
            return f"{found[1]}://{text[found.end() :]}"
    return None


def join_url(url: str, name: str) -> str:
    """The URL of ``name`` below ``url``; a query stays at the end."""
    if not name:
        return url
    head, mark, query = url.partition("?") if url.startswith(("http://", "https://")) else (url, "", "")
    return f"{head.rstrip('/')}/{name}{mark}{query}"


def shown_url(url: str) -> str:
    """``url`` on one line, without user, password, query and fragment."""
    try:
        parts = urlsplit(url)
    except ValueError:  # a host that is none
        return escaped(re.sub(r"//[^/]*@", "//", url.partition("?")[0]))
    return escaped(urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", "")).rstrip("/"))
