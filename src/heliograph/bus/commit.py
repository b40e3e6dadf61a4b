"""One atomic step on the primary: if everything that it expects is so, everything is written; else nothing is.

Neither a script nor a transaction of the server rolls back, so the script looks at everything before its first write:
what is expected, the type of every key, every stream's last id, and the shape of the request itself. What is left that
could fail then fails at the first write, where nothing is lost: a full memory, a disk that takes no more.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Final, Literal

import msgspec

ARGUMENTS_MAX: Final = 500_000
"""A script holds the server up while it runs: measured, 1.2 ms a thousand arguments, so this is half a second."""
WRITE_ARGUMENTS_MAX: Final = 4_000
"""What Lua can hand to one command is bounded, at some 8,000."""

SCRIPT: Final = """
local try, argv, keys = redis.pcall, ARGV, KEYS
local types = {h = 'hash', s = 'string', x = 'stream', z = 'zset'}
local commands = {h = 'HSET', d = 'HDEL', s = 'SET', x = 'XADD', t = 'XTRIM', z = 'ZADD', r = 'ZREM'}
local least = {h = 2, d = 1, s = 1, x = 3, t = 3, z = 2, r = 1}
local least_expected = {f = 2, n = 1, v = 1, t = 1}
local pairwise = {h = 0, x = 1, z = 0}
local most = '18446744073709551615'

