"""Where Valkey is, and what its refusals mean.

`Endpoint` is read from a URL and never shows its password.
"""

import re
import ssl
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, parse_qsl, unquote, urlencode, urlsplit

import msgspec

from heliograph.errors import BusError, ConfigError

PORT: Final = 6379
URL_FORMS: Final = (
    "redis://[user:password@]host[:port][/db]",
    "rediss://… for TLS",
    "redis+cluster://host:port[,host:port…] (rediss+cluster for TLS; valkey for redis) for a cluster",
    "unix:///path/to/socket[?db=0]",
)
TLS_OPTIONS: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")

_SECURE_SCHEMES: Final = {
    f"{name}{cluster}": f"{secure}{cluster}"
    for name, secure in (("redis", "rediss"), ("rediss", "rediss"), ("valkey", "rediss"), ("valkeys", "rediss"))
    for cluster in ("", "+cluster")
}


class Tls(msgspec.Struct, frozen=True, kw_only=True):
    """The files of one party to TLS, in PEM: whom it trusts, and what it shows of itself."""

    ca_file: str | None = None
    """The authority that the other side's certificate must come from; None: the machine's own list."""
    certificate_file: str | None = None
    key_file: str | None = None

    def url(self, url: str) -> str:
        """Return a server's URL with TLS and these files, where the URL does not name others.

        Raises:
            ConfigError: the URL is not one of a server that could be reached by TLS.

        """
        scheme, separator, rest = url.partition("://")
        secure = _SECURE_SCHEMES.get(scheme)
        if secure is None or not separator:
            raise ConfigError("TLS is for a server's URL of another form", URL_FORMS[:3])
        rest, question, query = rest.partition("?")
        given = dict(parse_qsl(query, keep_blank_values=True))
        files = zip(TLS_OPTIONS, (self.ca_file, self.certificate_file, self.key_file), strict=True)
        options = {**{name: path for name, path in files if path is not None}, **given}
        return f"{secure}://{rest}" + (f"?{urlencode(options)}" if options else question)


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One server's address and the credentials for it."""

    host: str = ""
    port: int = PORT
    path: str = ""
    """A Unix socket's path, instead of host and port."""
    tls: bool = False
    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None
    username: str | None = None
    password: str | None = None
    db: int = 0
    others: tuple[tuple[str, int], ...] = ()
    """Hosts and ports of further nodes of the same cluster, to be asked when this one is away."""

    def all(self) -> "list[Endpoint]":
        """Return this node and the others, each by itself."""
        alone = msgspec.structs.replace(self, others=())
        return [alone, *(msgspec.structs.replace(alone, host=host, port=port) for host, port in self.others)]

    def __str__(self) -> str:
        """Return the URL without credentials."""
        if self.path:
            return f"unix://{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'rediss' if self.tls else 'redis'}://{host}:{self.port}/{self.db}"

    __repr__ = __str__

    def ssl_context(self) -> ssl.SSLContext | None:
        """Return what a TLS connection needs, or None where there is no TLS.

        Raises:
            ConfigError: a certificate or key could not be loaded.

        """
        if not self.tls:
            return None
        files = (self.ca_file, self.certificate_file, self.key_file)
        try:
            for path in files:
                if path is not None:
                    Path(path).open("rb").close()  # OpenSSL does not say which of them it could not read.
            context = ssl.create_default_context(cafile=self.ca_file)
            if self.certificate_file is not None:
                context.load_cert_chain(self.certificate_file, self.key_file)
        except OSError as e:
            what = f"{e.filename}: {e.strerror}" if e.filename else e.strerror or str(e)
            raise ConfigError(f"TLS files of {self} could not be loaded: {what}") from e
        return context


def parse_url(url: str, *, username: str | None = None, password: str | None = None) -> Endpoint:
    """Read a server's URL.

    Args:
        url: `redis://`, `rediss://` or `unix://`.
        username: used where the URL has none.
        password: used where the URL has none, so that it need not stand in the URL.

    Raises:
        ConfigError: the URL cannot be used. The message never repeats the URL, which may hold a password.

    """
    try:
        url, others = _split_nodes(url)
        parts = urlsplit(url)
        port = parts.port or PORT
        options = {name: values[-1] for name, values in parse_qs(parts.query, strict_parsing=bool(parts.query)).items()}
        path = "" if parts.scheme == "unix" else parts.path.strip("/")
        db = int(options.pop("db", path or "0"))
    except ValueError:
        raise ConfigError("the server's URL cannot be read", URL_FORMS) from None
    if parts.scheme not in ("redis", "rediss", "unix") or (parts.scheme == "unix" and not parts.path) or db < 0:
        raise ConfigError("the server's URL is of no known form", URL_FORMS)
    if "," in (parts.hostname or ""):
        raise ConfigError("the server's URL names several nodes, but not as a cluster's", URL_FORMS)
    if unknown := sorted(set(options) - set(TLS_OPTIONS)):
        raise ConfigError(f"the server's URL has the unknown option {unknown[0]!r}", ("db", *TLS_OPTIONS))
    return Endpoint(
        host="" if parts.scheme == "unix" else (parts.hostname or "127.0.0.1"),
        port=port,
        path=unquote(parts.path) if parts.scheme == "unix" else "",
        tls=parts.scheme == "rediss",
        ca_file=options.get("ssl_ca_certs"),
        certificate_file=options.get("ssl_certfile"),
        key_file=options.get("ssl_keyfile"),
        username=unquote(parts.username) if parts.username else username,
        password=unquote(parts.password) if parts.password else password,
        db=db,
        others=others,
    )


