"""One atomic step on the primary: if everything that it expects is so, everything is written; else nothing is.

Neither a script nor a transaction of the server rolls back, so the script looks at everything before its first write:
what is expected, the type of every key, every stream's last id, and the shape of the request itself. What is left that
could fail then fails at the first write, where nothing is lost: a full memory, a disk that takes no more.
"""

import hashlib
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any, Final, Literal

import msgspec

ARGUMENTS_MAX: Final = 500_000
"""A script holds the server up while it runs: measured, 1.2 ms a thousand arguments, so this is half a second."""
WRITE_ARGUMENTS_MAX: Final = 4_000
"""What Lua can hand to one command is bounded, at some 8,000."""

SCRIPT: Final = """
local try, argv, keys = redis.pcall, ARGV, KEYS
local byte, find, match, sub = string.byte, string.find, string.match, string.sub
local types = {H = 'hash', S = 'string', X = 'stream', Z = 'zset'}
local commands = {h = 'HSET', d = 'HDEL', s = 'SET', x = 'XADD', m = 'XTRIM', z = 'ZADD', r = 'ZREM'}
local least = {f = 2, n = 1, v = 1, a = 0, H = 0, S = 0, X = 0, Z = 0, h = 2, d = 1, s = 1, x = 3, m = 3, z = 2, r = 1}
local most_of = {v = 1, a = 0, H = 0, S = 0, X = 0, Z = 0, s = 1, m = 3}
local rest_of = {f = 0, h = 0, x = 1, z = 0}
local most = '18446744073709551615'
local at = 3

local function plan(bytes, i)
  local letter, high, middle, low, many, few = byte(bytes, i, i + 5)
  if not few then return end
  letter = string.char(letter)
  local place, count = (high * 256 + middle) * 256 + low, many * 256 + few
  if not least[letter] or count < least[letter] or count > (most_of[letter] or LIMIT) or
    (rest_of[letter] and count % 2 ~= rest_of[letter]) or not keys[place] or at + count > #argv + 1 then return end
  return letter, place, count
end
local function number(text)
  return #text == 1 or (byte(text) ~= 48 and (#text < 20 or (#text == 20 and text <= most)))
end
local function split(id)
  local ms, seq = match(id, '^(%d+)%-(%d+)$')
  if ms and number(ms) and number(seq) then return ms, seq end
end
local function larger(a, b)
  if #a ~= #b then return #a > #b end
  return a > b
end
local function last_id(key)
  local said = try('XINFO', 'STREAM', key)
  if said.err then
    if find(said.err, 'no such key', 1, true) then return '0-0' end
    return nil, said.err
  end
  for i = 1, #said, 2 do
    if said[i] == 'last-generated-id' then return said[i + 1] end
  end
  return nil, 'the stream does not tell its last id'
end

local expected, written = argv[1], argv[2]
for i = 1, #expected, 6 do
  local letter, place, count = plan(expected, i)
  if not letter then return {'shape', 0, 'expectation', tostring((i + 5) / 6)} end
  local key = keys[place]
  if letter == 'f' then
    local half = count / 2
    if half == 1 then
      local found = try('HGET', key, argv[at])
      if type(found) == 'table' then return {'type', place, 'hash', found.err} end
      if found ~= argv[at + 1] then return {'field', place, argv[at], found} end
    else
      local found = try('HMGET', key, unpack(argv, at, at + half - 1))
      if found.err then return {'type', place, 'hash', found.err} end
      for j = 1, half do
        if found[j] ~= argv[at + half + j - 1] then return {'field', place, argv[at + j - 1], found[j]} end
      end
    end
  elseif letter == 'n' then
    local found = try('HMGET', key, unpack(argv, at, at + count - 1))
    if found.err then return {'type', place, 'hash', found.err} end
    for j = 1, count do
      if found[j] then return {'field', place, argv[at + j - 1], found[j]} end
    end
  elseif letter == 'v' then
    local found = try('GET', key)
    if type(found) == 'table' then return {'type', place, 'string', found.err} end
    if found ~= argv[at] then return {'text', place, '', found} end
  elseif letter == 'a' then
    if try('EXISTS', key) ~= 0 then return {'present', place, '', try('TYPE', key).ok} end
  elseif types[letter] then
    local found = try('TYPE', key).ok
    if found ~= 'none' and found ~= types[letter] then return {'type', place, types[letter], found} end
  else
    return {'shape', place, 'expectation', letter}
  end
  at = at + count
end

local first, last_ms, last_seq = at, {}, {}
for i = 1, #written, 6 do
  local letter, place, count = plan(written, i)
  if not letter or not commands[letter] then return {'shape', 0, 'write', tostring((i + 5) / 6)} end
  if letter == 'x' then
    local id = argv[at]
    if not last_ms[place] then
      local newest, problem = last_id(keys[place])
      if not newest then return {'type', place, 'stream', problem} end
      last_ms[place], last_seq[place] = split(newest)
    end
    local newest_ms, newest_seq = last_ms[place], last_seq[place]
    if id == '*' then
      if newest_ms == most then return {'id', place, id, newest_ms .. '-' .. newest_seq} end
      last_ms[place] = '*'
    else
      local ms, seq = split(id)
      if not ms or newest_ms == '*' or not (larger(ms, newest_ms) or (ms == newest_ms and larger(seq, newest_seq))) then
        return {'id', place, id, newest_ms .. '-' .. newest_seq}
      end
      last_ms[place], last_seq[place] = ms, seq
    end
  elseif letter == 'm' then
    if argv[at] ~= 'MINID' or argv[at + 1] ~= '=' or not split(argv[at + 2]) then
      return {'shape', place, 'write', tostring((i + 5) / 6)}
    end
  elseif letter == 'z' then
    for j = at, at + count - 1, 2 do
      local score = tonumber(argv[j])
      if not score or score ~= score then return {'shape', place, 'score', argv[j]} end
    end
  end
  at = at + count
end
if at ~= #argv + 1 then return {'shape', 0, 'arguments', tostring(#argv)} end

at = first
for i = 1, #written, 6 do
  local letter, place, count = plan(written, i)
  local said = try(commands[letter], keys[place], unpack(argv, at, at + count - 1))
  if type(said) == 'table' and said.err then
    if i == 1 then return {'server', place, commands[letter], said.err} end
    return redis.error_reply('TORN write ' .. (i + 5) / 6 .. ' of ' .. #written / 6 .. ' failed: ' .. said.err)
  end
  at = at + count
end
return 1
""".replace("LIMIT", str(WRITE_ARGUMENTS_MAX))
"""Arguments: the plan of what is expected, the plan of what is written, and what both of them hold.

A plan has six bytes a part: a letter, the number of its key in three bytes, and how many arguments are its own in two.
Answers 1, or why nothing was written: the reason, the key's number, which field, command or part of the request it was,
and what was found.
"""
SHA: Final = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()