local function part(text)
  return not string.find(text, '^0.') and (#text < 20 or (#text == 20 and text <= most))
end
local function split(id)
  local ms, seq = string.match(id, '^(%d+)%-(%d+)$')
  if ms and part(ms) and part(seq) then return ms, seq end
end
local function larger(a, b)
  if #a ~= #b then return #a > #b end
  return a > b
end
local function last_id(key)
  local said = try('XINFO', 'STREAM', key)
  if said.err then
    if string.find(said.err, 'no such key', 1, true) then return '0-0' end
    return nil, said.err
  end
  for i = 1, #said, 2 do
    if said[i] == 'last-generated-id' then return said[i + 1] end
  end
  return nil, 'the stream does not tell its last id'
end

local at = 3
local function header()
  local kind, place, count = argv[at], tonumber(argv[at + 1]), tonumber(argv[at + 2])
  if not kind or not place or not count or not keys[place] or count < 0 or at + 2 + count > #argv or
    count > tonumber(argv[1]) then return end
  return kind, place, count
end

for n = 1, tonumber(argv[2]) do
  local kind, place, count = header()
  if not kind or (least_expected[kind] or 0) > count or (kind == 'f' and count % 2 ~= 0) then
    return {'shape', 0, 'expectation', tostring(n)}
  end
  local key = keys[place]
  at = at + 3
  if kind == 'f' then
    local half = count / 2
    local found = try('HMGET', key, unpack(argv, at, at + half - 1))
    if found.err then return {'type', place, 'hash', found.err} end
    for i = 1, half do
      if found[i] ~= argv[at + half + i - 1] then return {'field', place, argv[at + i - 1], found[i]} end
    end
  elseif kind == 'n' then
    local found = try('HMGET', key, unpack(argv, at, at + count - 1))
    if found.err then return {'type', place, 'hash', found.err} end
    for i = 1, count do
      if found[i] then return {'field', place, argv[at + i - 1], found[i]} end
    end
  elseif kind == 'v' then
    local found = try('GET', key)
    if type(found) == 'table' then return {'type', place, 'string', found.err} end
    if found ~= argv[at] then return {'text', place, '', found} end
  elseif kind == 'a' then
    if try('EXISTS', key) ~= 0 then return {'present', place, '', try('TYPE', key).ok} end
  elseif kind == 't' then
    local found, wanted = try('TYPE', key).ok, types[argv[at]]
    if not wanted then return {'shape', place, 'type', argv[at]} end
    if found ~= 'none' and found ~= wanted then return {'type', place, wanted, found} end
  else
    return {'shape', place, 'expectation', kind}
  end
  at = at + count
end

local writes, last = tonumber(argv[at]), {}
if not writes then return {'shape', 0, 'writes', ''} end
at = at + 1
local first = at
for n = 1, writes do
  local kind, place, count = header()
  if not kind or not commands[kind] or count < least[kind] or (pairwise[kind] and count % 2 ~= pairwise[kind]) or
    (kind == 's' and count ~= 1) then return {'shape', place or 0, 'write', tostring(n)} end
  if kind == 'x' then
    local id, newest, problem = argv[at + 3], last[place], nil
    if not newest then newest, problem = last_id(keys[place]) end
    if not newest then return {'type', place, 'stream', problem} end
    if id == '*' then
      if split(newest) == most then return {'id', place, id, newest} end
      last[place] = '*'
    else
      local ms, seq = split(id)
      local last_ms, last_seq = split(newest)
      if not ms or not last_ms or not (larger(ms, last_ms) or (ms == last_ms and larger(seq, last_seq))) then
        return {'id', place, id, newest}
      end
      last[place] = id
    end
  elseif kind == 't' then
    if argv[at + 3] ~= 'MINID' or argv[at + 4] ~= '=' or count ~= 3 or not split(argv[at + 5]) then
      return {'shape', place, 'write', tostring(n)}
    end
  elseif kind == 'z' then
    for i = at + 3, at + 2 + count, 2 do
      local score = tonumber(argv[i])
      if not score or score ~= score then return {'shape', place, 'score', argv[i]} end
    end
  end
  at = at + 3 + count
end
if at ~= #argv + 1 then return {'shape', 0, 'arguments', tostring(#argv)} end

at = first
for n = 1, writes do
  local count = tonumber(argv[at + 2])
  local said = try(commands[argv[at]], keys[tonumber(argv[at + 1])], unpack(argv, at + 3, at + 2 + count))
  if type(said) == 'table' and said.err then
    if n == 1 then return {'server', tonumber(argv[at + 1]), commands[argv[at]], said.err} end
    return redis.error_reply('TORN write ' .. n .. ' of ' .. writes .. ' failed: ' .. said.err)
  end
  at = at + 3 + count
end
return 1
"""
"""Arguments: how many a write may have, how many expectations, each expectation, how many writes, each write.

Either is a letter, the number of its key, how many arguments follow, and these. Answers 1, or why nothing was written:
the reason, the key's number, which field, command or part of the request it was, and what was found.
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
    kinds: dict[str, Kind] = {}
    proven: set[str] = set()

    def place(key: str, kind: Kind | None) -> int:
        if kind is not None and kinds.setdefault(key, kind) != kind:
            raise ValueError(f"{key} cannot be of two types")
        return keys.setdefault(key, len(keys) + 1)

    expected: list[Any] = []
    count = 0
    for expectation in commit.expectations:
        match expectation:
            case FieldsAre(key, fields):
                proven.add(key)
                n = place(key, "h")
                for letter, part in _halves(fields):
                    expected += [letter, n, len(part), *part]
                    count += 1
            case TextIs(key, text):
                proven.add(key)
                expected += ["v", place(key, "s"), 1, text]
                count += 1
            case Absent(key):
                proven.add(key)
                expected += ["a", place(key, None), 0]
                count += 1
    written: list[Any] = []
    for write in commit.writes:
        letter, kind, rest = _write(write)
        if not rest or len(rest) > WRITE_ARGUMENTS_MAX:
            raise ValueError(f"{len(rest)} arguments for {write.key}")
        written += (letter, place(write.key, kind), len(rest))
        written += rest
    for key, kind in kinds.items():
        if key not in proven:
            expected += ["t", keys[key], 1, kind]
            count += 1
    total = len(keys) + len(expected) + len(written)
    if total > ARGUMENTS_MAX:
        raise ValueError(f"a commit of {total} arguments, of {ARGUMENTS_MAX} allowed: split it")
    return (
        "EVALSHA", SHA, len(keys), *keys, WRITE_ARGUMENTS_MAX, count, *expected, len(commit.writes), *written
    )  # fmt: skip


def refused(commit: Commit, reply: Sequence[Any]) -> Refusal:
    """Read why the server has written nothing of a commit."""
    reason, place, what, found = reply
    keys = arguments(commit)[3:]
    return Refusal(
        reason.decode(), keys[place - 1] if place else "", what.decode(), None if found is None else _text(found)
    )


def _text(found: bytes) -> str:
    return found.decode(errors="replace")


def _halves(fields: Mapping[str, str | None]) -> list[tuple[str, list[str]]]:
    """Return the fields that must have a text, names before texts, and those that must not be there."""
    there = {name: text for name, text in fields.items() if text is not None}
    missing = [name for name, text in fields.items() if text is None]
    if not fields:
        raise ValueError("an expectation without fields")
    if max(2 * len(there), len(missing)) > WRITE_ARGUMENTS_MAX:
        raise ValueError(f"{len(fields)} fields expected, of {WRITE_ARGUMENTS_MAX} arguments allowed")
    return [(letter, part) for letter, part in (("f", [*there, *there.values()]), ("n", missing)) if part]


def _write(write: Write) -> tuple[str, Kind, Sequence[Any]]:
    """Return a write's letter, its key's type, and its arguments."""
    match write:
        case PutFields(_, fields):
            return "h", "h", [*chain.from_iterable(fields.items())]
        case Append(_, fields, entry_id):
            if not fields or (entry_id != "*" and not _ID.fullmatch(entry_id)):
                raise ValueError(f"not an entry: {entry_id} of {len(fields)} fields")
            return "x", "x", [entry_id, *chain.from_iterable(fields.items())]
        case PutText(_, text):
            return "s", "s", [text]
        case DropFields(_, names):
            return "d", "h", names
        case TrimBelow(_, entry_id):
            if not _ID.fullmatch(entry_id):
                raise ValueError(f"not an id: {entry_id}")
            return "t", "x", ["MINID", "=", entry_id]
        case Rank(_, scores):
            return "z", "z", [part for member, score in scores.items() for part in (score, member)]
        case Unrank(_, members):
            return "r", "z", members
