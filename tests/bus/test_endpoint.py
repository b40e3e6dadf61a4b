import pytest

from heliograph.bus.endpoint import Endpoint, Tls, parse_url, refusal, unreachable
from heliograph.errors import ConfigError


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://127.0.0.1", Endpoint(host="127.0.0.1")),
        ("redis://example.com:7000/3", Endpoint(host="example.com", port=7000, db=3)),
        ("redis://me:p%40ss@example.com", Endpoint(host="example.com", username="me", password="p@ss")),
        ("redis://:p@[::1]:1?db=2", Endpoint(host="::1", port=1, password="p", db=2)),
        ("unix:///run/valkey.sock?db=1", Endpoint(path="/run/valkey.sock", db=1)),
        (
            "rediss://h?ssl_ca_certs=/ca&ssl_certfile=/c&ssl_keyfile=/k",
            Endpoint(host="h", tls=True, ca_file="/ca", certificate_file="/c", key_file="/k"),
        ),
        ("valkey://h", Endpoint(host="h")),
        ("valkeys://h", Endpoint(host="h", tls=True)),
        ("redis+cluster://h", Endpoint(host="h")),
        (
            "rediss+cluster://me:p@h1:1,[::1]:2,h3?ssl_ca_certs=/ca",
            Endpoint(
                host="h1",
                port=1,
                username="me",
                password="p",
                tls=True,
                ca_file="/ca",
                others=(("::1", 2), ("h3", 6379)),
            ),
        ),
    ],
)
def test_a_url_is_read(url: str, expected: Endpoint) -> None:
    assert parse_url(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "http://me:hush@h", "me:hush@h", "redis://me:hush@h:x", "redis://me:hush@h/x", "redis://me:hush@h/-1",
        "redis://me:hush@h?timeout=1", "unix://", "redis://me:hush@h?db", "",
        "redis+sentinel://me:hush@h", "valkey+cluster://me:hush@h,", "valkey+cluster://me:hush@h,h:x",
        "redis://me:hush@h,h",
    ],
)  # fmt: skip
def test_a_url_that_cannot_be_used_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_url(url)
    assert "hush" not in str(caught.value)
    assert caught.value.accepted


def test_an_endpoint_never_shows_its_credentials() -> None:
    endpoint = parse_url("rediss://me:hush@example.com:7000/3")
    assert str(endpoint) == repr(endpoint) == "rediss://example.com:7000/3"
    assert str(parse_url("redis://:x@[::1]:1")) == "redis://[::1]:1/0"
    assert parse_url("redis://h", username="me", password="x") == Endpoint(host="h", username="me", password="x")
    assert parse_url("redis://you:y@h", username="me", password="x").password == "y"


def test_tls_files_that_are_missing_are_named() -> None:
    with pytest.raises(ConfigError, match="could not be loaded: /nowhere: No such file"):
        parse_url("rediss://h?ssl_ca_certs=/nowhere").ssl_context()
    assert parse_url("redis://h").ssl_context() is None


def test_a_clusters_nodes_are_endpoints_of_their_own() -> None:
    nodes = parse_url("valkey+cluster://me:p@h1:1,h2:2").all()
    assert nodes == [
        Endpoint(host=host, port=port, username="me", password="p") for host, port in (("h1", 1), ("h2", 2))
    ]


FILES = Tls(ca_file="/a folder/ca.pem", certificate_file="/c&d.pem", key_file="/k.pem")


@pytest.mark.parametrize("scheme", ["redis", "rediss", "valkey", "valkeys"])
def test_tls_files_go_into_a_url_and_come_out_again(scheme: str) -> None:
    endpoint = parse_url(FILES.url(f"{scheme}://me:p%40ss@h:1/2"))
    assert endpoint == Endpoint(
        host="h", port=1, db=2, username="me", password="p@ss", tls=True,
        ca_file="/a folder/ca.pem", certificate_file="/c&d.pem", key_file="/k.pem",
    )  # fmt: skip


def test_what_a_url_says_of_tls_itself_stands() -> None:
    assert parse_url(FILES.url("rediss://h?ssl_ca_certs=/mine")).ca_file == "/mine"
    assert parse_url(FILES.url("redis+cluster://h1,h2")).others == (("h2", 6379),)
    assert Tls().url("redis://h?db=1") == "rediss://h?db=1"
    for url in ("unix:///run/valkey.sock", "h:6379", ""):
        with pytest.raises(ConfigError, match="TLS is for"):
            FILES.url(url)


@pytest.mark.parametrize(
    ("url", "text", "advice"),
    [
        ("rediss://h", "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] x", "; give a client certificate"),
        ("rediss://h", "Connection reset by peer", "; if it asks for one: give a client certificate"),
        ("rediss://h?ssl_certfile=/c", "Connection reset by peer", "; if it refuses our certificate"),
        ("rediss://h", "no answer within 5 s", "; if it does not speak TLS, use redis://"),
        ("redis://h", "Connection closed by server.", "; if it serves TLS alone, use rediss://"),
        ("redis://h", "no answer within 5 s", ""),
        ("redis://h", "Connection refused", ""),
        ("unix:///s", "Connection reset by peer", ""),
    ],
)
def test_a_connection_that_fails_says_what_to_look_at(url: str, text: str, advice: str) -> None:
    endpoint = parse_url(url)
    assert str(unreachable(endpoint, text)).startswith(f"{endpoint}: {text}{advice}")
    if "SSL" not in text:
        assert str(unreachable(endpoint, text, opening=False)) == f"{endpoint}: {text}"
    assert unreachable(endpoint, text).code is None


def test_a_refusal_has_the_servers_code() -> None:
    assert refusal(parse_url("redis://h"), "NOPERM no").code == "NOPERM"
    assert refusal(parse_url("redis://h"), "whatever").code is None