Kind = Literal["h", "s", "x", "z"]
Reason = Literal["field", "text", "present", "type", "id", "shape", "server"]
_ID = re.compile(r"(0|[1-9]\d{0,19})-(0|[1-9]\d{0,19})")


class FieldsAre(msgspec.Struct, frozen=True, gc=False):
    """The hash has these texts in these fields; None means that there is no such field."""

    key: str
    fields: Mapping[str, str | None]


class TextIs(msgspec.Struct, frozen=True):
    """The string has this text."""

    key: str
    text: str


class Absent(msgspec.Struct, frozen=True, gc=False):
    """There is no such key, of whatever type."""

    key: str


class PutFields(msgspec.Struct, frozen=True, gc=False):
    """Set fields of a hash."""

    key: str
    fields: Mapping[str, str | bytes]


class DropFields(msgspec.Struct, frozen=True):
    """Delete fields of a hash; those that it has not are no error."""

    key: str
    fields: Sequence[str]


class PutText(msgspec.Struct, frozen=True):
    """Set a string."""

    key: str
    text: str


class Append(msgspec.Struct, frozen=True, gc=False):
    """Append an entry to a stream, under this id, or `*` for one that the server chooses."""

    key: str
    fields: Mapping[str, str | bytes]
    id: str = "*"


class TrimBelow(msgspec.Struct, frozen=True):
    """Delete a stream's entries whose ids are below this one."""

    key: str
    id: str


class Rank(msgspec.Struct, frozen=True):
    """Set members' scores in a sorted set; scores above 2^53 are rounded by the server."""

    key: str
    scores: Mapping[str, int]


class Unrank(msgspec.Struct, frozen=True):
    """Delete members of a sorted set; those that it has not are no error."""

    key: str
    members: Sequence[str]


Expectation = FieldsAre | TextIs | Absent
Write = PutFields | DropFields | PutText | Append | TrimBelow | Rank | Unrank


class Commit(msgspec.Struct, frozen=True):
    """What one step expects to find, and what it writes then, in this order."""

    expectations: Sequence[Expectation]
    writes: Sequence[Write]


class Refusal(msgspec.Struct, frozen=True):
    """Why nothing was written.

    Args:
        reason: `field`, `text`, `present`: not as expected; `type`: the key holds something else; `id`: a stream has
            gone past the entry's id; `shape`: the request is wrong in itself; `server`: the server takes no writes.
        key: which key, where it is about one.
        what: which field, which type, which id, which command.
        found: what is there instead; None for nothing.

    """

    reason: Reason
    key: str
    what: str
    found: str | None

    def __str__(self) -> str:
        found = "nothing" if self.found is None else self.found[:200]
        return f"{self.reason} of {self.key} {self.what}: found {found}"


