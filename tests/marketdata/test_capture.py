import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heliograph.errors import ConfigError, DecodeError
from heliograph.marketdata.capture import Direction, Line, Writer, decode_line, paced, read_lines

NAMES = pytest.mark.parametrize("name", ["frames.jsonl", "frames.jsonl.zst"])
LINES = [
    Line(1.5, Direction.CONNECT, "wss://x/stream", ""),
    Line(2.000001, Direction.IN, None, '{"a":"é\\n"}'),
    Line(None, Direction.HTTP, "https://x/y?z=1", "[]"),
]


def read(path: Path) -> list[Line]:
    return [decode_line(text) for _, text in read_lines(path)]


@NAMES
def test_what_is_written_is_read_back(tmp_path: Path, name: str) -> None:
    with Writer(tmp_path / name) as writer:
        for line in LINES:
            writer.write(line)
        assert writer.lines_written == 3
    assert read(tmp_path / name) == LINES


@NAMES
def test_a_capture_is_continued_not_overwritten(tmp_path: Path, name: str) -> None:
    for _ in range(3):
        with Writer(tmp_path / name) as writer:
            writer.write(LINES[1])
    assert read(tmp_path / name) == [LINES[1]] * 3


@NAMES
def test_what_was_flushed_outlives_a_killed_process(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    script = (
        "import pathlib, sys, os, signal\n"
        "from heliograph.marketdata.capture import Writer, Line, Direction\n"
        f"with Writer(pathlib.Path({str(path)!r})) as writer:\n"
        "    for number in range(500):\n"
        "        writer.write(Line(1.0, Direction.IN, None, str(number)))\n"
        "    writer.flush()\n"
        "    writer.write(Line(1.0, Direction.IN, None, 'lost'))\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], check=False, env=dict(os.environ), timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert [line.raw for line in read(path)] == [str(number) for number in range(500)]
    with Writer(path) as writer:
        writer.write(LINES[1])
    assert len(read(path)) == 501


def test_a_torn_last_line_does_not_swallow_the_next(tmp_path: Path) -> None:
    path = tmp_path / "frames.jsonl"
    path.write_text('{"dir":"in","raw":"1"}\n{"dir":"in","ra')
    with Writer(path) as writer:
        writer.write(LINES[1])
    texts = [text for _, text in read_lines(path)]
    assert len(texts) == 3
    assert decode_line(texts[2]) == LINES[1]


def test_a_torn_last_frame_costs_itself_only(tmp_path: Path) -> None:
    path = tmp_path / "frames.jsonl.zst"
    for _ in range(2):
        with Writer(path) as writer:
            writer.write(LINES[1])
    path.write_bytes(path.read_bytes()[:-5])
    with Writer(path) as writer:
        writer.write(LINES[2])
    assert read(path) == [LINES[1], LINES[2]]


def test_much_is_written_before_anyone_flushes(tmp_path: Path) -> None:
    path = tmp_path / "frames.jsonl"
    with Writer(path) as writer:
        for _ in range(3):
            writer.write(Line(1.0, Direction.IN, None, "x" * 700_000))
        assert path.stat().st_size > 1_000_000


def test_lines_keep_their_numbers_and_blank_ones_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "frames.jsonl"
    path.write_text("\na\n\n b \nc")
    assert list(read_lines(path)) == [(2, b"a"), (4, b"b"), (5, b"c")]


def test_times_are_whole_microseconds() -> None:
    assert decode_line(b'{"t":1633998511.159679,"dir":"in","raw":"x"}').received_ns == 1_633_998_511_159_679_000
    assert decode_line(b'{"dir":"in","raw":"x"}').received_ns is None


@pytest.mark.parametrize(
    "text", [b"", b"x", b"[]", b'{"dir":"up"}', b'{"t":"1"}', b'{"t":-1}', b'{"t":1e300}', b'{"raw":1}', b"[" * 100_000]
)
def test_what_is_no_line_is_refused(text: bytes) -> None:
    with pytest.raises(DecodeError, match="not a line of a capture"):
        decode_line(text)


def test_a_file_that_cannot_be_read_is_a_mistake_of_the_user(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        list(read_lines(tmp_path / "absent.jsonl"))
    with pytest.raises(ConfigError, match="cannot read"):
        list(read_lines(tmp_path))


def test_a_file_that_is_not_compressed_says_so(tmp_path: Path) -> None:
    path = tmp_path / "frames.jsonl.zst"
    path.write_text('{"dir":"in","raw":"1"}\n')
    with pytest.raises(DecodeError, match="not a Zstandard file"):
        list(read_lines(path))


def test_a_replay_waits_as_long_as_the_recording_did_by_its_speed() -> None:
    lines = [(n, Line(t)) for n, t in enumerate([10.0, 10.5, None, 10.5, 9.0, 12.0])]
    waits: list[float] = []
    assert list(paced(lines, 2.0, waits.append)) == lines
    assert waits == [0.25, 1.5]
    waits.clear()
    assert list(paced(lines, 0, waits.append)) == lines
    assert waits == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    raws=st.lists(
        st.builds(
            Line,
            st.none() | st.floats(0, 4e9),
            st.sampled_from(Direction),
            st.none() | st.text(max_size=9),
            st.text(max_size=50),
        ),
        max_size=9,
    ),
    name=st.sampled_from(["a", "a.zst"]),
)
def test_any_text_survives(tmp_path: Path, raws: list[Line], name: str) -> None:
    path = tmp_path / name
    path.unlink(missing_ok=True)
    with Writer(path) as writer:
        for line in raws:
            writer.write(line)
    assert read(path) == raws


def test_a_compressed_file_that_is_cut_short_is_told_after_what_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "cut.jsonl.zst"
    path.write_bytes(zstandard.compress(b'{"raw":"1"}\n') + zstandard.compress(b'{"raw":"2"}\n' * 99)[:-3])
    lines = read_lines(path)
    assert next(lines) == (1, b'{"raw":"1"}')
    with pytest.raises(DecodeError, match="cut short"):
        list(lines)


def test_every_line_says_which_way_it_went(tmp_path: Path) -> None:
    path = tmp_path / "frames.jsonl"
    with Writer(path) as writer:
        for line in LINES:
            writer.write(line)
    assert [json.loads(text)["dir"] for text in path.read_text().splitlines()] == ["connect", "in", "http"]


def test_a_file_of_another_kind_is_neither_continued_nor_harmed(tmp_path: Path) -> None:
    path = tmp_path / "mine.zst"
    path.write_bytes(b"not compressed at all")
    with pytest.raises(ConfigError, match="not a Zstandard file"), Writer(path):
        pytest.fail("continued a file that is no capture")
    assert path.read_bytes() == b"not compressed at all"