def _split_nodes(url: str) -> tuple[str, tuple[tuple[str, int], ...]]:
    """Return a cluster's URL as that of its first node, and the addresses of the others; any other URL as it is."""
    scheme, separator, rest = url.partition("://")
    kind, plus, cluster = scheme.partition("+")
    plain = {"valkey": "redis", "valkeys": "rediss"}.get(kind, kind)
    if not plus:
        return plain + separator + rest, ()
    if cluster != "cluster" or plain not in ("redis", "rediss"):
        return url, ()
    place = re.split(r"[/?#]", rest, maxsplit=1)[0]
    credentials, at, hosts = place.rpartition("@")
    first, *more = hosts.split(",")
    others = []
    for host in more:
        parts = urlsplit(f"//{host}")
        if not parts.hostname:
            raise ValueError("a node without a host")
        others.append((parts.hostname, parts.port or PORT))
    return f"{plain}://{credentials}{at}{first}{rest[len(place) :]}", tuple(others)


_ADVICE: Final = {
    "NOAUTH": "give a user and password",
    "WRONGPASS": "the user or password is wrong",
    "NOPERM": "the user's ACL lacks this right",
    "READONLY": "this is a read-only replica: write to its primary",
    "OOM": "the server is at its maxmemory: raise it or trim streams",
    "LOADING": "the server is loading its data: it comes back by itself",
    "MISCONF": "the server cannot write to its disk: free some space",
    "MASTERDOWN": "the replica has lost its primary",
    "BUSY": "a script holds the server",
    "MOVED": "another node of the cluster has this key",
    "CLUSTERDOWN": "the cluster does not serve every slot: it comes back when a replica has been promoted",
    "WRONGTYPE": "the key holds something else than a stream: rename or delete it",
}


_CERTIFICATE_WANTED: Final = "give a client certificate and its key (ssl_certfile, ssl_keyfile)"
_AUTHORITY_UNKNOWN: Final = "it does not know our certificate's authority"
_EXPIRED: Final = "our certificate has expired"
_TLS_ADVICE: Final = (
    ("certificate is not valid for", "its certificate is another host's"),
    ("certificate has expired", "its certificate has expired, or our clock is wrong"),
    (
        "CERTIFICATE_VERIFY_FAILED",
        "its certificate is not of an authority that we trust: give that authority's (ssl_ca_certs)",
    ),
    ("CERTIFICATE_REQUIRED", _CERTIFICATE_WANTED),
    ("UNKNOWN_CA", _AUTHORITY_UNKNOWN),
    ("CERTIFICATE_EXPIRED", _EXPIRED),
    ("WRONG_VERSION_NUMBER", "it does not speak TLS: use redis://, or the port that does"),
    ("RECORD_LAYER_FAILURE", "it does not speak TLS: use redis://, or the port that does"),
)
_CLOSED: Final = ("closed the connection", "Connection closed", "Connection reset")
_SILENT: Final = ("no answer within", "Timeout")


def unreachable(endpoint: Endpoint, text: str, *, opening: bool = True) -> BusError:
    """Return the error of a connection that failed, with what to do about it where that can be told.

    Args:
        endpoint: the server.
        text: what the operating system, OpenSSL, the client library or we ourselves say of it.
        opening: whether the server had answered nothing yet. One that wants TLS, or does not, or that wants a
            certificate, may say so only by its silence.

    """
    advice = next((advice for words, advice in _TLS_ADVICE if words in text), None)
    if advice is None and opening and not endpoint.path:
        if any(words in text for words in _SILENT):
            advice = "if it does not speak TLS, use redis://" if endpoint.tls else None
        elif any(words in text for words in _CLOSED):
            advice = _perhaps(endpoint)
    return BusError(f"{endpoint}: {text}" if advice is None else f"{endpoint}: {text}; {advice}")


def _perhaps(endpoint: Endpoint) -> str:
    if not endpoint.tls:
        return "if it serves TLS alone, use rediss://"
    if endpoint.certificate_file is None:
        return f"if it asks for one: {_CERTIFICATE_WANTED}"
    return f"if it refuses our certificate: {_AUTHORITY_UNKNOWN}, or {_EXPIRED}"


def refusal(endpoint: Endpoint, text: str) -> BusError:
    """Return the error that says which server refused, in its own words, and what to do about it."""
    code = text.partition(" ")[0]
    advice = _ADVICE.get(code)
    what = f"{endpoint}: {text}" if advice is None else f"{endpoint}: {text}; {advice}"
    return BusError(what, code if code.isupper() else None)