def arguments(commit: Commit) -> tuple[Any, ...]:
    """Return the server's command for a commit, its arguments in order.

    Raises:
        ValueError: no commit, by the maker's fault: a key of two types, an id that is none, no field, too much.

    """
    keys: dict[str, int] = {}
    kinds: dict[str, Kind | None] = {}
    expected: list[int] = []
    written: list[int] = []
    held: list[Any] = []
    for expectation in commit.expectations:
        for letter, kind, rest in _expected(expectation):
            key = expectation.key
            if kinds.setdefault(key, kind) != kind:
                raise ValueError(f"{key} cannot be of two types")
            _put(expected, letter, keys.setdefault(key, len(keys) + 1), rest)
            held += rest
    later: list[Any] = []
    for write in commit.writes:
        letter, kind, rest = _WRITTEN[type(write)](write)
        key = write.key
        place = keys.get(key)
        if place is None or kinds[key] != kind:
            # A key that no expectation proves to be of its type, or to be absent, is looked at before anything else.
            if place is not None and kinds[key] is not None:
                raise ValueError(f"{key} cannot be of two types")
            if place is None:
                place = keys[key] = len(keys) + 1
                _put(expected, kind.upper(), place, ())
            kinds[key] = kind
        _put(written, letter, place, rest)
        later += rest
    held += later
    total = len(keys) + len(held)
    if total > ARGUMENTS_MAX:
        raise ValueError(f"a commit of {total} arguments, of {ARGUMENTS_MAX} allowed: split it")
    return ("EVALSHA", SHA, len(keys), *keys, _packed(expected), _packed(written), *held)


_BYTES: Final = {letter: ord(letter) for letter in "fnvaHSXZhdsxmzr"}


def _put(plan: list[int], letter: str, place: int, rest: Sequence[Any]) -> None:
    count = len(rest)
    if count > WRITE_ARGUMENTS_MAX:
        raise ValueError(f"{count} arguments for one command, of {WRITE_ARGUMENTS_MAX} allowed")
    plan += (_BYTES[letter], place >> 16, place & 0xFFFF, count)


def _packed(plan: Sequence[int]) -> bytes:
    return struct.pack(">" + "BBHH" * (len(plan) // 4), *plan)


def refused(commit: Commit, reply: Sequence[Any]) -> Refusal:
    """Read why the server has written nothing of a commit."""
    reason, place, what, found = reply
    keys = arguments(commit)[3:]
    return Refusal(
        reason.decode(), keys[place - 1] if place else "", what.decode(), None if found is None else _text(found)
    )


def _text(found: bytes) -> str:
    return found.decode(errors="replace")


def _expected(expectation: Expectation) -> list[tuple[str, Kind | None, Sequence[Any]]]:
    """Return an expectation's parts: each a letter, the key's type, and the arguments."""
    match expectation:
        case FieldsAre(_, fields):
            there = {name: text for name, text in fields.items() if text is not None}
            missing = [name for name, text in fields.items() if text is None]
            if not fields:
                raise ValueError("an expectation without fields")
            parts: list[tuple[str, Kind | None, Sequence[Any]]] = []
            if there:
                parts.append(("f", "h", [*there, *there.values()]))
            if missing:
                parts.append(("n", "h", missing))
            return parts
        case TextIs(_, text):
            return [("v", "s", [text])]
        case Absent():
            return [("a", None, ())]


def _put_fields(write: PutFields) -> tuple[str, Kind, Sequence[Any]]:
    return "h", "h", _some([*chain.from_iterable(write.fields.items())], write)


def _append(write: Append) -> tuple[str, Kind, Sequence[Any]]:
    if not write.fields or (write.id != "*" and not _ID.fullmatch(write.id)):
        raise ValueError(f"not an entry: {write.id} of {len(write.fields)} fields")
    return "x", "x", [write.id, *chain.from_iterable(write.fields.items())]


def _trim_below(write: TrimBelow) -> tuple[str, Kind, Sequence[Any]]:
    if not _ID.fullmatch(write.id):
        raise ValueError(f"not an id: {write.id}")
    return "m", "x", ["MINID", "=", write.id]


def _rank(write: Rank) -> tuple[str, Kind, Sequence[Any]]:
    return "z", "z", _some([part for member, score in write.scores.items() for part in (score, member)], write)


def _some(rest: Sequence[Any], write: Write) -> Sequence[Any]:
    if not rest:
        raise ValueError(f"0 arguments for {write.key}")
    return rest


_WRITTEN: Final[dict[type[Any], Callable[[Any], tuple[str, Kind, Sequence[Any]]]]] = {
    PutFields: _put_fields,
    DropFields: lambda write: ("d", "h", _some(write.fields, write)),
    PutText: lambda write: ("s", "s", (write.text,)),
    Append: _append,
    TrimBelow: _trim_below,
    Rank: _rank,
    Unrank: lambda write: ("r", "z", _some(write.members, write)),
}
"""By write: its letter, its key's type, and its arguments."""
